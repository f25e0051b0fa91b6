"""A clock that stands still until it is moved."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from heapq import heappop, heappush
from itertools import count
from typing import Any

from gevent import get_hub

from gsched.times.clock import Timer
from gsched.times.instants import as_instant, from_ms, to_ms


class ManualClock:
    """Stands still until it is moved; timers go off, in order, when it passes them.

    :param start: a datetime (a naive one is UTC), date, ISO text or seconds since the epoch
    """

    longest_sleep = float("inf")  # only calls of its methods move it

    def __init__(self, start: datetime | date | str | float = "2026-01-01") -> None:
        self._now_ms = to_ms(as_instant(start, UTC, "start"))
        self._monotonic_ms = 0
        self._timers: list[tuple[float, int, _ManualTimer]] = []
        self._order = count()

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic(self) -> float:
        return self._monotonic_ms / 1000

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> Timer:
        timer = _ManualTimer(callback, args)
        due = self._monotonic_ms + max(seconds, 0.0) * 1000
        if due < float("inf"):  # otherwise it never goes off
            heappush(self._timers, (due, next(self._order), timer))
        return timer

    @property
    def now(self) -> datetime:
        """The time it shows."""
        return from_ms(self._now_ms)

    def step(self, milliseconds: int) -> int | None:
        """Move to the next timer if it comes within `milliseconds`; it goes off when the event loop turns next.

        :return: by how many milliseconds the clock moved, or None if no timer came; then it did not move
        """
        while self._timers:
            due, _, timer = self._timers[0]
            if timer.cancelled:
                heappop(self._timers)
                continue
            moved = max(0, int(-(-(due - self._monotonic_ms) // 1)))
            if moved > milliseconds:
                return None
            heappop(self._timers)
            self.skip(moved)
            # In gevent's Hub, as real timers: it may switch to a greenlet that does not switch back.
            get_hub().loop.run_callback(timer.go_off)
            return moved
        return None

    def skip(self, milliseconds: int) -> None:
        """Move forward without letting timers go off."""
        self._now_ms += milliseconds
        self._monotonic_ms += milliseconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an administrator does; elapsed time is not affected."""
        self._now_ms += round(seconds * 1000)


class _ManualTimer:
    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.callback = callback
        self.args = args
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def let_loop_end(self) -> None:
        """A manual timer keeps no event loop going."""

    def go_off(self) -> None:
        if not self.cancelled:
            self.callback(*self.args)
