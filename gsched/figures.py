"""Figures: how many runs, how late, how long."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import Any, Final

from gsched.planning import Span
from gsched.run import Outcome, Result, Run

# Upper bounds in milliseconds; a last bucket takes the rest. Fine where the scheduler's own lateness lies.
BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000)


class Histogram:
    """Counts of durations by size, and their total in milliseconds. `Figures.count` fills it, for every run."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0

    def percentile(self, share: float) -> float | None:
        """The upper bound in seconds of the bucket in which this share (0-1) is reached; None if nothing was counted.

        The last bucket has no bound; 300 s stands for it.
        """
        wanted = share * sum(self.counts)
        if not wanted:
            return None
        reached = accumulate(self.counts)
        bucket = next(number for number, count in enumerate(reached) if count >= wanted)
        return BUCKETS[min(bucket, len(BUCKETS) - 1)] / 1000


class Figures:
    """What a scheduler did since it started, and since the last summary."""

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys(Outcome, 0)
        self.lateness = Histogram()
        self.duration = Histogram()
        self._late, self._long = self.lateness.counts, self.duration.counts
        self._start_period()

    def _start_period(self) -> None:
        self._outcomes_before = dict(self.outcomes)
        self._lateness_before = list(self.lateness.counts)
        self._slowest: Run | None = None
        self._slowest_ms = -1

    def count(self, run: Run, result: Result) -> None:
        """A run ended."""
        self.outcomes[result.outcome] += 1
        started, finished = run.started_ms, run.finished_ms
        if started is None or finished is None:
            return
        late = started - run.scheduled_ms
        self._late[bisect_left(BUCKETS, late)] += 1
        self.lateness.total += late
        if (duration := finished - started) > self._slowest_ms:
            self._slowest, self._slowest_ms = run, duration
        self._long[bisect_left(BUCKETS, duration)] += 1
        self.duration.total += duration

    def count_span(self, span: Span) -> None:
        """Instants ended without a run; a span counts once, for how many it holds only its trigger knows."""
        self.outcomes[span.outcome] += 1

    def summary(self) -> dict[str, Any]:
        """What happened since the last summary; a new period begins."""
        recent = Histogram()
        recent.counts = [now - before for now, before in zip(self.lateness.counts, self._lateness_before)]
        said: dict[str, Any] = {
            str(outcome): count - self._outcomes_before[outcome] for outcome, count in self.outcomes.items()
        }
        said["lateness_p50"], said["lateness_p95"], said["lateness_p99"] = map(recent.percentile, (0.5, 0.95, 0.99))
        if self._slowest is not None:
            said["slowest_job"], said["slowest_duration"] = self._slowest.job.id, self._slowest.duration
        self._start_period()
        return said
