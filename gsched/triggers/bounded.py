"""What interval and cron share: inclusive start and end instants, a time zone, jitter."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gsched.errors import InvalidTriggerError
from gsched.times.durations import exact_duration
from gsched.times.instants import from_ms, timezone_name
from gsched.triggers.arguments import Date, Zone, drop_unset, instant_ms, jitter_ms, seconds, shown, wall_times, zone
from gsched.triggers.base import FrozenTrigger


class BoundedTrigger(FrozenTrigger):
    """A trigger between two instants, both inclusive and both optional."""

    __slots__ = ("_end", "_start", "_wall", "jitter_ms", "timezone")

    _start: int | None
    _end: int | None

    def _bound(self, start_date: Date, end_date: Date, timezone: Zone, jitter: float | None) -> None:
        tz = zone(self.alias, timezone, (start_date, end_date))
        start = instant_ms(self.alias, "start_date", start_date, tz)
        end = instant_ms(self.alias, "end_date", end_date, tz)
        if start is not None and end is not None and end < start:
            raise InvalidTriggerError(
                f"{self.alias} trigger: end_date {shown(end, tz)} is before start_date {shown(start, tz)}"
            )
        self.timezone, self._start, self._end = tz, start, end
        self._wall = wall_times(timezone, _start=start_date, _end=end_date)
        self.jitter_ms = jitter_ms(self.alias, jitter)

    @property
    def start_date(self) -> datetime | None:
        """The earliest instant, inclusive."""
        return None if self._start is None else from_ms(self._start, self.timezone)

    @property
    def end_date(self) -> datetime | None:
        """The latest instant, inclusive."""
        return None if self._end is None else from_ms(self._end, self.timezone)

    @property
    def jitter(self) -> int | float | None:
        """The longest delay, in seconds."""
        return seconds(self.jitter_ms) or None

    def _bound_fields(self) -> dict[str, Any]:
        bounds = drop_unset(
            {
                # In UTC: two instants of a repeated hour compare as equal when they share a zone.
                "start_date": None if self._start is None else from_ms(self._start),
                "end_date": None if self._end is None else from_ms(self._end),
                "jitter": self.jitter,
            }
        )
        return {**bounds, "timezone": timezone_name(self.timezone)}

    def _bounds_in_words(self) -> list[str]:
        jitter = [f"jitter {exact_duration(self.jitter_ms)}"] if self.jitter_ms else []
        end = [] if self.end_date is None else [f"until {self.end_date:%Y-%m-%d %H:%M}"]
        return [*jitter, *end]

    def _bound_options(self) -> list[str]:
        options = []
        if self._start is not None:
            options.append(f"start_date={shown(self._start, self.timezone)!r}")
        if self._end is not None:
            options.append(f"end_date={shown(self._end, self.timezone)!r}")
        if self.jitter_ms:
            options.append(f"jitter={self.jitter}")
        return [*options, f"timezone='{timezone_name(self.timezone)}'"]
