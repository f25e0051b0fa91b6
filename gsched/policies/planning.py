"""Planning: decides about the due instants of a job. Pure functions, without state and clock."""

from __future__ import annotations

from enum import StrEnum
from itertools import islice
from typing import Final, NamedTuple

from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome, Reason, Span
from gsched.jobs.policy import CANCEL, SKIP

MOST_STARTS = 250  # in one plan: other greenlets must not wait for weeks of instants
_COALESCED: Final = Outcome.COALESCED  # used for every run if too much is due: looking it up takes longer


class Hold(StrEnum):
    """What an instant that is due waits for."""

    INSTANCES = "instances"  # the end of a run of the job
    REPLACING = "replacing"  # the end of the oldest run, which is to be stopped
    PARKED = "parked"  # the job cannot run
    GATE = "gate"  # its turn, because its group has a limit
    FAILED = "failed"  # a pause to be stored, because the job has failed too often


class Plan(NamedTuple):
    """What to do with a job that is due."""

    starts: tuple[int, ...]  # run these instants now
    spans: tuple[Span, ...]  # these end without a run
    next_due: int | None  # the first instant that this plan leaves undecided; it may be due already
    waits: Hold | None = None  # next_due is due already, and waits for this


_new = tuple.__new__  # for nearly every run: calling the class takes twice as long


def plan(job: Job, due: int, now: int, running: int) -> Plan:
    """Decide about every instant of `job` from `due` to `now` (ms since the epoch; due <= now).

    :param running: runs of the job that are in progress or wait for a worker

    - An instant that is late by more than misfire_grace_time is missed.
    - With coalesce, the last of the remaining instants runs, and the others are coalesced into it.
    - Without coalesce, every instant runs; if there is a max_catchup, only so many, the last ones.
    - Instants that come while max_instances runs are in progress are skipped, wait (overlap="queue"), or wait and
      replace the oldest run (overlap="cancel"). Without coalesce, several instants that became due together, because
      the scheduler was away, always wait.
    - One plan starts at most MOST_STARTS runs. The next plan goes on at once, at `next_due`.
    """
    following = job.next_ms(due)
    lone = following is None or following > now
    if lone and running < job.max_instances and (job.misfire_grace_ms is None or now - due <= job.misfire_grace_ms):
        return _new(Plan, ((due,), (), following, None))
    if job.misfire_grace_ms is not None and now - due > job.misfire_grace_ms:
        return _plan_misfire(job, due, now, running)
    if lone:
        return _plan_full(job, due, now, following)
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
        return _plan_full(job, due, now, following)
    return _new(Plan, ((last,), (Span(_COALESCED, due, last),), following, None))


def _plan_full(job: Job, due: int, now: int, following: int | None) -> Plan:
    """The plan of what becomes one run, while max_instances runs are in progress."""
    overlap = job.policy.overlap
    if overlap == SKIP:
        return Plan((), (Span(Outcome.SKIPPED, due, now + 1, Reason.MAX_INSTANCES),), following)
    return Plan((), (), due, Hold.REPLACING if overlap == CANCEL else Hold.INSTANCES)


def _plan_each(job: Job, due: int, now: int, running: int) -> Plan:
    if job.policy.max_catchup is not None and (first := _first_caught_up(job, due, now, job.policy.max_catchup)) > due:
        rest = _plan_each(job, first, now, running)
        return rest._replace(spans=(Span(Outcome.MISSED, due, first, Reason.MAX_CATCHUP), *rest.spans))
    starts: list[int] = []
    cursor: int | None = due
    while cursor is not None and cursor <= now:
        if running + len(starts) >= job.max_instances:
            return Plan(tuple(starts), (), cursor, Hold.INSTANCES)
        if len(starts) == MOST_STARTS:
            break
        starts.append(cursor)
        cursor = job.next_ms(cursor)
    return Plan(tuple(starts), (), cursor)


def _first_caught_up(job: Job, due: int, now: int, most: int) -> int:
    """The first of the last `most` instants from `due` to `now`."""
    if next(islice(job.instants(due, now), most, None), None) is None:  # there are no more
        return due
    first = now + 1
    for _ in range(most):
        first = job.last_ms(due, first - 1)
    return first
