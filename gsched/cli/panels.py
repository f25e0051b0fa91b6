"""The panels of `gsched top`: an overview as tables of text, and as one JSON object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from gsched.activity import MOST_DUE, Activity, Overview, Period
from gsched.cli.output import Column
from gsched.nodes import DEAD, NodeInfo
from gsched.wording import escaped

_SHARES: Final = (0.5, 0.95, 0.99)
_MOST_ROWS: Final = 12  # of a panel


class Panel(NamedTuple):
    """A table with a title."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def panels(overview: Overview) -> list[Panel]:
    """What there is to see, the most important first. Panels without rows are left out."""
    recent = overview.recent
    found = [
        Panel("jobs", ("total", "scheduled", "paused", "parked", "due in 1 min"), [_jobs(overview)]),
        Panel("runs, last minute", ("running", "waiting", "pool", "runs/s", "failures"), [_runs(overview, recent)]),
        Panel("seconds, last minute", ("", "p50", "p95", "p99"), list(_times(recent))),
        Panel("tags, last minute", ("tag", "runs", "failures"), _first(_tags(recent))),
        Panel(
            "nodes",
            ("node", "state", "slots", "watermark age", "beat age", "running", "runs/s", "p99 late"),
            _first(_nodes(overview)),
        ),
        Panel(
            "failing and slow jobs, last 10 min",
            ("job", "failures", "longest", "last error"),
            _first(_jobs_in_trouble(overview)),
        ),
    ]
    return [panel for panel in found if panel.rows]


def _first(rows: Iterator[Sequence[str]]) -> list[Sequence[str]]:
    every = list(rows)
    left_out = len(every) - _MOST_ROWS
    return every if left_out <= 0 else [*every[:_MOST_ROWS], (f"and {left_out} more",)]


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def _jobs(overview: Overview) -> Sequence[str]:
    due = _due_soon(overview)
    counts = [_number(count) for count in _job_counts(overview).values()]
    return (*counts, "-" if due is None else f"{due:,}{'+' if due >= MOST_DUE else ''}")


def _job_counts(overview: Overview) -> dict[str, int | None]:
    total, paused, parked = (overview.jobs.get(name) for name in ("total", "paused", "parked"))
    known = total is not None and paused is not None and parked is not None
    scheduled = max(0, total - paused - parked) if known else None  # type: ignore[operator]
    return {"total": total, "scheduled": scheduled, "paused": paused, "parked": parked}


def _due_soon(overview: Overview) -> int | None:
    """None if no node says."""
    return sum(each.due_soon for each in overview.activities) if overview.activities else None


def _runs(overview: Overview, recent: Period) -> Sequence[str]:
    sums = [sum(getattr(each, what) for each in overview.activities) for what in ("running", "waiting", "pool_size")]
    return (*map(_number, sums), _number(overview.runs_per_second, 1), _number(recent.failures))


def _times(recent: Period) -> Iterator[Sequence[str]]:
    if recent.runs:
        yield ("lateness", *(f"<={_seconds(recent.late(share))}" for share in _SHARES))
        yield ("duration", *(f"<={_seconds(recent.long(share))}" for share in _SHARES))


def _tags(recent: Period) -> Iterator[Sequence[str]]:
    """The busiest first; jobs without tags alone are not worth a panel."""
    if set(recent.by_tag) <= {""}:
        return
    by_runs = sorted(recent.by_tag.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    for tag, outcomes in by_runs:
        of_tag = Period(recent.seconds, outcomes, {})
        yield (escaped(tag) or "(none)", _number(sum(outcomes.values())), _number(of_tag.failures))


def _nodes(overview: Overview) -> Iterator[Sequence[str]]:
    said = {each.node: each for each in overview.activities}
    for node in sorted(overview.nodes, key=lambda each: (each.state == DEAD, each.id)):
        yield _node(node, said.get(node.id))


def _node(node: NodeInfo, activity: Activity | None) -> Sequence[str]:
    state = "paused" if activity is not None and activity.paused else node.state
    known = (node.id, state, str(node.slots), _seconds(node.watermark_age), _seconds(node.beat_age))
    if activity is None:
        return (*known, "-", "-", "-")
    recent = activity.recent
    return (*known, _number(activity.running), _number(recent.runs_per_second, 1), _seconds(recent.late(0.99)))


def _jobs_in_trouble(overview: Overview) -> Iterator[Sequence[str]]:
    for each in overview.troubles:
        error = escaped(each.last_error or "-")[:60]
        yield (escaped(each.job_id), _number(each.failures), _seconds(each.longest), error)


# -- JSON -------------------------------------------------------------------------------------------------------------

COLUMNS: Final = (
    Column("jobs", _job_counts),
    Column("due_soon", _due_soon),
    Column("running", lambda overview: sum(each.running for each in overview.activities)),
    Column("waiting", lambda overview: sum(each.waiting for each in overview.activities)),
    Column("pool_size", lambda overview: sum(each.pool_size for each in overview.activities)),
    Column("runs_per_second", lambda overview: round(overview.runs_per_second, 3)),
    Column("failures", lambda overview: overview.recent.failures),
    Column("lateness", lambda overview: _percentiles(overview.recent.late)),
    Column("duration", lambda overview: _percentiles(overview.recent.long)),
    Column("outcomes", lambda overview: dict(overview.recent.outcomes)),
    Column("tags", lambda overview: {tag: dict(counts) for tag, counts in overview.recent.by_tag.items()}),
    Column("nodes", lambda overview: list(_node_objects(overview))),
    Column("troubles", lambda overview: [_fields(each) for each in overview.troubles]),
)


def _percentiles(at: Any) -> dict[str, float | None]:
    return {f"p{share * 100:.0f}": at(share) for share in _SHARES}


def _node_objects(overview: Overview) -> Iterator[dict[str, Any]]:
    said = {each.node: each for each in overview.activities}
    for node in overview.nodes:
        known = {name: getattr(node, name) for name in ("id", "state", "slots", "watermark_age", "beat_age")}
        if (activity := said.get(node.id)) is not None:
            known |= {"paused": activity.paused, "running": activity.running, "due_soon": activity.due_soon}
            known["runs_per_second"] = round(activity.recent.runs_per_second, 3)
        yield known


def _fields(each: Any) -> dict[str, Any]:
    return {name: getattr(each, name) for name in each.__slots__}
