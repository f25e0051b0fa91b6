"""Histograms: how many durations of which size, in constant memory."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from typing import Final

# Upper bounds in milliseconds; a last bucket takes the rest. Fine where the scheduler's own lateness lies.
BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000)


class Histogram:
    """Counts of durations by size, and their total in milliseconds.

    :param bounds: upper bounds of the buckets, in milliseconds
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...] = BUCKETS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total: float = 0  # whole while the durations are whole: adding whole numbers is faster

    @classmethod
    def of(cls, counts: Iterable[int]) -> Histogram:
        """A histogram with these counts in the usual buckets; their total is not known."""
        made = cls()
        made.counts = list(counts)
        return made

    def count(self, milliseconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(self.bounds, milliseconds)] += 1
        self.total += milliseconds

    def percentile(self, share: float) -> float | None:
        """The upper bound in seconds of the bucket in which this share (0-1) is reached; None if nothing was counted.

        The last bucket has no bound; that of the one before stands for it.
        """
        wanted = share * sum(self.counts)
        if not wanted:
            return None
        reached = accumulate(self.counts)
        bucket = next(number for number, count in enumerate(reached) if count >= wanted)
        return self.bounds[min(bucket, len(self.bounds) - 1)] / 1000
