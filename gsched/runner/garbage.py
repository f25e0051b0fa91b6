"""Python's garbage collector, tuned for a process that holds many jobs.

A full collection looks at every object that may be part of a cycle: with 10^5 jobs it holds everything up for a tenth
of a second. What has been loaded lives long, so that it is taken out of the collector's sight.
"""

from __future__ import annotations

import gc
from typing import Final

from gsched.clock import Clock

THRESHOLDS: Final = (20_000, 20, 20)  # default: 700, 10, 10
LONG_SECONDS: Final = 0.02


class LongCollections:
    """Freezes what survives a full collection that took long: the jobs that were loaded since the last time.

    The time between two freezes doubles. What happens to be frozen while it is in use and becomes part of a cycle
    later is never freed: that must not happen often.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pause = 5.0  # seconds
        self._not_before = 0.0
        self._began = 0.0

    def watch(self) -> None:
        """Collect and freeze what is there now; then watch."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
        gc.callbacks.append(self._collection)

    def stop(self) -> None:
        """Watch no more."""
        gc.callbacks.remove(self._collection)

    def _collection(self, phase: str, info: dict[str, int]) -> None:
        if info["generation"] < 2:
            return
        now = self._clock.monotonic()
        if phase == "start":
            self._began = now
        elif now - self._began >= LONG_SECONDS and now >= self._not_before:
            gc.freeze()
            self._not_before, self._pause = now + self._pause, 2 * self._pause
