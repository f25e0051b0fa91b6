"""Calls from other native threads, brought to the scheduler's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import gevent
from gevent import get_hub
from gevent.monkey import get_original

# The originals: when gevent has patched `threading`, its names mean greenlets.
thread_ident: Callable[[], int] = get_original("_thread", "get_ident")
_allocate_lock = get_original("_thread", "allocate_lock")

T = TypeVar("T")


class HomeThread:
    """The native thread that a scheduler lives in."""

    def __init__(self) -> None:
        self._ident = thread_ident()
        self._loop = get_hub().loop

    def call(self, func: Callable[..., T], *args: Any) -> T:
        """`func(*args)` in the home thread: directly when called there, else in a greenlet of it.

        The calling thread waits for the result; an error is raised to it.
        """
        if thread_ident() == self._ident:
            return func(*args)
        done = _allocate_lock()
        done.acquire()
        outcome: list[Any] = []

        def perform() -> None:
            try:
                outcome.extend((func(*args), None))
            except BaseException as error:
                outcome.extend((None, error))
            finally:
                done.release()

        self._loop.run_callback_threadsafe(gevent.spawn, perform)
        done.acquire()
        value, error = outcome
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]
