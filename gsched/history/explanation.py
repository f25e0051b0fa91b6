"""Explanations: the evidence about an instant of a job, and the words for its outcome."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple

from gsched.history.queries import RUNNING, WAITING, JobCounters, RunInfo
from gsched.history.recent import RecentOutcome
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome
from gsched.times.durations import rough_duration
from gsched.times.instants import from_ms, to_ms

NEVER_BEFORE = -1


class Evidence(NamedTuple):
    """What a store knows about a job besides its definition and its records. Times are ms since the epoch.

    :ivar successes: which successes are recorded: the option `history_successes`
    :ivar since: records of earlier outcomes may have been removed
    :ivar added: when the job was added
    :ivar changed: when the job was changed last
    :ivar begins: the job, as it is now, was not due before this time
    :ivar steady: since this time the job was due at the same times as now, and not paused, though it was changed later
    :ivar decided: every due instant before this time was claimed
    :ivar ended: every claimed instant before this time has ended, except recorded runs in progress
    :ivar node: the node that claimed the instant in question, or will claim it
    :ivar parked: why the node that claims the job cannot run it
    :ivar away: no node ran jobs at the instant in question; one did from this time on
    :ivar obstacle: why due instants cannot be claimed at the moment
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
    """How an instant of a job ended. `str()` gives it in words.

    :ivar instant: the instant, in the zone of the job's trigger
    :ivar outcome: one of `Outcome`; or "running", "waiting" (due, not begun), "upcoming", "not_due", "paused",
        "parked", "unknown"
    :ivar recorded: the outcome comes from a record; otherwise it is inferred, and `sentence` says from what
    :ivar sentence: outcome and reason, in words
    :ivar record: the record, if there is one
    :ivar before: the last due instant before this one, as the job is now; None if there is none
    :ivar after: the first due instant after this one
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


class Question(NamedTuple):
    """The question which outcome an instant of a job has, with the evidence for the answer.

    :ivar job: the job as it is now; None if there is no such job
    :ivar records: the job's records that touch the instant
    :ivar missed: records of the job's instants that were missed shortly before
    :ivar counters: the job's counters; None if there are none
    :ivar running: records of the job's runs that are in progress, or claimed and about to begin
    :ivar turn: why jobs of the job's group wait for their turn, in words; None if none does
    """

    job_id: str
    instant: int
    now: int
    job: Job | None
    evidence: Evidence
    records: Sequence[RunInfo]
    missed: Sequence[RunInfo] = ()
    counters: JobCounters | None = None
    running: Sequence[RunInfo] = ()
    turn: str | None = None

    @property
    def recent(self) -> Sequence[RecentOutcome]:
        """The job's last outcomes, the oldest first."""
        return () if self.counters is None else self.counters.recent


def recorded(question: Question, record: RunInfo) -> Explanation:
    """An outcome with a record."""
    return replace(say(question, record.outcome, _words(question, record) + "."), recorded=True, record=record)


def recent_words(found: RecentOutcome, kept: int) -> str:
    """One of a job's last outcomes, in words."""
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
    "retried": "another attempt follows",
}


_DETAILED: Final = 3  # attempts before the last one that are told one by one
_VERBS: Final = {
    RUNNING: "is in progress",
    "cancelled": "was cancelled",
    "missed": "was missed",
    "skipped": "was skipped",
    "coalesced": "was coalesced",
    "lost": "was lost",
    "retried": "failed",
}


def _words(question: Question, record: RunInfo) -> str:
    """A record, in words. After the first attempt of a run, with what became of the attempts before it."""
    if record.outcome == WAITING or (record.outcome == RUNNING and record.started_at is None and record.attempt > 1):
        words = [_unbegun_words(question, record)]
    elif record.attempt > 1:
        words = [f"attempt {record.attempt} {_VERBS.get(record.outcome, _spaced(record.outcome))}"]
    else:
        words = [_spaced(record.outcome)]
    words[0] += _why(record)
    if record.error_type:
        words[0] += f" with {record.error_type}: {record.error_message}"
    if record.started_at is not None:
        words.append(f"started {duration(record.lateness or 0.0)} late")
    if record.duration is not None:
        words.append(f"took {duration(record.duration)}")
    if record.until is not None and _is_shared(question, to_ms(record.scheduled_at), to_ms(record.until)):
        first, end = (at(question, to_ms(each)) for each in (record.scheduled_at, record.until))
        words.append(f"as everything due from {first} until before {end}")
    if record.node is not None:
        words.append(f"node {record.node}")
    return "; ".join([*_earlier_words(question, record), ", ".join(words)])


def _unbegun_words(question: Question, record: RunInfo) -> str:
    """An attempt that waits, or that a node holds: only that node knows if the attempt has begun."""
    attempt, due = f"attempt {record.attempt}", to_ms(record.due_at)
    if due > question.now:
        return f"{attempt} is due at {at(question, due)}"
    full = why_full(question, record) or question.turn
    if record.outcome == RUNNING:
        if full is None:
            return f"{attempt} is in progress"
        return f"{attempt} has been due since {at(question, due)}: it is in progress, or waits, for {full}"
    why = full or question.evidence.obstacle or "no worker has begun it yet"
    return f"{attempt} has been due since {at(question, due)}, and has not begun: {why}"


def why_full(question: Question, record: RunInfo | None = None) -> str | None:
    """Why no other run of the job can begin now, in words; None if one can.

    :param record: of the run that is to begin; it does not count
    """
    job, begun = question.job, [each for each in question.running if record is None or each.run_id != record.run_id]
    if job is None or len(begun) < job.max_instances:
        return None
    oldest = at(question, min(to_ms(each.scheduled_at) for each in begun))
    runs = "the run" if len(begun) == 1 else f"{len(begun)} runs, the oldest"
    return f"max_instances ({job.max_instances}) is reached by {runs} of {oldest}"


def _earlier_words(question: Question, record: RunInfo) -> list[str]:
    """What became of the attempts before this one, in words."""
    earlier = [each for each in question.records if each.run_id == record.run_id and each.attempt < record.attempt]
    earlier.sort(key=lambda each: each.attempt)
    words = [_attempt_words(each) for each in earlier[-_DETAILED:]]
    if len(earlier) > _DETAILED:
        words.insert(0, f"{len(earlier) - _DETAILED} attempts ended before")
    return words


def _attempt_words(record: RunInfo) -> str:
    """What became of an attempt that another one followed."""
    number = max(record.attempt, 1)  # an instant that ended without a run counts as the first attempt
    verb = _VERBS.get(record.outcome, _spaced(record.outcome))
    if record.error_type:
        return f"attempt {number} {verb} ({record.error_type}: {record.error_message})"
    return f"attempt {number} {verb}{'' if record.outcome == Outcome.RETRIED else _why(record)}"


def _why(record: RunInfo) -> str:
    """The reason of an outcome, else what the outcome means, in parentheses."""
    why = record.reason or _MEANINGS.get(record.outcome)
    return f" ({why})" if why else ""


def _spaced(outcome: str) -> str:
    return outcome.replace("_", " ")


def _is_shared(question: Question, first: int, end: int) -> bool:
    """True if more instants than this one are due from `first` until before `end`."""
    if question.job is None or first != question.instant:
        return end > first + 1
    following = question.job.next_ms(first)
    return following is not None and following < end


def say(question: Question, outcome: str, sentence: str) -> Explanation:
    """An outcome that is inferred, as the sentence explains."""
    zone = question.job.trigger.timezone if question.job is not None else None
    instant = from_ms(question.instant) if zone is None else from_ms(question.instant, zone)
    return Explanation(question.job_id, instant, outcome, False, sentence)


def lateness_words(question: Question, outcome: str) -> Iterator[str]:
    """A sentence if the run is slow, and one if the job is overdue.

    :param outcome: of the instant in question
    """
    job, counters = question.job, question.counters
    within = None if job is None else job.policy.finish_within_ms
    if within is not None and outcome in (RUNNING, WAITING) and question.now >= question.instant + within:
        ended = at(question, question.instant + within)
        yield f"It is slow: its finish_within ({duration(within / 1000)}) ended at {ended}."
    every = None if job is None else job.policy.expect_success_every_ms
    overdue_at = None if counters is None or counters.overdue_at is None else to_ms(counters.overdue_at)
    if every is not None and overdue_at is not None and question.now >= overdue_at:
        since, expected = at(question, overdue_at - every), duration(every / 1000)
        yield f"The job is overdue: no run has succeeded since {since}, and one is expected every {expected}."


def between(question: Question, before: int | None, after: int | None) -> str:
    """The due instants before and after this one, in words."""
    neighbours = []
    if before is not None:
        neighbours.append(f"the due instant before it is {at(question, before)}")
    neighbours.append("none comes after it" if after is None else f"the next one is {at(question, after)}")
    return ": " + ", ".join(neighbours)


def history_option(evidence: Evidence) -> str:
    """The option `history_successes` and its value."""
    return f"history_successes={evidence.successes!r}"


def kept_successes(evidence: Evidence) -> str:
    """Which successes have records, in words."""
    if evidence.successes == "all":
        return f"successes are kept ({history_option(evidence)})"
    return f"successes are not {'' if evidence.successes == 'none' else 'all '}kept ({history_option(evidence)})"


def by_node(evidence: Evidence) -> str:
    """The node that claims for the job, in words."""
    return "" if evidence.node is None else f" by node {evidence.node}"


def at(question: Question, ms: int | None) -> str:
    """An instant, in the zone of the job's trigger."""
    if ms is None:
        return "an unknown time"
    return _show(from_ms(ms) if question.job is None else from_ms(ms, question.job.trigger.timezone))


def _show(instant: datetime) -> str:
    exact = "milliseconds" if instant.microsecond else "seconds"
    return instant.isoformat(" ", timespec=exact)


def duration(seconds: float) -> str:
    """A duration for people; below two minutes it is exact."""
    if seconds < 120:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + " s"
    return rough_duration(seconds)
