"""At equal distances in elapsed time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from gsched.errors import InvalidTriggerError
from gsched.times.durations import exact_duration
from gsched.times.instants import MAX_MS, from_ms
from gsched.triggers.arguments import Date, Zone, drop_unset, instant_ms, number, seconds as as_seconds
from gsched.triggers.bounded import BoundedTrigger
from gsched.triggers.window import DailyWindow

_UNITS = {"weeks": 604_800_000, "days": 86_400_000, "hours": 3_600_000, "minutes": 60_000, "seconds": 1000}
_LONGEST_MS = 1000 * 86_400 * 365_250  # a thousand years: datetimes end with the year 9999


class IntervalTrigger(BoundedTrigger):
    """Due every so often, by elapsed time: time zone changes do not move it.

    Its phase comes from `anchor`, else from `start_date`, else from the epoch: one of these three is an instant at
    which it would be due, so that restarts and late runs never shift it.

    With `between` or weekdays it goes by the clock on the wall instead: it is counted anew from the start of each day's
    window, both of whose ends may be due. When clocks change, the rules are those of cron: a time in a gap is due once,
    right after the gap; a time that comes twice is due both times if the interval is at most an hour, else the first
    time only.

    :param weeks, days, hours, minutes, seconds: the distance, their sum; whole or fractional, from 1 ms
    :param days: as text, the weekdays on which it is due: "mon-fri", "sat,sun"
    :param between: the window of each day: "09:00-17:00"; "22:00-06:00" ends on the next day, and belongs to the day on
        which it begins. The distance is then whole seconds, at most a day
    :param start_date: no instant before this one (inclusive)
    :param end_date: no instant after this one (inclusive); a date is its midnight: "2026-12-31" leaves out the 31st but
        for 00:00, "2026-12-31 23:59:59" has all of it
    :param timezone: IANA name or tzinfo for naive dates and for display; default: that of an aware date, else
        that of the scheduler which the job is added to (until then, this machine's)
    :param jitter: longest delay of a run, seconds
    :param anchor: an instant that sets the phase without being a bound
    :param spread: the scheduler chooses the phase when the job is added: jobs with one distance are spread over it
    :raises InvalidTriggerError: for a distance below 1 ms, a negative or non-numeric part, a date that is none, a
        window that is none, an anchor beside a window, and a start date or a window beside spread
    """

    __slots__ = ("_anchor", "_first", "_last", "_period", "_phase", "_window", "is_spread")

    alias = "interval"
    _period: int
    _phase: int
    _first: int
    _last: int
    _anchor: int | None
    _window: DailyWindow | None
    is_spread: bool

    def __init__(
        self,
        weeks: float = 0,
        days: float | str = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        start_date: Date = None,
        end_date: Date = None,
        timezone: Zone = None,
        jitter: float | None = None,
        anchor: Date = None,
        between: str | None = None,
        spread: bool = False,
    ) -> None:
        self._bound(start_date, end_date, timezone, jitter)
        weekdays, days = (days, 0) if isinstance(days, str) else (None, days)
        self._period = _period_ms(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
        self._anchor = instant_ms(self.alias, "anchor", anchor, self.timezone)
        self._window = self._make_window(between, weekdays)
        self.is_spread = self._checked_spread(spread)
        self._phase, self._first, self._last = self._phase_and_bounds()

    def _make_window(self, between: str | None, weekdays: str | None) -> DailyWindow | None:
        if between is None and weekdays is None:
            return None
        if self._anchor is not None:
            raise InvalidTriggerError(
                "interval trigger: anchor: leave it out beside between or weekdays, for the window's start is the phase"
            )
        return DailyWindow(self._period, between, weekdays)

    def _checked_spread(self, spread: object) -> bool:
        if not isinstance(spread, bool):
            raise InvalidTriggerError(
                f"interval trigger: spread {spread!r}: an interval is spread over its own length; write spread=True"
            )
        if spread and self._start is not None:
            raise InvalidTriggerError(
                "interval trigger: spread: start_date sets the phase already; leave out one of them"
            )
        if spread and self._window is not None:
            raise InvalidTriggerError(
                "interval trigger: spread: the window's start is the phase already; as an option of the job,"
                " spread='5m' delays all of it"
            )
        return spread

    @property
    def spread_ms(self) -> int | None:  # type: ignore[override]
        """The distance, if jobs are spread over it."""
        return self._period if self.is_spread else None

    @property
    def phase_ms(self) -> int | None:  # type: ignore[override]
        """Its phase, counted from the epoch, if it is set."""
        return None if self._anchor is None else self._anchor % self._period

    @property
    def moments(self) -> tuple[int, int]:
        """The distance and the phase (ms). Intervals for which both are equal are due at the same moments."""
        return self._period, self._phase % self._period

    @property
    def has_free_phase(self) -> bool:
        """True if the scheduler may choose its phase: neither a start date nor a window sets it."""
        return self._start is None and self._window is None

    def with_phase(self, phase_ms: int) -> IntervalTrigger:
        """Spread, with this phase."""
        return self._evolved(_anchor=phase_ms, is_spread=True)

    def with_spread(self, spread: bool) -> IntervalTrigger:
        """Spread, with a phase that is still to be chosen; or not spread, with the phase that it has."""
        return self._evolved(**({"_anchor": None} if self._checked_spread(spread) else {}), is_spread=spread)

    def _phase_and_bounds(self) -> tuple[int, int, int]:
        start, anchor = self._start, self._anchor
        phase = anchor if anchor is not None else start or 0
        if start is None:
            first = -MAX_MS
        else:  # the same number, not an equal one: there may be many triggers
            first = start if anchor is None else start + (anchor - start) % self._period
        return phase, first, MAX_MS if self._end is None else self._end

    @property
    def between(self) -> str | None:
        """The window of each day."""
        return None if self._window is None else self._window.between

    @property
    def days(self) -> str | None:
        """The weekdays on which it is due, or on which its window begins; None if that is each day."""
        return None if self._window is None else self._window.days

    @property
    def by_elapsed_time(self) -> bool:  # type: ignore[override]
        """False if it has a window, for then it goes by the clock."""
        return self._window is None

    @property
    def interval(self) -> timedelta:
        """The distance."""
        return timedelta(milliseconds=self._period)

    @property
    def interval_length(self) -> int | float:
        """The distance in seconds."""
        return as_seconds(self._period)

    def next_ms(self, after: int) -> int | None:
        """The first instant strictly after `after`, both in milliseconds since the epoch, or None."""
        if self._window is not None:
            return self._next_in_window(self._window, after)
        if after < self._first:
            due = self._first
        else:
            due = after + self._period - (after - self._phase) % self._period
        return due if due <= self._last else None

    def _next_in_window(self, window: DailyWindow, after: int) -> int | None:
        if self._start is not None and after < self._start:
            after = self._start - 1
        found = window.next_instant(self.timezone, after // 1000 + 1)
        return None if found is None or found * 1000 > self._last else found * 1000

    def last_ms(self, first: int, until: int) -> int:
        """The last instant not after `until`; `first` when there is none after that."""
        if self._window is not None:
            return super().last_ms(first, until)
        until = min(until, self._last)
        due = until - (until - self._phase) % self._period
        return due if due > first and due >= self._first else first

    def anchored(self, at: int) -> IntervalTrigger:
        """With its phase set so that `at` (ms) is due; the bounds stay. Itself if its phase is that of a window."""
        return self if self._window is not None else self._evolved(_anchor=at)

    def _evolved(self, **changes: Any) -> IntervalTrigger:
        changed = super()._evolved(**changes)
        assert isinstance(changed, IntervalTrigger)
        phase, first, last = changed._phase_and_bounds()
        for name, value in (("_phase", phase), ("_first", first), ("_last", last)):
            object.__setattr__(changed, name, value)
        return changed

    def begun(self, at: int) -> tuple[IntervalTrigger, int | None]:
        """Without a start date and an anchor the first instant comes one interval after `at`, as in APScheduler.

        In a window, the first instant is that of the clock. A phase that is to be spread stays open.
        """
        if self.has_free_phase and self._anchor is None and not self.is_spread:
            trigger = self.anchored(at)
            return trigger, trigger.next_ms(at)
        return self, self.next_ms(at - 1)

    def to_fields(self) -> dict[str, Any]:
        """The distance as seconds, and what else was given."""
        anchor = None if self._anchor is None else from_ms(self._anchor)
        phase = drop_unset({"spread": self.is_spread, "anchor": anchor})
        return {"seconds": as_seconds(self._period), **self._window_fields(), **self._bound_fields(), **phase}

    def _window_fields(self) -> dict[str, Any]:
        return drop_unset({"between": self.between, "days": self.days})

    def __hash__(self) -> int:
        # `str` leaves the phase out, and jobs that are spread differ in nothing else.
        return hash((type(self), str(self), self._anchor))

    def in_words(self) -> str:
        """ "every 15 s", with its window, its jitter and its end."""
        window = list(self._window_fields().values())
        spread = ["spread"] if self.is_spread else []
        return ", ".join([f"every {exact_duration(self._period)}", *window, *spread, *self._bounds_in_words()])

    def __str__(self) -> str:
        return f"interval[{', '.join([str(self.interval), *self._window_options(), *self._spread_option()])}]"

    def _options(self) -> list[str]:
        written = f"interval={self.interval!r}"
        return [written, *self._window_options(), *self._spread_option(), *self._bound_options()]

    def _spread_option(self) -> list[str]:
        return ["spread=True"] if self.is_spread else []

    def _window_options(self) -> list[str]:
        return [f"{name}={text!r}" for name, text in self._window_fields().items()]


def _period_ms(**parts: float) -> int:
    total = round(sum(number("interval", unit, value) * _UNITS[unit] for unit, value in parts.items()))
    if total < 1:
        given = ", ".join(f"{unit}={value!r}" for unit, value in parts.items() if value) or "nothing given"
        raise InvalidTriggerError(
            f"interval trigger: the interval must be at least 1 ms ({given}); use weeks, days, hours, minutes, seconds"
        )
    if total > _LONGEST_MS:
        given = ", ".join(f"{unit}={value!r}" for unit, value in parts.items() if value)
        raise InvalidTriggerError(f"interval trigger: {given}: the interval is longer than 1,000 years")
    return total
