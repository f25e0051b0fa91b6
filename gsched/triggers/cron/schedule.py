"""A cron schedule: days, times of day and what becomes of them when clocks change."""

from __future__ import annotations

from datetime import tzinfo
from typing import Any, Protocol

from gsched.errors import InvalidTriggerError
from gsched.triggers.cron.days import Days
from gsched.triggers.cron.times import Times
from gsched.triggers.zones import DAY, LAST_SECOND, Stretch, stretch_at


class DayTimes(Protocol):
    """The admitted seconds of a day."""

    @property
    def first(self) -> int:
        """The first of them."""

    def next(self, second_of_day: int) -> int | None:
        """The first of them that is not before `second_of_day`, or None."""


class Schedule:
    """The instants of a cron schedule in a time zone.

    What a change of the clock does is decided here, after Debian's cron(8):

    - A time in the gap of a forward change runs once, at the first instant after the gap, however many such times
      there are. A schedule that admits every hour goes on as usual instead: it comes round within the hour anyway.
    - A time that a backward change repeats runs once, the first time, unless the minute or hour field begins with
      `*`: such a schedule is a matter of elapsed time and runs every time.

    :param every_hour: whether no hour is left out
    :param wildcard: whether the minute or hour field begins with `*`
    :param written: the arguments from which it was made, in canonical form
    :param resolved: the same in plain values, if an H is in it
    :param hash_key: what chose the values of H
    """

    __slots__ = ("_days", "_every_hour", "_times", "_wildcard", "hash_key", "resolved", "written")

    def __init__(
        self,
        days: Days,
        times: DayTimes,
        every_hour: bool,
        wildcard: bool,
        written: dict[str, Any],
        resolved: str | None = None,
        hash_key: str | None = None,
    ) -> None:
        self._days = days
        self._times = times
        self._every_hour = every_hour
        self._wildcard = wildcard
        self.written = written
        self.resolved = resolved
        self.hash_key = hash_key

    def next_instant(self, tz: tzinfo, instant: int) -> int | None:
        """The first instant not before `instant`, in seconds since the epoch, or None."""
        instant = max(instant, -DAY)  # the schedule begins with 1970
        begun_inside = True
        while instant <= LAST_SECOND:
            stretch = stretch_at(tz, instant)
            if instant == stretch.start and self._lost_before(stretch):
                return instant
            wall = self.next_wall(self._first_wall(stretch, instant))
            if wall is not None and wall < stretch.end + stretch.offset:
                found = wall - stretch.offset
                return found if found <= LAST_SECOND else None  # west of UTC the last day ends in the year 10000
            # The stretch where the search began may end in an hour that repeats; from its end on, no wall-clock time
            # before the one found is due, however many stretches lie between.
            if not begun_inside and wall is None:
                return None
            instant = stretch.end if begun_inside or wall is None else max(stretch.end, wall - DAY)
            begun_inside = False
        return None

    def next_wall(self, wall: int) -> int | None:
        """The first wall-clock second not before `wall`, whether or not a clock shows it, or None."""
        day, second = divmod(wall, DAY)
        found = self._days.next(day)
        if found == day:
            time = self._times.next(second)
            if time is not None:
                return day * DAY + time
            found = self._days.next(day + 1)
        return None if found is None else found * DAY + self._times.first

    def _first_wall(self, stretch: Stretch, instant: int) -> int:
        wall = instant + stretch.offset
        return wall if self._wildcard else max(wall, stretch.start + stretch.before)

    def _lost_before(self, stretch: Stretch) -> bool:
        """True if a time of this schedule fell into the gap that ends where `stretch` starts."""
        if self._every_hour or stretch.before >= stretch.offset:
            return False
        wall = self.next_wall(stretch.start + stretch.before)
        return wall is not None and wall < stretch.start + stretch.offset


class KeylessSchedule(Schedule):
    """A schedule whose H has no value yet, because its job is not known."""

    __slots__ = ()

    def next_instant(self, tz: tzinfo, instant: int) -> int | None:
        """Raises InvalidTriggerError."""
        raise InvalidTriggerError(
            "cron trigger: H gets its value when a job with this trigger is added; to ask the trigger itself, give it "
            "hash_key=, a text such as the job's id"
        )


def make_schedule(
    days: Days,
    times: Times,
    *,
    every_hour: bool,
    wildcard: bool,
    written: dict[str, Any],
    resolved: str | None,
    hash_key: str | None,
) -> Schedule:
    """The schedule of parsed fields. Raises InvalidTriggerError for a key without an H."""
    if resolved is None and hash_key is not None:
        raise InvalidTriggerError(f"cron trigger: hash_key {hash_key!r}: no field has an H; leave the key out")
    if resolved is None:
        return Schedule(days, times, every_hour, wildcard, written)
    if hash_key is None:
        return KeylessSchedule(days, times, every_hour, wildcard, written)
    return Schedule(days, times, every_hour, wildcard, written, resolved, hash_key)
