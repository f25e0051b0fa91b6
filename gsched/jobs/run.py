"""A run: one occurrence of a job that is executed."""

from __future__ import annotations

from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from gsched.errors import NotInRunError
from gsched.event_loop.log_lines import structlog_is_configured
from gsched.jobs.outcomes import Result
from gsched.times.instants import from_ms

if TYPE_CHECKING:
    import structlog

    from gsched.jobs.command_end import CommandEnd
    from gsched.jobs.job import Job
    from gsched.jobs.output import RunOutput


class RunOwner(Protocol):
    """Hands runs to executors, which call these methods in the owner's thread. None of them may block or raise."""

    def run_started(self, run: Run) -> None:
        """A worker begins to execute the run."""

    def run_interrupted(self, run: Run, step: str) -> None:
        """A step to stop the run was taken: "raise", then "kill", then "abandon"."""

    def run_finished(self, run: Run, result: Result) -> None:
        """The run has ended and its worker is free. Called exactly once for each run."""


class Run:
    """One occurrence of a job that is executed. Times are aware UTC datetimes at the surface, milliseconds inside.

    `id` is the same on every node and in every attempt, so it can serve as an idempotency key. `fence` grows whenever
    the job changes owner: storage that remembers the largest fence can refuse the writes of a former owner.
    """

    # Attributes of every run are slots; attributes of few runs are class attributes until they are set. That halves the
    # time to make a run, and one is made for every occurrence.
    __slots__ = (
        "__dict__", "attempt", "clock_offset", "entry", "fence", "finished_ms", "job", "owner", "scheduled_ms",
        "started_ms", "worker",
    )  # fmt: skip

    request: str | None = None  # names a run on request; None for a scheduled one
    cancelled = False  # the job reads it: the run is to stop
    recorded = False  # its store has recorded it while it is in progress
    disowned = False  # another scheduler took it for lost, and decides what becomes of it
    due_ms: int | None = None  # when it was to begin, if that is not its scheduled time
    tries = 0  # how many attempts before this one failed, of those that count against `retries`
    recoveries = 0  # how many attempts before this one were lost
    is_retry = False  # the attempt before this one failed
    is_timed = False  # its job has a time by which a run is to succeed
    output: RunOutput | None = None  # what it prints, if its job keeps that
    command: CommandEnd | None = None  # how its command has ended
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
    def last_attempt(self) -> bool:
        """True if no other attempt follows when this one fails: the job's `retries` are spent."""
        return self.tries >= self.job.policy.retries

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
        """Seconds between the start and the time at which this attempt was to begin: a retry is due later than its
        scheduled time."""
        if self.started_ms is None:
            return None
        return (self.started_ms - (self.due_ms or self.scheduled_ms)) / 1000

    @property
    def duration(self) -> float | None:
        """Seconds between start and finish."""
        if self.started_ms is None or self.finished_ms is None:
            return None
        return (self.finished_ms - self.started_ms) / 1000

    @property
    def log(self) -> structlog.typing.BindableLogger:
        """A structlog logger bound to this run. If the job keeps its output, the lines are kept, too."""
        if self.output is None:
            return self.plain_log
        from gsched.jobs.kept_lines import keeping_logger  # few jobs keep their output

        return keeping_logger(self.output, self.log_context())

    @property
    def plain_log(self) -> structlog.typing.BindableLogger:
        """The same for lines that are no output."""
        import structlog

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


make_current = _current.set  # for executors, in the run's context; no function around it, because every run calls it


def bind_log(run: Run) -> None:
    """Put the run's keys into structlog lines of this context."""
    from structlog.contextvars import bind_contextvars

    bind_contextvars(**run.log_context())


def log_reads_context() -> bool:
    """True if structlog reads context variables. Binding them costs as much as an empty run."""
    if not structlog_is_configured():
        return False
    import structlog

    return structlog.contextvars.merge_contextvars in structlog.get_config()["processors"]


def current_run() -> Run:
    """The run that the calling code belongs to. Raises NotInRunError outside one."""
    run = _current.get(None)
    if run is None:
        raise NotInRunError
    return run


def inside_run_of(owner: RunOwner) -> bool:
    """True if the calling code belongs to a run of `owner`. Then it must not wait for that run's end."""
    run = _current.get(None)
    return run is not None and run.owner is owner
