"""What a scheduler did and is doing: its counters, its lanes and its executors, in plain values."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from gsched.executors import BaseExecutor
from gsched.hub.lane import Lane, monotonic_ms
from gsched.monitoring.activity import MOST_DUE
from gsched.monitoring.counters import Counters
from gsched.monitoring.loop_shares import LoopShares
from gsched.times.clock import Clock

_SOON_MS: Final = 60_000


def activity_of(
    counters: Counters,
    running: int,
    executors: Collection[BaseExecutor],
    lanes: Collection[Lane],
    loop: LoopShares | None,
    clock: Clock,
) -> dict[str, Any]:
    """What a scheduler did since its start and is doing, in plain values.

    What it did: outcomes, by_tag, lateness, late_by_pool, duration. What it is doing: running, waiting, pool_size,
    due_soon, and groups: of each group with a limit or a pause, how many of its runs are in progress, how many of its
    jobs wait for their turn and since when (`held_since`, ms), and how many of its runs began in the last minute. Its
    event loop: loop, the shares of the time for which code held it, None if they are unknown.
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
        "groups": groups_of(lanes, clock),
        "loop": None if loop is None else loop.plain(),
    }


def groups_of(lanes: Collection[Lane], clock: Clock) -> list[dict[str, Any]]:
    """What the groups with a limit or a pause are doing, in plain values. Call it in any thread."""
    return [each for lane in [*lanes] for each in lane.gates.activity(monotonic_ms(clock), lane.now(clock))]
