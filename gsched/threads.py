"""Calls from other native threads, brought to the scheduler's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from gevent import get_hub
from gevent.monkey import get_original

from gsched.errors import EventLoopStalledError
from gsched.helpers import spawn
from gsched.patching import HUB_REMEDIES

# The originals: when gevent has patched `threading`, its names mean greenlets.
thread_ident: Callable[[], int] = get_original("_thread", "get_ident")
_main_thread = get_original("threading", "main_thread")
_allocate_lock = get_original("_thread", "allocate_lock")

T = TypeVar("T")


def is_main_thread() -> bool:
    """Whether the calling native thread is the main one of the process."""
    return bool(thread_ident() == _main_thread().ident)


_STALLED_SECONDS: Final = 10  # without a turn of the event loop, until a call is withdrawn; jobs block it for seconds


class HomeThread:
    """The native thread that a scheduler lives in."""

    def __init__(self) -> None:
        self._ident = thread_ident()
        self._loop = get_hub().loop

    def call(self, func: Callable[..., T], *args: Any) -> T:
        """Call `func(*args)` in the home thread: directly if that is the calling thread, else in a greenlet there.

        The calling thread waits for the result; an error is raised to it.

        :raises EventLoopStalledError: if the event loop there did not turn for ten seconds; `func` was not called then,
            and will not be
        """
        if thread_ident() == self._ident:
            return func(*args)
        call = _Call(lambda: func(*args))
        self._loop.run_callback_threadsafe(spawn, call.perform)
        for _ in range(_STALLED_SECONDS):  # second by second: a process that was stopped for ten has not stalled
            if call.done.acquire(timeout=1.0):
                break
        else:
            if call.take():
                raise EventLoopStalledError(
                    f"the scheduler's event loop has not turned for {_STALLED_SECONDS} s: the call was withdrawn, and"
                    f" nothing of it was done. If that lasts, nothing runs. {HUB_REMEDIES}"
                )
            call.done.acquire()
        return call.result()  # type: ignore[no-any-return]


class _Call:
    """A call that one thread wants made in another one. Either of them takes it: to make it, or to withdraw it.

    :ivar done: released when the call has been made
    """

    def __init__(self, func: Callable[[], Any]) -> None:
        self._func = func
        self._taken = _allocate_lock()
        self._outcome: tuple[Any, BaseException | None] = None, None
        self.done = _allocate_lock()
        self.done.acquire()

    def take(self) -> bool:
        """Whether the caller is the first to take the call."""
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

    def result(self) -> Any:
        """What the call returned. Raises what it raised."""
        value, error = self._outcome
        if error is not None:
            raise error
        return value
