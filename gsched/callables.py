"""Callables whose call runs nothing: coroutine functions, generator functions, and what they return."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from types import AsyncGeneratorType, GeneratorType
from typing import Any, Final

from gsched.errors import ConfigurationError, NothingRanError

_ASYNC_REMEDY: Final = "wrap it in a function that calls asyncio.run(), in a thread executor"
GENERATOR_REMEDY: Final = "wrap it in a function that goes through what it yields"


def why_nothing_runs(func: Callable[..., Any]) -> str | None:
    """Why a call of `func` would run nothing, with the remedy; None if it runs, as far as can be known before."""
    called = func
    while isinstance(called, partial):
        called = called.func
    for each in (called, type(called).__call__):
        if inspect.iscoroutinefunction(each):
            remedy = _ASYNC_REMEDY
        elif inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each):
            remedy = GENERATOR_REMEDY
        else:
            continue
        return f"a call of {name_of(func)} only makes an object and runs nothing of it; {remedy}"
    return None


def name_of(func: Callable[..., Any]) -> str:
    """What people call a function."""
    func = getattr(func, "func", func)  # functools.partial
    name = getattr(func, "__qualname__", None) or type(func).__qualname__
    return str(name).rpartition("<locals>.")[2]


def check_callable(what: str, value: object) -> None:
    """Raises ConfigurationError, naming it by `what`, for a value that cannot be called or whose call runs nothing."""
    if not callable(value):
        raise ConfigurationError(f"{what}: {value!r} is not callable")
    if (why := why_nothing_runs(value)) is not None:
        raise ConfigurationError(f"{what}: {why}")


def check_progress(progress: Callable[[int], object] | None) -> None:
    """Raises ConfigurationError for a progress callback whose call runs nothing."""
    if progress is not None:
        check_callable("progress", progress)


def refuse_awaitable(value: Any) -> None:
    """Raises NothingRanError if `value`, which a function returned, is a coroutine or another awaitable."""
    if not hasattr(type(value), "__await__"):
        return
    if inspect.iscoroutine(value):
        value.close()  # else Python warns as well that nothing awaited it
    raise NothingRanError(
        f"the function returned a {type(value).__name__}, which nothing awaits, instead of doing its work;"
        f" {_ASYNC_REMEDY}"
    )


def is_generator(value: Any) -> bool:
    """Whether a function returned `value` instead of going through it."""
    return isinstance(value, (GeneratorType, AsyncGeneratorType))
