"""Jobs that several load tests use, and how to read what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from gsched import GeventScheduler
from gsched.figures import Histogram

_runs = 0


def counted() -> None:
    """A no-op that is counted."""
    global _runs
    _runs += 1


def runs_so_far() -> int:
    """How often `counted` was called."""
    return _runs


def every_second(func: Callable[..., Any], count: int, delay_seconds: float) -> Iterator[dict[str, Any]]:
    """Definitions of `count` jobs that recur every second, spread over it, the first due after `delay_seconds`."""
    start = datetime.now(UTC) + timedelta(seconds=delay_seconds)
    for number in range(count):
        phase = start + timedelta(milliseconds=number % 1000)
        yield {"func": func, "trigger": "interval", "seconds": 1, "start_date": phase, "id": f"job-{number}"}


def outcomes(scheduler: GeventScheduler) -> dict[str, int]:
    """How many instants ended how so far."""
    return {str(outcome): count for outcome, count in scheduler._hub.figures.outcomes.items()}


def lateness_percentile(scheduler: GeventScheduler, earlier: list[int], share: float) -> float:
    """The upper bound, in seconds, of a percentile of lateness since the counts were `earlier`."""
    since = Histogram()
    since.counts = [now - then for now, then in zip(scheduler._hub.figures.lateness.counts, earlier)]
    return since.percentile(share) or 0.0
