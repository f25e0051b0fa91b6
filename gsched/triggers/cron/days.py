"""Which days a cron schedule admits. Days are counted from 1970-01-01."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from calendar import isleap, monthrange
from collections.abc import Sequence
from datetime import date
from functools import cache, lru_cache
from itertools import islice
from typing import Final, NamedTuple

from gsched.triggers.cron.special_days import LAST
from gsched.triggers.zones import EPOCH_DAY, LAST_DAY

ALL_YEARS: Final = range(1970, 10_000)  # a range, for its hash and its look-ups take no time
ALL_WEEKS: Final = frozenset(range(1, 54))

_SATURDAY: Final = 5
_SUNDAY: Final = 6


class DayRule(NamedTuple):
    """The fields of a schedule that speak about days.

    :ivar from_end: days of the month, counted back from the last one, which is 0
    :ivar nearest: days of the month whose nearest weekday, Monday to Friday, is meant; 0, -1 ... count from its end
    :ivar places: (which one in the month, weekday), of the day's field
    :ivar weekday_places: the same, of the weekday's field
    :ivar either: True if either day or weekday is enough (crontab(5), if both are restricted)
    """

    years: Sequence[int]
    months: frozenset[int]
    days: frozenset[int]
    from_end: frozenset[int]
    nearest: frozenset[int]
    places: frozenset[tuple[int, int]]
    weeks: frozenset[int]
    weekdays: frozenset[int]
    weekday_places: frozenset[tuple[int, int]]
    either: bool

    def admits(self, day: date, month_length: int) -> bool:
        """True if `day`, of a month and year that fit, fits the other fields too."""
        by_weekday = day.weekday() in self.weekdays or _is_at_place(day, month_length, self.weekday_places)
        if not by_weekday and not self.either:
            return False
        by_day = self._admits_day(day, month_length)
        if not (by_day or (by_weekday and self.either)):
            return False
        return len(self.weeks) == 53 or day.isocalendar()[1] in self.weeks

    def _admits_day(self, day: date, month_length: int) -> bool:
        return (
            day.day in self.days
            or month_length - day.day in self.from_end
            or _is_at_place(day, month_length, self.places)
            or any(_is_nearest(day, month_length, wanted) for wanted in self.nearest)
        )


def _is_at_place(day: date, month_length: int, places: frozenset[tuple[int, int]]) -> bool:
    if not places:
        return False
    weekday = day.weekday()
    in_last_week = day.day > month_length - 7
    return ((day.day + 6) // 7, weekday) in places or (in_last_week and (LAST, weekday) in places)


def _is_nearest(day: date, month_length: int, wanted: int) -> bool:
    """True if `day` is the weekday nearest to the wanted day, in its month."""
    target = wanted if wanted > 0 else month_length + wanted
    if not 1 <= target <= month_length:
        return False
    weekday = (day.weekday() + target - day.day) % 7
    if weekday == _SATURDAY:
        return day.day == (target - 1 if target > 1 else target + 2)
    if weekday == _SUNDAY:
        return day.day == (target + 1 if target < month_length else target - 2)
    return day.day == target


class Days:
    """Finds the next day that a rule admits. What it worked out about a kind of year serves all years of that kind."""

    __slots__ = ("_by_kind", "_by_year", "_rule")

    def __init__(self, rule: DayRule) -> None:
        self._rule = rule
        self._by_kind: dict[int, Sequence[int]] = {}
        self._by_year: dict[int, Sequence[int]] = {}

    def next(self, day: int) -> int | None:
        """The first admitted day that is not before `day`, or None."""
        if day > LAST_DAY:
            return None
        year, start = _year_of(day) if day > 0 else (1970, 0)
        days = self._by_year.get(year)
        if days is None:
            days = self._by_year[year] = self._in(year) if year in self._rule.years else ()
        index = bisect_left(days, day - start)
        if index < len(days):
            return start + days[index]
        return self._first_from(bisect_right(self._rule.years, year))

    def _first_from(self, place: int) -> int | None:
        for year in islice(self._rule.years, place, None):
            if days := self._in(year):
                return _new_year(year) + days[0]
        return None

    def _in(self, year: int) -> Sequence[int]:
        kind = _kind(year)
        days = self._by_kind.get(kind)
        if days is None:
            days = self._by_kind[kind] = self._admitted(year)
        return days

    def _admitted(self, year: int) -> Sequence[int]:
        """The admitted days of `year`, counted from 1 January."""
        start = date(year, 1, 1).toordinal()
        found: list[int] = []
        for month in sorted(self._rule.months):
            length = monthrange(year, month)[1]
            dates = (date(year, month, day) for day in range(1, length + 1))
            found.extend(day.toordinal() - start for day in dates if self._rule.admits(day, length))
        return range(found[0], found[-1] + 1) if _consecutive(found) else tuple(found)


@lru_cache(maxsize=4096)
def days_of(rule: DayRule) -> Days:
    """The Days of a rule, shared by all schedules that have it."""
    return Days(rule)


def _consecutive(days: list[int]) -> bool:
    return bool(days) and days[-1] - days[0] == len(days) - 1


@lru_cache(maxsize=4096)
def _year_of(day: int) -> tuple[int, int]:
    """The year of a day, and its 1 January."""
    year = date.fromordinal(day + EPOCH_DAY).year
    return year, _new_year(year)


def _new_year(year: int) -> int:
    before = year - 1
    return before * 365 + before // 4 - before // 100 + before // 400 + 1 - EPOCH_DAY


@cache
def _kind(year: int) -> int:
    """Years of one kind have equal weekdays, lengths and ISO weeks (whose last one may belong to the year before)."""
    return date(year, 1, 1).weekday() * 4 + isleap(year) * 2 + isleap(year - 1)
