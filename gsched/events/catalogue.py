"""Every event: its code, its name and its meaning; and the event objects.

Codes and classes that APScheduler 3 has are the same here, so that its users' listeners work.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

from gsched.errors import message_of
from gsched.jobs.job import Job
from gsched.jobs.limits import GroupLimit
from gsched.jobs.outcomes import Outcome, Reason, Result, Retried, Span
from gsched.jobs.pause import BY_FAILURES, PLAIN, Pause
from gsched.jobs.run import Run, run_id
from gsched.times.instants import from_ms, to_ms


class EventKind(NamedTuple):
    """One entry of the catalogue."""

    code: int
    name: str
    level: str  # of its log line
    meaning: str


CATALOGUE: Final[dict[int, EventKind]] = {}


def _kind(bit: int, name: str, level: str, meaning: str) -> int:
    CATALOGUE[1 << bit] = EventKind(1 << bit, name, level, meaning)
    return 1 << bit


EVENT_SCHEDULER_STARTED = _kind(0, "scheduler.started", "info", "The hub greenlet runs.")
EVENT_SCHEDULER_SHUTDOWN = _kind(1, "scheduler.stopped", "info", "The scheduler has stopped; `cut` runs were ended.")
EVENT_SCHEDULER_PAUSED = _kind(2, "scheduler.paused", "info", "No run starts until the scheduler is resumed.")
EVENT_SCHEDULER_RESUMED = _kind(3, "scheduler.resumed", "info", "Instants that fell due meanwhile are late.")
EVENT_EXECUTOR_ADDED = _kind(4, "executor.added", "debug", "An executor was added under `alias`.")
EVENT_EXECUTOR_REMOVED = _kind(5, "executor.removed", "debug", "The executor `alias` was removed.")
EVENT_JOBSTORE_ADDED = _kind(6, "store.added", "debug", "A job store was added under `alias`.")
EVENT_JOBSTORE_REMOVED = _kind(7, "store.removed", "debug", "The job store `alias` was removed.")
EVENT_ALL_JOBS_REMOVED = _kind(8, "jobs.removed", "info", "All jobs of the store `alias` were removed.")
EVENT_JOB_ADDED = _kind(9, "job.added", "info", "The job is in its store.")
EVENT_JOB_REMOVED = _kind(10, "job.removed", "info", "The job was removed, or its trigger has ended (see `reason`).")
EVENT_JOB_MODIFIED = _kind(11, "job.changed", "info", "The job was modified or rescheduled.")
EVENT_JOB_EXECUTED = _kind(12, "run.succeeded", "debug", "The function returned.")
EVENT_JOB_ERROR = _kind(13, "run.failed", "error", "The function raised.")
EVENT_JOB_MISSED = _kind(14, "run.missed", "warning", "Due instants were later than misfire_grace_time.")
EVENT_JOB_SUBMITTED = _kind(15, "run.submitted", "debug", "The run was handed to its executor.")
EVENT_JOB_MAX_INSTANCES = _kind(16, "run.skipped", "warning", "max_instances runs of the job were in progress.")
EVENT_JOB_STARTED = _kind(17, "run.started", "debug", "A worker begins to execute the run.")
EVENT_JOB_TIMED_OUT = _kind(18, "run.timed_out", "warning", "The run took longer than the job's timeout.")
EVENT_JOB_CANCELLED = _kind(19, "run.cancelled", "warning", "The run was cancelled, before or after it started.")
EVENT_JOB_SKIPPED = _kind(20, "run.skipped", "warning", "The run could not be executed (see `reason`).")
EVENT_JOB_COALESCED = _kind(21, "run.coalesced", "debug", "A later instant runs for these instants.")
EVENT_JOB_LOST = _kind(22, "run.lost", "warning", "The node died while the run was in progress.")
EVENT_JOB_INTERRUPTED = _kind(23, "run.interrupted", "warning", "A run is stopped (`step`: raise, kill, abandon).")
EVENT_JOB_PAUSED = _kind(24, "job.paused", "info", "The job is not due until it is resumed, or until `until`.")
EVENT_JOB_RESUMED = _kind(25, "job.resumed", "info", "The job is due again; see `cause`.")
EVENT_JOB_PARKED = _kind(26, "job.parked", "error", "The job cannot be run (see `reason`); it is kept.")
EVENT_JOB_HEALED = _kind(27, "job.healed", "info", "A parked job can be run again.")
EVENT_HUB_BLOCKED = _kind(
    28,
    "hub.blocked",
    "warning",
    "Code held gevent's hub for `seconds` without yielding. `holders` has the jobs that held it longest in the last"
    " minute, and their shares of the time.",
)
EVENT_NOT_PATCHED = _kind(29, "runtime.not_patched", "warning", "gevent has not patched `modules`; I/O there blocks.")
EVENT_FORK_DETECTED = _kind(30, "fork.detected", "warning", "The process was forked; this copy stops.")
EVENT_CLOCK_SKEWED = _kind(31, "clock.skewed", "warning", "The wall clock jumped by `seconds`, or differs by them.")
EVENT_LISTENER_FAILED = _kind(32, "listener.failed", "error", "A listener raised.")
EVENT_SUMMARY = _kind(33, "runs.summary", "info", "What happened since the last summary.")
EVENT_EVENTS_DROPPED = _kind(34, "events.dropped", "warning", "Listeners were too slow; `count` events are missing.")
EVENT_STORE_FAILED = _kind(35, "store.failed", "error", "The store `alias` raised; it may lack what it was to store.")
EVENT_STORE_CONNECTED = _kind(36, "store.connected", "info", "The store answers (again).")
EVENT_STORE_DISCONNECTED = _kind(37, "store.disconnected", "warning", "The store does not answer; nothing is claimed.")
EVENT_FEED_OPENED = _kind(38, "feed.opened", "info", "Changes by other processes arrive at once from now on.")
EVENT_FEED_LOST = _kind(39, "feed.lost", "warning", "The change feed broke; a rescan follows.")
EVENT_FEED_UNSUPPORTED = _kind(40, "feed.unsupported", "warning", "No change streams; this process polls.")
EVENT_NODE_JOINED = _kind(41, "node.joined", "info", "This scheduler shares the store as the node `node`.")
EVENT_NODE_LEFT = _kind(42, "node.left", "info", "The node has handed its jobs over and ended.")
EVENT_NODE_DIED = _kind(43, "node.died", "warning", "A node was silent for too long, or gone; others take its jobs.")
EVENT_NODE_FENCED = _kind(44, "node.fenced", "warning", "Another node declared this one dead; it joins as a new node.")
EVENT_NODE_DRAIN_REQUESTED = _kind(45, "node.drain_requested", "info", "A user asked the node `node` to drain.")
EVENT_SCHEDULER_DRAINING = _kind(46, "scheduler.draining", "info", "The scheduler stops; `running` runs may still end.")
EVENT_EXECUTOR_FAILED = _kind(47, "executor.failed", "error", "The executor `alias` raised when it was let go.")
EVENT_LISTENER_STALLED = _kind(48, "listener.stalled", "warning", "A listener is busy with one event for `seconds`.")
EVENT_HUB_FAILED = _kind(49, "hub.failed", "error", "A turn of the hub greenlet failed; it goes on.")
EVENT_HUB_DIED = _kind(50, "hub.died", "error", "The hub greenlet was killed: nothing runs here; restart.")
EVENT_EXECUTOR_LIMITED = _kind(51, "executor.limited", "warning", "Jobs of `alias` are limited; see `reason`.")
EVENT_JOB_RETURNED_GENERATOR = _kind(52, "run.returned_generator", "warning", "A generator was returned; nothing ran.")
EVENT_JOB_RETRYING = _kind(53, "run.retrying", "warning", "An attempt failed; another follows at `retry_at`.")
EVENT_JOB_WARNED = _kind(54, "job.warned", "warning", "The job's options do not work together; see `reason`.")
EVENT_JOB_OVERDUE = _kind(55, "job.overdue", "error", "No run has succeeded within `expect_success_every`.")
EVENT_JOB_ON_TIME_AGAIN = _kind(56, "job.on_time_again", "info", "A run of a job that was overdue has succeeded.")
EVENT_JOB_SLOW = _kind(57, "run.slow", "warning", "The run has not succeeded within `finish_within`; it goes on.")
EVENT_LIMIT_CHANGED = _kind(58, "limit.changed", "info", "The limit of the groups `pattern` was set or `removed`.")
EVENT_GROUP_PAUSED = _kind(59, "group.paused", "info", "No run of the group begins until it is resumed, or `until`.")
EVENT_GROUP_RESUMED = _kind(60, "group.resumed", "info", "Somebody ended the pause of the group.")
EVENT_NOTIFIER_FAILED = _kind(61, "notifier.failed", "error", "A message of `notifier` was not sent; others follow.")
EVENT_NOTIFIER_RECOVERED = _kind(62, "notifier.recovered", "info", "Messages of `notifier` are sent again.")

EVENT_SCHEDULER_START = EVENT_SCHEDULER_STARTED  # APScheduler has both
EVENT_ALL: Final = sum(CATALOGUE)

_CODE_OF_OUTCOME: Final = {
    Outcome.SUCCEEDED: EVENT_JOB_EXECUTED,
    Outcome.FAILED: EVENT_JOB_ERROR,
    Outcome.TIMED_OUT: EVENT_JOB_TIMED_OUT,
    Outcome.CANCELLED: EVENT_JOB_CANCELLED,
    Outcome.MISSED: EVENT_JOB_MISSED,
    Outcome.SKIPPED: EVENT_JOB_SKIPPED,
    Outcome.COALESCED: EVENT_JOB_COALESCED,
    Outcome.LOST: EVENT_JOB_LOST,
    Outcome.RETRIED: EVENT_JOB_RETRYING,
}


def code_of(outcome: Outcome, reason: str | None = None) -> int:
    """The code of the event that reports an outcome."""
    return EVENT_JOB_MAX_INSTANCES if reason == Reason.MAX_INSTANCES else _CODE_OF_OUTCOME[outcome]


class SchedulerEvent:
    """Something happened to the scheduler or one of its parts.

    :ivar code: one of the constants whose names begin with `EVENT_`
    :ivar alias: the store or executor that it is about, if any
    :ivar details: what else there is to say, by name; also readable as attributes
    """

    def __init__(self, code: int, alias: str | None = None, **details: Any) -> None:
        self.code = code
        self.alias = alias
        self.details = details

    @property
    def name(self) -> str:
        """The event's name, as in the log."""
        return CATALOGUE[self.code].name

    @property
    def level(self) -> str:
        """The level of the event's log line."""
        return CATALOGUE[self.code].level

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self.details[name]
        except KeyError:
            raise AttributeError(f"{self!r} has no {name!r}") from None

    def fields(self) -> dict[str, Any]:
        """The fields of the event's log line."""
        return {**({"alias": self.alias} if self.alias else {}), **self.details}

    def __repr__(self) -> str:
        fields = "".join(f" {key}={value}" for key, value in self.fields().items())
        return f"<{type(self).__name__} {self.name}{fields}>"


class JobEvent(SchedulerEvent):
    """Something happened to a job.

    :ivar job: the job's definition at that moment
    """

    def __init__(self, code: int, job: Job, **details: Any) -> None:
        super().__init__(code, None, **details)
        self.job = job

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.job.id

    @property
    def jobstore(self) -> str:
        """The alias of the job's store."""
        return self.job.jobstore

    def fields(self) -> dict[str, Any]:
        return {**_job_fields(self.job), "next_run_time": _iso(self.job.next_run_time), **self.details}


class JobPauseEvent(JobEvent):
    """A job was paused or resumed, or goes on because its pause has ended.

    :ivar reason: why the job was paused; None if nobody gave a reason
    :ivar by: who paused it, or who resumed it; None if that is not known, and if the pause has ended by itself
    :ivar until: when the pause ends by itself, or would have ended; None if it does not
    :ivar cause: "user"; of a pause also "failures", if too many runs failed in a row; of a resumption also "until", if
        the pause has ended by itself
    """

    def __init__(self, code: int, job: Job, pause: Pause, by: str | None, cause: str) -> None:
        super().__init__(code, job)
        self.reason = pause.reason
        self.by = by
        self.until = None if pause.until_ms is None else from_ms(pause.until_ms, job.trigger.timezone)
        self.cause = cause

    @property
    def level(self) -> str:
        """A warning if too many runs failed: nobody has paused the job on purpose."""
        is_warning = self.code == EVENT_JOB_PAUSED and self.cause == BY_FAILURES
        return "warning" if is_warning else super().level

    def fields(self) -> dict[str, Any]:
        said = {"reason": self.reason, "by": self.by, "until": _iso(self.until), "cause": self.cause}
        return super().fields() | {key: value for key, value in said.items() if value is not None}


class LimitEvent(SchedulerEvent):
    """The limit of groups was set or removed.

    :ivar pattern: the groups
    :ivar limit: the limit; of one that was removed, as it was
    :ivar by: who did it; None if that is not known
    :ivar removed: True if it was removed
    """

    def __init__(self, alias: str, limit: GroupLimit, by: str | None, *, removed: bool = False) -> None:
        super().__init__(EVENT_LIMIT_CHANGED, alias)
        self.pattern = limit.pattern
        self.limit = limit
        self.by = by
        self.removed = removed

    def fields(self) -> dict[str, Any]:
        limit = self.limit
        burst = None if limit.period_ms is None else limit.burst
        said = {"pattern": self.pattern, "concurrency": limit.concurrency, "rate": limit.rate_text, "burst": burst,
                "by": self.by, "removed": self.removed or None}  # fmt: skip
        return super().fields() | {key: value for key, value in said.items() if value is not None}


class GroupPauseEvent(SchedulerEvent):
    """A group was paused, or its pause was ended.

    :ivar group: the group, or the beginning of groups with "*" at its end
    :ivar reason: why it was paused; None if nobody gave a reason
    :ivar by: who paused it, or who resumed it; None if that is not known
    :ivar until: when the pause ends by itself, or would have ended; None if it does not
    """

    def __init__(self, code: int, alias: str, group: str, pause: Pause, by: str | None) -> None:
        super().__init__(code, alias)
        self.group = group
        self.reason = pause.reason
        self.by = by
        self.until = pause.until

    def fields(self) -> dict[str, Any]:
        said = {"group": self.group, "reason": self.reason, "by": self.by, "until": _iso(self.until)}
        return super().fields() | {key: value for key, value in said.items() if value is not None}


class JobOverdueEvent(JobEvent):
    """A job is overdue: no run has succeeded within its `expect_success_every`.

    :ivar since: when the last run succeeded; if none has, from when on a success was expected
    """

    def __init__(self, code: int, job: Job, since: int) -> None:
        super().__init__(code, job)
        self.since = from_ms(since, job.trigger.timezone)

    def fields(self) -> dict[str, Any]:
        return super().fields() | {"since": _iso(self.since)}


class SlowRunEvent(JobEvent):
    """A run has not succeeded within its job's `finish_within`. It goes on.

    :ivar run_id: the id that the run has, or will have
    :ivar scheduled_run_time: when it was scheduled
    :ivar state: "running"; or "waiting" for a worker, a free instance, its turn in a group or its next attempt
    """

    def __init__(self, code: int, job: Job, scheduled: int, request: str | None, state: str) -> None:
        super().__init__(code, job)
        self.run_id = run_id(job.id, scheduled, request)
        self.scheduled_run_time = from_ms(scheduled, job.trigger.timezone)
        self.state = state

    def fields(self) -> dict[str, Any]:
        scheduled_at = _iso(from_ms(to_ms(self.scheduled_run_time)))
        return {**_job_fields(self.job), "run_id": self.run_id, "scheduled_at": scheduled_at, "state": self.state}


class JobSubmissionEvent(JobEvent):
    """Due instants of a job were handed to an executor, or ended without a run.

    :ivar scheduled_run_time: the first of the instants
    :ivar end: all instants come before this time; for a single instant, one millisecond later
    :ivar reason: why nothing ran, if there is a reason
    :ivar request: names a run on request, outside the schedule
    """

    exception = retval = traceback = None

    def __init__(self, code: int, job: Job, span: Span) -> None:
        super().__init__(code, job)
        self.span = span
        self.reason = span.reason
        self.request = span.request

    @property
    def run_id(self) -> str:
        """The id that the run at the first of the instants has, or would have had."""
        return run_id(self.job.id, self.span.first, self.span.request)

    @property
    def scheduled_run_time(self) -> datetime:
        return from_ms(self.span.first, self.job.trigger.timezone)

    @property
    def scheduled_run_times(self) -> list[datetime]:
        """A list of `scheduled_run_time`, as APScheduler has it."""
        return [self.scheduled_run_time]

    @property
    def end(self) -> datetime:
        return from_ms(self.span.end, self.job.trigger.timezone)

    def fields(self) -> dict[str, Any]:
        first, end = self.span.first, self.span.end
        fields = {**_job_fields(self.job), "run_id": self.run_id, "scheduled_at": _iso(from_ms(first))}
        if end > first + 1:
            fields["until"] = _iso(from_ms(end))
        return fields | ({"reason": self.reason} if self.reason else {})


class JobExecutionEvent(JobEvent):
    """A run started, was interrupted or ended.

    :ivar run: the run
    :ivar result: how it ended; None until then
    """

    def __init__(self, code: int, run: Run, result: Result | None = None, **details: Any) -> None:
        super().__init__(code, run.job, **details)
        self.run = run
        self.result = result

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.id

    @property
    def scheduled_run_time(self) -> datetime:
        """When the run was scheduled."""
        return from_ms(self.run.scheduled_ms, self.job.trigger.timezone)

    @property
    def retval(self) -> Any:
        """What the function returned."""
        return self.result.value if self.result else None

    @property
    def exception(self) -> BaseException | None:
        """What the function raised, or what ended the run."""
        return self.result.error if self.result else None

    @property
    def traceback(self) -> str | None:
        """The traceback of `exception` as text."""
        return self.result.traceback if self.result else None

    @property
    def reason(self) -> str | None:
        """Why the run ended so, if there is a reason."""
        return self.result.reason if self.result else None

    @property
    def retry_at(self) -> datetime | None:
        """When the next attempt is due; None if none follows."""
        return from_ms(self.result.again.due) if isinstance(self.result, Retried) else None

    def fields(self) -> dict[str, Any]:
        run, error = self.run, self.exception
        fields = _job_fields(run.job) | {
            "run_id": run.id,
            "attempt": run.attempt,
            "scheduled_at": _iso(run.scheduled_at),
            "duration": run.duration if self.result else None,
            "lateness": run.lateness,
            "reason": self.reason,
            "retry_at": _iso(self.retry_at),
            **(error_fields(error) if error else {}),
            "traceback": self.traceback,
        }
        return {key: value for key, value in fields.items() if value is not None} | self.details


def error_fields(error: BaseException) -> dict[str, str]:
    """The fields of an event about an error."""
    return {"error_type": type(error).__name__, "error_message": message_of(error)}


def parked_event(job: Job) -> JobEvent:
    """The event about a job that was just parked or healed."""
    if job.parked is None:
        return JobEvent(EVENT_JOB_HEALED, job)
    return JobEvent(EVENT_JOB_PARKED, job, reason=job.parked)


def paused_event(job: Job) -> JobPauseEvent:
    """The event about a job that was just paused."""
    pause = job.pause or PLAIN
    return JobPauseEvent(EVENT_JOB_PAUSED, job, pause, pause.by, pause.cause)


def _job_fields(job: Job) -> dict[str, Any]:
    fields: dict[str, Any] = {"job_id": job.id, "job_name": job.name}
    if job.tags:
        fields["tags"] = list(job.tags)
    return fields


def _iso(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat(timespec="milliseconds")
