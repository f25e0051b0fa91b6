"""A job: the stored definition of what to run and when, its defaults and its validation."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final
from weakref import WeakKeyDictionary

from gsched.callables import why_nothing_runs
from gsched.durations import as_ms, as_seconds
from gsched.errors import ConfigurationError, InvalidJobError
from gsched.funcref import ref_of, resolve
from gsched.instants import MAX_MS, from_ms
from gsched.spelling import did_you_mean
from gsched.triggers import BaseTrigger
from gsched.triggers.base import checked_last, wrong_answer
from gsched.triggers.jitter import jittered_last, jittered_next

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Undefined:
    """Stands for an argument that was not given, where None means something."""

    def __repr__(self) -> str:
        return "<undefined>"


UNDEFINED: Final = Undefined()
_HALF_CHARACTER: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Job:
    """A job's definition. Frozen: a change makes a new one with a higher `rev`.

    `next_run_ms` is a lower bound of the next run time as it was when the job was written; what recurs follows from
    the trigger. `func` is None while `func_ref` could not be resolved: the job is parked, with the reason.
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
    recover: bool = False
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    next_run_ms: int | None = None
    paused: bool = False
    parked: str | None = None
    rev: int = 1
    copies_arguments: bool = field(default=False, compare=False)  # each run gets lists and dicts of its own

    def evolve(self, **changes: Any) -> Job:
        """This job with some fields changed."""
        return replace(self, **changes)

    def arguments(self) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        """The positional and keyword arguments for one run.

        Those of a stored job are as its document has them, whatever earlier runs did to theirs. Those of a job in
        memory are the caller's own objects.
        """
        if not self.copies_arguments:
            return self.args, self.kwargs
        return tuple(map(_copied, self.args)), {name: _copied(value) for name, value in self.kwargs.items()}

    def next_ms(self, after: int) -> int | None:
        """The first due instant strictly after `after` (ms since the epoch), jitter included, or None.

        Raises InvalidTriggerError if the trigger answers something else, here and in what is built on it.
        """
        trigger = self.trigger
        if trigger.jitter_ms:
            return jittered_next(trigger, trigger.jitter_ms, self.id, after)
        found = trigger.next_ms(after)
        if found is None or (after < found <= MAX_MS and type(found) is int):  # as checked_next has it, without a call
            return found
        raise wrong_answer(trigger, after, found)

    def last_ms(self, first: int, until: int) -> int:
        """The last due instant not after `until`, given that `first` (not after `until`) is due."""
        trigger = self.trigger
        if trigger.jitter_ms:
            return jittered_last(trigger, trigger.jitter_ms, self.id, first, until)
        return checked_last(trigger, first, until)

    def instants(self, first: int, until: int | None = None) -> Iterator[int]:
        """The due instants from `first`, which is one, to `until`, included; without an `until` they may never end."""
        instant: int | None = first
        while instant is not None and (until is None or instant <= until):
            yield instant
            instant = self.next_ms(instant)

    def next_due_ms(self, now: int) -> int | None:
        """The next due instant as seen at `now`: the stored bound if it is still to come, else by the trigger.

        None while the job is paused or parked.
        """
        if self.paused or self.parked is not None:
            return None
        if self.next_run_ms is None or self.next_run_ms > now:
            return self.next_run_ms
        return self.next_ms(now)

    def has_ended(self, now: int) -> bool:
        """Whether no instant after `now` (ms) is due, nor will be."""
        return not self.paused and self.parked is None and self.next_due_ms(now) is None

    @property
    def state(self) -> str:
        """"parked", "paused" or "scheduled"; whether it is also running, its scheduler knows."""
        return "parked" if self.parked is not None else "paused" if self.paused else "scheduled"

    @property
    def next_run_time(self) -> datetime | None:
        """The stored next run time, in the trigger's zone; None while paused and when the trigger has ended."""
        if self.paused or self.next_run_ms is None:
            return None
        return from_ms(self.next_run_ms, self.trigger.timezone)

    @property
    def misfire_grace_time(self) -> float | None:
        """How many seconds late a run may start; None is any."""
        return None if self.misfire_grace_ms is None else self.misfire_grace_ms / 1000


def can_change(values: Iterable[Any]) -> bool:
    """Whether a run that gets these values, which were read from a document, could change one of them."""
    return any(type(value) is list or type(value) is dict for value in values)


def _copied(value: Any) -> Any:
    """The value with lists and dicts of its own. Nothing else that documents hold can be changed."""
    if type(value) is list:
        return [_copied(item) for item in value]
    if type(value) is dict:
        return {key: _copied(item) for key, item in value.items()}
    return value


class CallChecker:
    """Tells whether functions accept their jobs' arguments; looks at each function and shape of call once."""

    def __init__(self) -> None:
        self._seen: WeakKeyDictionary[Callable[..., Any], set[tuple[int, tuple[str, ...]]]] = WeakKeyDictionary()

    def check(self, job: Job) -> None:
        """Raises InvalidJobError if calling the job's function with its arguments does not run it."""
        if job.func is None:
            return
        shape = (len(job.args), tuple(job.kwargs))
        try:
            seen = self._seen.setdefault(job.func, set())
        except TypeError:  # it cannot be hashed or referred to weakly
            seen = set()
        if shape not in seen:
            check_call(job.func, job.args, job.kwargs)
            seen.add(shape)


def check_call(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Raises InvalidJobError if `func(*args, **kwargs)` does not fit the function's signature, or would not run it."""
    if (why := why_nothing_runs(func)) is not None:
        raise InvalidJobError(f"func: {why}")
    try:
        signature = inspect.signature(func)
    except (TypeError, ValueError):  # some built-in functions have none
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        name = getattr(func, "__qualname__", repr(func))
        raise InvalidJobError(f"{name}{signature} does not accept these arguments: {error}") from None


def named_function(func: Callable[..., Any] | str) -> tuple[Callable[..., Any], str | None]:
    """The callable and the reference under which others find it, from either.

    Raises InvalidJobError for what cannot be called, FuncRefError for a reference that leads nowhere.
    """
    if isinstance(func, str):
        return resolve(func), func
    if not callable(func):
        raise InvalidJobError(f"func: expected a callable or 'package.module:function', got {func!r}")
    return func, ref_of(func)


def checked_text(what: str, value: object) -> str:
    """The value. Raises InvalidJobError, naming it by `what`, unless it is a text that is not empty, and Unicode.

    A file's name that is no UTF-8 is a text with halves of characters, which no store and no metric can express.
    """
    if not isinstance(value, str) or not value:
        raise InvalidJobError(f"{what}: expected a text that is not empty, got {value!r}")
    if not value.isascii() and _HALF_CHARACTER.search(value):
        raise InvalidJobError(f"{what}: expected Unicode text, got {value!r}")
    return value


def checked_args(args: object) -> tuple[Any, ...]:
    """Positional arguments as a tuple; None is none. Raises InvalidJobError for a text and what is no iterable."""
    if args is None:
        return ()
    if isinstance(args, (str, bytes)) or not isinstance(args, Iterable):
        raise InvalidJobError(f"args: expected a list or tuple, got {args!r}")
    return tuple(args)


def checked_kwargs(kwargs: object) -> Mapping[str, Any]:
    """Keyword arguments as a frozen mapping; None is none. Raises InvalidJobError unless the keys are texts."""
    if not kwargs and (kwargs is None or isinstance(kwargs, Mapping)):
        return NOTHING
    if not isinstance(kwargs, Mapping) or not all(isinstance(key, str) for key in kwargs):
        raise InvalidJobError(f"kwargs: expected a mapping with text keys, got {kwargs!r}")
    return MappingProxyType(dict(kwargs))


def checked_flag(what: str, value: object) -> bool:
    """The value. Raises InvalidJobError, naming it by `what`, unless it is True or False."""
    if not isinstance(value, bool):
        raise InvalidJobError(f"{what}: expected True or False, got {value!r}")
    return value


def _max_instances(what: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidJobError(f"{what}: expected a whole number from 1, got {value!r}")
    return value


def _tags(what: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InvalidJobError(f"{what}: expected a list of texts, got {value!r}")
    return tuple(checked_text(what, tag) for tag in value)


def _metadata(what: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidJobError(f"{what}: expected a mapping, got {value!r}")
    return MappingProxyType(dict(value)) if value else NOTHING


def _grace_ms(what: str, value: Any) -> int | None:
    return None if value is None else as_ms(value, what)


def _timeout_seconds(what: str, value: Any) -> float | None:
    return None if value is None else as_seconds(value, what)


# What users may set besides the function, its arguments and the trigger: the job's field, and how a value is checked.
OPTIONS: Final[Mapping[str, tuple[str, Callable[[str, Any], Any]]]] = {
    "executor": ("executor", checked_text),
    "jobstore": ("jobstore", checked_text),
    "misfire_grace_time": ("misfire_grace_ms", _grace_ms),
    "coalesce": ("coalesce", checked_flag),
    "max_instances": ("max_instances", _max_instances),
    "timeout": ("timeout_seconds", _timeout_seconds),
    "recover": ("recover", checked_flag),
    "tags": ("tags", _tags),
    "metadata": ("metadata", _metadata),
}


def checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The job fields that these options set. Raises InvalidJobError for an unknown one, naming the nearest."""
    fields = {}
    for option, value in options.items():
        try:
            name, check = OPTIONS[option]
        except KeyError:
            hint = did_you_mean(option, [*OPTIONS, "id", "name", "args", "kwargs"])
            raise InvalidJobError(f"unknown option {option!r}{hint}") from None
        try:
            fields[name] = check(option, value)
        except ConfigurationError as error:
            raise InvalidJobError(str(error)) from None
    return fields


def replacement(old: Job, new: Job, *, keep_schedule: bool) -> Job:
    """The job that `new` becomes where it replaces `old`.

    With `keep_schedule` an unchanged trigger keeps its anchor, its next run time and the paused state: a program that
    adds its jobs at every start must not restart their intervals.
    """
    new = new.evolve(rev=old.rev + 1)
    if keep_schedule and new.trigger.same_schedule(old.trigger) and old.next_run_ms is not None:
        return new.evolve(trigger=old.trigger, next_run_ms=old.next_run_ms, paused=old.paused)
    return new
