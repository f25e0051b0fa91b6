"""Triggers made of triggers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import tzinfo
from functools import reduce
from math import gcd
from typing import Any, Final

from gsched.errors import InvalidTriggerError
from gsched.triggers.arguments import jitter_ms, seconds
from gsched.triggers.base import BaseTrigger, FrozenTrigger
from gsched.triggers.date import DateTrigger
from gsched.triggers.interval import IntervalTrigger
from gsched.triggers.registry import trigger_fields, trigger_from_fields
from gsched.triggers.zones import DAY, instant_of, stretch_at

MAX_ATTEMPTS: Final = 5_000
"""How many disagreements an AndTrigger bears before it takes its members for ones that never meet."""


class CombiningTrigger(FrozenTrigger):
    """Triggers combined. Members keep their own phases.

    :param triggers: the members, at least one
    :param jitter: longest delay of a run, seconds; default: the largest of the members'
    :raises InvalidTriggerError: when there are no members or something else is among them
    """

    __slots__ = ("_jitter_ms", "jitter_ms", "timezone", "triggers")

    triggers: tuple[BaseTrigger, ...]
    _jitter_ms: int

    def __init__(self, triggers: Iterable[BaseTrigger], jitter: float | None = None) -> None:
        self.triggers = _members(self.alias, triggers)
        self.timezone = self.triggers[0].timezone
        self._jitter_ms = jitter_ms(self.alias, jitter)
        self.jitter_ms = self._jitter_ms or max(trigger.jitter_ms for trigger in self.triggers)

    def placed(self, zone: tzinfo) -> CombiningTrigger:
        """With those members in this time zone that name none."""
        return type(self)([member.placed(zone) for member in self.triggers], self.jitter)

    @property
    def by_elapsed_time(self) -> bool:  # type: ignore[override]
        """True if all members go by elapsed time."""
        return all(member.by_elapsed_time for member in self.triggers)

    @property
    def jitter(self) -> int | float | None:
        """The longest delay that was given, in seconds."""
        return seconds(self._jitter_ms) or None

    def same_schedule(self, other: object) -> bool:
        """Whether all members were written the same way, in the same order."""
        if not isinstance(other, CombiningTrigger) or type(self) is not type(other):
            return False
        pairs = list(zip(self.triggers, other.triggers))
        same_shape = len(self.triggers) == len(other.triggers) and self._jitter_ms == other._jitter_ms
        return same_shape and all(mine.same_schedule(theirs) for mine, theirs in pairs)

    def fields(self) -> dict[str, Any]:
        """`triggers`, the fields of each with its type, and the jitter."""
        members = [trigger_fields(trigger) for trigger in self.triggers]
        return {"triggers": members, **({"jitter": self.jitter} if self._jitter_ms else {})}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> BaseTrigger:
        """The trigger that `fields()` describes. Raises InvalidTriggerError."""
        members = fields.get("triggers")
        if isinstance(members, (list, tuple)):
            made = [each if isinstance(each, BaseTrigger) else trigger_from_fields(each) for each in members]
            fields = {**fields, "triggers": made}
        return super().from_fields(fields)

    def __str__(self) -> str:
        return f"{self.alias}[{', '.join(str(trigger) for trigger in self.triggers)}]"

    def __repr__(self) -> str:
        jitter = f", jitter={self.jitter}" if self._jitter_ms else ""
        return f"<{type(self).__name__}({list(self.triggers)}{jitter})>"


class OrTrigger(CombiningTrigger):
    """Due whenever any of its members is; over when all of them are."""

    __slots__ = ()

    alias = "or"

    def anchored(self, at: int) -> OrTrigger:
        """With each member anchored at `at` (ms), but for dates, which are no phase."""
        members = (each if isinstance(each, DateTrigger) else each.anchored(at) for each in self.triggers)
        return type(self)(members, self.jitter)

    def begun(self, at: int) -> tuple[OrTrigger, int | None]:
        """With each member begun at `at` (ms)."""
        trigger = type(self)([member.begun(at)[0] for member in self.triggers], self.jitter)
        return trigger, trigger.next_ms(at - 1)

    def next_ms(self, after: int) -> int | None:
        """The first instant strictly after `after`, both in milliseconds since the epoch, or None."""
        found = (trigger.next_ms(after) for trigger in self.triggers)
        return min((due for due in found if due is not None), default=None)


class AndTrigger(CombiningTrigger):
    """Due when all of its members are due at the same millisecond; over when one of them is.

    Intervals among the members are solved by arithmetic. For the others each in turn moves to its first instant not
    before the latest one seen, until they agree. Members that disagree `MAX_ATTEMPTS` times in a row
    (two daily ones: for seven years) are taken never to meet.

    Intervals without a start date are counted from the last midnight before the job was added, in the zone of the
    first member that is no interval: from the moment of adding, to the millisecond, they would meet nothing else.
    """

    __slots__ = ("_solved",)

    alias = "and"
    _solved: tuple[BaseTrigger, ...] | None
    """The members with their intervals made one, or None if the intervals never meet."""

    def __init__(self, triggers: Iterable[BaseTrigger], jitter: float | None = None) -> None:
        super().__init__(triggers, jitter)
        self._solved = _solve(self.triggers)

    def begun(self, at: int) -> tuple[AndTrigger, int | None]:
        """With each member begun at `at` (ms), but for intervals: at midnight.

        Raises InvalidTriggerError if all members have instants and none is common to them.
        """
        midnight = _midnight_before(at, self._wall_clock())
        begun = (each.begun(midnight if isinstance(each, _PHASED) else at)[0] for each in self.triggers)
        trigger = type(self)(begun, self.jitter)
        due = trigger.next_ms(at - 1)
        if due is None and all(member.next_ms(at - 1) is not None for member in trigger.triggers):
            raise InvalidTriggerError(f"and trigger: {trigger}: its members are never due at the same time")
        return trigger, due

    def _wall_clock(self) -> tzinfo:
        zones = (each.timezone for each in self.triggers if not isinstance(each, IntervalTrigger))
        return next(zones, self.timezone)

    def next_ms(self, after: int) -> int | None:
        """The first instant strictly after `after`, both in milliseconds since the epoch, or None."""
        if self._solved is None:
            return None
        latest, agreed = after + 1, 0
        for attempt in range(MAX_ATTEMPTS + len(self._solved)):
            due = self._solved[attempt % len(self._solved)].next_ms(latest - 1)
            if due is None:
                return None
            agreed = agreed + 1 if due == latest else 1
            latest = due
            if agreed == len(self._solved):
                return latest
        return None


_PHASED: Final = (IntervalTrigger, CombiningTrigger)  # what has, or may have, a phase to the millisecond


class _Meeting(BaseTrigger):
    """The instants at which intervals meet: `phase` + k * `period` within bounds."""

    __slots__ = ("first", "last", "period", "phase")

    alias = "meeting"

    def __init__(self, period: int, phase: int, first: int, last: int) -> None:
        self.period, self.phase, self.first, self.last = period, phase, first, last

    def next_ms(self, after: int) -> int | None:
        after = max(after, self.first - 1)
        due = after + self.period - (after - self.phase) % self.period
        return due if due <= self.last else None

    def fields(self) -> dict[str, Any]:
        raise NotImplementedError("exists only inside an AndTrigger")


def _midnight_before(at: int, tz: tzinfo) -> int:
    day = (at // 1000 + stretch_at(tz, at // 1000).offset) // DAY
    return instant_of(tz, day * DAY) * 1000


def _members(alias: str, triggers: Iterable[BaseTrigger]) -> tuple[BaseTrigger, ...]:
    if not isinstance(triggers, Iterable) or isinstance(triggers, (str, bytes, Mapping)):
        raise InvalidTriggerError(f"{alias} trigger: triggers {triggers!r}: expected a list of triggers")
    members = tuple(triggers)
    if not members:
        raise InvalidTriggerError(f"{alias} trigger: triggers: expected at least one")
    for member in members:
        if not isinstance(member, BaseTrigger):
            raise InvalidTriggerError(f"{alias} trigger: triggers: {member!r} is not a trigger")
    return members


def _solve(triggers: tuple[BaseTrigger, ...]) -> tuple[BaseTrigger, ...] | None:
    intervals = [
        _Meeting(trigger._period, trigger._phase, trigger._first, trigger._last)
        for trigger in triggers
        if isinstance(trigger, IntervalTrigger)
    ]
    others = [trigger for trigger in triggers if not isinstance(trigger, IntervalTrigger)]
    if not intervals:
        return tuple(others)
    met: _Meeting | None = reduce(lambda met, other: met and _meeting(met, other), intervals)  # type: ignore[arg-type,return-value]
    return None if met is None else (met, *others)


def _meeting(one: _Meeting, other: _Meeting) -> _Meeting | None:
    """Where two arithmetic sequences agree (the Chinese remainder theorem), or None if they never do."""
    common = gcd(one.period, other.period)
    distance = other.phase - one.phase
    if distance % common:
        return None
    modulus = other.period // common
    steps = distance // common * pow(one.period // common, -1, modulus) % modulus
    phase, period = one.phase + steps * one.period, one.period * modulus
    return _Meeting(period, phase, max(one.first, other.first), min(one.last, other.last))
