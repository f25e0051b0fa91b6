"""A run: one occurrence of a job being executed, and what can become of it."""

from __future__ import annotations

import traceback
from contextvars import ContextVar
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from structlog.contextvars import bind_contextvars, merge_contextvars

from gsched.errors import CommandFailedError, NotInRunError
from gsched.instants import from_ms

if TYPE_CHECKING:
    from gsched.job import Job


class Outcome(StrEnum):
    """What became of a due instant; every instant has exactly one."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    MISSED = "missed"  # later than misfire_grace_time
    SKIPPED = "skipped"  # not started; see `Reason`
    COALESCED = "coalesced"  # a later instant ran for it
    LOST = "lost"  # its node died while it was in progress

    __hash__ = str.__hash__  # Enum's own is a Python function, and outcomes are looked up for every run


class Reason(StrEnum):
    """Why an instant ended as it did, or a job went, where that has one word. docs/guarantees.md has what they mean."""

    MAX_INSTANCES = "max_instances"
    POOL_FULL = "pool_full"
    UNKNOWN_EXECUTOR = "unknown_executor"
    REMOVED_OR_PAUSED = "removed_or_paused"
    RESCHEDULED = "rescheduled"
    SHUTDOWN = "shutdown"
    WAITED = "waited"
    KILLED = "killed"
    ABANDONED = "abandoned"
    TRIGGER_ENDED = "trigger_ended"


class Result:
    """How a run ended: the outcome and what came with it."""

    __slots__ = ("error", "outcome", "reason", "value")

    def __init__(
        self, outcome: Outcome, value: Any = None, error: BaseException | None = None, reason: str | None = None
    ) -> None:
        self.outcome = outcome
        self.value = value
        self.error = error
        self.reason = reason

    def __repr__(self) -> str:
        return f"<Result {self.outcome} value={self.value!r} error={self.error!r} reason={self.reason!r}>"

    @property
    def traceback(self) -> str | None:
        """The error's traceback as text; there is none for a shell command, whose output says more."""
        if self.error is None or isinstance(self.error, CommandFailedError):
            return None
        return "".join(traceback.format_exception(self.error))


SUCCEEDED_WITH_NONE = Result(Outcome.SUCCEEDED)  # the commonest result, made once


class RunOwner(Protocol):
    """Who hands runs to executors and hears of them, always in its own thread. None of these may block or raise."""

    def run_started(self, run: Run) -> None:
        """A worker begins to execute the run."""

    def run_interrupted(self, run: Run, step: str) -> None:
        """The run was told to stop: "raise", then "kill", then "abandon"."""

    def run_finished(self, run: Run, result: Result) -> None:
        """The run has ended, exactly once for each run; its worker is free again."""


class Run:
    """One occurrence of a job being executed. Times are aware UTC datetimes at the surface, milliseconds inside.

    `id` is the same for the same occurrence on whichever node and in whichever attempt, so that it can serve as an
    idempotency key. `fence` grows whenever the job changes owner: storage that remembers the largest one it has
    seen can refuse a straggler.
    """

    # What every run has are slots; what few have are class attributes until they are set. A run is made for every
    # occurrence, and this halves the time it takes.
    __slots__ = (
        "__dict__", "attempt", "clock_offset", "entry", "fence", "finished_ms", "job", "owner", "scheduled_ms",
        "started_ms", "worker",
    )  # fmt: skip

    request: str | None = None  # what tells a run on request from a scheduled one
    cancelled = False  # read by the job itself: it was asked to stop
    recorded = False  # its store has written it down while it is in progress
    interruption: Any = None  # the executor's own

    def __init__(
        self,
        job: Job,
        scheduled_ms: int,
        owner: RunOwner,
        entry: Any = None,
        fence: int = 0,
        attempt: int = 1,
        request: str | None = None,
    ) -> None:
        self.job = job
        self.scheduled_ms = scheduled_ms
        self.owner = owner
        self.entry = entry  # the owner's own
        self.fence = fence
        self.attempt = attempt
        self.clock_offset = 0  # by how many ms the time that scheduled it is ahead of this machine's clock
        self.started_ms: int | None = None
        self.finished_ms: int | None = None
        self.worker: Any = None  # the executor's own
        if request is not None:
            self.request = request

    @property
    def id(self) -> str:
        return run_id(self.job.id, self.scheduled_ms, self.request)

    @property
    def job_id(self) -> str:
        return self.job.id

    @property
    def scheduled_at(self) -> datetime:
        return from_ms(self.scheduled_ms)

    @property
    def started_at(self) -> datetime | None:
        return None if self.started_ms is None else from_ms(self.started_ms)

    @property
    def finished_at(self) -> datetime | None:
        return None if self.finished_ms is None else from_ms(self.finished_ms)

    @property
    def lateness(self) -> float | None:
        """Seconds between the scheduled time and the start."""
        return None if self.started_ms is None else (self.started_ms - self.scheduled_ms) / 1000

    @property
    def duration(self) -> float | None:
        """Seconds between start and finish."""
        if self.started_ms is None or self.finished_ms is None:
            return None
        return (self.finished_ms - self.started_ms) / 1000

    @property
    def log(self) -> structlog.typing.BindableLogger:
        """A structlog logger bound to this run."""
        logger: structlog.typing.BindableLogger = structlog.get_logger("gsched.run", **self.log_context())
        return logger

    def log_context(self) -> dict[str, Any]:
        """The keys that tie a log line to this run."""
        return {"job_id": self.job.id, "run_id": self.id, "attempt": self.attempt}

    def __repr__(self) -> str:
        return f"<Run {self.id} attempt={self.attempt}>"


def run_id(job_id: str, scheduled_ms: int, request: str | None = None) -> str:
    """The id of the run of `job_id` that is due at `scheduled_ms` (milliseconds since the epoch), or was requested."""
    if request is not None:
        return f"{job_id}!{request}"
    return f"{job_id}@{from_ms(scheduled_ms).strftime('%Y-%m-%dT%H:%M:%S')}.{scheduled_ms % 1000:03}Z"


_current: ContextVar[Run] = ContextVar("gsched_run")


make_current = _current.set  # for executors, in the run's own context; as it is, for it is called for every run


def bind_log(run: Run) -> None:
    """Let structlog lines in this context name the run."""
    bind_contextvars(**run.log_context())


def log_reads_context() -> bool:
    """Whether structlog is configured to read context variables; to bind them costs as much as an empty run."""
    return structlog.is_configured() and merge_contextvars in structlog.get_config()["processors"]


def current_run() -> Run:
    """The run that the calling code belongs to. Raises NotInRunError outside one."""
    run = _current.get(None)
    if run is None:
        raise NotInRunError
    return run


def inside_run_of(owner: RunOwner) -> bool:
    """Whether the calling code belongs to a run of `owner`, which must not wait for it then."""
    run = _current.get(None)
    return run is not None and run.owner is owner
