"""Schedules that users end: how long they are kept, and which of their instants are nobody else's."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from simulation.cluster import Database, FormerDocument, InstantCluster, JobDocument

from gsched.job import Job
from gsched.stores.mongodb.cluster import JobRecord, SlotRecord
from gsched.stores.mongodb.partition import slot_of
from gsched.stores.mongodb.succession import Succession
from gsched.stores.mongodb.tenure import Held, Tenure
from gsched.stores.mongodb.uncertain import uncertain_spans
from gsched.triggers import IntervalTrigger

T = 1_800_000_000_000
JOB = Job("job", lambda: None, IntervalTrigger(seconds=1, start_date="2027-01-15T08:00:00Z"), next_run_ms=T, rev=1)
SLOT = slot_of("job")


class Rig:
    """A node that owns the job's slot up to T + 5 s, and a database in which users have ended its first schedule."""

    def __init__(self) -> None:
        self.database = Database(256, T)
        self.cluster = InstantCluster(self.database, T)
        self.tenure = Tenure("node", T, T + 60_000)
        self.tenure.watermark = T + 5000
        self.tenure.hold(SLOT, Held(1, T))
        self.open: dict[str, int] = {}
        self.progress = Mock(first_open_of=lambda ids: {i: at for i, at in self.open.items() if i in ids})
        self.succession = Succession(self.cluster, self.tenure, self.progress)
        self.database.formers["job@1"] = FormerDocument(JOB, 1, T, -1)

    def put(self, schedule: int, **changes: Any) -> JobRecord:
        """The job as it is now."""
        job = JOB.evolve(rev=schedule, **changes)
        self.database.jobs["job"] = JobDocument(job, schedule=schedule, begins=job.next_run_ms)
        return self.cluster.read_jobs(["job"])["job"]

    def until(self) -> int | None:
        return self.database.formers["job@1"].until

    def inherited(self, *read: JobRecord, watermark: int = T + 3000, acked: int = T - 1) -> list[int]:
        """The instants that may have been in progress when the node took the slot, as claimed until then."""
        slot = SlotRecord(SLOT, 2, watermark, acked)
        found = self.succession.inherit({SLOT: slot}, read)
        spans = [(job.record.job, span) for job in found for span in uncertain_spans(job)]
        return [instant for job, span in spans for instant in job.instants(span.first, span.end - 1)]


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_what_was_claimed_by_a_schedule_that_has_ended_may_be_in_progress(rig):
    rig.put(2, next_run_ms=T + 60_000)
    assert rig.inherited() == [T, T + 1000, T + 2000, T + 3000]


def test_so_it_may_be_if_the_job_was_removed(rig):
    assert rig.inherited(acked=T + 1500) == [T + 2000, T + 3000]


def test_nothing_of_it_may_that_was_due_after_its_owner_had_ended_it(rig):
    rig.cluster.bound_formers({"job@1": T + 1000})
    assert rig.inherited() == [T, T + 1000]


def test_instants_that_the_schedule_after_it_has_too_are_left_to_that_one(rig):
    rig.put(2, next_run_ms=T + 2000)
    assert rig.inherited() == [T, T + 1000]


def test_a_schedule_that_goes_on_has_not_ended_though_it_was_copied(rig):
    rig.put(1)
    assert rig.inherited() == []


def test_a_schedule_that_ended_after_the_job_was_read_is_seen_to_by_what_was_read(rig):
    read = rig.put(1)
    rig.put(2)
    assert rig.inherited(read) == []


def test_the_owner_notes_up_to_when_instants_of_it_may_have_begun(rig):
    rig.succession.end(["job"], {"job": rig.put(2)})
    assert rig.until() == T + 5000
    rig.tenure.watermark += 1000
    rig.succession.end(["job"], {"job": rig.put(2)})
    assert rig.until() == T + 5000


def test_a_note_that_an_error_kept_back_is_made_with_the_time_that_it_was_to_have(rig):
    real, rig.cluster.bound_formers = rig.cluster.bound_formers, Mock(side_effect=OSError)
    with pytest.raises(OSError):
        rig.succession.end(["job"], {})
    rig.tenure.watermark += 1000
    rig.cluster.bound_formers = real
    rig.succession.settle()
    assert rig.until() == T + 5000


@pytest.mark.parametrize(("open_instant", "is_kept"), [(T, True), (T + 5000, True), (T + 5001, False), (None, False)])
def test_it_is_kept_until_all_that_began_by_it_has_ended_and_is_written(rig, open_instant, is_kept):
    rig.succession.end(["job"], {})
    rig.open = {} if open_instant is None else {"job": open_instant}
    rig.succession.forget()
    assert bool(rig.database.formers) is is_kept


def test_what_was_inherited_with_a_slot_that_another_node_attached_is_not_forgotten_here(rig):
    rig.inherited()
    rig.tenure.let_go([SLOT])
    rig.succession.forget()
    assert rig.database.formers


def test_a_schedule_of_a_slot_of_another_node_is_left_to_that_one(rig):
    rig.tenure.let_go([SLOT])
    rig.succession.end(["job"], {})
    assert rig.until() is None


def test_with_a_slot_that_is_given_away_nothing_is_left_of_what_was_ended_there(rig):
    rig.put(2)
    rig.succession.give_up([SLOT])
    assert not rig.database.formers


def test_what_nobody_has_told_of_is_found(rig):
    assert rig.succession.unseen([SLOT]) == ["job"] and rig.succession.unseen([SLOT + 1]) == []
    rig.succession.end(["job"], {})
    assert rig.succession.unseen([SLOT]) == []
