"""The checker of what real nodes did: what it makes of a node that was stopped in mid-air and went on."""

from __future__ import annotations

from typing import Any

import pytest
from cluster.checker import Pause, check

from gsched.jobs.job import Job
from gsched.triggers.date import DateTrigger

DUE_MS = 1_772_452_800_000
DUE = DUE_MS / 1000
PAUSE = Pause("a", DUE + 0.2, DUE + 2.2)
JOB = Job(id="job", func=print, func_ref="builtins:print", trigger=DateTrigger("2026-03-02T12:00:00Z"))
LOST = {"name": "run.lost", "node_name": "b", "job_id": "job", "first": DUE_MS, "end": DUE_MS + 1, "outcome": "lost"}
FENCED = {"name": "node.fenced", "node_name": "a", "time": DUE + 2.3}


def problems(began: float, node: str = "a", pause: Pause = PAUSE) -> list[str]:
    """What is wrong if a run began at this time, and was reported as lost while its node stood still."""
    line = {"job": "job", "at": DUE_MS, "attempt": 1, "node": node, "request": None}
    runs: list[dict[str, Any]] = [{**line, "what": what, "time": began} for what in ("start", "end")]
    events: list[dict[str, Any]] = [{**LOST, "time": DUE + 2.1}, FENCED]
    return check([JOB], {"job": DUE_MS}, runs, events, [], [pause.since], [pause]).problems


def test_a_run_that_was_about_to_begin_when_its_node_was_stopped_may_have_been_reported_as_lost() -> None:
    assert problems(DUE + 2.21) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"began": DUE + 2.31},  # the node knew that it was dead
        {"began": DUE + 2.21, "node": "b"},
        {"began": DUE + 2.21, "pause": Pause("a", DUE - 0.1, DUE + 2.2)},  # due while the node stood still
    ],
)
def test_other_runs_may_not(changed: dict[str, Any]) -> None:
    assert "no node crashed soon after" in str(problems(**changed))
