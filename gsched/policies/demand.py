"""Demand: how often a job is due."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from gsched.jobs.job import Job
from gsched.triggers import BaseTrigger, IntervalTrigger
from gsched.triggers.base import TRIGGER_ERRORS

_STEPS = 20  # instants of a trigger that are looked at
_DAY_MS = 86_400_000


def demands(jobs: Iterable[Job], now: int) -> Iterable[tuple[Job, float]]:
    """The jobs, each with how often it is due in a second from `now` (ms) on: exact for intervals, and for other
    triggers as within a day, or as in their next instants. Jobs that are paused are not due."""
    known: dict[BaseTrigger, float] = {}  # many jobs may share a trigger
    for job in jobs:
        if job.pause_at(now) is None and job.trigger not in known:
            known[job.trigger] = _demand(job, now)
        yield job, known.get(job.trigger, 0.0) if job.pause_at(now) is None else 0.0


def _demand(job: Job, now: int) -> float:
    trigger = job.trigger
    if type(trigger) is IntervalTrigger and trigger.between is None and trigger.days is None:
        return 1 / trigger.interval.total_seconds()
    try:
        first = job.next_ms(now)
        due = [] if first is None else [each for each in islice(job.instants(first), _STEPS) if each <= now + _DAY_MS]
    except TRIGGER_ERRORS:
        return 0.0
    return len(due) * 1000 / (due[-1] - now if len(due) == _STEPS else _DAY_MS) if due else 0.0
