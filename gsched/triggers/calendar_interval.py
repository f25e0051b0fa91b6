"""Every so many days, weeks, months or years, at one time of day."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from gsched.errors import InvalidTriggerError
from gsched.times.instants import MAX_MS, timezone_name
from gsched.triggers.arguments import Date, Zone, drop_unset, instant_ms, jitter_ms, seconds, wall_times, whole, zone
from gsched.triggers.base import FrozenTrigger
from gsched.triggers.calendar_steps import Steps
from gsched.triggers.zones import DAY, EPOCH_DAY, LAST_DAY, instant_of, stretch_at

_LONGEST = 10_000 * 366  # more than there are days in a datetime's range


class CalendarIntervalTrigger(FrozenTrigger):
    """Due at one time of day, every so many calendar days, counted from its start date.

    From one date to the next, years and months are added first while the day of the month stays; dates that do not
    exist (31 April, 29 February) are passed over by adding again. Then weeks and days are added. So a monthly trigger
    that starts on the 31st runs in seven months of a year, as in APScheduler. A time that does not exist on its day
    runs once, at the first instant after the gap; one that exists twice runs the first time.

    :param years, months, weeks, days: the distance, whole numbers; at least one day together
    :param hour, minute, second: the time of day
    :param start_date: the first date (inclusive): date, datetime or ISO text; without one the phase is that of `anchor`
        or else of 1970-01-01
    :param end_date: the last date (inclusive)
    :param timezone: IANA name or tzinfo; default: that of an aware date, else that of the scheduler which the job
        is added to (until then, this machine's)
    :param jitter: longest delay of a run, seconds
    :param anchor: a date that sets the phase in place of `start_date`, which stays a bound; nothing is due before it
    :raises InvalidTriggerError: for a distance of nothing and arguments out of range
    """

    __slots__ = ("_anchor", "_distance", "_end", "_start", "_steps", "_time", "_wall", "jitter_ms", "timezone")

    alias = "calendarinterval"
    _distance: tuple[int, ...]
    _time: tuple[int, ...]
    _start: int | None
    _end: int | None
    _anchor: int | None
    _steps: Steps

    def __init__(
        self,
        years: int = 0,
        months: int = 0,
        weeks: int = 0,
        days: int = 0,
        hour: int = 0,
        minute: int = 0,
        second: int = 0,
        start_date: Date = None,
        end_date: Date = None,
        timezone: Zone = None,
        jitter: float | None = None,
        anchor: Date = None,
    ) -> None:
        self.timezone = zone(self.alias, timezone, (start_date, end_date))
        self._wall = None if wall_times(timezone, start=start_date, end=end_date) is None else ()  # days are days
        self.jitter_ms = jitter_ms(self.alias, jitter)
        parts = {"years": years, "months": months, "weeks": weeks, "days": days}
        self._distance = tuple(whole(self.alias, unit, value, _LONGEST) for unit, value in parts.items())
        if not any(self._distance):
            raise InvalidTriggerError("calendarinterval trigger: give years, months, weeks or days of at least one day")
        clock = (("hour", hour, 23), ("minute", minute, 59), ("second", second, 59))
        self._time = tuple(whole(self.alias, name, value, highest) for name, value, highest in clock)
        self._start = self._day("start_date", start_date)
        self._end = self._day("end_date", end_date)
        self._anchor = self._day("anchor", anchor)
        if self._start is not None and self._end is not None and self._end < self._start:
            raise InvalidTriggerError(
                f"calendarinterval trigger: end_date {end_date} is before start_date {start_date}"
            )
        self._steps = self._make_steps()

    def _day(self, what: str, value: Date) -> int | None:
        if isinstance(value, date) and not isinstance(value, datetime):
            return value.toordinal() - EPOCH_DAY
        ms = instant_ms(self.alias, what, value, self.timezone)
        return None if ms is None else self._local_day(ms)

    def _local_day(self, ms: int) -> int:
        instant = ms // 1000
        return (instant + stretch_at(self.timezone, instant).offset) // DAY

    def _make_steps(self) -> Steps:
        years, months, weeks, days = self._distance
        phase = self._anchor if self._anchor is not None else self._start or 0
        return Steps(phase, years * 12 + months, weeks * 7 + days)

    @property
    def start_date(self) -> date | None:
        """The first date, inclusive."""
        return None if self._start is None else date.fromordinal(self._start + EPOCH_DAY)

    @property
    def end_date(self) -> date | None:
        """The last date, inclusive."""
        return None if self._end is None else date.fromordinal(self._end + EPOCH_DAY)

    @property
    def jitter(self) -> int | float | None:
        """The longest delay, in seconds."""
        return seconds(self.jitter_ms) or None

    years = property(lambda self: self._distance[0], doc="Years from one date to the next.")
    months = property(lambda self: self._distance[1], doc="Months from one date to the next.")
    weeks = property(lambda self: self._distance[2], doc="Weeks from one date to the next.")
    days = property(lambda self: self._distance[3], doc="Days from one date to the next.")

    def next_ms(self, after: int) -> int | None:
        """The first instant strictly after `after`, both in milliseconds since the epoch, or None."""
        # What is due on an earlier day is past, however clocks changed: the clock has shown a later day since.
        day = self._steps.next(max(self._local_day(after), self._start or 0))
        while day is not None and day <= (LAST_DAY if self._end is None else self._end):
            due = self._due_on(day)
            if due > after:
                return due if due <= MAX_MS else None  # west of UTC the last day ends in the year 10000
            day = self._steps.next(day + 1)
        return None

    def _due_on(self, day: int) -> int:
        hour, minute, second = self._time
        return instant_of(self.timezone, day * DAY + hour * 3600 + minute * 60 + second) * 1000

    def anchored(self, at: int) -> CalendarIntervalTrigger:
        """With its phase set so that the day of `at` (ms) is due; the bounds stay."""
        day = date.fromordinal(self._local_day(at) + EPOCH_DAY)
        return type(self)(**{**self.to_fields(), "anchor": day, "timezone": self.timezone})

    def begun(self, at: int) -> tuple[CalendarIntervalTrigger, int | None]:
        """Without a start date and an anchor the dates are counted from the day of `at`."""
        trigger = self.anchored(at) if self._start is None and self._anchor is None else self
        return trigger, trigger.next_ms(at - 1)

    def to_fields(self) -> dict[str, Any]:
        """The arguments that were given; dates as ISO text."""
        names = ("years", "months", "weeks", "days", "hour", "minute", "second")
        numbers = dict(zip(names, (*self._distance, *self._time)))
        dates = {"start_date": self._start, "end_date": self._end, "anchor": self._anchor}
        written = {name: _iso(day) for name, day in dates.items() if day is not None}
        return {**drop_unset({**numbers, "jitter": self.jitter}), **written, "timezone": timezone_name(self.timezone)}

    def in_words(self) -> str:
        """ "every 2 months at 04:00:00, Europe/Berlin"."""
        units = zip(("years", "months", "weeks", "days"), self._distance)
        distance = " ".join(f"{value} {unit}" for unit, value in units if value)
        hour, minute, second = self._time
        zone = timezone_name(self.timezone)
        every = f"every {distance} at {hour:02}:{minute:02}:{second:02}"
        return ", ".join([every, *([] if zone == "UTC" else [zone])])

    def __str__(self) -> str:
        return f"calendarinterval[{', '.join(self._distance_options())}]"

    def _options(self) -> list[str]:
        dates = {"start_date": self._start, "end_date": self._end}
        bounds = [f"{name}='{_iso(day)}'" for name, day in dates.items() if day is not None]
        jitter = [f"jitter={self.jitter}"] if self.jitter_ms else []
        return [*self._distance_options(), *bounds, *jitter, f"timezone='{timezone_name(self.timezone)}'"]

    def _distance_options(self) -> list[str]:
        distance = zip(("years", "months", "weeks", "days"), self._distance)
        hour, minute, second = self._time
        return [*(f"{unit}={value}" for unit, value in distance if value), f"time='{hour:02}:{minute:02}:{second:02}'"]


def _iso(day: int) -> str:
    return date.fromordinal(day + EPOCH_DAY).isoformat()
