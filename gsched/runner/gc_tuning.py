"""Tunes Python's garbage collector for a process that holds many jobs.

A full collection looks at every object that may be part of a cycle: with 10^5 jobs it stops the process for a tenth of
a second. Loaded jobs live long, so they are frozen: the collector does not look at them any more.
"""

from __future__ import annotations

import gc
from typing import Final

from gsched.event_loop.stacks import freeze_heap
from gsched.times.clock import Clock

LONG_SECONDS: Final = 0.02  # a collection that takes longer is followed by a freeze


class LongCollections:
    """Freezes the objects that survive a long full collection: the jobs that were loaded since the last one.

    A frozen object that becomes part of a cycle later is never freed. So freezes must be rare: the least time between
    two freezes doubles with each freeze.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pause = 5.0  # seconds
        self._not_before = 0.0
        self._began = 0.0

    def watch(self) -> None:
        """Collect garbage, freeze all objects that exist now, and watch later collections."""
        gc.collect()
        freeze_heap()
        gc.callbacks.append(self._collection)

    def stop(self) -> None:
        """Stop watching collections."""
        gc.callbacks.remove(self._collection)

    def _collection(self, phase: str, info: dict[str, int]) -> None:
        if info["generation"] < 2:
            return
        now = self._clock.monotonic()
        if phase == "start":
            self._began = now
        elif now - self._began >= LONG_SECONDS and now >= self._not_before:
            freeze_heap()
            self._not_before, self._pause = now + self._pause, 2 * self._pause
