"""A scheduler's verbs for programs on asyncio."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache, wraps
from itertools import islice
from typing import Any, Final

THREADS: Final = 16  # of this process; each call of a verb that waits for a database needs one meanwhile
_AT_ONCE: Final = 100  # items of an iterator that are fetched at once


class AioVerbs:
    """The verbs of a scheduler as coroutine functions: `await scheduler.aio.add_job(...)`.

    Each has the arguments, the result and the errors of the scheduler's verb of that name. The verb runs in a native
    thread, so that the event loop turns while it waits for a database. A verb that gives an iterator gives an
    asynchronous one: `async for job in scheduler.aio.iter_jobs()`. `aio.admin` has the operators' verbs.

    A handle on a job, such as `add_job` returns, has the scheduler's own verbs, which block.
    """

    def __init__(self, verbs: Any) -> None:
        self._verbs = verbs

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        verb = getattr(self._verbs, name)
        if name == "admin":
            return AioVerbs(verb)
        if not callable(verb):
            raise AttributeError(f"{name} is no verb: it waits for nothing, read it from the scheduler itself")
        return _iterating(verb) if inspect.isgeneratorfunction(verb) else _in_thread(verb)

    def __dir__(self) -> list[str]:
        return [name for name in dir(self._verbs) if not name.startswith("_")]


def _in_thread(verb: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(verb)
    async def call(*args: Any, **options: Any) -> Any:
        context = copy_context()  # the verb may belong to a run
        return await asyncio.get_running_loop().run_in_executor(
            _threads(), lambda: context.run(verb, *args, **options)
        )

    return call


def _iterating(verb: Callable[..., Iterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
    @wraps(verb)
    async def iterate(*args: Any, **options: Any) -> AsyncIterator[Any]:
        items = verb(*args, **options)
        fetch = _in_thread(lambda: list(islice(items, _AT_ONCE)))
        while some := await fetch():
            for item in some:
                yield item

    return iterate


@cache
def _threads() -> ThreadPoolExecutor:
    """Not the event loop's default executor: jobs may fill that."""
    return ThreadPoolExecutor(THREADS, "gsched-aio")
