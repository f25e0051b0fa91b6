"""The history for users: records of runs, counters of jobs, and queries for them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar

from gsched.checks import checked_whole
from gsched.errors import ConfigurationError
from gsched.history.recent import RecentOutcome
from gsched.jobs.command_end import CommandEnd
from gsched.jobs.outcomes import Outcome
from gsched.wording import did_you_mean

T = TypeVar("T")
RUNNING: Final = "running"  # in place of the outcome of a run in progress
WAITING: Final = "waiting"  # in place of the outcome of a run that has not begun
UNENDED: Final = (RUNNING, WAITING)
OUTCOMES: Final = (*map(str, Outcome), *UNENDED)
_PLACE: Final = re.compile(r"(-?\d{1,18})\.(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """How an attempt at a run, or due instants without a run, ended. Times are aware UTC datetimes.

    :ivar outcome: one of `Outcome`; "running" for a recorded run that has not ended, "waiting" for a requested run or a
        retry that no node has taken yet
    :ivar reason: why, if there is a reason: see `gsched.jobs.outcomes.Reason`
    :ivar scheduled_at: when it was due; the first one of several instants
    :ivar until: for instants that ended together without a run: the end, not included, of their time; else None
    :ivar due_at: when this attempt was to begin: a retry later than `scheduled_at`, all others just then
    :ivar attempt: 1, higher after an attempt that failed or whose node crashed, 0 for instants that ended without a run
    :ivar node: the node that ran it or decided about it; None with the memory store
    :ivar request: the name of a run that `run_job` requested; else None
    :ivar traceback: the traceback of the error, cut at the front if it is long
    :ivar command: how the shell command has ended, if the job is one, and what it has used
    """

    job_id: str
    job_name: str
    run_id: str
    tags: tuple[str, ...]
    outcome: str
    reason: str | None
    scheduled_at: datetime
    due_at: datetime
    until: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    attempt: int
    node: str | None
    request: str | None
    error_type: str | None
    error_message: str | None
    traceback: str | None
    command: CommandEnd | None = None

    @property
    def duration(self) -> float | None:
        """Seconds between start and finish; None if it has not started and finished."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def lateness(self) -> float | None:
        """Seconds between the time when it was to begin and the start; None if it was not started."""
        return None if self.started_at is None else (self.started_at - self.due_at).total_seconds()


@dataclass(frozen=True, slots=True)
class JobCounters:
    """Counters of a job since it was added. Replacing and changing the job keep them.

    :ivar runs: how many attempts at its runs have started and ended
    :ivar failures: how many of those did not succeed, without attempts that were retried
    :ivar last_run: when the last run started, UTC
    :ivar last_duration: how many seconds the last run took
    :ivar last_error: the last error; later successes keep it
    :ivar overdue_at: if no run succeeds before this time, the job is overdue; None: the job expects no success
    :ivar recent: its last outcomes, the oldest first, as many as the store's option `history_recent` keeps
    :ivar failing_since: when the first of its failures in a row began, UTC; None if its last run that counts has not
        failed. Runs that failed and timed out count, and so do those that succeeded; cancelled runs do not
    """

    runs: int = 0
    failures: int = 0
    last_run: datetime | None = None
    last_duration: float | None = None
    last_error: str | None = None
    recent: tuple[RecentOutcome, ...] = ()
    failing_since: datetime | None = None
    overdue_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs to list, the newest first; None: any. Raises ConfigurationError for a value that makes no sense.

    :ivar since: only what was due at this time (ms since the epoch) or later; of instants that ended together, the
        last one counts
    :ivar until: only what was due before this time (ms)
    :ivar run_id: only the attempts of this run
    :ivar before: the page begins after this place: `next` of the page before. Only for pages
    :ivar node: only what this node ran or decided
    """

    job_id: str | None = None
    outcome: str | None = None
    since: int | None = None
    until: int | None = None
    tag: str | None = None
    limit: int = 100
    skip: int = 0
    run_id: str | None = None
    before: str | None = None
    node: str | None = None

    @property
    def place(self) -> RunPlace | None:
        """The place after which the page begins; None: at the start."""
        return None if self.before is None else RunPlace.read(self.before)

    def __post_init__(self) -> None:
        for what in ("job_id", "tag", "run_id", "node"):
            value = getattr(self, what)
            if value is not None and not isinstance(value, str):
                raise ConfigurationError(f"{what}: expected a text, got {value!r}")
        for what, least in (("limit", 1), ("skip", 0)):
            checked_whole(what, getattr(self, what), least)
        if self.outcome is not None and self.outcome not in OUTCOMES:
            meant = did_you_mean(self.outcome, OUTCOMES) or f"; it is one of {', '.join(OUTCOMES)}"
            raise ConfigurationError(f"outcome: {self.outcome!r} is unknown{meant}")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ConfigurationError("since: must be before until")
        if self.before is not None:
            RunPlace.read(self.before)


class RunPlace(NamedTuple):
    """The place of a record in pages: first by its time, then by its key.

    :ivar scheduled: ms since the epoch
    :ivar key: its run's id, "#" and the attempt, or what stands for that
    """

    scheduled: int
    key: str

    def __str__(self) -> str:
        return f"{self.scheduled}.{self.key}"

    @classmethod
    def read(cls, text: object) -> RunPlace:
        """The place that `str` has written. Raises ConfigurationError for any other text."""
        found = _PLACE.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise ConfigurationError(f"before: expected the place that the page before gave as `next`, got {text!r}")
        return cls(int(found[1]), found[2])


class RunPage(NamedTuple):
    """Records of runs, the newest first, without their tracebacks.

    :ivar next: where the next page begins: `RunQuery.before`; None if there is none
    """

    runs: tuple[RunInfo, ...]
    next: str | None = None


def newest_first(time: Callable[[T], Any], found: list[T], query: RunQuery) -> list[T]:
    """The wanted page, from the last to the first; entries of one time stay in their order.

    :param time: gives the scheduled time and the attempt of an entry
    """
    return sorted(found, key=time, reverse=True)[query.skip : query.skip + query.limit]
