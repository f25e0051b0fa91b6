"""Explanations: what is known of an instant of a job, what is said of it, and in which words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from gsched.durations import rough_duration
from gsched.history import JobFigures, RunInfo
from gsched.instants import from_ms, to_ms
from gsched.job import Job
from gsched.recent import RecentOutcome
from gsched.run import Outcome

NEVER_BEFORE = -1


class Account(NamedTuple):
    """What a store knows of a job beside its definition and its records. Times are ms since the epoch.

    :ivar successes: which successes are recorded, as the option `history_successes` says
    :ivar since: what ended before may have been recorded, and the record be gone
    :ivar added: when the job was added
    :ivar changed: when somebody changed it last
    :ivar begins: nothing of it, as it is now, was due before
    :ivar steady: from then on it was due as it is now, though it was changed later: not paused, and at the same times
    :ivar decided: every due instant before this was claimed
    :ivar ended: of these, everything before this has ended, but for what is written down as in progress
    :ivar node: who claimed the instant asked about, or will
    :ivar parked: why it cannot be run by those who claim it
    :ivar away: nobody ran jobs at the instant asked about; somebody did from then on
    :ivar obstacle: why what is due may not be claimed at the moment
    """

    successes: str | int
    since: int
    added: int | None = None
    changed: int | None = None
    begins: int = NEVER_BEFORE
    steady: int = NEVER_BEFORE
    decided: int = NEVER_BEFORE
    ended: int = NEVER_BEFORE
    node: str | None = None
    parked: str | None = None
    away: int | None = None
    obstacle: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What became of an instant of a job. `str()` says it in words.

    :ivar instant: the instant, in the zone of the job's trigger
    :ivar outcome: one of `Outcome`; or "running", "waiting" (due, not begun), "upcoming", "not_due", "paused",
        "parked", "unknown"
    :ivar recorded: whether the outcome comes from a record; else it is inferred, and `sentence` says from what
    :ivar sentence: outcome and reason, in words
    :ivar record: the record, where there is one
    :ivar before: the due instant next before this one, as the job is now; None if there is none
    :ivar after: the due instant next after this one
    """

    job_id: str
    instant: datetime
    outcome: str
    recorded: bool
    sentence: str
    record: RunInfo | None = None
    before: datetime | None = None
    after: datetime | None = None

    def __str__(self) -> str:
        return f"{self.job_id} at {_show(self.instant)}: {self.sentence}"


class Case(NamedTuple):
    """All that is known for one question.

    :ivar job: None if there is no such job now
    :ivar records: of the job, those that touch the instant
    :ivar missed: of the job, instants that were missed shortly before
    :ivar figures: what the job did, None if nobody counted
    """

    job_id: str
    instant: int
    now: int
    job: Job | None
    account: Account
    records: Sequence[RunInfo]
    missed: Sequence[RunInfo] = ()
    figures: JobFigures | None = None

    @property
    def recent(self) -> Sequence[RecentOutcome]:
        """The job's last outcomes, the oldest first."""
        return () if self.figures is None else self.figures.recent


def recorded(case: Case, record: RunInfo) -> Explanation:
    """The outcome is on record."""
    return replace(say(case, record.outcome, _words(case, record) + "."), recorded=True, record=record)


def recent_words(found: RecentOutcome, kept: int) -> str:
    """What one of a job's last outcomes says."""
    words = [found.outcome.replace("_", " ")]
    if found.outcome in (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.TIMED_OUT, Outcome.CANCELLED):
        words += [f"started {duration(found.lateness)} late", f"took {duration(found.duration)}"]
    elif found.outcome in _MEANINGS:
        words[0] += f" ({_MEANINGS[found.outcome]})"
    return f"{', '.join(words)}; one of the job's last {kept} outcomes."


_MEANINGS = {
    "missed": "later than misfire_grace_time",
    "coalesced": "a later instant ran for it",
    "lost": "its node died while it was in progress",
}


def _words(case: Case, record: RunInfo) -> str:
    """What a record says."""
    words = [record.outcome.replace("_", " ")]
    if record.reason:
        words[0] += f" ({record.reason})"
    elif record.outcome in _MEANINGS:
        words[0] += f" ({_MEANINGS[record.outcome]})"
    if record.error_type:
        words[0] += f" with {record.error_type}: {record.error_message}"
    if record.started_at is not None:
        words.append(f"started {duration(record.lateness or 0.0)} late")
    if record.duration is not None:
        words.append(f"took {duration(record.duration)}")
    if record.attempt > 1:
        words.append(f"attempt {record.attempt}")
    if record.until is not None and _is_shared(case, to_ms(record.scheduled_at), to_ms(record.until)):
        first, end = (at(case, to_ms(each)) for each in (record.scheduled_at, record.until))
        words.append(f"as everything due from {first} until before {end}")
    if record.node is not None:
        words.append(f"node {record.node}")
    return ", ".join(words)


def _is_shared(case: Case, first: int, end: int) -> bool:
    """Whether what is due from `first` until before `end` is more than this instant."""
    if case.job is None or first != case.instant:
        return end > first + 1
    following = case.job.next_ms(first)
    return following is not None and following < end


def say(case: Case, outcome: str, sentence: str) -> Explanation:
    """The outcome is inferred, as the sentence says."""
    zone = case.job.trigger.timezone if case.job is not None else None
    instant = from_ms(case.instant) if zone is None else from_ms(case.instant, zone)
    return Explanation(case.job_id, instant, outcome, False, sentence)


def between(case: Case, before: int | None, after: int | None) -> str:
    """Which due instants are next to this one."""
    said = []
    if before is not None:
        said.append(f"the due instant before it is {at(case, before)}")
    said.append("none comes after it" if after is None else f"the next one is {at(case, after)}")
    return ": " + ", ".join(said)


def history_option(account: Account) -> str:
    """The option as it is set."""
    return f"history_successes={account.successes!r}"


def kept_successes(account: Account) -> str:
    """Which successes have records."""
    if account.successes == "all":
        return f"successes are kept ({history_option(account)})"
    return f"successes are not {'' if account.successes == 'none' else 'all '}kept ({history_option(account)})"


def by_node(account: Account) -> str:
    """Who claims for the job."""
    return "" if account.node is None else f" by node {account.node}"


def at(case: Case, ms: int | None) -> str:
    """An instant, in the zone of the job's trigger."""
    if ms is None:
        return "an unknown time"
    return _show(from_ms(ms) if case.job is None else from_ms(ms, case.job.trigger.timezone))


def _show(instant: datetime) -> str:
    exact = "milliseconds" if instant.microsecond else "seconds"
    return instant.isoformat(" ", timespec=exact)


def duration(seconds: float) -> str:
    """A duration for people; a short one exactly."""
    if seconds < 120:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + " s"
    return rough_duration(seconds)
