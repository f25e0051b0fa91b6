"""What a scheduler did and is doing: its counters, its lanes and its executors, in plain values."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from gsched.executors import BaseExecutor
from gsched.hub.lane import Lane
from gsched.monitoring.activity import MOST_DUE
from gsched.monitoring.counters import Counters
from gsched.times.clock import Clock

_SOON_MS: Final = 60_000


def activity_of(
    counters: Counters, running: int, executors: Collection[BaseExecutor], lanes: Collection[Lane], clock: Clock
) -> dict[str, Any]:
    """What a scheduler did since its start and is doing, in plain values.

    What it did: outcomes, by_tag, lateness, late_by_pool, duration. What it is doing: running, waiting, pool_size,
    due_soon.
    """
    due_soon = sum(lane.due_within(_SOON_MS, clock, MOST_DUE) for lane in lanes)
    return {
        "outcomes": {str(outcome): count for outcome, count in counters.outcomes.items()},
        "by_tag": {tag: {str(o): n for o, n in counts.items() if n} for tag, counts in counters.by_tag.items()},
        "lateness": list(counters.lateness.counts),
        "late_by_pool": {alias: list(counts) for alias, counts in counters.late_by_pool.items()},
        "duration": list(counters.duration.counts),
        "running": running,
        "waiting": sum(executor.waiting for executor in executors),
        "pool_size": sum(executor.size for executor in executors),
        "due_soon": min(due_soon, MOST_DUE),
    }
