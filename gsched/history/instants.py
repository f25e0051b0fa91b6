"""The instants of a job within a period of time, each with its outcome and the reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gsched.event_loop.slices import paced
from gsched.history.explain import explain
from gsched.history.explanation import Evidence, Explanation, Question
from gsched.history.queries import RUNNING, JobCounters, RunInfo
from gsched.history.recent import RecentOutcome
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome
from gsched.times.instants import to_ms

MOST_INSTANTS: Final = 300


@dataclass(frozen=True, slots=True)
class InstantInfo:
    """An instant of a job.

    :ivar at: the instant, in the zone of the job's trigger
    :ivar outcome: as of `Explanation`: an outcome, "running", "waiting", "upcoming", "paused", "parked" or "unknown"
    :ivar recorded: the outcome comes from a record; otherwise it is inferred, and `sentence` says from what
    :ivar sentence: outcome and reason, in words
    :ivar reason: the reason in the record
    :ivar lateness: how many seconds late it started; None if that is not known, or it did not start
    :ivar duration: how many seconds it took; None if that is not known
    :ivar run_id: of the run, if the record is of one
    :ivar attempt: the number of the last attempt, likewise
    :ivar node: the node that ran it or decided about it
    """

    at: datetime
    outcome: str
    recorded: bool
    sentence: str
    reason: str | None = None
    lateness: float | None = None
    duration: float | None = None
    run_id: str | None = None
    attempt: int | None = None
    node: str | None = None


def instants_of(
    job: Job,
    instants: Sequence[int],
    records: Sequence[RunInfo],
    counters: JobCounters,
    evidence: Evidence,
    now: int,
) -> list[InstantInfo]:
    """What became of each instant.

    :param instants: the job's instants, ms
    :param records: the records that touch these instants, and the runs in progress
    :param evidence: about the last of these instants
    """
    by_time: dict[int, list[RunInfo]] = {}
    for record in records:
        if record.until is None:
            by_time.setdefault(to_ms(record.scheduled_at), []).append(record)
    spans = [(to_ms(each.scheduled_at), to_ms(each.until), each) for each in records if each.until is not None]
    missed = [each for each in records if each.outcome == Outcome.MISSED]
    running = [each for each in records if each.outcome == RUNNING]
    found = []
    for instant in paced(instants):
        touching = [*by_time.get(instant, ()), *(each for first, end, each in spans if first <= instant < end)]
        before = [each for each in missed if to_ms(each.scheduled_at) <= instant]
        question = Question(job.id, instant, now, job, evidence, touching, before, counters, running)
        answer = explain(question)
        if answer.outcome != "not_due":
            found.append(_info(answer, _in_that_second(counters.recent, instant)))
    return found


def due_instants(job: Job, since: int, until: int, records: Iterable[RunInfo], most: int) -> list[int]:
    """The last `most` instants of the job from `since` until before `until` (ms): those of its trigger, the one that
    its user set, and those of records, which may be of a trigger that the job had before."""
    own = (job.next_run_ms, *(to_ms(each.scheduled_at) for each in records if each.request is None))
    known = {instant for instant in own if instant is not None and since <= instant < until}
    return sorted(known.union(paced(_of_trigger(job, since, until, most))))[-most:]


def _of_trigger(job: Job, since: int, until: int, most: int) -> Iterable[int]:
    first = job.next_ms(since - 1)
    if first is None or first >= until:
        return
    instant = job.last_ms(first, until - 1)
    for _ in range(most):
        yield instant
        if instant <= first:
            return
        instant = job.last_ms(first, instant - 1)


def _in_that_second(recent: Sequence[RecentOutcome], instant: int) -> RecentOutcome | None:
    return next((each for each in recent if to_ms(each.scheduled_at) // 1000 == instant // 1000), None)


def _info(answer: Explanation, recent: RecentOutcome | None) -> InstantInfo:
    about = answer.instant, answer.outcome, answer.recorded, answer.sentence
    record = answer.record
    if record is not None:
        run_id = None if record.until is not None else record.run_id
        timed = record.lateness, record.duration
        return InstantInfo(*about, record.reason, *timed, run_id, record.attempt or None, record.node)
    if recent is not None and answer.recorded:
        return InstantInfo(*about, None, recent.lateness, recent.duration)
    return InstantInfo(*about)
