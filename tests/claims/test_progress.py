"""What a node knows of how far its runs are: late instants that have ended, and runs that are written down."""

from __future__ import annotations

import gc
import weakref

import pytest
from simulation.cluster import Database
from simulation.steps import StepHub, Unwritten, session_of, watched

from gsched.errors import StoreUnreachableError
from gsched.jobs.job import Job
from gsched.jobs.run import Run
from gsched.stores.claims.holdings import Holdings
from gsched.stores.claims.progress import LATE_AT_ONCE
from gsched.triggers import IntervalTrigger

NOW = 1_800_000_000_000
LATER = NOW + 3_600_000


class Rig:
    """A node that has joined."""

    def __init__(self) -> None:
        self.database = Database(256, NOW)
        self.cluster = watched(self.database, NOW)
        self.cluster.join("node", NOW)
        self.hub, self.outcomes, self.holdings = StepHub(), Unwritten(), Holdings("node", NOW, NOW)
        session = session_of(self.cluster, self.hub, self.holdings, self.outcomes)
        self.progress, self.recorded = session.progress, session.recorded

    def late(self, *job_ids: str) -> None:
        """Instants of these jobs were late until now; the next ones are due later."""
        self.holdings.late = dict.fromkeys(job_ids, NOW)
        self.hub.dues = dict.fromkeys(job_ids, LATER)

    def begin(self, *job_ids: str, func: object = print) -> None:
        """Runs of these jobs are in progress."""
        for job_id in job_ids:
            job = Job(id=job_id, func=func, trigger=IntervalTrigger(hours=1), next_run_ms=NOW)  # type: ignore[arg-type]
            self.hub.runs.append(Run(job, NOW, None))  # type: ignore[arg-type]  # nothing settles them here


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_late_instants_that_have_ended_are_found_behind_any_number_that_last_for_hours(rig: Rig) -> None:
    lasting = [f"long-{number}" for number in range(LATE_AT_ONCE)]
    rig.begin(*lasting)
    rig.late(*lasting, "short")
    assert [rig.progress.late_no_more() for _ in range(2)] == [[], ["short"]]


def test_late_instants_have_not_ended_while_what_became_of_them_is_not_written(rig: Rig) -> None:
    rig.late("late", "of later instants only", "written")
    rig.outcomes.instants = {"late": NOW - 5, "of later instants only": NOW + 5}
    assert rig.progress.late_no_more() == ["of later instants only", "written"]
    rig.outcomes.instants = {}
    assert "late" in rig.progress.late_no_more()


def test_a_run_that_ends_after_an_attempt_to_write_it_down_has_failed_is_forgotten(rig: Rig) -> None:
    rig.begin("a", func=lambda: None)
    rig.begin("b")
    func = weakref.ref(rig.hub.runs[0].job.func)  # type: ignore[type-var]
    rig.cluster.record_runs.side_effect = StoreUnreachableError("the connection broke")
    with pytest.raises(StoreUnreachableError):
        rig.recorded.record_long_ones(rig.holdings, NOW + 1)
    rig.cluster.reset_mock(side_effect=True)
    del rig.hub.runs[0]
    rig.recorded.record_long_ones(rig.holdings, NOW + 1)
    rig.cluster.reset_mock()
    gc.collect()
    assert func() is None
    assert [document.run.job_id for document in rig.database.runs.values()] == ["b"]
    assert rig.recorded.missing() == []
