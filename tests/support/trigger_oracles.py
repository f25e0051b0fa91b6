"""Slow and obvious answers to compare the triggers with: they try every minute."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from gsched.times.instants import from_ms, to_ms

MINUTE = timedelta(minutes=1)


def instants(trigger, start, end):
    """All instants of `trigger` with start < t <= end."""
    found, at = [], to_ms(start)
    while True:
        at = trigger.next_ms(at)
        if at is None or at > to_ms(end):
            return found
        found.append(from_ms(at))


def wall_times(trigger, start, count):
    """The next `count` times of `trigger` after the wall-clock text `start`, as wall-clock text with offset."""
    at = to_ms(datetime.fromisoformat(start).replace(tzinfo=trigger.timezone))
    found = []
    while len(found) < count and (at := trigger.next_ms(at)) is not None:
        found.append(from_ms(at, trigger.timezone).strftime("%Y-%m-%d %H:%M:%S %z"))
    return found


@dataclass
class Spec:
    """Sets of admitted values; None admits all. `wildcard` is what the text says about minute and hour."""

    months: set[int] | None = None
    days: set[int] | None = None
    weekdays: set[int] | None = None
    hours: set[int] | None = None
    minutes: set[int] | None = None
    either: bool = False
    wildcard: bool = True
    text: dict = field(default_factory=dict)

    def admits(self, wall: datetime) -> bool:
        return (
            (self.minutes is None or wall.minute in self.minutes)
            and (self.hours is None or wall.hour in self.hours)
            and (self.months is None or wall.month in self.months)
            and self._admits_day(wall)
        )

    def _admits_day(self, wall: datetime) -> bool:
        day = self.days is None or wall.day in self.days
        weekday = self.weekdays is None or wall.weekday() in self.weekdays
        return day or weekday if self.either else day and weekday

    @property
    def every_hour(self) -> bool:
        return self.hours is None or len(self.hours) == 24


def minutes_between(start: datetime, end: datetime, zone: ZoneInfo) -> list[tuple[datetime, datetime]]:
    """(instant, wall-clock time) of all minutes with start < t <= end."""
    first = start.replace(second=0, microsecond=0) + MINUTE
    return [(t, t.astimezone(zone)) for t in (first + MINUTE * n for n in range(int((end - first) / MINUTE) + 1))]


def brute_force(spec: Spec, minutes: list[tuple[datetime, datetime]]) -> list[datetime]:
    """The instants among `minutes` at which `spec` is due, by its rules for clock changes."""
    found, before = [], None
    for instant, wall in minutes:
        offset = wall.utcoffset()
        if spec.admits(wall) and (spec.wildcard or not wall.fold):
            found.append(instant)
        elif before is not None and offset > before and not spec.every_hour:
            shown = wall.replace(tzinfo=None)
            missing = (shown - MINUTE * n for n in range(1, int((offset - before) / MINUTE) + 1))
            if any(spec.admits(time) for time in missing):
                found.append(instant)
        before = offset
    return found


@lru_cache
def zones_with_transitions(first_year: int = 2026, last_year: int = 2027) -> list[tuple[str, list[datetime]]]:
    """One zone for each different table of clock changes in these years, with the hours before which they happened."""
    start = datetime(first_year, 1, 1, tzinfo=UTC)
    dates = [start + timedelta(days=n) for n in range((datetime(last_year + 1, 1, 1, tzinfo=UTC) - start).days)]
    tables = {}
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        days = [date.astimezone(zone).utcoffset() for date in dates]
        if days.count(days[0]) == len(days):
            continue
        changed = tuple(n for n in range(1, len(days)) if days[n] != days[n - 1])
        tables.setdefault((changed, tuple(days[n] for n in changed), days[0]), name)
    return [(name, [start + timedelta(days=n) for n in changed]) for (changed, _, _), name in tables.items()]


def days_in_month(day: datetime) -> int:
    return monthrange(day.year, day.month)[1]


def special_days(text: str, year: int, month: int) -> set[int]:
    """The days of a month that an expression with L, W or # admits: found among all days, by their weekdays.

    :param text: weekdays by their names
    """
    weekdays = {day: ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[date(year, month, day).weekday()]
                for day in range(1, monthrange(year, month)[1] + 1)}  # fmt: skip
    if "#" in text or text[:3] in weekdays.values():
        fitting = [day for day in weekdays if weekdays[day] == text[:3]]
        place = -1 if text.endswith("L") else int(text[4:]) - 1
        return set(fitting[place : place + 1 or None])
    wanted = text.removesuffix("W")
    target = max(weekdays) - int(wanted[2:] or 0) if wanted[0] == "L" else int(wanted)
    if target not in weekdays or wanted == text:
        return {target} & weekdays.keys()
    working = [day for day in weekdays if weekdays[day] not in ("sat", "sun")]
    return {min(working, key=lambda day: abs(day - target))}
