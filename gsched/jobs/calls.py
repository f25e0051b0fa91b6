"""The call of a job's function, checked before the job is stored."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from gsched.errors import InvalidJobError
from gsched.jobs.callables import why_nothing_runs
from gsched.jobs.funcref import ref_of, resolve
from gsched.jobs.job import Job


class CallChecker:
    """Checks that functions accept their jobs' arguments; each function and shape of call is checked once."""

    def __init__(self) -> None:
        self._seen: WeakKeyDictionary[Callable[..., Any], set[tuple[Any, ...]]] = WeakKeyDictionary()

    def check(self, job: Job, awaits: bool) -> None:
        """Raises InvalidJobError if calling the job's function with its arguments does not run it.

        :param awaits: the job's executor awaits coroutines
        """
        if job.func is None:
            return
        shape = (awaits, len(job.args), *job.kwargs)
        try:
            seen = self._seen.setdefault(job.func, set())
        except TypeError:  # it cannot be hashed, or has no weak references
            seen = set()
        if shape not in seen:
            check_call(job.func, job.args, job.kwargs, awaits)
            seen.add(shape)


def check_call(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], awaits: bool) -> None:
    """Raises InvalidJobError if `func(*args, **kwargs)` does not fit the function's signature, or would not run it."""
    if (why := why_nothing_runs(func, awaits)) is not None:
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
    """The callable and its reference, from either. The reference is None if no other process could find the callable.

    Raises InvalidJobError if it cannot be called, FuncRefError if the reference leads nowhere.
    """
    if isinstance(func, str):
        return resolve(func), func
    if not callable(func):
        raise InvalidJobError(f"func: expected a callable or 'package.module:function', got {func!r}")
    return func, ref_of(func)
