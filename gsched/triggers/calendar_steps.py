"""Dates a number of months and days apart. Days are counted from 1970-01-01."""

from __future__ import annotations

from bisect import bisect_left
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple

from gsched.triggers.zones import EPOCH_DAY, LAST_DAY

_LAST_MONTH: Final = 9999 * 12 + 11


class Steps(NamedTuple):
    """The dates that one reaches from `start` by adding `months` (until the date exists), then `days`, and so on."""

    start: int
    months: int
    days: int

    def next(self, day: int) -> int | None:
        """The first of these dates that is not before `day`, or None if it would be beyond the year 9999."""
        if day <= self.start:
            return self.start
        if not self.months:
            found = self.start - (self.start - day) // self.days * self.days
        elif not self.days:
            return self._next_by_months(day)
        else:
            return _walk(self).next(day)
        return found if found <= LAST_DAY else None

    def _next_by_months(self, day: int) -> int | None:
        start, target = date.fromordinal(self.start + EPOCH_DAY), date.fromordinal(min(day, LAST_DAY) + EPOCH_DAY)
        first = start.year * 12 + start.month - 1
        gone = target.year * 12 + target.month - 1 - first
        for month in range(first + gone // self.months * self.months, _LAST_MONTH + 1, self.months):
            found = _day_of(month, start.day)
            if found is not None and found >= day:
                return found
        return None


class _Walk:
    """The dates of steps by months *and* days, which no formula gives: walked once, then searched."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._found = [steps.start]

    def next(self, day: int) -> int | None:
        while self._found[-1] < day:
            following = self._following(self._found[-1])
            if following is None:
                return None
            self._found.append(following)
        return self._found[bisect_left(self._found, day)]

    def _following(self, day: int) -> int | None:
        last = date.fromordinal(day + EPOCH_DAY)
        first = last.year * 12 + last.month - 1 + self._steps.months
        for month in range(first, _LAST_MONTH + 1, self._steps.months):
            found = _day_of(month, last.day)
            if found is not None:
                return found + self._steps.days if found + self._steps.days <= LAST_DAY else None
        return None


@lru_cache(maxsize=1024)
def _walk(steps: Steps) -> _Walk:
    return _Walk(steps)


def _day_of(month: int, day: int) -> int | None:
    try:
        return date(month // 12, month % 12 + 1, day).toordinal() - EPOCH_DAY
    except ValueError:
        return None
