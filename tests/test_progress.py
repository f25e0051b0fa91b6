"""What a node knows of how far its runs are: late instants that have ended."""

from __future__ import annotations

from unittest.mock import Mock

from gsched.job import Job
from gsched.run import Run
from gsched.stores.mongodb.progress import LATE_AT_ONCE, Progress
from gsched.stores.mongodb.tenure import Tenure
from gsched.stores.mongodb.written_runs import WrittenRuns
from gsched.triggers import IntervalTrigger

NOW = 1_800_000_000_000


def in_progress(job_id: str, func: object = print) -> Run:
    job = Job(id=job_id, func=func, trigger=IntervalTrigger(hours=1), next_run_ms=NOW)  # type: ignore[arg-type]
    return Run(job, NOW, Mock())


def test_late_instants_that_have_ended_are_found_behind_any_number_that_last_for_hours() -> None:
    runs = [in_progress(f"long-{number}") for number in range(LATE_AT_ONCE)]
    hub = Mock(unfinished=lambda: runs, due=lambda job_id: NOW + 3_600_000)
    outcomes = Mock(unwritten=lambda: [])
    tenure = Tenure("node", NOW, NOW)
    tenure.late = dict.fromkeys([*(run.job.id for run in runs), "short"], NOW)
    progress = Progress(tenure, hub, outcomes, WrittenRuns(Mock(), hub, outcomes))
    assert [progress.late_no_more() for _ in range(2)] == [set(), {"short"}]
