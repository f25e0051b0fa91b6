"""Calls from other native threads, made in the event loop of one thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any, Final, TypeVar

from gevent import get_hub
from gevent.monkey import get_original
from gevent.pool import Group

from gsched.errors import EventLoopStalledError
from gsched.event_loop.helpers import spawn
from gsched.event_loop.patch import HUB_REMEDIES, threads_are_patched
from gsched.event_loop.slices import Slice
from gsched.event_loop.threadsafe_calls import threadsafe_calls

# The originals: when gevent has patched `threading`, its names mean greenlets.
thread_ident: Callable[[], int] = get_original("_thread", "get_ident")
_main_thread = get_original("threading", "main_thread")
_allocate_lock = get_original("_thread", "allocate_lock")
_start_thread = get_original("_thread", "start_new_thread")
_numbers = count(1)

T = TypeVar("T")


def start_native_thread(call: Callable[..., object], *args: Any) -> None:
    """Call `call(*args)` in a new native thread, which never keeps the program alive.

    :raises RuntimeError: if the system gives no further thread
    """
    if threads_are_patched():
        _start_thread(call, args)
    else:  # such a thread has a name, for logs
        threading.Thread(target=call, args=args, name=f"gsched-{next(_numbers)}", daemon=True).start()


def is_main_thread() -> bool:
    """True in the main native thread of the process."""
    return bool(thread_ident() == _main_thread().ident)


_STALLED_SECONDS: Final = 10  # without a turn of the event loop: then a call is withdrawn
_SOON: Final = 1e-6  # seconds: a timer, so that the event loop serves I/O before the next slice


class LoopInbox:
    """Calls for the event loop of the thread that makes it, in order.

    `put` wakes the loop. Calls that come before it turns share one wake-up. The loop makes calls for two milliseconds
    at a time.
    """

    def __init__(self) -> None:
        self._loop = get_hub().loop
        self._wakeups = threadsafe_calls()
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._is_awake = False  # True: a call of `_empty` is to come, which will see what is put before it

    def put(self, call: Callable[..., object], *args: Any) -> None:
        """Have the loop call `call(*args)` soon. Call this in any thread; nothing happens if the loop is gone.

        :param call: it must neither block nor raise
        """
        self._calls.append((call, args))
        if not self._is_awake:
            self._is_awake = True
            self._wakeups.put(self._empty)

    def _empty(self) -> None:
        self._is_awake = False  # first: what is put from now on wakes the loop again
        pace = Slice()
        try:
            while self._calls and not pace.used_up():
                call, args = self._calls.popleft()
                call(*args)
        finally:  # a KeyboardInterrupt may come anywhere
            if self._calls:
                self._continue_soon()

    def _continue_soon(self) -> None:
        self._is_awake = True
        timer = self._loop.timer(_SOON)
        timer.start(self._empty_after, timer)

    def _empty_after(self, timer: Any) -> None:
        timer.close()
        self._empty()


class HomeClosedError(Exception):
    """The scheduler has left the thread. Nothing of the call was done."""


class HomeThread:
    """The native thread in which a scheduler runs."""

    def __init__(self) -> None:
        self.ident = thread_ident()
        self._calls = threadsafe_calls()
        self._lock = _allocate_lock()  # of the two below
        self._waiting: set[_Call] = set()
        self._is_closed = False
        self._performing = Group()

    def call(self, func: Callable[..., T], *args: Any) -> T:
        """Call `func(*args)` in the home thread: directly if that is the calling thread, otherwise in a greenlet there.

        The calling thread waits for the result, and gets the error that `func` raises.

        :raises HomeClosedError: if the home is closed; then `func` is never called
        :raises EventLoopStalledError: if the event loop there did not turn for ten seconds; then `func` is never called
        """
        if thread_ident() == self.ident:
            return func(*args)
        call = _Call(lambda: func(*args))
        with self._lock:
            if self._is_closed:
                raise HomeClosedError
            self._waiting.add(call)
            self._calls.put(self._begin, call)
        try:
            return self._result(call)  # type: ignore[no-any-return]
        finally:
            with self._lock:
                self._waiting.discard(call)

    def _begin(self, call: _Call) -> None:
        self._performing.add(spawn(call.perform))

    def _result(self, call: _Call) -> Any:
        for _ in range(_STALLED_SECONDS):  # second by second: a process that was stopped for ten has not stalled
            if call.done.acquire(timeout=1.0):
                break
        else:
            if call.take():
                raise EventLoopStalledError(
                    f"the scheduler's event loop has not turned for {_STALLED_SECONDS} s: the call was withdrawn, and"
                    f" had no effect. While the event loop stands still, nothing runs. {HUB_REMEDIES}"
                )
            call.done.acquire()
        return call.result()

    def close(self) -> None:
        """Take no more calls, and wait for those that have begun. Called in the home thread when its loop is to end."""
        with self._lock:
            self._is_closed = True
            waiting = list(self._waiting)
        for call in waiting:
            call.withdraw(HomeClosedError())
        self._performing.join()


class _Call:
    """A call from one thread to another. One of the two takes it: to make it, or to withdraw it.

    :ivar done: released when the call has been made
    """

    def __init__(self, func: Callable[[], Any]) -> None:
        self._func = func
        self._taken = _allocate_lock()
        self._outcome: tuple[Any, BaseException | None] = None, None
        self.done = _allocate_lock()
        self.done.acquire()

    def take(self) -> bool:
        """True for the first thread that takes the call."""
        return self._taken.acquire(blocking=False)  # type: ignore[no-any-return]

    def perform(self) -> None:
        """Make the call, unless it was withdrawn."""
        if not self.take():
            return
        try:
            self._outcome = self._func(), None
        except BaseException as error:
            self._outcome = None, error
        finally:
            self.done.release()

    def withdraw(self, error: Exception) -> None:
        """Let the caller get this error, unless the call has begun."""
        if self.take():
            self._outcome = None, error
            self.done.release()

    def result(self) -> Any:
        """The result of the call, or its error, raised."""
        value, error = self._outcome
        if error is not None:
            raise error
        return value
