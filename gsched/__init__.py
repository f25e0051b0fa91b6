"""gsched: the job scheduler for gevent programs.

Public names are resolved when they are first used: importing gsched imports neither pymongo nor anything that gevent
patches, so that it may stand before or after `gevent.monkey.patch_all()`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gsched.errors import (
        ConfigurationError as ConfigurationError,
    )
    from gsched.errors import (
        ForkedError as ForkedError,
    )
    from gsched.errors import (
        FuncRefError as FuncRefError,
    )
    from gsched.errors import (
        GschedError as GschedError,
    )
    from gsched.errors import (
        InvalidJobError as InvalidJobError,
    )
    from gsched.errors import (
        InvalidTriggerError as InvalidTriggerError,
    )
    from gsched.errors import (
        JobIdConflictError as JobIdConflictError,
    )
    from gsched.errors import (
        JobNotFoundError as JobNotFoundError,
    )
    from gsched.errors import (
        NotInRunError as NotInRunError,
    )
    from gsched.errors import (
        RunCancelled as RunCancelled,
    )
    from gsched.errors import (
        RunInterrupted as RunInterrupted,
    )
    from gsched.errors import (
        RunTimedOut as RunTimedOut,
    )
    from gsched.errors import (
        SchedulerAlreadyRunningError as SchedulerAlreadyRunningError,
    )
    from gsched.errors import (
        SchedulerNotRunningError as SchedulerNotRunningError,
    )
    from gsched.errors import (
        WorkerDiedError as WorkerDiedError,
    )
    from gsched.events import (
        EVENT_ALL as EVENT_ALL,
    )
    from gsched.events import (
        EVENT_ALL_JOBS_REMOVED as EVENT_ALL_JOBS_REMOVED,
    )
    from gsched.events import (
        EVENT_CLOCK_SKEWED as EVENT_CLOCK_SKEWED,
    )
    from gsched.events import (
        EVENT_EVENTS_DROPPED as EVENT_EVENTS_DROPPED,
    )
    from gsched.events import (
        EVENT_EXECUTOR_ADDED as EVENT_EXECUTOR_ADDED,
    )
    from gsched.events import (
        EVENT_EXECUTOR_REMOVED as EVENT_EXECUTOR_REMOVED,
    )
    from gsched.events import (
        EVENT_FORK_DETECTED as EVENT_FORK_DETECTED,
    )
    from gsched.events import (
        EVENT_HUB_BLOCKED as EVENT_HUB_BLOCKED,
    )
    from gsched.events import (
        EVENT_JOB_ADDED as EVENT_JOB_ADDED,
    )
    from gsched.events import (
        EVENT_JOB_CANCELLED as EVENT_JOB_CANCELLED,
    )
    from gsched.events import (
        EVENT_JOB_COALESCED as EVENT_JOB_COALESCED,
    )
    from gsched.events import (
        EVENT_JOB_ERROR as EVENT_JOB_ERROR,
    )
    from gsched.events import (
        EVENT_JOB_EXECUTED as EVENT_JOB_EXECUTED,
    )
    from gsched.events import (
        EVENT_JOB_HEALED as EVENT_JOB_HEALED,
    )
    from gsched.events import (
        EVENT_JOB_INTERRUPTED as EVENT_JOB_INTERRUPTED,
    )
    from gsched.events import (
        EVENT_JOB_LOST as EVENT_JOB_LOST,
    )
    from gsched.events import (
        EVENT_JOB_MAX_INSTANCES as EVENT_JOB_MAX_INSTANCES,
    )
    from gsched.events import (
        EVENT_JOB_MISSED as EVENT_JOB_MISSED,
    )
    from gsched.events import (
        EVENT_JOB_MODIFIED as EVENT_JOB_MODIFIED,
    )
    from gsched.events import (
        EVENT_JOB_PARKED as EVENT_JOB_PARKED,
    )
    from gsched.events import (
        EVENT_JOB_PAUSED as EVENT_JOB_PAUSED,
    )
    from gsched.events import (
        EVENT_JOB_REMOVED as EVENT_JOB_REMOVED,
    )
    from gsched.events import (
        EVENT_JOB_RESUMED as EVENT_JOB_RESUMED,
    )
    from gsched.events import (
        EVENT_JOB_SKIPPED as EVENT_JOB_SKIPPED,
    )
    from gsched.events import (
        EVENT_JOB_STARTED as EVENT_JOB_STARTED,
    )
    from gsched.events import (
        EVENT_JOB_SUBMITTED as EVENT_JOB_SUBMITTED,
    )
    from gsched.events import (
        EVENT_JOB_TIMED_OUT as EVENT_JOB_TIMED_OUT,
    )
    from gsched.events import (
        EVENT_JOBSTORE_ADDED as EVENT_JOBSTORE_ADDED,
    )
    from gsched.events import (
        EVENT_JOBSTORE_REMOVED as EVENT_JOBSTORE_REMOVED,
    )
    from gsched.events import (
        EVENT_LISTENER_FAILED as EVENT_LISTENER_FAILED,
    )
    from gsched.events import (
        EVENT_NOT_PATCHED as EVENT_NOT_PATCHED,
    )
    from gsched.events import (
        EVENT_SCHEDULER_PAUSED as EVENT_SCHEDULER_PAUSED,
    )
    from gsched.events import (
        EVENT_SCHEDULER_RESUMED as EVENT_SCHEDULER_RESUMED,
    )
    from gsched.events import (
        EVENT_SCHEDULER_SHUTDOWN as EVENT_SCHEDULER_SHUTDOWN,
    )
    from gsched.events import (
        EVENT_SCHEDULER_START as EVENT_SCHEDULER_START,
    )
    from gsched.events import (
        EVENT_SCHEDULER_STARTED as EVENT_SCHEDULER_STARTED,
    )
    from gsched.events import (
        EVENT_STORE_FAILED as EVENT_STORE_FAILED,
    )
    from gsched.events import (
        EVENT_SUMMARY as EVENT_SUMMARY,
    )
    from gsched.events import (
        JobEvent as JobEvent,
    )
    from gsched.events import (
        JobExecutionEvent as JobExecutionEvent,
    )
    from gsched.events import (
        JobSubmissionEvent as JobSubmissionEvent,
    )
    from gsched.events import (
        SchedulerEvent as SchedulerEvent,
    )
    from gsched.executors import (
        BaseExecutor as BaseExecutor,
    )
    from gsched.executors import (
        GreenletPoolExecutor as GreenletPoolExecutor,
    )
    from gsched.executors import (
        ProcessPoolExecutor as ProcessPoolExecutor,
    )
    from gsched.executors import (
        ThreadPoolExecutor as ThreadPoolExecutor,
    )
    from gsched.handle import (
        JobHandle as JobHandle,
    )
    from gsched.job import (
        Job as Job,
    )
    from gsched.run import (
        Outcome as Outcome,
    )
    from gsched.run import (
        Result as Result,
    )
    from gsched.run import (
        Run as Run,
    )
    from gsched.run import (
        current_run as current_run,
    )
    from gsched.scheduler import (
        STATE_PAUSED as STATE_PAUSED,
    )
    from gsched.scheduler import (
        STATE_RUNNING as STATE_RUNNING,
    )
    from gsched.scheduler import (
        STATE_STOPPED as STATE_STOPPED,
    )
    from gsched.scheduler import (
        GeventScheduler as GeventScheduler,
    )
    from gsched.stores import (
        BaseJobStore as BaseJobStore,
    )
    from gsched.stores import (
        MemoryJobStore as MemoryJobStore,
    )
    from gsched.triggers import (
        AndTrigger as AndTrigger,
    )
    from gsched.triggers import (
        BaseTrigger as BaseTrigger,
    )
    from gsched.triggers import (
        CalendarIntervalTrigger as CalendarIntervalTrigger,
    )
    from gsched.triggers import (
        CronTrigger as CronTrigger,
    )
    from gsched.triggers import (
        DateTrigger as DateTrigger,
    )
    from gsched.triggers import (
        IntervalTrigger as IntervalTrigger,
    )
    from gsched.triggers import (
        OrTrigger as OrTrigger,
    )

__version__ = "0.1.0"

_HOMES: Final = {
    "gsched.errors": (
        "ConfigurationError ForkedError FuncRefError GschedError InvalidJobError InvalidTriggerError "
        "JobIdConflictError JobNotFoundError NotInRunError RunCancelled RunInterrupted RunTimedOut "
        "SchedulerAlreadyRunningError SchedulerNotRunningError WorkerDiedError"
    ),
    "gsched.events": (
        "EVENT_ALL EVENT_ALL_JOBS_REMOVED EVENT_CLOCK_SKEWED EVENT_EVENTS_DROPPED EVENT_EXECUTOR_ADDED "
        "EVENT_EXECUTOR_REMOVED EVENT_FORK_DETECTED EVENT_HUB_BLOCKED EVENT_JOBSTORE_ADDED "
        "EVENT_JOBSTORE_REMOVED EVENT_JOB_ADDED EVENT_JOB_CANCELLED EVENT_JOB_COALESCED EVENT_JOB_ERROR "
        "EVENT_JOB_EXECUTED EVENT_JOB_HEALED EVENT_JOB_INTERRUPTED EVENT_JOB_LOST EVENT_JOB_MAX_INSTANCES "
        "EVENT_JOB_MISSED EVENT_JOB_MODIFIED EVENT_JOB_PARKED EVENT_JOB_PAUSED EVENT_JOB_REMOVED "
        "EVENT_JOB_RESUMED EVENT_JOB_SKIPPED EVENT_JOB_STARTED EVENT_JOB_SUBMITTED EVENT_JOB_TIMED_OUT "
        "EVENT_LISTENER_FAILED EVENT_NOT_PATCHED EVENT_SCHEDULER_PAUSED EVENT_SCHEDULER_RESUMED "
        "EVENT_SCHEDULER_SHUTDOWN EVENT_SCHEDULER_START EVENT_SCHEDULER_STARTED EVENT_STORE_FAILED "
        "EVENT_SUMMARY JobEvent JobExecutionEvent JobSubmissionEvent SchedulerEvent"
    ),
    "gsched.executors": "BaseExecutor GreenletPoolExecutor ProcessPoolExecutor ThreadPoolExecutor",
    "gsched.handle": "JobHandle",
    "gsched.job": "Job",
    "gsched.run": "Outcome Result Run current_run",
    "gsched.scheduler": "GeventScheduler STATE_PAUSED STATE_RUNNING STATE_STOPPED",
    "gsched.stores": "BaseJobStore MemoryJobStore",
    "gsched.triggers": (
        "AndTrigger BaseTrigger CalendarIntervalTrigger CronTrigger DateTrigger IntervalTrigger OrTrigger"
    ),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    try:
        home = _HOME_OF[name]
    except KeyError:
        raise AttributeError(f"module 'gsched' has no attribute {name!r}") from None
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
