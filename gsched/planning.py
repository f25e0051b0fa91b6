"""Planning: what becomes of the instants at which a job is due. Pure decisions, no state, no clock."""

from __future__ import annotations

from typing import Final, NamedTuple

from gsched.job import Job
from gsched.run import Outcome, Reason

MOST_STARTS = 250  # in one plan: others on the hub must not wait for weeks of instants
_COALESCED: Final = Outcome.COALESCED  # where too much is due, looked at for every run: to look it up takes longer


class Span(NamedTuple):
    """The job's due instants from `first` (which is one) up to but not including `end` share an outcome without a run.

    A span, not a list: a job with an interval of a second that is a week late has 604,800 of them.
    """

    outcome: Outcome
    first: int
    end: int
    reason: str | None = None
    request: str | None = None  # names the run that was asked for outside the schedule


class Plan(NamedTuple):
    """What to do with a job that is due."""

    starts: tuple[int, ...]  # run these instants now
    spans: tuple[Span, ...]  # these end without a run
    next_due: int | None  # the first instant that this plan does not decide; it may be due already
    waits: bool = False  # next_due is due already, and waits until a run of the job ends


def plan(job: Job, due: int, now: int, running: int) -> Plan:
    """Decide about every instant of `job` from `due` to `now` (ms since the epoch; due <= now).

    :param running: runs of the job that are in progress or wait for a worker

    - An instant later than misfire_grace_time is missed.
    - With coalesce, of several that remain the last runs and the others are coalesced into it; with max_instances
      runs in progress they all are skipped.
    - Without coalesce all run. An instant that comes while max_instances runs are in progress is skipped; but
      instants that became due together, because the scheduler was away, wait their turn.
    - One plan starts at most MOST_STARTS; the next one goes on at its next_due, at once.
    """
    following = job.next_ms(due)
    lone = following is None or following > now
    if lone and running < job.max_instances and (job.misfire_grace_ms is None or now - due <= job.misfire_grace_ms):
        return Plan((due,), (), following)
    if job.misfire_grace_ms is not None and now - due > job.misfire_grace_ms:
        return _plan_misfire(job, due, now, running)
    if lone:
        return Plan((), (_skipped(due, now),), following)
    return _plan_coalesced(job, due, now, running) if job.coalesce else _plan_each(job, due, now, running)


def _plan_misfire(job: Job, due: int, now: int, running: int) -> Plan:
    assert job.misfire_grace_ms is not None
    in_time = now - job.misfire_grace_ms  # the earliest instant that may still run
    missed = Span(Outcome.MISSED, due, in_time)
    following = job.next_ms(in_time - 1)
    if following is None or following > now:
        return Plan((), (missed,), following)
    rest = plan(job, following, now, running)
    return rest._replace(spans=(missed, *rest.spans))


def _plan_coalesced(job: Job, due: int, now: int, running: int) -> Plan:
    last = job.last_ms(due, now)
    following = job.next_ms(last)
    if running >= job.max_instances:
        return Plan((), (_skipped(due, now),), following)
    return Plan((last,), (Span(_COALESCED, due, last),), following)


def _plan_each(job: Job, due: int, now: int, running: int) -> Plan:
    starts: list[int] = []
    cursor: int | None = due
    while cursor is not None and cursor <= now:
        if running + len(starts) >= job.max_instances:
            return Plan(tuple(starts), (), cursor, waits=True)
        if len(starts) == MOST_STARTS:
            break
        starts.append(cursor)
        cursor = job.next_ms(cursor)
    return Plan(tuple(starts), (), cursor)


def _skipped(due: int, now: int) -> Span:
    return Span(Outcome.SKIPPED, due, now + 1, Reason.MAX_INSTANCES)
