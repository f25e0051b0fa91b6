"""The history: what became of runs, as users see it, and how they ask for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Any, Final, TypeVar

from gsched.durations import as_ms
from gsched.errors import ConfigurationError
from gsched.instants import as_instant, to_ms
from gsched.recent import RecentOutcome
from gsched.run import Outcome
from gsched.spelling import did_you_mean

T = TypeVar("T")
RUNNING: Final = "running"  # stands where the outcome will be
OUTCOMES: Final = (*map(str, Outcome), RUNNING)
_STARTS_WITH_YEAR: Final = re.compile(r"\s*\d{4}-")


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What became of a run, or of due instants that ended without one. Times are aware UTC datetimes.

    :ivar outcome: one of `Outcome`; "running" for a run that is written down and has not ended, "waiting" for one that
        was asked for and that nobody has taken yet
    :ivar reason: why, where there is one: see `gsched.run.Reason`
    :ivar scheduled_at: when it was due; of several instants the first
    :ivar until: of instants that ended together without a run: all from `scheduled_at` up to, not including, this; else
        None
    :ivar attempt: 1, higher after a crash of its node, 0 for instants that ended without a run
    :ivar node: the node that ran it or decided it, None with the memory store
    :ivar request: what names a run that `run_job` asked for, else None
    :ivar traceback: of the error, shortened at the front if it is long
    """

    job_id: str
    job_name: str
    run_id: str
    tags: tuple[str, ...]
    outcome: str
    reason: str | None
    scheduled_at: datetime
    until: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    attempt: int
    node: str | None
    request: str | None
    error_type: str | None
    error_message: str | None
    traceback: str | None

    @property
    def duration(self) -> float | None:
        """Seconds between start and finish; None if it has not done both."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def lateness(self) -> float | None:
        """Seconds between the scheduled time and the start; None if it was not started."""
        return None if self.started_at is None else (self.started_at - self.scheduled_at).total_seconds()


@dataclass(frozen=True, slots=True)
class JobFigures:
    """What a job did since it was added; replacing and changing it keep them.

    :ivar runs: how many of its runs were started and have ended
    :ivar failures: how many of those did not succeed
    :ivar last_run: when the last of them started, UTC
    :ivar last_duration: how many seconds it took
    :ivar last_error: what the last one that did not succeed said; later successes leave it
    :ivar recent: its last outcomes, the oldest first, as many as the store's option `history_recent` keeps
    """

    runs: int = 0
    failures: int = 0
    last_run: datetime | None = None
    last_duration: float | None = None
    last_error: str | None = None
    recent: tuple[RecentOutcome, ...] = ()


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs to list, the newest first; None is any. Raises ConfigurationError for what cannot be meant.

    :ivar since: only what was due then (ms since the epoch) or later; of instants that ended together, the last of them
    :ivar until: only what was due before (ms)
    :ivar run_id: only the attempts of this run
    """

    job_id: str | None = None
    outcome: str | None = None
    since: int | None = None
    until: int | None = None
    tag: str | None = None
    limit: int = 100
    skip: int = 0
    run_id: str | None = None

    def __post_init__(self) -> None:
        for what in ("job_id", "tag", "run_id"):
            value = getattr(self, what)
            if value is not None and not isinstance(value, str):
                raise ConfigurationError(f"{what}: expected a text, got {value!r}")
        for what, least in (("limit", 1), ("skip", 0)):
            value = getattr(self, what)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigurationError(f"{what}: expected a whole number from {least}, got {value!r}")
        if self.outcome is not None and self.outcome not in OUTCOMES:
            meant = did_you_mean(self.outcome, OUTCOMES) or f"; it is one of {', '.join(OUTCOMES)}"
            raise ConfigurationError(f"outcome: {self.outcome!r} is unknown{meant}")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ConfigurationError("since: must be before until")


def as_past(value: datetime | date | timedelta | str | None, now: int, tz: tzinfo, what: str) -> int | None:
    """The instant (ms since the epoch) that a user means: a datetime, ISO text, or how long before `now` (ms).

    Raises ConfigurationError, naming the argument `what`.
    """
    if value is None:
        return None
    if isinstance(value, timedelta) or (isinstance(value, str) and not _STARTS_WITH_YEAR.match(value)):
        return now - as_ms(value, what)
    if not isinstance(value, (str, date)):
        raise ConfigurationError(f"{what}: expected a datetime, a timedelta or text such as '1h', got {value!r}")
    return to_ms(as_instant(value, tz, what))


def newest_first(scheduled: Callable[[T], Any], found: list[T], query: RunQuery) -> list[T]:
    """The page that is asked for, by scheduled time from the last to the first; at the same time, as they came."""
    return sorted(found, key=scheduled, reverse=True)[query.skip : query.skip + query.limit]
