"""What a node knows of how far its runs are: late instants that have ended, and runs that are written down."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from gsched.errors import StoreUnreachableError
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
    assert [progress.late_no_more() for _ in range(2)] == [[], ["short"]]


def test_late_instants_have_not_ended_while_what_became_of_them_is_not_written() -> None:
    hub = Mock(unfinished=list, due=lambda job_id: NOW + 3_600_000)
    unwritten = {"late": NOW - 5, "of later instants only": NOW + 5}
    outcomes = Mock(unwritten=unwritten.items)
    tenure = Tenure("node", NOW, NOW)
    tenure.late = {"late": NOW, "of later instants only": NOW, "written": NOW}
    progress = Progress(tenure, hub, outcomes, WrittenRuns(Mock(), hub, outcomes))
    assert progress.late_no_more() == ["of later instants only", "written"]
    unwritten.clear()
    assert "late" in progress.late_no_more()


def test_a_run_that_ends_after_an_attempt_to_write_it_down_has_failed_is_forgotten() -> None:
    runs = [in_progress("a", lambda: None), in_progress("b")]
    func = weakref.ref(runs[0].job.func)  # type: ignore[type-var]
    cluster, hub = Mock(), SimpleNamespace(unfinished=lambda: runs)
    cluster.record_runs.side_effect = StoreUnreachableError("the connection broke")
    written = WrittenRuns(cluster, hub, Mock())  # type: ignore[arg-type]
    tenure = Tenure("node", NOW, NOW)
    with pytest.raises(StoreUnreachableError):
        written.write_long_ones(tenure, NOW + 1)
    cluster.reset_mock(side_effect=True)
    del runs[0]
    written.write_long_ones(tenure, NOW + 1)
    cluster.reset_mock()
    gc.collect()
    assert func() is None
    assert written.missing() == []
