"""Another trigger, later by a constant delay of the job's own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta, tzinfo
from typing import Any

from gsched.errors import ConfigurationError, InvalidTriggerError
from gsched.times.durations import as_ms, exact_duration
from gsched.triggers.arguments import seconds
from gsched.triggers.base import BaseTrigger, FrozenTrigger, checked_last, checked_next
from gsched.triggers.date import DateTrigger
from gsched.triggers.interval import IntervalTrigger
from gsched.triggers.reboot import RebootTrigger
from gsched.triggers.registry import trigger_fields, trigger_from_fields

_LONGEST_MS = 3650 * 86_400_000


class SpreadTrigger(FrozenTrigger):
    """Due after each instant of another trigger, later by a constant delay.

    The scheduler chooses the delay when the job is added: jobs that are due at the same time are spread over `within`.
    The time zone and the jitter are those of the other trigger.

    :param trigger: the other trigger
    :param within: the delay is shorter than this (seconds, timedelta or "1h")
    :param offset: the delay, in seconds; None: it is still to be chosen
    :raises InvalidTriggerError: if `trigger` is none, or an argument cannot be right
    """

    __slots__ = ("jitter_ms", "phase_ms", "spread_ms", "timezone", "trigger")

    alias = "spread"
    trigger: BaseTrigger
    spread_ms: int
    phase_ms: int | None

    def __init__(self, trigger: BaseTrigger, within: float | timedelta | str, offset: float | None = None) -> None:
        if not isinstance(trigger, BaseTrigger):
            raise InvalidTriggerError(f"spread trigger: trigger {trigger!r}: expected a trigger")
        self.trigger = trigger
        self.timezone, self.jitter_ms = trigger.timezone, trigger.jitter_ms
        self.spread_ms = _span_ms("spread trigger: within", within)
        self.phase_ms = None if offset is None else self._checked_offset(offset)

    def _checked_offset(self, offset: object) -> int:
        is_number = isinstance(offset, (int, float)) and not isinstance(offset, bool)
        if not is_number or not 0 <= offset * 1000 < self.spread_ms:  # type: ignore[operator]
            raise InvalidTriggerError(
                f"spread trigger: offset {offset!r}: expected seconds from 0, less than {seconds(self.spread_ms)}"
            )
        return round(offset * 1000) % self.spread_ms  # type: ignore[operator]

    @property
    def _delay(self) -> int:
        return self.phase_ms or 0

    def next_ms(self, after: int) -> int | None:
        """The first instant strictly after `after`, both in milliseconds since the epoch, or None."""
        found = checked_next(self.trigger, after - self._delay)
        return None if found is None else found + self._delay

    def last_ms(self, first: int, until: int) -> int:
        """The last instant not after `until`, given one that is due."""
        return checked_last(self.trigger, first - self._delay, until - self._delay) + self._delay

    def with_phase(self, phase_ms: int) -> SpreadTrigger:
        """With this delay."""
        return self._changed(phase_ms=phase_ms)

    def anchored(self, at: int) -> SpreadTrigger:
        """With the other trigger's phase set so that `at` (ms) is due, if it has a free phase."""
        return self._changed(trigger=self.trigger.anchored(at - self._delay))

    def begun(self, at: int) -> tuple[SpreadTrigger, int | None]:
        """With the other trigger begun at `at` (ms), and the first instant."""
        begun = self._changed(trigger=self.trigger.begun(at)[0])
        return begun, begun.next_ms(at - 1)

    def placed(self, zone: tzinfo) -> SpreadTrigger:
        """With the other trigger in this time zone, unless it names one."""
        placed = self.trigger.placed(zone)
        return self._changed(trigger=placed, timezone=placed.timezone)

    def for_job(self, job_id: str) -> SpreadTrigger:
        """The trigger with the values of H that the job's id chooses in the trigger that it delays."""
        own = self.trigger.for_job(job_id)
        return self if own is self.trigger else self._changed(trigger=own)

    def _changed(self, **changes: Any) -> SpreadTrigger:
        changed = self._evolved(**changes)
        assert isinstance(changed, SpreadTrigger)
        return changed

    @property
    def by_elapsed_time(self) -> bool:  # type: ignore[override]
        """As the trigger that it delays."""
        return self.trigger.by_elapsed_time

    def same_schedule(self, other: object) -> bool:
        """True if both were written the same way: equal except for what the scheduler chose."""
        same_span = isinstance(other, SpreadTrigger) and self.spread_ms == other.spread_ms
        return same_span and self.trigger.same_schedule(other.trigger)  # type: ignore[attr-defined]

    def to_fields(self) -> dict[str, Any]:
        """`trigger`, its fields with its type; `within` and `offset`, in seconds."""
        offset = {} if self.phase_ms is None else {"offset": seconds(self.phase_ms)}
        return {"trigger": trigger_fields(self.trigger), "within": seconds(self.spread_ms), **offset}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> BaseTrigger:
        """The trigger that `to_fields()` describes. Raises InvalidTriggerError."""
        inner = fields.get("trigger")
        if isinstance(inner, (Mapping, str)):
            fields = {**fields, "trigger": trigger_from_fields(inner)}
        return super().from_fields(fields)

    def in_words(self) -> str:
        """The schedule of the trigger that it spreads, and over what."""
        return f"{self.trigger.in_words()}, spread over {exact_duration(self.spread_ms)}"

    def __str__(self) -> str:
        span = timedelta(milliseconds=self.spread_ms)
        within = str(span) if self.phase_ms is None else f"{timedelta(milliseconds=self.phase_ms)} of {span}"
        return f"spread[{self.trigger}, {within}]"

    def _options(self) -> list[str]:
        offset = [] if self.phase_ms is None else [f"offset={seconds(self.phase_ms)}"]
        return [repr(self.trigger), f"within={seconds(self.spread_ms)}", *offset]


def unspread(trigger: BaseTrigger) -> tuple[dict[str, Any], bool | float | None]:
    """The trigger's fields without what the scheduler chose, and add_job's option `spread` for it."""
    if isinstance(trigger, SpreadTrigger):
        return trigger_fields(trigger.trigger), seconds(trigger.spread_ms)
    fields = trigger_fields(trigger)
    if trigger.spread_ms is None:
        return fields, None
    return {name: value for name, value in fields.items() if name not in ("spread", "anchor")}, True


def spread_trigger(trigger: BaseTrigger, spread: Any) -> BaseTrigger:
    """The trigger as add_job's option `spread` wants it, with a phase or delay that is still to be chosen.

    :param spread: True for intervals, a duration for others; None or False: not spread
    :raises InvalidTriggerError: if the trigger cannot be spread like that
    """
    inner = trigger.trigger if isinstance(trigger, SpreadTrigger) else trigger
    is_interval = isinstance(inner, IntervalTrigger) and inner.by_elapsed_time
    if spread is None or spread is False:
        return inner.with_spread(False) if isinstance(inner, IntervalTrigger) and inner.is_spread else inner
    if isinstance(inner, (DateTrigger, RebootTrigger)):
        raise InvalidTriggerError(
            f"spread: {spread!r}: a {inner.alias} trigger is due once; give each job a run_date of its own"
        )
    if isinstance(inner, IntervalTrigger) and (spread is True or is_interval):
        return inner.with_spread(spread)
    if spread is True:
        raise InvalidTriggerError(
            f"spread: True: only an interval is spread over its own length; for {inner.alias}, say over how long:"
            " spread='1h'"
        )
    return SpreadTrigger(inner, _span_ms("spread", spread) / 1000)


def _span_ms(what: str, value: Any) -> int:
    try:
        ms = as_ms(value, what)
    except ConfigurationError as error:
        raise InvalidTriggerError(str(error)) from None
    if ms > _LONGEST_MS:
        raise InvalidTriggerError(f"{what}: expected at most 3650d, got {value!r}")
    return ms
