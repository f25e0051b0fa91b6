"""When a node beats: once per tick, and more slowly while it is alone and has nothing to do."""

from __future__ import annotations

from collections.abc import Callable

from gsched.stores.claims.intervals import Intervals
from gsched.times.clock import Clock


class Beats:
    """Says when the next advance of one node is due.

    A node may rest: beat each `idle_tick` instead of each tick. It rests only while it is alone and nothing is due soon
    (`calm_seconds`), so that a rest claims nothing earlier, and leaves nothing undone that a beat would do.

    :param calm_seconds: for how long the node has nothing to do and nothing to claim, as far as it knows; 0 or less if
        there is something
    :ivar is_alone: no other node was alive when this node looked last
    """

    def __init__(self, clock: Clock, intervals: Intervals, calm_seconds: Callable[[], float]) -> None:
        self._clock = clock
        self._intervals = intervals
        self._calm_seconds = calm_seconds
        self._last = float("-inf")
        self.is_alone = False

    def note(self) -> None:
        """The node is about to beat."""
        self._last = self._clock.monotonic()

    def is_due(self) -> bool:
        """True if the node is to beat now. Asked between all writes, so that a tick costs one look at the clock."""
        return self._elapsed() >= self._intervals.tick and self.until_next() <= 0

    def until_next(self) -> float:
        """In how many seconds the node is to beat, as far as it knows."""
        elapsed, silence = self._elapsed(), self._intervals.tick
        if self.is_alone:
            silence = max(silence, min(elapsed + self._calm_seconds(), self._intervals.longest_silence))
        return silence - elapsed

    def _elapsed(self) -> float:
        return self._clock.monotonic() - self._last
