"""The clock: the only place that reads time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from gevent import get_hub


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Forget the call. Nothing happens if it was made already."""


class Clock(Protocol):
    """Tells the time and calls back when some has passed. Tests hand in `gsched.testing.ManualClock`."""

    longest_sleep: float
    """Seconds after which a sleeper should look at the wall clock again, which may have jumped."""

    def now_ms(self) -> int:
        """Wall-clock time in milliseconds since the epoch; it may jump."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; it never goes back."""

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call `callback(*args)` in gevent's Hub after `seconds`; it must not block."""


class SystemClock:
    """The machine's clocks and gevent's event loop."""

    longest_sleep = 1.0

    def now_ms(self) -> int:
        return int(time.time() * 1000)

    def monotonic(self) -> float:
        return time.monotonic()

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> Timer:
        return _LoopTimer(seconds, callback, args)


class _LoopTimer:
    __slots__ = ("_watcher",)

    def __init__(self, seconds: float, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        # It keeps the event loop going: else joining the hub greenlet, when nothing but jobs can happen any more, would
        # be a LoopExit ("would block forever").
        self._watcher = get_hub().loop.timer(max(seconds, 0.0))
        # update: the loop's cached time is stale after a long callback, and the timer would fire early.
        self._watcher.start(callback, *args, update=True)

    def cancel(self) -> None:
        self._watcher.stop()
        self._watcher.close()
