"""Waiting in any thread, whether gevent's event loop turns there or not."""

from __future__ import annotations

from gevent.event import Event
from gevent.monkey import get_original

from gsched.event_loop.slices import has_event_loop
from gsched.event_loop.threadsafe_calls import threadsafe_calls

_allocate_lock = get_original("_thread", "allocate_lock")


class Waiter:
    """Lets the greenlet or the native thread that makes it wait, until another one wakes it.

    It serves once. A greenlet waits while others of its thread go on; a thread without an event loop blocks.
    """

    def __init__(self) -> None:
        self._calls = threadsafe_calls() if has_event_loop() else None
        if self._calls is not None:
            self._event = Event()
        else:
            self._lock = _allocate_lock()
            self._lock.acquire()

    def wake(self) -> None:
        """End the wait. Any thread may call this, once."""
        if self._calls is None:
            self._lock.release()
        elif has_event_loop() and threadsafe_calls() is self._calls:
            self._event.set()
        else:
            self._calls.put(self._event.set)

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; True if somebody has called `wake`."""
        if self._calls is None:
            return bool(self._lock.acquire(timeout=seconds))
        return bool(self._event.wait(seconds))
