"""An interval inside a window of each day, counted anew from the window's start."""

from __future__ import annotations

import re
from datetime import tzinfo
from functools import lru_cache
from typing import Final, NamedTuple

from gsched.errors import InvalidTriggerError
from gsched.triggers.cron.days import ALL_WEEKS, ALL_YEARS, DayRule, days_of
from gsched.triggers.cron.fields import WEEKDAYS
from gsched.triggers.cron.schedule import Schedule
from gsched.triggers.zones import DAY

_HOUR: Final = 3600
_BETWEEN = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))? *- *([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")
_EVERY_DAY: Final = frozenset(range(7))


class DailyWindow:
    """The instants of an interval inside a window of each day, by the clock on the wall.

    What clock changes do is the rule of cron: a time in a gap is due once, right after the gap; a time that comes twice
    is due both times if the interval is at most an hour, else the first time only.

    :ivar between: the window, "09:00-17:00"; None is the whole day
    :ivar days: the weekdays on which it begins, "mon-fri"; None is each day
    :raises InvalidTriggerError: naming what is wrong
    """

    __slots__ = ("_schedules", "between", "days")

    between: str | None
    days: str | None

    def __init__(self, period_ms: int, between: str | None, days: str | None) -> None:
        start, end, self.between = (0, DAY - 1, None) if between is None else _span(between)
        weekdays, self.days = (_EVERY_DAY, None) if days is None else _weekdays(days)
        self._schedules = _schedules(_whole_seconds(period_ms), start, end, weekdays)

    def next_instant(self, tz: tzinfo, instant: int) -> int | None:
        """The first instant not before `instant`, in seconds since the epoch, or None."""
        found = (schedule.next_instant(tz, instant) for schedule in self._schedules)
        return min((each for each in found if each is not None), default=None)


class SteppedTimes(NamedTuple):
    """The seconds of a day from `first` to `last`, `step` apart."""

    first: int
    last: int
    step: int

    def next(self, second_of_day: int) -> int | None:
        """The first of these seconds that is not before `second_of_day`, or None."""
        if second_of_day <= self.first:
            return self.first
        found = second_of_day + (self.first - second_of_day) % self.step
        return found if found <= self.last else None


@lru_cache(maxsize=4096)
def _schedules(period: int, start: int, end: int, weekdays: frozenset[int]) -> tuple[Schedule, ...]:
    """One schedule for the window's part up to midnight, and one for its part after midnight, if there are such."""
    end = end if end >= start else end + DAY
    parts = [(SteppedTimes(start, min(end, DAY - 1), period), weekdays)]
    after_midnight = start + -(-(DAY - start) // period) * period
    if after_midnight <= end:
        days = frozenset((day + 1) % 7 for day in weekdays)
        parts.append((SteppedTimes(after_midnight - DAY, end - DAY, period), days))
    every_hour = all(any(_is_in_hour(times, hour) for times, _ in parts) for hour in range(24))
    return tuple(
        Schedule(days_of(_rule(days)), times, every_hour=every_hour, wildcard=period <= _HOUR, written={})
        for times, days in parts
    )


def _is_in_hour(times: SteppedTimes, hour: int) -> bool:
    found = times.next(hour * _HOUR)
    return found is not None and found < (hour + 1) * _HOUR


def _rule(weekdays: frozenset[int]) -> DayRule:
    return DayRule(
        years=ALL_YEARS,
        months=frozenset(range(1, 13)),
        days=frozenset(range(1, 32)),
        from_end=frozenset(),
        nearest=frozenset(),
        places=frozenset(),
        weeks=ALL_WEEKS,
        weekdays=weekdays,
        weekday_places=frozenset(),
        either=False,
    )


def _whole_seconds(period_ms: int) -> int:
    if period_ms % 1000:
        raise InvalidTriggerError(
            f"interval trigger: between, days: an interval of {period_ms / 1000} s: expected whole seconds"
        )
    if period_ms > DAY * 1000:
        raise InvalidTriggerError(
            "interval trigger: between, days: the interval is longer than a day, and would be counted anew each day; "
            "use a calendarinterval trigger"
        )
    return period_ms // 1000


def _span(text: object) -> tuple[int, int, str]:
    """Start and end in seconds of the day, and the text in canonical form."""
    match = _BETWEEN.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise InvalidTriggerError(f"interval trigger: between {text!r}: expected two times of day: '09:00-17:00'")
    numbers = [int(number or 0) for number in match.groups()]
    ends = [numbers[:3], numbers[3:]]
    for hour, minute, second in ends:
        if hour > 23 or minute > 59 or second > 59:
            raise InvalidTriggerError(f"interval trigger: between {text!r}: times of day are from 00:00 to 23:59:59")
    start, end = (hour * _HOUR + minute * 60 + second for hour, minute, second in ends)
    if start == end:
        raise InvalidTriggerError(
            f"interval trigger: between {text!r}: it begins when it ends; for the whole day leave it out, for one time "
            "of day use a cron trigger"
        )
    return start, end, "-".join(map(_written, (start, end)))


def _written(second: int) -> str:
    text = f"{second // _HOUR:02}:{second % _HOUR // 60:02}"
    return f"{text}:{second % 60:02}" if second % 60 else text


def _weekdays(text: str) -> tuple[frozenset[int], str]:
    """The weekdays as numbers, 0 is Monday, and the text in canonical form."""
    found: set[int] = set()
    parts = [part.strip().lower() for part in text.split(",")]
    for part in parts:
        first, dash, last = part.partition("-")
        if not {first, last if dash else first} <= set(WEEKDAYS):
            raise InvalidTriggerError(
                f"interval trigger: days {text!r}: {part!r} is not understood; a text is a list of weekdays by name, "
                "'mon-fri' or 'sat,sun', and a number is how many days the interval has"
            )
        low, high = WEEKDAYS.index(first), WEEKDAYS.index(last if dash else first)
        found.update((low + each) % 7 for each in range((high - low) % 7 + 1))
    return frozenset(found), ",".join(parts)
