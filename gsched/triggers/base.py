"""The contract of triggers: a trigger is a pure function of time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from functools import cache
from typing import Any, ClassVar, Final

from gsched.errors import InvalidTriggerError
from gsched.times.instants import MAX_MS, as_instant, from_ms, to_ms
from gsched.wording import refused_call

# The errors of a user's own trigger. Other exceptions were raised into it: Ctrl-C, a timeout.
TRIGGER_ERRORS: Final = (Exception, SystemExit)


class BaseTrigger(ABC):
    """Computes the instants at which a job is due.

    - A trigger is immutable and reads no clock: equal arguments give equal results, for ever.
    - Its primitive is `next_ms`, on integer milliseconds since the epoch; everything else is defined by it.
    - Results are later than `after`, and increase; None means that nothing comes any more. What goes from
      one to the next holds a trigger to that (`checked_next`).
    - Stepping over any span of time costs one calculation or one search, never a walk over the instants in it.
    - Results are nominal: `jitter_ms` is only declared here, and `gsched.triggers.jitter` adds it per job.
    - `to_fields()` gives the constructor's arguments as plain values (text, numbers, aware datetimes, lists of such,
      mappings); with the key "type" beside them they rebuild an equal trigger.
    """

    __slots__ = ()

    alias: ClassVar[str]
    timezone: tzinfo = UTC
    jitter_ms: int = 0
    by_elapsed_time: bool = False
    """True if it goes by elapsed time when the clock is set back, instead of by the clock."""
    spread_ms: int | None = None
    """The span over which jobs with such triggers are spread, each with a phase of its own; None: they are not."""
    phase_ms: int | None = None
    """Its phase in that span; None until its job has a place there (see `gsched.policies.spreading`)."""

    @abstractmethod
    def next_ms(self, after: int) -> int | None:
        """The first instant strictly after `after`, both in milliseconds since the epoch, or None."""

    @abstractmethod
    def to_fields(self) -> dict[str, Any]:
        """The arguments that rebuild this trigger, without those that have their default."""

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> BaseTrigger:
        """The trigger that `to_fields()` describes. Raises InvalidTriggerError."""
        try:
            return cls(**fields)
        except TypeError as error:
            raise InvalidTriggerError(f"{cls.alias} trigger: {refused_call(cls, fields, error)}") from None

    def next_after(self, instant: datetime) -> datetime | None:
        """The first instant strictly after the aware datetime `instant`, in the trigger's zone, or None."""
        found = self.next_ms(to_ms(instant))
        return None if found is None else from_ms(found, self.timezone)

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """APScheduler 3's method: the first instant after the previous time or, without one, not before `now`.

        Times without a zone are wall-clock times in the trigger's.
        """
        if previous_fire_time is None:
            found = self.next_ms(_ceil_ms(now, self.timezone) - 1)
        else:
            found = self.next_ms(to_ms(as_instant(previous_fire_time, self.timezone)))
        return None if found is None else from_ms(found, self.timezone)

    def last_ms(self, first: int, until: int) -> int:
        """The last instant not after `until`, given one (`first` <= `until`) that is due: a bisection.

        `first` need not be one of the trigger's own instants; it is the answer when no later one is.
        """
        following = checked_next(self, first)
        while following is not None and following <= until:
            first = following
            # Invariant: `first` is due. Find how far one can start back from `until` and still land before it.
            low, high = first, until
            while high - low > 1:
                middle = (low + high) // 2
                landed = checked_next(self, middle)
                if landed is not None and landed <= until:
                    low = first = landed
                else:
                    high = middle
            following = checked_next(self, first)
        return first

    def anchored(self, at: int) -> BaseTrigger:
        """The same trigger with its phase set so that `at` (ms) is due; itself if it has no free phase."""
        return self

    def begun(self, at: int) -> tuple[BaseTrigger, int | None]:
        """For a job that is added at `at` (ms): the trigger with its free phase set, and its first instant.

        Raises InvalidTriggerError if it can never be due, for a reason that time does not change.
        """
        return self, checked_next(self, at - 1)

    def with_phase(self, phase_ms: int) -> BaseTrigger:
        """The same trigger with this phase in its span. Only triggers that are spread have one."""
        raise NotImplementedError(f"{self!r} is not spread")

    def placed(self, zone: tzinfo) -> BaseTrigger:
        """The trigger in this time zone, the scheduler's; itself if it names a zone."""
        return self

    def for_job(self, job_id: str) -> BaseTrigger:
        """The trigger with what the job's id chooses (cron's H); itself if that is nothing, or chosen already."""
        return self

    def same_schedule(self, other: object) -> bool:
        """True if both were written the same way: equal except for an anchor that the scheduler chose."""
        return self == other

    def in_words(self) -> str:
        """The schedule for people: "every 15 s", "every day at 02:30, Europe/Berlin"."""
        return str(self)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, BaseTrigger) and self.to_fields() == other.to_fields()

    def __hash__(self) -> int:
        return hash((type(self), str(self)))


_MISSING: Final = object()


@cache
def _slots_of(kind: type) -> tuple[str, ...]:
    return tuple(name for each in kind.__mro__ for name in each.__dict__.get("__slots__", ()))


class FrozenTrigger(BaseTrigger):
    """The base of built-in triggers: attributes that are set once, an optional anchor, a printed form."""

    __slots__ = ()

    _wall: tuple[str, ...] | None
    """The attributes (ms) that were wall-clock times; None if the time zone was named. Until then it is the machine's.
    """

    def placed(self, zone: tzinfo) -> BaseTrigger:
        """The trigger in this time zone, the scheduler's; itself if it names a zone."""
        if self._wall is None:
            return self
        moved = {name: _same_wall_time(getattr(self, name), self.timezone, zone) for name in self._wall}
        return self._evolved(timezone=zone, _wall=None, **moved)

    def _evolved(self, **changes: Any) -> FrozenTrigger:
        """A copy with these attributes changed. It does not call the constructor, which subclasses may change."""
        made = object.__new__(type(self))
        for name in _slots_of(type(self)):
            value = changes.pop(name) if name in changes else getattr(self, name, _MISSING)
            if value is not _MISSING:
                object.__setattr__(made, name, value)
        for name, value in {**getattr(self, "__dict__", {}), **changes}.items():
            object.__setattr__(made, name, value)
        return made

    def same_schedule(self, other: object) -> bool:
        """True if both were written the same way: equal except for an anchor that the scheduler chose."""
        return isinstance(other, FrozenTrigger) and type(self) is type(other) and self._written() == other._written()

    def _written(self) -> dict[str, Any]:
        return {name: value for name, value in self.to_fields().items() if name != "anchor"}

    def _options(self) -> list[str]:
        return []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} ({', '.join(self._options())})>"

    def __setattr__(self, name: str, value: object) -> None:
        if hasattr(self, name):
            raise AttributeError(f"{type(self).__name__}.{name} cannot change: a trigger is immutable, make a new one")
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be deleted: a trigger is immutable")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_fields, (self.to_fields(),)


def checked_next(trigger: BaseTrigger, after: int) -> int | None:
    """`trigger.next_ms(after)`. Raises InvalidTriggerError if the result breaks the contract.

    A walk from one instant to the next would never end with a user's trigger that goes back.
    """
    found = trigger.next_ms(after)
    if found is not None and not (type(found) is int and after < found <= MAX_MS):
        raise wrong_answer(trigger, after, found)
    return found


def wrong_answer(trigger: BaseTrigger, after: int, found: object) -> InvalidTriggerError:
    """The error for a result of `next_ms(after)` that breaks the contract."""
    return InvalidTriggerError(f"next_ms({after}) of {trigger!r} is {found!r}: expected a later int, or None")


def checked_last(trigger: BaseTrigger, first: int, until: int) -> int:
    """`trigger.last_ms(first, until)`. Raises InvalidTriggerError if the result is not between them."""
    found = trigger.last_ms(first, until)
    if not (type(found) is int and first <= found <= max(first, until)):
        raise InvalidTriggerError(f"last_ms({first}, {until}) of {trigger!r} is {found!r}: expected an int from there")
    return found


def _same_wall_time(ms: int, zone: tzinfo, other: tzinfo) -> int:
    """The instant at which a clock in the other zone shows the time that a clock in `zone` shows at `ms`."""
    return to_ms(as_instant(from_ms(ms, zone).replace(tzinfo=None), other))


def _ceil_ms(instant: datetime, zone: tzinfo) -> int:
    """Milliseconds, rounded up, so that "not before `instant`" holds for instants with microseconds too."""
    ms = to_ms(as_instant(instant, zone))
    return ms if instant.microsecond % 1000 == 0 else ms + 1
