"""Triggers made of triggers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from datetime import tzinfo
from functools import reduce
from itertools import cycle
from math import gcd
from operator import is_
from typing import Any, Final, TypeGuard

from gsched.errors import InvalidTriggerError
from gsched.triggers.arguments import jitter_ms, seconds
from gsched.triggers.base import BaseTrigger, FrozenTrigger
from gsched.triggers.date import DateTrigger
from gsched.triggers.interval import IntervalTrigger
from gsched.triggers.registry import trigger_fields, trigger_from_fields
from gsched.triggers.zones import DAY, instant_of, stretch_at

MAX_MEMBERS: Final = 100
"""How many members a trigger may have in all, its members' members included."""

MAX_ATTEMPTS: Final = 5_000
"""After so many disagreements, or weeks of them, a whole trigger counts its members as never meeting."""

_BISECTION: Final = 2 * MAX_ATTEMPTS  # for all steps of one bisection
_WEEK: Final = 7 * DAY * 1000


class CombiningTrigger(FrozenTrigger):
    """Triggers combined. Members keep their own phases.

    :param triggers: the members, at least one and at most MAX_MEMBERS, their own members included
    :param jitter: longest delay of a run, seconds; default: the largest of the members'
    :raises InvalidTriggerError: if there are no members, or too many, or one is no trigger
    """

    __slots__ = ("_jitter_ms", "jitter_ms", "size", "timezone", "triggers")

    triggers: tuple[BaseTrigger, ...]
    _jitter_ms: int
    size: int

    def __init__(self, triggers: Iterable[BaseTrigger], jitter: float | None = None) -> None:
        self.triggers = _members(self.alias, triggers)
        self.size = 1 + sum(each.size if isinstance(each, CombiningTrigger) else 1 for each in self.triggers)
        if self.size > MAX_MEMBERS + 1:
            raise InvalidTriggerError(f"{self.alias} trigger: triggers: expected at most {MAX_MEMBERS} in all")
        self.timezone = self.triggers[0].timezone
        self._jitter_ms = jitter_ms(self.alias, jitter)
        self.jitter_ms = self._jitter_ms or max(trigger.jitter_ms for trigger in self.triggers)

    def placed(self, zone: tzinfo) -> CombiningTrigger:
        """The trigger with every member that names no zone in this one."""
        return type(self)([member.placed(zone) for member in self.triggers], self.jitter)

    def for_job(self, job_id: str) -> CombiningTrigger:
        """The trigger with every member for this job; itself if the members are."""
        members = [member.for_job(job_id) for member in self.triggers]
        return self if all(map(is_, members, self.triggers)) else type(self)(members, self.jitter)

    @property
    def by_elapsed_time(self) -> bool:  # type: ignore[override]
        """True if all members go by elapsed time."""
        return all(member.by_elapsed_time for member in self.triggers)

    def next_ms(self, after: int) -> int | None:
        """The first instant strictly after `after`, both in milliseconds since the epoch, or None."""
        return self._next_ms(after, _Attempts(MAX_ATTEMPTS + self.size))

    def last_ms(self, first: int, until: int) -> int:
        """The last instant not after `until`, given one that is due; an earlier one if they are too far apart."""
        return _Bounded(self, _Attempts(_BISECTION)).last_ms(first, until)

    @abstractmethod
    def _next_ms(self, after: int, attempts: _Attempts) -> int | None:
        """`next_ms`, with the remaining attempts of the whole trigger."""

    @property
    def jitter(self) -> int | float | None:
        """The longest delay that was given, in seconds."""
        return seconds(self._jitter_ms) or None

    def same_schedule(self, other: object) -> bool:
        """True if all members were written the same way, in the same order."""
        if not isinstance(other, CombiningTrigger) or type(self) is not type(other):
            return False
        pairs = list(zip(self.triggers, other.triggers))
        same_shape = len(self.triggers) == len(other.triggers) and self._jitter_ms == other._jitter_ms
        return same_shape and all(mine.same_schedule(theirs) for mine, theirs in pairs)

    def to_fields(self) -> dict[str, Any]:
        """`triggers`, the fields of each with its type, and the jitter."""
        members = [trigger_fields(trigger) for trigger in self.triggers]
        return {"triggers": members, **({"jitter": self.jitter} if self._jitter_ms else {})}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> BaseTrigger:
        """The trigger that `to_fields()` describes. Raises InvalidTriggerError."""
        members = fields.get("triggers")
        if isinstance(members, (list, tuple)):
            refuse_too_many(fields)
            made = [each if isinstance(each, BaseTrigger) else trigger_from_fields(each) for each in members]
            fields = {**fields, "triggers": made}
        return super().from_fields(fields)

    def in_words(self) -> str:
        """The members in words, with "or" or "and" between them."""
        return f" {self.alias} ".join(f"({trigger.in_words()})" for trigger in self.triggers)

    def __str__(self) -> str:
        return f"{self.alias}[{', '.join(str(trigger) for trigger in self.triggers)}]"

    def __repr__(self) -> str:
        jitter = f", jitter={self.jitter}" if self._jitter_ms else ""
        return f"<{type(self).__name__}({list(self.triggers)}{jitter})>"


class OrTrigger(CombiningTrigger):
    """Due whenever one of its members is due. It ends when all of them have ended."""

    __slots__ = ()

    alias = "or"

    def anchored(self, at: int) -> OrTrigger:
        """With each member anchored at `at` (ms), except dates, which have no phase."""
        members = (each if isinstance(each, DateTrigger) else each.anchored(at) for each in self.triggers)
        return type(self)(members, self.jitter)

    def begun(self, at: int) -> tuple[OrTrigger, int | None]:
        """With each member begun at `at` (ms)."""
        trigger = type(self)([member.begun(at)[0] for member in self.triggers], self.jitter)
        return trigger, trigger.next_ms(at - 1)

    def _next_ms(self, after: int, attempts: _Attempts) -> int | None:
        found = (_next_of(trigger, after, attempts) for trigger in self.triggers)
        return min((due for due in found if due is not None), default=None)


class AndTrigger(CombiningTrigger):
    """Due when all of its members are due at the same millisecond. It ends when one of them has ended.

    Intervals among the members are solved by arithmetic. For the others each in turn moves to its first instant not
    before the latest one seen, until they agree. Members that disagree `MAX_ATTEMPTS` times in a row
    (two daily ones: for seven years), or for as many weeks, are taken never to meet; all AndTriggers inside one trigger
    have these attempts together.

    Intervals without a start date are counted from the last midnight before the job was added, in the zone of the
    first member that is no interval: from the moment of adding, to the millisecond, they would meet nothing else.
    """

    __slots__ = ("_solved",)

    alias = "and"
    _solved: tuple[BaseTrigger, ...] | None
    """The members with their intervals merged into one; None if the intervals never meet."""

    def __init__(self, triggers: Iterable[BaseTrigger], jitter: float | None = None) -> None:
        super().__init__(triggers, jitter)
        self._solved = _solve(self.triggers)

    def begun(self, at: int) -> tuple[AndTrigger, int | None]:
        """With each member begun at `at` (ms), except intervals, which begin at midnight.

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
        zones = (each.timezone for each in self.triggers if not _is_plain_interval(each))
        return next(zones, self.timezone)

    def _next_ms(self, after: int, attempts: _Attempts) -> int | None:
        if self._solved is None:
            return None
        latest, agreed = after + 1, 0
        for turn, member in enumerate(cycle(self._solved)):
            due = _next_of(member, latest - 1, attempts) if attempts.take(1) else None
            if due is None:
                return None
            if turn >= len(self._solved):  # a search over years costs as much as many over days
                attempts.take((due - latest) // _WEEK)
            agreed = agreed + 1 if due == latest else 1
            latest = due
            if agreed == len(self._solved):
                return latest
        raise AssertionError("a cycle has no end")


class _Attempts:
    """How many are left."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, count: int) -> bool:
        """Take so many; False if fewer are left."""
        self.left -= count
        return self.left >= 0


def _next_of(trigger: BaseTrigger, after: int, attempts: _Attempts) -> int | None:
    return trigger._next_ms(after, attempts) if isinstance(trigger, CombiningTrigger) else trigger.next_ms(after)


class _Bounded(BaseTrigger):
    """A trigger for many calls that share their attempts; when these are used up, nothing comes any more."""

    __slots__ = ("_attempts", "_trigger")

    alias = "bounded"

    def __init__(self, trigger: CombiningTrigger, attempts: _Attempts) -> None:
        self._trigger, self._attempts = trigger, attempts

    def next_ms(self, after: int) -> int | None:
        return self._trigger._next_ms(after, self._attempts)

    def to_fields(self) -> dict[str, Any]:
        raise NotImplementedError("exists only while a CombiningTrigger is bisected")


def refuse_too_many(fields: Mapping[str, Any]) -> None:
    """Raises InvalidTriggerError if a trigger's fields have too many members in all, before any of them is made."""
    unseen, count = [fields], 0
    while unseen:
        members = unseen.pop().get("triggers")
        if isinstance(members, (list, tuple)):
            count += len(members)
            if count > MAX_MEMBERS:
                raise InvalidTriggerError(f"triggers: expected at most {MAX_MEMBERS} in all")
            unseen += [each for each in members if isinstance(each, Mapping)]


_PHASED: Final = (IntervalTrigger, CombiningTrigger)  # triggers that have, or may have, a phase to the millisecond


class _Meeting(BaseTrigger):
    """The instants at which intervals meet: `phase` + k * `period`, within bounds."""

    __slots__ = ("first", "last", "period", "phase")

    alias = "meeting"

    def __init__(self, period: int, phase: int, first: int, last: int) -> None:
        self.period, self.phase, self.first, self.last = period, phase, first, last

    def next_ms(self, after: int) -> int | None:
        after = max(after, self.first - 1)
        due = after + self.period - (after - self.phase) % self.period
        return due if due <= self.last else None

    def to_fields(self) -> dict[str, Any]:
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
        if _is_plain_interval(trigger)
    ]
    others = [trigger for trigger in triggers if not _is_plain_interval(trigger)]
    if not intervals:
        return tuple(others)
    met: _Meeting | None = reduce(lambda met, other: met and _meeting(met, other), intervals)  # type: ignore[arg-type,return-value]
    return None if met is None else (met, *others)


def _is_plain_interval(trigger: BaseTrigger) -> TypeGuard[IntervalTrigger]:
    """True for one whose instants are equally far apart: in a window they are not."""
    return isinstance(trigger, IntervalTrigger) and trigger.by_elapsed_time


def _meeting(one: _Meeting, other: _Meeting) -> _Meeting | None:
    """The common terms of two arithmetic sequences (the Chinese remainder theorem); None if there are none."""
    common = gcd(one.period, other.period)
    distance = other.phase - one.phase
    if distance % common:
        return None
    modulus = other.period // common
    steps = distance // common * pow(one.period // common, -1, modulus) % modulus
    phase, period = one.phase + steps * one.period, one.period * modulus
    return _Meeting(period, phase, max(one.first, other.first), min(one.last, other.last))
