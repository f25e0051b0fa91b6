"""Spreading: which phase each job of a series gets, so that the jobs of a series do not all begin at once."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import Final, NamedTuple

from gsched.jobs.job import Job
from gsched.triggers import IntervalTrigger

# Multiples of these two, modulo 1, fill the range evenly, however many there are. The first is the golden ratio, the
# second comes from its sibling in two dimensions: the phases of several groups together are even, too.
_STEP: Final = (sqrt(5) - 1) / 2
_STEP_OF_GROUPS: Final = 0.7548776662466927


class Series(NamedTuple):
    """Jobs of one store that are spread over one span together.

    :ivar kind: "interval": over their interval; "delay": over the hour, say, after each of their instants
    :ivar span_ms: the span
    :ivar group: the group of the jobs; None: they have none
    """

    kind: str
    span_ms: int
    group: str | None = None

    @property
    def family(self) -> str:
        """The part that the series of all groups share, as text."""
        return f"{self.kind}:{self.span_ms}"

    @property
    def key(self) -> str:
        """The series as text."""
        return self.family if self.group is None else f"{self.family}:{self.group}"


class Numbers(NamedTuple):
    """The numbers in its series that jobs have taken: successive ones.

    :ivar rank: of the group: groups are numbered in the order in which they came, from 1; 0: jobs without a group
    :ivar first: the first number that was taken
    """

    rank: int
    first: int


def series_of(job: Job) -> Series:
    """The series in which the job, which is spread, has its phase."""
    span = job.trigger.spread_ms
    assert span is not None
    return _series(job, span)


def possible_series(job: Job) -> Series | None:
    """The series in which the job has its phase, or would have one if it was spread; None if it cannot be spread."""
    trigger = job.trigger
    if trigger.spread_ms is not None:
        return _series(job, trigger.spread_ms)
    if isinstance(trigger, IntervalTrigger) and trigger.has_free_phase:
        return _series(job, trigger.moments[0])
    return None


def _series(job: Job, span: int) -> Series:
    kind = "interval" if isinstance(job.trigger, IntervalTrigger) else "delay"
    return Series(kind, span, job.policy.group)


def awaits_phase(job: Job) -> bool:
    """True if the job is spread, and its phase is still to be chosen."""
    trigger = job.trigger
    return trigger.spread_ms is not None and trigger.phase_ms is None


def phases(series: Series, numbers: Numbers, count: int) -> Iterator[int]:
    """The phases (ms) of `count` jobs that have taken these numbers.

    The first jobs of a series are spaced evenly, and each later one gets a place in a gap: no job ever moves.
    """
    if numbers.first == 0:
        yield from even_phases(series, numbers.rank, count)
        return
    offset = _offset(numbers.rank)
    for number in range(numbers.first, numbers.first + count):
        yield round((offset + number * _STEP) % 1 * series.span_ms) % series.span_ms


def even_phases(series: Series, rank: int, count: int) -> Iterator[int]:
    """`count` phases (ms) at equal distances, beginning with the group's own."""
    begin = begin_of(series, rank)
    for number in range(count):
        yield (begin + number * series.span_ms // count) % series.span_ms


def begin_of(series: Series, rank: int) -> int:
    """The phase (ms) of the first job of a group."""
    return round(_offset(rank) * series.span_ms)


def _offset(rank: int) -> float:
    return rank * _STEP_OF_GROUPS % 1
