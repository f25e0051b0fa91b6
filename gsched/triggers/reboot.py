"""Once for each anchor it is given: crontab's @reboot."""

from __future__ import annotations

from typing import Any

from gsched.times.instants import from_ms, timezone_name
from gsched.triggers.arguments import Date, Zone, drop_unset, instant_ms, jitter_ms, seconds, shown, wall_times, zone
from gsched.triggers.base import FrozenTrigger


class RebootTrigger(FrozenTrigger):
    """Due once when its job is added, and never again by itself: a pure function of time knows nothing about starts.

    `gsched run` has @reboot jobs of its configuration and crontabs run once after each start of the machine.

    :param timezone: IANA name or tzinfo, for display
    :param jitter: longest delay, seconds
    :param anchor: the instant at which it is due
    :raises InvalidTriggerError: for anything else
    """

    __slots__ = ("_anchor", "_wall", "jitter_ms", "timezone")

    alias = "reboot"
    _anchor: int | None

    def __init__(self, timezone: Zone = None, jitter: float | None = None, anchor: Date = None) -> None:
        self.timezone = zone(self.alias, timezone, (anchor,))
        self._wall = wall_times(timezone)
        self.jitter_ms = jitter_ms(self.alias, jitter)
        self._anchor = instant_ms(self.alias, "anchor", anchor, self.timezone)

    def next_ms(self, after: int) -> int | None:
        """The anchor if it comes after `after`, else None."""
        return self._anchor if self._anchor is not None and self._anchor > after else None

    def anchored(self, at: int) -> RebootTrigger:
        """Due at `at` (ms), whatever its anchor was."""
        return RebootTrigger(self.timezone, seconds(self.jitter_ms), from_ms(at))

    def begun(self, at: int) -> tuple[RebootTrigger, int | None]:
        """Due at once."""
        return self.anchored(at), at

    def to_fields(self) -> dict[str, Any]:
        """The anchor if there is one, the jitter and the time zone."""
        anchor = None if self._anchor is None else from_ms(self._anchor)
        fields = drop_unset({"jitter": seconds(self.jitter_ms), "anchor": anchor})
        return {**fields, "timezone": timezone_name(self.timezone)}

    def in_words(self) -> str:
        """ "at each start"."""
        return "at each start"

    def __str__(self) -> str:
        return "cron[@reboot]"

    def _options(self) -> list[str]:
        anchor = [] if self._anchor is None else [f"anchor='{shown(self._anchor, self.timezone)}'"]
        return [*anchor, f"timezone='{timezone_name(self.timezone)}'"]
