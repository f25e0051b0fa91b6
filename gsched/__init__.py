"""gsched: the job scheduler for gevent programs.

Public names are resolved when they are first used: importing gsched imports neither pymongo nor anything that gevent
patches, so that it may stand before or after `gevent.monkey.patch_all()`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gsched.errors import (
        ConfigurationError as ConfigurationError,
        ForkedError as ForkedError,
        FuncRefError as FuncRefError,
        GschedError as GschedError,
        InvalidJobError as InvalidJobError,
        InvalidTriggerError as InvalidTriggerError,
        JobIdConflictError as JobIdConflictError,
        JobNotFoundError as JobNotFoundError,
        NotInRunError as NotInRunError,
        RunCancelled as RunCancelled,
        RunInterrupted as RunInterrupted,
        RunTimedOut as RunTimedOut,
        SchedulerAlreadyRunningError as SchedulerAlreadyRunningError,
        SchedulerNotRunningError as SchedulerNotRunningError,
        WorkerDiedError as WorkerDiedError,
    )

__version__ = "0.1.0"

_ERRORS = (
    "ConfigurationError", "ForkedError", "FuncRefError", "GschedError", "InvalidJobError", "InvalidTriggerError",
    "JobIdConflictError", "JobNotFoundError", "NotInRunError", "RunCancelled", "RunInterrupted", "RunTimedOut",
    "SchedulerAlreadyRunningError", "SchedulerNotRunningError", "WorkerDiedError",
)  # fmt: skip
