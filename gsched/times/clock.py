"""The clock by which everything is scheduled."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from gevent import get_hub

_JUMP_MS: Final = 500
# Linux's monotonic clock stands still while a machine is suspended: a claim from before would still seem to hold. That
# of macOS goes on, and so does Windows' performance counter.
if sys.platform != "win32":
    _ELAPSED: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Drop the call. Nothing happens if it was made already."""

    def let_loop_end(self) -> None:
        """Do not keep the event loop going for this call alone: a forked child ends without it."""


class Clock(Protocol):
    """Gives the time, and calls back later. Tests use `gsched.testing.ManualClock`."""

    longest_sleep: float
    """Seconds after which a sleeper should look at the wall clock again, which may have jumped."""

    def now_ms(self) -> int:
        """Wall-clock time in milliseconds since the epoch; it may jump."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; it never goes back, and goes on while the machine is suspended."""

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call `callback(*args)` in gevent's Hub after `seconds`; it must not block."""


class SystemClock:
    """The machine's clocks and gevent's event loop."""

    longest_sleep = 1.0

    def now_ms(self) -> int:
        return int(time.time() * 1000)

    if sys.platform == "win32":

        def monotonic(self) -> float:
            return time.perf_counter()

    else:

        def monotonic(self) -> float:
            return time.clock_gettime(_ELAPSED)

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> Timer:
        return _LoopTimer(seconds, callback, args)


class _LoopTimer:
    __slots__ = ("_watcher",)

    def __init__(self, seconds: float, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        # The timer keeps the event loop going. Without it, joining the hub greenlet while no I/O is waited for raises a
        # LoopExit ("would block forever").
        self._watcher = get_hub().loop.timer(max(seconds, 0.0))
        # update: the loop's cached time is stale after a long callback, and the timer would fire early.
        self._watcher.start(callback, *args, update=True)

    def cancel(self) -> None:
        self._watcher.stop()
        self._watcher.close()

    def let_loop_end(self) -> None:
        self._watcher.ref = False


class JumpWatch:
    """Notices that the wall clock was set: it moved, and the monotonic one did not."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = self._offset_now()

    def look(self) -> float:
        """By how many seconds the wall clock jumped since the last look; 0 for half a second and less."""
        before, self._offset = self._offset, self._offset_now()
        jump = self._offset - before
        return round(jump / 1000, 3) if abs(jump) > _JUMP_MS else 0.0

    def _offset_now(self) -> float:
        return self._clock.now_ms() - self._clock.monotonic() * 1000
