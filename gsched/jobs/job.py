"""A job: the stored definition of what to run and when."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from gsched.jobs.last_change import LastChange
from gsched.jobs.pause import Pause
from gsched.jobs.policy import NO_POLICY, Policy
from gsched.times.instants import MAX_MS, from_ms
from gsched.triggers import BaseTrigger
from gsched.triggers.base import checked_last, wrong_answer
from gsched.triggers.jitter import jittered_last, jittered_next

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Undefined:
    """Stands for an argument that was not given, because None has a meaning of its own."""

    def __repr__(self) -> str:
        return "<undefined>"


UNDEFINED: Final = Undefined()
undefined = UNDEFINED  # APScheduler 3's name


@dataclass(frozen=True, slots=True)
class Job:
    """A job's definition. Frozen: a change makes a new one with a higher `rev`.

    `next_run_ms` is a lower bound of the next run time, as of the moment when the job was written; later instants
    follow from the trigger. If `func_ref` could not be resolved, `func` is None and the job is parked, with the reason.
    """

    id: str
    func: Callable[..., Any] | None = field(compare=False)
    trigger: BaseTrigger
    func_ref: str | None = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    name: str = ""
    executor: str = "default"
    jobstore: str = "default"
    misfire_grace_ms: int | None = None
    coalesce: bool = True
    max_instances: int = 1
    timeout_seconds: float | None = None
    policy: Policy = NO_POLICY
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    next_run_ms: int | None = None
    pause: Pause | None = None
    parked: str | None = None
    rev: int = 1
    last_change: LastChange | None = field(default=None, compare=False)
    copies_arguments: bool = field(default=False, compare=False)  # each run gets lists and dicts of its own

    def evolve(self, **changes: Any) -> Job:
        """This job with some fields changed."""
        return replace(self, **changes)

    def arguments(self) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        """The positional and keyword arguments for one run.

        A stored job gives each run the arguments of its document, unchanged by earlier runs. A job in memory gives the
        caller's own objects.
        """
        if not self.copies_arguments:
            return self.args, self.kwargs
        return tuple(map(_copied, self.args)), {name: _copied(value) for name, value in self.kwargs.items()}

    def next_ms(self, after: int) -> int | None:
        """The first due instant strictly after `after` (ms since the epoch), jitter included, or None.

        Raises InvalidTriggerError if the trigger returns anything else. The methods that use this one do the same.
        """
        trigger = self.trigger
        if trigger.jitter_ms:
            return jittered_next(trigger, trigger.jitter_ms, self.id, after)
        found = trigger.next_ms(after)
        if found is None or (after < found <= MAX_MS and type(found) is int):  # as checked_next does, without a call
            return found
        raise wrong_answer(trigger, after, found)

    def last_ms(self, first: int, until: int) -> int:
        """The last due instant not after `until`, given that `first` (not after `until`) is due."""
        trigger = self.trigger
        if trigger.jitter_ms:
            return jittered_last(trigger, trigger.jitter_ms, self.id, first, until)
        return checked_last(trigger, first, until)

    def instants(self, first: int, until: int | None = None) -> Iterator[int]:
        """The due instants from `first`, which is due, to `until`, included. Without `until` they may be endless."""
        instant: int | None = first
        while instant is not None and (until is None or instant <= until):
            yield instant
            instant = self.next_ms(instant)

    def next_due_ms(self, now: int) -> int | None:
        """The next due instant as seen at `now`: the stored bound if it is later than `now`, otherwise the trigger's.

        None while the job is paused or parked.
        """
        if self.paused or self.parked is not None:
            return None
        if self.next_run_ms is None or self.next_run_ms > now:
            return self.next_run_ms
        return self.next_ms(now)

    def has_ended(self, now: int) -> bool:
        """True if no instant after `now` (ms) will ever be due."""
        return not self.paused and self.parked is None and self.next_due_ms(now) is None

    @property
    def paused(self) -> bool:
        """True if the job is not due until somebody resumes it. A pause with an end only moves `next_run_ms`."""
        return self.pause is not None and self.pause.until_ms is None

    def pause_at(self, now: int) -> Pause | None:
        """The pause that the job has at `now` (ms); None if it has none, or if that has ended."""
        return self.pause if self.pause is not None and self.pause.holds(now) else None

    def state_at(self, now: int) -> str:
        """"parked", "paused" or "scheduled" at `now` (ms). A handle also says "running"."""
        return "parked" if self.parked is not None else "scheduled" if self.pause_at(now) is None else "paused"

    @property
    def next_run_time(self) -> datetime | None:
        """The stored next run time, in the trigger's zone; None while paused and when the trigger has ended."""
        if self.paused or self.next_run_ms is None:
            return None
        return from_ms(self.next_run_ms, self.trigger.timezone)

    @property
    def recover(self) -> bool | int:
        """True if its runs run again after a crash; a number: at most so many times."""
        return self.policy.recover

    @property
    def misfire_grace_time(self) -> float | None:
        """How many seconds late a run may start; None: any."""
        return None if self.misfire_grace_ms is None else self.misfire_grace_ms / 1000


def can_change(values: Iterable[Any]) -> bool:
    """True if a run could change one of these values, which come from a document."""
    return any(type(value) is list or type(value) is dict for value in values)


def _copied(value: Any) -> Any:
    """A copy of the value's lists and dicts. Other values in documents cannot be changed."""
    if type(value) is list:
        return [_copied(item) for item in value]
    if type(value) is dict:
        return {key: _copied(item) for key, item in value.items()}
    return value


def replacement(old: Job, new: Job, *, keep_schedule: bool) -> Job:
    """The job that is stored when `new` replaces `old`.

    With `keep_schedule` an unchanged trigger keeps its anchor, its next run time and its pause: a program that
    adds its jobs at every start must not restart their intervals.
    """
    new = new.evolve(rev=old.rev + 1, last_change=new.last_change or old.last_change)
    if keep_schedule and new.trigger.same_schedule(old.trigger) and old.next_run_ms is not None:
        return new.evolve(trigger=old.trigger, next_run_ms=old.next_run_ms, pause=old.pause)
    return new
