"""What became of a scheduler's runs, as several load tests read it."""

from __future__ import annotations

from gsched import GeventScheduler
from gsched.monitoring.counters import Histogram


def outcomes(scheduler: GeventScheduler) -> dict[str, int]:
    """How many instants ended how so far."""
    return {str(outcome): count for outcome, count in scheduler._engine.hub.counters.outcomes.items()}


def lateness_percentile(scheduler: GeventScheduler, earlier: list[int], share: float) -> float:
    """The upper bound, in seconds, of a percentile of lateness since the counts were `earlier`."""
    since = Histogram()
    since.counts = [now - then for now, then in zip(scheduler._engine.hub.counters.lateness.counts, earlier)]
    return since.percentile(share) or 0.0
