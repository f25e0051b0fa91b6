"""Callables whose call runs nothing, such as coroutine functions and generator functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from types import AsyncGeneratorType, FunctionType, GeneratorType
from typing import Any, Final

from gsched.errors import ConfigurationError, NothingRanError

_ASYNC_REMEDY: Final = (
    "run it on an AsyncIOExecutor, which AsyncIOScheduler has,"
    " or wrap it in a function that calls asyncio.run(), in a thread executor"
)
_CALLBACK_REMEDY: Final = (
    "wrap it in a function that hands the work to the event loop: asyncio.run_coroutine_threadsafe(work(), loop)"
)
_MAKES_OBJECT: Final = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
GENERATOR_REMEDY: Final = "wrap it in a function that goes through what it yields"


def why_nothing_runs(func: Callable[..., Any], awaits: bool = False, remedy: str = _ASYNC_REMEDY) -> str | None:
    """Why a call of `func` would run nothing, with the remedy; None if nothing speaks against it.

    :param awaits: the caller awaits coroutines
    :param remedy: what to do with a coroutine function
    """
    if type(func) is FunctionType and not func.__code__.co_flags & _MAKES_OBJECT and not func.__dict__:
        return None  # most functions; the rest of this takes ten times as long
    for each in _called(func):
        if inspect.iscoroutinefunction(each):
            if awaits:
                continue
        elif inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each):
            remedy = GENERATOR_REMEDY
        else:
            continue
        return f"a call of {name_of(func)} only makes an object and runs nothing of it; {remedy}"
    return None


def makes_coroutine(func: Callable[..., Any]) -> bool:
    """True if a call of `func` makes a coroutine."""
    return any(map(inspect.iscoroutinefunction, _called(func)))


def _called(func: Callable[..., Any]) -> tuple[Any, Any]:
    """What a call of `func` may call: a function, or the method of an object."""
    while isinstance(func, partial):
        func = func.func
    return func, type(func).__call__


def name_of(func: Callable[..., Any]) -> str:
    """A function's name, for people."""
    func = getattr(func, "func", func)  # functools.partial
    name = getattr(func, "__qualname__", None) or type(func).__qualname__
    return str(name).rpartition("<locals>.")[2]


def check_callable(what: str, value: object) -> None:
    """Raises ConfigurationError, naming it by `what`, for a value that cannot be called or whose call runs nothing."""
    if not callable(value):
        raise ConfigurationError(f"{what}: {value!r} is not callable")
    if (why := why_nothing_runs(value, remedy=_CALLBACK_REMEDY)) is not None:
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
        value.close()  # otherwise Python warns as well that it was never awaited
    raise NothingRanError(
        f"the function returned a {type(value).__name__}, which nothing awaits, instead of doing its work;"
        f" {_ASYNC_REMEDY}"
    )


def is_generator(value: Any) -> bool:
    """True if `value` is a generator, which has run nothing yet."""
    return isinstance(value, (GeneratorType, AsyncGeneratorType))
