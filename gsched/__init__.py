"""gsched: a job scheduler for Python programs and shell commands.

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
        ConflictingIdError as ConflictingIdError,
        EmbeddedMongoError as EmbeddedMongoError,
        EmbeddedMongoUnusableError as EmbeddedMongoUnusableError,
        EventLoopStalledError as EventLoopStalledError,
        ForkedError as ForkedError,
        FuncRefError as FuncRefError,
        GiveUp as GiveUp,
        GroupNotPausedError as GroupNotPausedError,
        GschedError as GschedError,
        InvalidJobError as InvalidJobError,
        InvalidTriggerError as InvalidTriggerError,
        JobIdConflictError as JobIdConflictError,
        JobLookupError as JobLookupError,
        JobNotFoundError as JobNotFoundError,
        LimitNotFoundError as LimitNotFoundError,
        NodeNotFoundError as NodeNotFoundError,
        NothingRanError as NothingRanError,
        NotInRunError as NotInRunError,
        RateLimited as RateLimited,
        Retry as Retry,
        RunCancelled as RunCancelled,
        RunInterrupted as RunInterrupted,
        RunNotFoundError as RunNotFoundError,
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
    from gsched.event_loop.patch import patch_all as patch_all
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
        EVENT_GROUP_PAUSED as EVENT_GROUP_PAUSED,
        EVENT_GROUP_RESUMED as EVENT_GROUP_RESUMED,
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
        EVENT_JOB_ON_TIME_AGAIN as EVENT_JOB_ON_TIME_AGAIN,
        EVENT_JOB_OVERDUE as EVENT_JOB_OVERDUE,
        EVENT_JOB_PARKED as EVENT_JOB_PARKED,
        EVENT_JOB_PAUSED as EVENT_JOB_PAUSED,
        EVENT_JOB_REMOVED as EVENT_JOB_REMOVED,
        EVENT_JOB_RESUMED as EVENT_JOB_RESUMED,
        EVENT_JOB_RETRYING as EVENT_JOB_RETRYING,
        EVENT_JOB_RETURNED_GENERATOR as EVENT_JOB_RETURNED_GENERATOR,
        EVENT_JOB_SKIPPED as EVENT_JOB_SKIPPED,
        EVENT_JOB_SLOW as EVENT_JOB_SLOW,
        EVENT_JOB_STARTED as EVENT_JOB_STARTED,
        EVENT_JOB_SUBMITTED as EVENT_JOB_SUBMITTED,
        EVENT_JOB_TIMED_OUT as EVENT_JOB_TIMED_OUT,
        EVENT_JOB_WARNED as EVENT_JOB_WARNED,
        EVENT_JOBSTORE_ADDED as EVENT_JOBSTORE_ADDED,
        EVENT_JOBSTORE_REMOVED as EVENT_JOBSTORE_REMOVED,
        EVENT_LIMIT_CHANGED as EVENT_LIMIT_CHANGED,
        EVENT_LISTENER_FAILED as EVENT_LISTENER_FAILED,
        EVENT_LISTENER_STALLED as EVENT_LISTENER_STALLED,
        EVENT_NODE_DIED as EVENT_NODE_DIED,
        EVENT_NODE_DRAIN_REQUESTED as EVENT_NODE_DRAIN_REQUESTED,
        EVENT_NODE_FENCED as EVENT_NODE_FENCED,
        EVENT_NODE_JOINED as EVENT_NODE_JOINED,
        EVENT_NODE_LEFT as EVENT_NODE_LEFT,
        EVENT_NOT_PATCHED as EVENT_NOT_PATCHED,
        EVENT_NOTIFIER_FAILED as EVENT_NOTIFIER_FAILED,
        EVENT_NOTIFIER_RECOVERED as EVENT_NOTIFIER_RECOVERED,
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
        GroupPauseEvent as GroupPauseEvent,
        JobEvent as JobEvent,
        JobExecutionEvent as JobExecutionEvent,
        JobOverdueEvent as JobOverdueEvent,
        JobPauseEvent as JobPauseEvent,
        JobSubmissionEvent as JobSubmissionEvent,
        LimitEvent as LimitEvent,
        SchedulerEvent as SchedulerEvent,
        SlowRunEvent as SlowRunEvent,
    )
    from gsched.executors import (
        BaseExecutor as BaseExecutor,
        GreenletPoolExecutor as GreenletPoolExecutor,
        ProcessPoolExecutor as ProcessPoolExecutor,
        ThreadPoolExecutor as ThreadPoolExecutor,
    )
    from gsched.executors.asyncio import AsyncIOExecutor as AsyncIOExecutor
    from gsched.history.explanation import Explanation as Explanation
    from gsched.history.queries import JobCounters as JobCounters, RunInfo as RunInfo
    from gsched.history.reruns import RetriedRun as RetriedRun
    from gsched.jobs.job import Job as Job, undefined as undefined
    from gsched.jobs.limits import GroupLimit as GroupLimit, GroupLimits as GroupLimits
    from gsched.jobs.outcomes import Outcome as Outcome, Result as Result
    from gsched.jobs.pause import Pause as Pause
    from gsched.jobs.run import Run as Run, current_run as current_run
    from gsched.monitoring.cluster_events import StoreEvent as StoreEvent
    from gsched.monitoring.nodes import NodeInfo as NodeInfo
    from gsched.schedulers.acting import acting as acting
    from gsched.schedulers.asyncio import AsyncIOScheduler as AsyncIOScheduler
    from gsched.schedulers.background import BackgroundScheduler as BackgroundScheduler
    from gsched.schedulers.base import (
        STATE_PAUSED as STATE_PAUSED,
        STATE_RUNNING as STATE_RUNNING,
        STATE_STOPPED as STATE_STOPPED,
    )
    from gsched.schedulers.blocking import BlockingScheduler as BlockingScheduler
    from gsched.schedulers.gevent import GeventScheduler as GeventScheduler
    from gsched.schedulers.handle import JobHandle as JobHandle
    from gsched.schedulers.qt import QtScheduler as QtScheduler
    from gsched.schedulers.tornado import TornadoScheduler as TornadoScheduler
    from gsched.schedulers.twisted import TwistedScheduler as TwistedScheduler
    from gsched.stores import (
        BaseJobStore as BaseJobStore,
        MemoryJobStore as MemoryJobStore,
        MongoDBJobStore as MongoDBJobStore,
        SQLAlchemyJobStore as SQLAlchemyJobStore,
        SQLJobStore as SQLJobStore,
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
        "CommandFailedError ConfigurationError ConflictingIdError JobLookupError "
        "EmbeddedMongoError EmbeddedMongoUnusableError EventLoopStalledError "
        "ForkedError FuncRefError GiveUp GroupNotPausedError GschedError InvalidJobError InvalidTriggerError "
        "JobIdConflictError LimitNotFoundError "
        "JobNotFoundError NodeNotFoundError NotInRunError NothingRanError RateLimited Retry RunCancelled "
        "RunInterrupted RunNotFoundError RunTimedOut SchedulerAlreadyRunningError SchedulerNotRunningError "
        "StoreAccessError StoreConflictError StoreError StoreUnreachableError TooManyWaitingError WorkerDiedError"
    ),
    "gsched.events": (
        "EVENT_ALL EVENT_ALL_JOBS_REMOVED EVENT_CLOCK_SKEWED EVENT_EVENTS_DROPPED EVENT_EXECUTOR_ADDED "
        "EVENT_EXECUTOR_FAILED EVENT_EXECUTOR_LIMITED EVENT_EXECUTOR_REMOVED EVENT_FEED_LOST EVENT_FEED_OPENED "
        "EVENT_FEED_UNSUPPORTED EVENT_FORK_DETECTED EVENT_GROUP_PAUSED EVENT_GROUP_RESUMED "
        "EVENT_HUB_BLOCKED EVENT_HUB_DIED EVENT_HUB_FAILED "
        "EVENT_JOBSTORE_ADDED EVENT_JOBSTORE_REMOVED EVENT_JOB_ADDED EVENT_JOB_CANCELLED EVENT_JOB_COALESCED "
        "EVENT_JOB_ERROR EVENT_JOB_EXECUTED EVENT_JOB_HEALED EVENT_JOB_INTERRUPTED EVENT_JOB_LOST "
        "EVENT_JOB_MAX_INSTANCES EVENT_JOB_MISSED EVENT_JOB_MODIFIED EVENT_JOB_ON_TIME_AGAIN EVENT_JOB_OVERDUE "
        "EVENT_JOB_PARKED EVENT_JOB_PAUSED "
        "EVENT_JOB_REMOVED EVENT_JOB_RESUMED EVENT_JOB_RETRYING EVENT_JOB_RETURNED_GENERATOR "
        "EVENT_JOB_SKIPPED EVENT_JOB_SLOW EVENT_JOB_STARTED EVENT_JOB_SUBMITTED EVENT_JOB_TIMED_OUT EVENT_JOB_WARNED "
        "EVENT_LIMIT_CHANGED EVENT_LISTENER_FAILED EVENT_LISTENER_STALLED EVENT_NODE_DIED EVENT_NODE_DRAIN_REQUESTED "
        "EVENT_NODE_FENCED EVENT_NODE_JOINED EVENT_NODE_LEFT EVENT_NOT_PATCHED "
        "EVENT_NOTIFIER_FAILED EVENT_NOTIFIER_RECOVERED "
        "EVENT_SCHEDULER_DRAINING EVENT_SCHEDULER_PAUSED EVENT_SCHEDULER_RESUMED EVENT_SCHEDULER_SHUTDOWN "
        "EVENT_SCHEDULER_START EVENT_SCHEDULER_STARTED EVENT_STORE_CONNECTED EVENT_STORE_DISCONNECTED "
        "EVENT_STORE_FAILED EVENT_SUMMARY JobEvent JobExecutionEvent JobOverdueEvent JobPauseEvent JobSubmissionEvent "
        "GroupPauseEvent LimitEvent SchedulerEvent SlowRunEvent"
    ),
    "gsched.executors": "BaseExecutor GreenletPoolExecutor ProcessPoolExecutor ThreadPoolExecutor",
    "gsched.executors.asyncio": "AsyncIOExecutor",
    "gsched.history.explanation": "Explanation",
    "gsched.monitoring.cluster_events": "StoreEvent",
    "gsched.schedulers.handle": "JobHandle",
    "gsched.history.queries": "JobCounters RunInfo",
    "gsched.history.reruns": "RetriedRun",
    "gsched.jobs.job": "Job undefined",
    "gsched.monitoring.nodes": "NodeInfo",
    "gsched.event_loop.patch": "patch_all",
    "gsched.jobs.limits": "GroupLimit GroupLimits",
    "gsched.jobs.outcomes": "Outcome Result",
    "gsched.jobs.pause": "Pause",
    "gsched.jobs.run": "Run current_run",
    "gsched.schedulers.acting": "acting",
    "gsched.schedulers.base": "STATE_PAUSED STATE_RUNNING STATE_STOPPED",
    "gsched.schedulers.asyncio": "AsyncIOScheduler",
    "gsched.schedulers.background": "BackgroundScheduler",
    "gsched.schedulers.blocking": "BlockingScheduler",
    "gsched.schedulers.gevent": "GeventScheduler",
    "gsched.schedulers.qt": "QtScheduler",
    "gsched.schedulers.tornado": "TornadoScheduler",
    "gsched.schedulers.twisted": "TwistedScheduler",
    "gsched.stores": "BaseJobStore MemoryJobStore MongoDBJobStore SQLAlchemyJobStore SQLJobStore",
    "gsched.triggers": (
        "AndTrigger BaseTrigger CalendarIntervalTrigger CronTrigger DateTrigger IntervalTrigger OrTrigger"
    ),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names.split()}

_OTHER_STORE: Final = "jobs are kept by SQLAlchemyJobStore in SQLite, and by MongoDBJobStore"
_INSTEAD: Final = {
    "EtcdJobStore": _OTHER_STORE,
    "RedisJobStore": _OTHER_STORE,
    "RethinkDBJobStore": _OTHER_STORE,
    "ZooKeeperJobStore": _OTHER_STORE,
    "DebugExecutor": "gsched.testing.Driver runs jobs step by step",
    "GeventExecutor": "it is GreenletPoolExecutor",
    "TornadoExecutor": "it is AsyncIOExecutor",
    "TwistedExecutor": "it is AsyncIOExecutor",
}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    try:
        home = _HOME_OF[name]
    except KeyError:
        if name in _INSTEAD:  # ImportError: that of `from gsched import` would replace the message of another error
            raise ImportError(f"gsched has no {name}: {_INSTEAD[name]}") from None
        raise AttributeError(f"module 'gsched' has no attribute {name!r}") from None
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
