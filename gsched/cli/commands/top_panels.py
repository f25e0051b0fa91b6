"""The panels of `gsched top`: an overview as tables of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from gsched.monitoring.activity import MOST_DUE, NodeActivity, Overview, Period
from gsched.monitoring.nodes import DEAD, NodeInfo
from gsched.shapes.overview import SHARES, alarms, due_soon, job_counts
from gsched.times.durations import rough_duration
from gsched.wording import escaped

_MOST_ROWS: Final = 12  # of a panel
_BAD: Final = ("failures", "skips", "misses")
_NAMED_JOBS: Final = 3  # that held the event loop, in a row
_LONG_SECONDS: Final = 10.0  # a run in progress is shown from then on


class Panel(NamedTuple):
    """A table with a title."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def top_panels(overview: Overview) -> list[Panel]:
    """The panels of an overview: trouble first, then runs, then nodes. Panels without rows are left out."""
    recent = overview.recent
    found = [
        Panel("trouble", ("",), [(line,) for line in alarms(overview)]),
        Panel(
            "by tag and error, last 10 min",
            ("tag", "outcome", "error", "count", "jobs", "latest job"),
            _first(_groups(overview)),
        ),
        Panel(
            "failing and slow jobs, last 10 min",
            ("job", *_BAD, "longest", "last error"),
            _first(_jobs_in_trouble(overview)),
        ),
        Panel("overdue jobs", ("job", "no success since", "overdue for"), _first(_overdue(overview))),
        Panel("runs in progress, due first", ("job", "due for", "node"), _first(_in_progress(overview))),
        Panel("runs, last minute", ("running", "waiting", "pool", "runs/s", *_BAD), [_runs(overview, recent)]),
        Panel("tags, last minute", ("tag", "runs", *_BAD), _first(_tags(recent))),
        Panel("seconds, last minute", ("", "p50", "p95", "p99"), list(_times(recent))),
        Panel("paused jobs", ("reason", "by", "until", "jobs", "one of them"), _first(_pauses(overview))),
        Panel("jobs", ("total", "scheduled", "paused", "parked", "due in 1 min"), [_jobs(overview)]),
        Panel(
            "nodes",
            ("node", "state", "slots", "watermark age", "beat age", "running", "runs/s", "p99 late"),
            _first(_nodes(overview)),
        ),
        Panel(
            "who holds the event loop, last minute",
            ("node", "jobs", "gsched", "other", "the jobs with most"),
            _first(_loops(overview)),
        ),
    ]
    return [panel._replace(rows=[tuple(map(escaped, row)) for row in panel.rows]) for panel in found if panel.rows]


def _groups(overview: Overview) -> Iterator[Sequence[str]]:
    for each in overview.groups:
        cells = (each.tag or "(none)", each.outcome, each.error or "-")
        yield (*cells, _number(each.count), _number(each.jobs), each.latest_job_id)


def _overdue(overview: Overview) -> Iterator[Sequence[str]]:
    for each in overview.overdue:
        yield (each.job_id, each.since.isoformat(" ", "seconds"), rough_duration(each.seconds))


def _pauses(overview: Overview) -> Iterator[Sequence[str]]:
    for each in overview.pauses:
        until = "-" if each.until is None else each.until.isoformat(" ", "seconds")
        yield (each.reason or "-", each.by or "-", until, _number(each.jobs), each.job_id)


def _in_progress(overview: Overview) -> Iterator[Sequence[str]]:
    for each in overview.in_progress:
        if each.seconds >= _LONG_SECONDS:
            yield (each.job_id, rough_duration(each.seconds), each.node or "-")


def _first(rows: Iterator[Sequence[str]]) -> list[Sequence[str]]:
    every = list(rows)
    left_out = len(every) - _MOST_ROWS
    return every if left_out <= 0 else [*every[:_MOST_ROWS], (f"and {left_out} more",)]


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def _jobs(overview: Overview) -> Sequence[str]:
    due = due_soon(overview)
    counts = [_number(count) for count in job_counts(overview).values()]
    return (*counts, "-" if due is None else f"{due:,}{'+' if due >= MOST_DUE else ''}")


def _runs(overview: Overview, recent: Period) -> Sequence[str]:
    sums = [sum(getattr(each, what) for each in overview.activities) for what in ("running", "waiting", "pool_size")]
    return (*map(_number, sums), _number(overview.runs_per_second, 1), *_bad(recent))


def _bad(period: Period) -> tuple[str, str, str]:
    return _number(period.failures), _number(period.skips), _number(period.misses)


def _times(recent: Period) -> Iterator[Sequence[str]]:
    if recent.runs:
        for pool in sorted(recent.late_by_pool):
            if any(recent.late_by_pool[pool]):
                late = (f"<={_seconds(recent.late(share, pool))}" for share in SHARES)
                yield (f"late in {pool}", *late)
        yield ("duration", *(f"<={_seconds(recent.long(share))}" for share in SHARES))


def _tags(recent: Period) -> Iterator[Sequence[str]]:
    """Those in trouble first, then the busiest; jobs without tags alone are not worth a panel."""
    if set(recent.by_tag) <= {""}:
        return
    by_tag = [(tag, Period(recent.seconds, outcomes, {})) for tag, outcomes in recent.by_tag.items()]
    by_tag.sort(key=lambda each: (-each[1].failures, -each[1].misses, -each[1].skips, -_ended(each[1]), each[0]))
    for tag, period in by_tag:
        yield (tag or "(none)", _number(_ended(period)), *_bad(period))


def _ended(period: Period) -> int:
    return sum(period.outcomes.values())


def _nodes(overview: Overview) -> Iterator[Sequence[str]]:
    said = {each.node: each for each in overview.activities}
    for node in sorted(overview.nodes, key=lambda each: (each.state == DEAD, each.id)):
        yield _node(node, said.get(node.id))


def _loops(overview: Overview) -> Iterator[Sequence[str]]:
    for each in overview.activities:
        if (loop := each.loop) is not None:
            named = list(loop.by_job.items())[:_NAMED_JOBS]
            longest = ", ".join(f"{job_id} {share:.1%}" for job_id, share in named if share >= 0.001)
            yield (each.node, f"{loop.jobs:.1%}", f"{loop.gsched:.1%}", f"{loop.other:.1%}", longest or "-")


def _node(node: NodeInfo, activity: NodeActivity | None) -> Sequence[str]:
    state = "paused" if activity is not None and activity.paused else node.state
    known = (node.id, state, str(node.slots), _seconds(node.watermark_age), _seconds(node.beat_age))
    if activity is None:
        return (*known, "-", "-", "-")
    recent = activity.recent
    return (*known, _number(activity.running), _number(recent.runs_per_second, 1), _seconds(recent.late(0.99)))


def _jobs_in_trouble(overview: Overview) -> Iterator[Sequence[str]]:
    for each in overview.troubles:
        error = (each.last_error or "-")[:60]
        bad = map(_number, (each.failures, each.skips, each.misses))
        yield (each.job_id, *bad, _seconds(each.longest), error)
