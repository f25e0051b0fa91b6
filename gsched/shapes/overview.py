"""The JSON object of an overview, and what keeps its jobs from being run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from gsched.monitoring.activity import Overview, Period
from gsched.monitoring.nodes import SILENT
from gsched.monitoring.overdue import counted
from gsched.shapes.shape import Shape
from gsched.times.durations import rough_duration

SHARES: Final = (0.5, 0.95, 0.99)
_OF_ACTIVITY: Final = ("paused", "running", "waiting", "pool_size", "due_soon")


def alarms(overview: Overview) -> Iterator[str]:
    """What keeps jobs from being run, a line each."""
    if overview.is_shared and not any(node.runs_jobs for node in overview.nodes):
        yield "no runner is alive: nothing runs until `gsched run` is started"
    for node in overview.nodes:
        if node.state == SILENT:
            yield f"{node.id} has sent no heartbeat for {rough_duration(node.beat_age or 0.0)}"
    for each in overview.activities:
        if each.paused:
            yield f"{each.node} is paused: its due jobs wait"
        if each.waiting:
            yield f"{each.node}: {each.waiting:,} runs wait for a worker"
    if overdue := overview.overdue:
        yield f"{counted(overdue)} overdue: no run has succeeded within expect_success_every"
    if parked := overview.jobs.get("parked"):
        yield f"{parked:,} jobs are parked: gsched job list --state parked"


def job_counts(overview: Overview) -> dict[str, int | None]:
    """How many jobs there are, by state; None if counting took too long."""
    total, paused, parked = (overview.jobs.get(name) for name in ("total", "paused", "parked"))
    known = total is not None and paused is not None and parked is not None
    scheduled = max(0, total - paused - parked) if known else overview.jobs.get("scheduled")  # type: ignore[operator]
    return {"total": total, "scheduled": scheduled, "paused": paused, "parked": parked}


def due_soon(overview: Overview) -> int | None:
    """How many jobs are due within a minute; None if no node says."""
    return sum(each.due_soon for each in overview.activities) if overview.activities else None


OVERVIEW: Final[Shape] = {
    "jobs": job_counts,
    "due_soon": due_soon,
    "running": lambda overview: sum(each.running for each in overview.activities),
    "waiting": lambda overview: sum(each.waiting for each in overview.activities),
    "pool_size": lambda overview: sum(each.pool_size for each in overview.activities),
    "runs_per_second": lambda overview: round(overview.runs_per_second, 3),
    "failures": lambda overview: overview.recent.failures,
    "skips": lambda overview: overview.recent.skips,
    "misses": lambda overview: overview.recent.misses,
    "lateness": lambda overview: percentiles(overview.recent.late),
    "lateness_by_pool": lambda overview: dict(_lateness_by_pool(overview.recent)),
    "duration": lambda overview: percentiles(overview.recent.long),
    "outcomes": lambda overview: dict(overview.recent.outcomes),
    "tags": lambda overview: {tag: dict(counts) for tag, counts in overview.recent.by_tag.items()},
    "nodes": lambda overview: list(_node_objects(overview)),
    "alarms": lambda overview: list(alarms(overview)),
    "groups": lambda overview: [_fields(each) for each in overview.groups],
    "troubles": lambda overview: [_fields(each) for each in overview.troubles],
    "in_progress": lambda overview: [_fields(each) for each in overview.in_progress],
    "overdue": lambda overview: [_fields(each) for each in overview.overdue],
    "pauses": lambda overview: [_fields(each) for each in overview.pauses],
    "loops": lambda overview: [{"node": each.node, **each.loop.plain()} for each in overview.activities if each.loop],
}


def _lateness_by_pool(recent: Period) -> Iterator[tuple[str, dict[str, float | None]]]:
    for pool in recent.late_by_pool:
        yield pool, percentiles(partial(recent.late, pool=pool))


def percentiles(at: Callable[[float], float | None]) -> dict[str, float | None]:
    """The values that half, 95 % and 99 % do not exceed.

    :param at: gives the value for a share
    """
    return {f"p{share * 100:.0f}": at(share) for share in SHARES}


def _node_objects(overview: Overview) -> Iterator[dict[str, Any]]:
    said = {each.node: each for each in overview.activities}
    for node in overview.nodes:
        known = {name: getattr(node, name) for name in ("id", "state", "slots", "watermark_age", "beat_age")}
        if (activity := said.get(node.id)) is not None:
            known |= {name: getattr(activity, name) for name in _OF_ACTIVITY}
            known["runs_per_second"] = round(activity.recent.runs_per_second, 3)
            known["lateness"] = percentiles(activity.recent.late)
        yield known


def _fields(each: Any) -> dict[str, Any]:
    return {name: getattr(each, name) for name in each.__slots__}


# What changes from second to second, for those who look on.
PULSE: Final[Shape] = {
    name: OVERVIEW[name]
    for name in (
        "jobs", "due_soon", "running", "waiting", "pool_size", "runs_per_second", "failures", "skips", "misses",
        "lateness", "duration", "alarms",
    )
}  # fmt: skip
