"""Once, at one instant."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gsched.times.instants import from_ms, timezone_name
from gsched.triggers.arguments import Date, Zone, drop_unset, instant_ms, shown, wall_times, zone
from gsched.triggers.base import FrozenTrigger


class DateTrigger(FrozenTrigger):
    """Due once, at `run_date`.

    Without a run date it means "as soon as it is added": it is not due at all until `anchored` gives it an instant.

    :param run_date: datetime (naive: wall-clock time in `timezone`), date (its midnight), ISO text or seconds since
        the epoch
    :param timezone: IANA name or tzinfo; default: that of an aware run date, else that of the scheduler which the
        job is added to (until then, this machine's)
    :param anchor: an instant that counts in place of the run date: the scheduler's when there is none, or one that the
        user has moved it to
    :raises InvalidTriggerError: for anything else
    """

    __slots__ = ("_anchor", "_run", "_wall", "timezone")

    alias = "date"
    _run: int | None
    _anchor: int | None

    def __init__(self, run_date: Date = None, timezone: Zone = None, anchor: Date = None) -> None:
        self.timezone = zone(self.alias, timezone, (run_date,))
        self._run = instant_ms(self.alias, "run_date", run_date, self.timezone)
        self._wall = wall_times(timezone, _run=run_date)
        self._anchor = instant_ms(self.alias, "anchor", anchor, self.timezone)

    @property
    def run_date(self) -> datetime | None:
        """When it is due, if that is known yet."""
        return None if self._due is None else from_ms(self._due, self.timezone)

    @property
    def _due(self) -> int | None:
        return self._run if self._anchor is None else self._anchor

    def next_ms(self, after: int) -> int | None:
        """The run date if it comes after `after`, else None."""
        due = self._due
        return due if due is not None and due > after else None

    def anchored(self, at: int) -> DateTrigger:
        """Due at `at` (ms), whatever its date was."""
        run_date = None if self._run is None else from_ms(self._run)
        return DateTrigger(run_date, self.timezone, from_ms(at))

    def begun(self, at: int) -> tuple[DateTrigger, int | None]:
        """The run date is the first instant even when it has passed: such a job is late, not over."""
        trigger = self if self._due is not None else self.anchored(at)
        return trigger, trigger._due

    def to_fields(self) -> dict[str, Any]:
        """`run_date` and `anchor`, those that there are, and the time zone."""
        dates = {
            "run_date": None if self._run is None else from_ms(self._run),
            "anchor": None if self._anchor is None else from_ms(self._anchor),
        }
        return {**drop_unset(dates), "timezone": timezone_name(self.timezone)}

    def in_words(self) -> str:
        """ "once, 2026-12-24 18:00:00 CET"."""
        return f"once, {shown(self._due, self.timezone)}"

    def __str__(self) -> str:
        return f"date[{shown(self._due, self.timezone)}]"

    def _options(self) -> list[str]:
        return [f"run_date='{shown(self._due, self.timezone)}'"]
