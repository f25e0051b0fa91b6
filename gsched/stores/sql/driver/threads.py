"""The native thread of one connection."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

import gevent
from gevent import get_hub
from gevent.lock import Semaphore
from gevent.monkey import get_original

from gsched.errors import StoreUnreachableError
from gsched.event_loop.native_threads import NativeThreads
from gsched.event_loop.slices import has_event_loop

T = TypeVar("T")

LONGEST_SECONDS: Final = 30.0  # for one call; the driver itself gives up a lock after 5

_Lock = get_original("threading", "Lock")


class NativeThread:
    """Runs functions one after the other. Any thread may call it.

    However many greenlets call, an urgent call waits for one other call of each hub at most.

    :param name: of what runs there, for the error
    :param longest: how many seconds a call may take; None: as many as it likes
    """

    def __init__(self, name: str, longest: float | None = LONGEST_SECONDS) -> None:
        self._longest = longest
        self._name = name
        self._lock = _Lock()  # native: a thread with an event loop neither holds it nor waits for it
        self._made_in = os.getpid()
        self._threads = NativeThreads()
        self._turns: WeakKeyDictionary[Any, Semaphore] = WeakKeyDictionary()  # by hub

    def call(self, func: Callable[[], T], urgent: bool = False) -> T:
        """The result of `func()`. Raises what it raises, and StoreUnreachableError if it takes too long.

        What takes too long goes on in its thread; what is called after it waits.

        :param urgent: go before the calls that wait for their turn
        """
        if not has_event_loop():
            return self._locked(func)
        turn = nullcontext() if urgent else self._turns.setdefault(get_hub(), Semaphore(1))
        too_long = StoreUnreachableError(f"{self._name} takes longer than {self._longest} seconds")
        with gevent.Timeout(self._longest, too_long), turn:
            result: T = self._threads.call(self._locked, func)
        return result

    def close(self) -> None:
        """End the thread of this hub; the next call makes another one."""
        self._threads.close()

    def _locked(self, func: Callable[[], T]) -> T:
        if self._made_in != os.getpid():  # in a forked child: a thread of the parent may have held it
            self._lock, self._made_in = _Lock(), os.getpid()
        with self._lock:
            return func()
