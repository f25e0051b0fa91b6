"""Which seconds of a day a cron schedule admits."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from functools import lru_cache


class Times:
    """Finds the next admitted second of a day, by tables that hold the next admitted value for each value."""

    __slots__ = ("_first_in_hour", "_first_second", "_hours", "_minutes", "_seconds", "first")

    def __init__(self, hours: AbstractSet[int], minutes: AbstractSet[int], seconds: AbstractSet[int]) -> None:
        self._hours = _table(hours, 24)
        self._minutes = _table(minutes, 60)
        self._seconds = _table(seconds, 60)
        self._first_second = self._seconds[0]
        self._first_in_hour = self._minutes[0] * 60 + self._first_second
        self.first = self._hours[0] * 3600 + self._first_in_hour

    def next(self, second_of_day: int) -> int | None:
        """The first admitted second of the day that is not before `second_of_day`, or None."""
        hour, rest = divmod(second_of_day, 3600)
        if self._hours[hour] == hour:
            minute, second = divmod(rest, 60)
            if self._minutes[minute] == minute and self._seconds[second] < 60:
                return hour * 3600 + minute * 60 + self._seconds[second]
            minute = self._minutes[minute + 1]
            if minute < 60:
                return hour * 3600 + minute * 60 + self._first_second
        hour = self._hours[hour + 1]
        return hour * 3600 + self._first_in_hour if hour < 24 else None


@lru_cache(maxsize=4096)
def times_of(hours: frozenset[int], minutes: frozenset[int], seconds: frozenset[int]) -> Times:
    """The Times of three fields, shared by all schedules that have them."""
    return Times(hours, minutes, seconds)


def _table(values: AbstractSet[int], size: int) -> bytes:
    """For each value up to `size` the first of `values` that is not below it; `size` if there is none."""
    table = bytearray([size]) * (size + 1)
    for value in reversed(range(size)):
        table[value] = value if value in values else table[value + 1]
    return bytes(table)
