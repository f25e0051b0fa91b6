"""Local time as stretches of constant UTC offset, found once and remembered. Seconds since the epoch throughout.

A *wall* second is what a clock on the wall shows, counted as if it were UTC: wall = instant + offset.
"""

from __future__ import annotations

from datetime import date, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from gsched.times.instants import EPOCH

DAY = 86_400
EPOCH_DAY = EPOCH.toordinal()
LAST_DAY = date.max.toordinal() - EPOCH_DAY  # counted from 1970-01-01
LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z

_BLOCK_BITS = 22  # 48 days: a job that runs daily looks at one block, a cold block costs some 25 us
# Every step is one look-up; no zone has changed twice within a week since 1960.
_STEP = 2 * DAY


class Stretch(NamedTuple):
    """The instants `start` <= t < `end`, during which the UTC offset does not change."""

    start: int
    end: int
    offset: int
    before: int
    """The offset just before `start`: larger if the clock was set back there, smaller if it was set forward."""


def stretch_at(tz: tzinfo, instant: int) -> Stretch:
    """The stretch that holds `instant`. It may be cut short at either end; `before` is then equal to `offset`."""
    for stretch in _stretches(tz, instant >> _BLOCK_BITS):
        if instant < stretch.end:
            return stretch
    raise AssertionError("a block ends after each of its instants")


def instant_of(tz: tzinfo, wall: int) -> int:
    """When a clock first shows `wall`; the first instant after the gap if it never does."""
    instant = wall - DAY  # offsets are shorter than a day: the clock cannot show `wall` yet
    while True:
        stretch = stretch_at(tz, instant)
        if wall < stretch.start + stretch.offset:
            return stretch.start
        if wall < stretch.end + stretch.offset:
            return wall - stretch.offset
        instant = stretch.end


@lru_cache(maxsize=16_384)
def _stretches(tz: tzinfo, block: int) -> tuple[Stretch, ...]:
    """The stretches of one block and of the day before it, in which an hour that repeats may have begun."""
    start, end = (block << _BLOCK_BITS) - DAY, (block + 1) << _BLOCK_BITS
    edges = sorted({start, *_changes(tz, start - 1, end), end})
    stretches = []
    before = _offset(tz, start - 1)
    for first, stop in pairwise(edges):
        offset = _offset(tz, first)
        stretches.append(Stretch(first, stop, offset, before))
        before = offset
    return tuple(stretches)


def _changes(tz: tzinfo, start: int, end: int) -> list[int]:
    samples = [(instant, _offset(tz, instant)) for instant in (*range(start, end - 1, _STEP), end - 1)]
    return [
        _first_with_other_offset(tz, low, high) for (low, offset), (high, other) in pairwise(samples) if offset != other
    ]


def _first_with_other_offset(tz: tzinfo, low: int, high: int) -> int:
    offset = _offset(tz, low)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(tz, middle) == offset:
            low = middle
        else:
            high = middle
    return high


def _offset(tz: tzinfo, instant: int) -> int:
    clamped = min(max(instant, -LAST_SECOND // 5), LAST_SECOND - DAY)  # datetime ends with the year 9999
    offset = (EPOCH + timedelta(seconds=clamped)).astimezone(tz).utcoffset()
    return 0 if offset is None else offset // timedelta(seconds=1)
