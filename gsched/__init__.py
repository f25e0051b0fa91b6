"""gsched: the job scheduler for gevent programs.

Public names are resolved when they are first used: importing gsched imports neither pymongo nor anything that gevent
patches, so that it may stand before or after `gevent.monkey.patch_all()`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gsched.errors import (
        CommandFailedError as CommandFailedError,
        ConfigurationError as ConfigurationError,
        EmbeddedMongoError as EmbeddedMongoError,
        EmbeddedMongoUnusableError as EmbeddedMongoUnusableError,
        EventLoopStalledError as EventLoopStalledError,
        ForkedError as ForkedError,
        FuncRefError as FuncRefError,
        GschedError as GschedError,
        InvalidJobError as InvalidJobError,
        InvalidTriggerError as InvalidTriggerError,
        JobIdConflictError as JobIdConflictError,
        JobNotFoundError as JobNotFoundError,
        NodeNotFoundError as NodeNotFoundError,
        NothingRanError as NothingRanError,
        NotInRunError as NotInRunError,
        RunCancelled as RunCancelled,
        RunInterrupted as RunInterrupted,
        RunTimedOut as RunTimedOut,
        SchedulerAlreadyRunningError as SchedulerAlreadyRunningError,
        SchedulerNotRunningError as SchedulerNotRunningError,
        StoreAccessError as StoreAccessError,
        StoreConflictError as StoreConflictError,
        StoreError as StoreError,
        StoreUnreachableError as StoreUnreachableError,
        TooManyWaitingError as TooManyWaitingError,
        WorkerDiedError as WorkerDiedError,
    )
    from gsched.events import (
        EVENT_ALL as EVENT_ALL,
        EVENT_ALL_JOBS_REMOVED as EVENT_ALL_JOBS_REMOVED,
        EVENT_CLOCK_SKEWED as EVENT_CLOCK_SKEWED,
        EVENT_EVENTS_DROPPED as EVENT_EVENTS_DROPPED,
        EVENT_EXECUTOR_ADDED as EVENT_EXECUTOR_ADDED,
        EVENT_EXECUTOR_FAILED as EVENT_EXECUTOR_FAILED,
        EVENT_EXECUTOR_LIMITED as EVENT_EXECUTOR_LIMITED,
        EVENT_EXECUTOR_REMOVED as EVENT_EXECUTOR_REMOVED,
        EVENT_FEED_LOST as EVENT_FEED_LOST,
        EVENT_FEED_OPENED as EVENT_FEED_OPENED,
        EVENT_FEED_UNSUPPORTED as EVENT_FEED_UNSUPPORTED,
        EVENT_FORK_DETECTED as EVENT_FORK_DETECTED,
        EVENT_HUB_BLOCKED as EVENT_HUB_BLOCKED,
        EVENT_HUB_DIED as EVENT_HUB_DIED,
        EVENT_HUB_FAILED as EVENT_HUB_FAILED,
        EVENT_JOB_ADDED as EVENT_JOB_ADDED,
        EVENT_JOB_CANCELLED as EVENT_JOB_CANCELLED,
        EVENT_JOB_COALESCED as EVENT_JOB_COALESCED,
        EVENT_JOB_ERROR as EVENT_JOB_ERROR,
        EVENT_JOB_EXECUTED as EVENT_JOB_EXECUTED,
        EVENT_JOB_HEALED as EVENT_JOB_HEALED,
        EVENT_JOB_INTERRUPTED as EVENT_JOB_INTERRUPTED,
        EVENT_JOB_LOST as EVENT_JOB_LOST,
        EVENT_JOB_MAX_INSTANCES as EVENT_JOB_MAX_INSTANCES,
        EVENT_JOB_MISSED as EVENT_JOB_MISSED,
        EVENT_JOB_MODIFIED as EVENT_JOB_MODIFIED,
        EVENT_JOB_PARKED as EVENT_JOB_PARKED,
        EVENT_JOB_PAUSED as EVENT_JOB_PAUSED,
        EVENT_JOB_REMOVED as EVENT_JOB_REMOVED,
        EVENT_JOB_RESUMED as EVENT_JOB_RESUMED,
        EVENT_JOB_RETURNED_GENERATOR as EVENT_JOB_RETURNED_GENERATOR,
        EVENT_JOB_SKIPPED as EVENT_JOB_SKIPPED,
        EVENT_JOB_STARTED as EVENT_JOB_STARTED,
        EVENT_JOB_SUBMITTED as EVENT_JOB_SUBMITTED,
        EVENT_JOB_TIMED_OUT as EVENT_JOB_TIMED_OUT,
        EVENT_JOBSTORE_ADDED as EVENT_JOBSTORE_ADDED,
        EVENT_JOBSTORE_REMOVED as EVENT_JOBSTORE_REMOVED,
        EVENT_LISTENER_FAILED as EVENT_LISTENER_FAILED,
        EVENT_LISTENER_STALLED as EVENT_LISTENER_STALLED,
        EVENT_NODE_DIED as EVENT_NODE_DIED,
        EVENT_NODE_DRAIN_REQUESTED as EVENT_NODE_DRAIN_REQUESTED,
        EVENT_NODE_FENCED as EVENT_NODE_FENCED,
        EVENT_NODE_JOINED as EVENT_NODE_JOINED,
        EVENT_NODE_LEFT as EVENT_NODE_LEFT,
        EVENT_NOT_PATCHED as EVENT_NOT_PATCHED,
        EVENT_SCHEDULER_DRAINING as EVENT_SCHEDULER_DRAINING,
        EVENT_SCHEDULER_PAUSED as EVENT_SCHEDULER_PAUSED,
        EVENT_SCHEDULER_RESUMED as EVENT_SCHEDULER_RESUMED,
        EVENT_SCHEDULER_SHUTDOWN as EVENT_SCHEDULER_SHUTDOWN,
        EVENT_SCHEDULER_START as EVENT_SCHEDULER_START,
        EVENT_SCHEDULER_STARTED as EVENT_SCHEDULER_STARTED,
        EVENT_STORE_CONNECTED as EVENT_STORE_CONNECTED,
        EVENT_STORE_DISCONNECTED as EVENT_STORE_DISCONNECTED,
        EVENT_STORE_FAILED as EVENT_STORE_FAILED,
        EVENT_SUMMARY as EVENT_SUMMARY,
        JobEvent as JobEvent,
        JobExecutionEvent as JobExecutionEvent,
        JobSubmissionEvent as JobSubmissionEvent,
        SchedulerEvent as SchedulerEvent,
    )
    from gsched.executors import (
        BaseExecutor as BaseExecutor,
        GreenletPoolExecutor as GreenletPoolExecutor,
        ProcessPoolExecutor as ProcessPoolExecutor,
        ThreadPoolExecutor as ThreadPoolExecutor,
    )
    from gsched.explanation import Explanation as Explanation
    from gsched.facts import Fact as Fact
    from gsched.handle import JobHandle as JobHandle
    from gsched.history import (
        JobFigures as JobFigures,
        RunInfo as RunInfo,
    )
    from gsched.job import Job as Job
    from gsched.nodes import NodeInfo as NodeInfo
    from gsched.patching import patch_all as patch_all
    from gsched.run import (
        Outcome as Outcome,
        Result as Result,
        Run as Run,
        current_run as current_run,
    )
    from gsched.scheduler import (
        STATE_PAUSED as STATE_PAUSED,
        STATE_RUNNING as STATE_RUNNING,
        STATE_STOPPED as STATE_STOPPED,
        GeventScheduler as GeventScheduler,
    )
    from gsched.stores import (
        BaseJobStore as BaseJobStore,
        MemoryJobStore as MemoryJobStore,
        MongoDBJobStore as MongoDBJobStore,
    )
    from gsched.triggers import (
        AndTrigger as AndTrigger,
        BaseTrigger as BaseTrigger,
        CalendarIntervalTrigger as CalendarIntervalTrigger,
        CronTrigger as CronTrigger,
        DateTrigger as DateTrigger,
        IntervalTrigger as IntervalTrigger,
        OrTrigger as OrTrigger,
    )

__version__ = "0.1.0"

_HOMES: Final = {
    "gsched.errors": (
        "CommandFailedError ConfigurationError EmbeddedMongoError EmbeddedMongoUnusableError EventLoopStalledError "
        "ForkedError FuncRefError GschedError InvalidJobError InvalidTriggerError JobIdConflictError JobNotFoundError "
        "NodeNotFoundError NotInRunError NothingRanError RunCancelled RunInterrupted RunTimedOut "
        "SchedulerAlreadyRunningError SchedulerNotRunningError StoreAccessError StoreConflictError StoreError "
        "StoreUnreachableError TooManyWaitingError WorkerDiedError"
    ),
    "gsched.events": (
        "EVENT_ALL EVENT_ALL_JOBS_REMOVED EVENT_CLOCK_SKEWED EVENT_EVENTS_DROPPED EVENT_EXECUTOR_ADDED "
        "EVENT_EXECUTOR_FAILED EVENT_EXECUTOR_LIMITED EVENT_EXECUTOR_REMOVED EVENT_FEED_LOST EVENT_FEED_OPENED "
        "EVENT_FEED_UNSUPPORTED EVENT_FORK_DETECTED EVENT_HUB_BLOCKED EVENT_HUB_DIED EVENT_HUB_FAILED "
        "EVENT_JOBSTORE_ADDED EVENT_JOBSTORE_REMOVED EVENT_JOB_ADDED EVENT_JOB_CANCELLED EVENT_JOB_COALESCED "
        "EVENT_JOB_ERROR EVENT_JOB_EXECUTED EVENT_JOB_HEALED EVENT_JOB_INTERRUPTED EVENT_JOB_LOST "
        "EVENT_JOB_MAX_INSTANCES EVENT_JOB_MISSED EVENT_JOB_MODIFIED EVENT_JOB_PARKED EVENT_JOB_PAUSED "
        "EVENT_JOB_REMOVED EVENT_JOB_RESUMED EVENT_JOB_RETURNED_GENERATOR EVENT_JOB_SKIPPED EVENT_JOB_STARTED "
        "EVENT_JOB_SUBMITTED EVENT_JOB_TIMED_OUT EVENT_LISTENER_FAILED EVENT_LISTENER_STALLED EVENT_NODE_DIED "
        "EVENT_NODE_DRAIN_REQUESTED EVENT_NODE_FENCED EVENT_NODE_JOINED EVENT_NODE_LEFT EVENT_NOT_PATCHED "
        "EVENT_SCHEDULER_DRAINING EVENT_SCHEDULER_PAUSED EVENT_SCHEDULER_RESUMED EVENT_SCHEDULER_SHUTDOWN "
        "EVENT_SCHEDULER_START EVENT_SCHEDULER_STARTED EVENT_STORE_CONNECTED EVENT_STORE_DISCONNECTED "
        "EVENT_STORE_FAILED EVENT_SUMMARY JobEvent JobExecutionEvent JobSubmissionEvent SchedulerEvent"
    ),
    "gsched.executors": "BaseExecutor GreenletPoolExecutor ProcessPoolExecutor ThreadPoolExecutor",
    "gsched.explanation": "Explanation",
    "gsched.facts": "Fact",
    "gsched.handle": "JobHandle",
    "gsched.history": "JobFigures RunInfo",
    "gsched.job": "Job",
    "gsched.nodes": "NodeInfo",
    "gsched.patching": "patch_all",
    "gsched.run": "Outcome Result Run current_run",
    "gsched.scheduler": "GeventScheduler STATE_PAUSED STATE_RUNNING STATE_STOPPED",
    "gsched.stores": "BaseJobStore MemoryJobStore MongoDBJobStore",
    "gsched.triggers": (
        "AndTrigger BaseTrigger CalendarIntervalTrigger CronTrigger DateTrigger IntervalTrigger OrTrigger"
    ),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)


# APScheduler's other schedulers, and what there is instead.
_NO_SCHEDULER: Final = {
    **dict.fromkeys(
        ["BackgroundScheduler", "QtScheduler", "TwistedScheduler"],
        "make a GeventScheduler and run it in a thread of its own:"
        " threading.Thread(target=scheduler.run_forever, daemon=True).start()",
    ),
    "BlockingScheduler": "make a GeventScheduler and call scheduler.run_forever() instead of start()",
    **dict.fromkeys(
        ["AsyncIOScheduler", "TornadoScheduler"],
        "make a GeventScheduler, run it in a thread of its own:"
        " threading.Thread(target=scheduler.run_forever, daemon=True).start(),"
        " and give it functions that call asyncio.run(), with a ThreadPoolExecutor",
    ),
}


def __getattr__(name: str) -> Any:
    if name in _NO_SCHEDULER:
        raise ImportError(f"gsched has no {name}: {_NO_SCHEDULER[name]}", name=__name__)
    try:
        home = _HOME_OF[name]
    except KeyError:
        raise AttributeError(f"module 'gsched' has no attribute {name!r}") from None
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
