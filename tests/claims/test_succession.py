"""Schedules that users end: how long they are kept, and which of their instants are nobody else's."""

from __future__ import annotations

from typing import Any

import pytest
from simulation.cluster import Database, FormerDocument, JobDocument
from simulation.steps import StepHub, Unwritten, session_of, watched

from gsched.jobs.job import Job
from gsched.jobs.pause import PLAIN, Pause
from gsched.jobs.policy import Policy
from gsched.jobs.tally import Tally
from gsched.stores.claims.database import JobRecord, SlotRecord
from gsched.stores.claims.holdings import Held, Holdings
from gsched.stores.claims.partition import slot_of
from gsched.stores.claims.rescue import JobInSlot, uncertain_spans
from gsched.stores.claims.succession import Succession
from gsched.triggers import DateTrigger, IntervalTrigger

T = 1_800_000_000_000
JOB = Job("job", lambda: None, IntervalTrigger(seconds=1, start_date="2027-01-15T08:00:00Z"), next_run_ms=T, rev=1)
SLOT = slot_of("job")


class Rig:
    """A node that owns the job's slot up to T + 5 s, and a database in which users have ended its first schedule."""

    def __init__(self) -> None:
        self.database = Database(256, T)
        self.cluster = watched(self.database, T)
        self.holdings = Holdings("node", T, T + 60_000)
        self.holdings.watermark = T + 5000
        self.holdings.hold(SLOT, Held(1, T))
        self.outcomes = Unwritten()
        self.succession = Succession(session_of(self.cluster, StepHub(), self.holdings, self.outcomes))
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


def test_instants_that_were_claimed_by_a_schedule_that_has_ended_may_be_in_progress(rig):
    rig.put(2, next_run_ms=T + 60_000)
    assert rig.inherited() == [T, T + 1000, T + 2000, T + 3000]


def test_instants_of_a_removed_job_may_be_in_progress(rig):
    assert rig.inherited(acked=T + 1500) == [T + 2000, T + 3000]


def test_instants_after_the_end_of_a_former_schedule_are_not_in_progress(rig):
    rig.cluster.bound_formers({"job@1": T + 1000})
    assert rig.inherited() == [T, T + 1000]


def test_instants_of_both_schedules_belong_to_the_new_one_once_it_is_admitted(rig):
    rig.put(2, next_run_ms=T + 2000)
    rig.database.jobs["job"].admitted = True
    assert rig.inherited() == [T, T + 1000]


def test_a_schedule_that_goes_on_has_not_ended_though_it_was_copied(rig):
    rig.put(1)
    assert rig.inherited() == []


def test_a_schedule_that_ended_after_the_job_was_read_is_seen_to_by_what_was_read(rig):
    read = rig.put(1)
    rig.put(2)
    assert rig.inherited(read) == []


def decided(rig: Rig, job: JobRecord) -> int | None:
    """From when on the job is due, once its former schedule has been ended."""
    formers = rig.succession.end(["job"], {"job": job})
    later = rig.succession.without_decided(job, formers)
    assert later.begins == later.job.next_run_ms
    return later.job.next_run_ms


@pytest.mark.parametrize(
    ("due", "undecided", "begins"),
    [
        (T, T + 1000, T + 1000),
        (T, T + 2000, T + 2000),
        (T, T, T),
        (T + 1000, T + 1000, T + 1000),
        (T + 500, T + 1000, T + 500),
        (T - 1000, T + 1000, T - 1000),
        (T + 60_000, None, T + 60_000),
    ],
)
def test_instants_that_the_hub_has_decided_by_the_former_schedule_are_not_due_again(rig, due, undecided, begins):
    rig.succession.stop({"job": undecided})
    assert decided(rig, rig.put(2, next_run_ms=due)) == begins


def test_instants_that_may_have_been_in_progress_on_a_dead_node_are_not_due_again(rig):
    job = rig.put(2, next_run_ms=T + 2000)
    assert rig.inherited(acked=T + 1500, watermark=T + 3000) == [T + 2000, T + 3000]
    assert decided(rig, job) == T + 4000


def test_an_error_between_the_hub_and_the_database_forgets_nothing_of_that(rig):
    rig.cluster.formers_of.side_effect = OSError
    rig.succession.stop({"job": T + 1000})
    with pytest.raises(OSError):
        rig.succession.end(["job"], {})
    assert rig.succession.unsettled
    rig.cluster.formers_of.side_effect = None
    rig.succession.stop({"job": None})
    assert decided(rig, rig.put(2)) == T + 1000 and rig.until() == T + 999 and not rig.succession.unsettled


def test_a_former_schedule_is_kept_as_long_as_the_one_that_follows_waits_to_be_admitted_with_what_it_decided(rig):
    rig.succession.stop({"job": T + 1000})
    rig.succession.end(["job"], {"job": rig.put(2)})
    rig.succession.forget()
    assert rig.database.formers
    rig.put(2, pause=PLAIN)
    rig.succession.forget()
    assert not rig.database.formers


def test_a_paused_job_whose_date_was_decided_is_never_due_and_its_former_schedule_is_kept_until_that_is_stored(rig):
    once = DateTrigger("2027-01-15T08:00:00Z")
    rig.database.formers["job@1"].job = JOB.evolve(trigger=once)
    rig.succession.stop({"job": None})
    job = rig.put(2, trigger=once, pause=PLAIN)
    formers = rig.succession.end(["job"], {"job": job})
    rig.succession.forget()
    assert rig.database.formers
    spent = rig.succession.spent([job], formers)
    assert [each.job.next_run_ms for each in spent] == [None]
    rig.cluster.begin_later(spent)
    rig.succession.forget()
    assert not rig.database.formers


def test_a_paused_job_whose_date_has_not_been_decided_stays_as_it_is(rig):
    once = DateTrigger("2027-01-15T08:00:00Z")
    rig.database.formers["job@1"].job = JOB.evolve(trigger=once)
    rig.succession.stop({"job": T})
    job = rig.put(2, trigger=once, pause=PLAIN)
    assert rig.succession.spent([job], rig.succession.end(["job"], {"job": job})) == []


ONCE = DateTrigger("2027-01-15T08:00:00Z")  # at T


@pytest.mark.parametrize(("undecided", "begins"), [(None, None), (T, T + 9000)])
def test_a_date_that_was_decided_is_not_due_at_the_end_of_a_pause(rig, undecided, begins):
    rig.database.formers["job@1"].job = JOB.evolve(trigger=ONCE)
    rig.succession.stop({"job": undecided})
    pause = Pause(at_ms=T + 10, until_ms=T + 9000, due_ms=T)
    job = rig.put(2, trigger=ONCE, pause=pause, next_run_ms=T + 9000)
    assert decided(rig, job) == begins
    rig.succession.forget()
    assert bool(rig.database.formers) is (begins is None)
    spent = rig.succession.spent([job], rig.cluster.formers_of(["job"]))
    rig.cluster.begin_later(spent)
    rig.succession.forget()
    assert not rig.database.formers


def test_a_date_that_was_decided_at_the_end_of_a_pause_is_not_due_if_the_pause_is_ended_early(rig):
    pause = Pause(at_ms=T, until_ms=T + 3000, due_ms=T)
    rig.database.formers["job@1"] = FormerDocument(
        JOB.evolve(trigger=ONCE, pause=pause, next_run_ms=T + 3000), 1, T + 3000, -1
    )
    rig.succession.stop({"job": None})
    assert decided(rig, rig.put(2, trigger=ONCE, next_run_ms=T)) is None


@pytest.mark.parametrize(("undecided", "begins"), [(T + 4000, T + 4000), (T + 3000, T + 1000)])
def test_a_pause_lasts_until_its_end_if_the_owner_hears_too_late_that_it_was_ended_early(rig, undecided, begins):
    pause = Pause(at_ms=T, until_ms=T + 2500, due_ms=T)
    rig.database.formers["job@1"] = FormerDocument(
        JOB.evolve(pause=pause, next_run_ms=T + 3000), 1, T + 3000, -1
    )
    rig.succession.stop({"job": undecided})
    assert decided(rig, rig.put(2, next_run_ms=T + 1000)) == begins


def test_the_owner_notes_up_to_when_instants_of_it_may_have_begun(rig):
    rig.succession.end(["job"], {"job": rig.put(2)})
    assert rig.until() == T + 5000
    rig.holdings.watermark += 1000
    rig.succession.end(["job"], {"job": rig.put(2)})
    assert rig.until() == T + 5000


def test_a_note_that_an_error_kept_back_is_made_with_the_time_that_it_was_to_have(rig):
    rig.cluster.bound_formers.side_effect = OSError
    with pytest.raises(OSError):
        rig.succession.end(["job"], {})
    rig.holdings.watermark += 1000
    rig.cluster.bound_formers.side_effect = None
    rig.succession.settle()
    assert rig.until() == T + 5000


@pytest.mark.parametrize(("open_instant", "is_kept"), [(T, True), (T + 5000, True), (T + 5001, False), (None, False)])
def test_a_former_schedule_is_kept_until_its_runs_have_ended_and_are_recorded(rig, open_instant, is_kept):
    rig.succession.end(["job"], {})
    rig.outcomes.instants = {} if open_instant is None else {"job": open_instant}
    rig.succession.forget()
    assert bool(rig.database.formers) is is_kept


def test_a_former_schedule_of_a_slot_that_another_node_attached_is_not_forgotten_here(rig):
    rig.inherited()
    rig.holdings.let_go([SLOT])
    rig.succession.forget()
    assert rig.database.formers


def test_a_schedule_of_a_slot_of_another_node_is_left_to_that_one(rig):
    rig.holdings.let_go([SLOT])
    rig.succession.end(["job"], {})
    assert rig.until() is None


def test_with_a_slot_that_is_given_away_nothing_is_left_of_what_was_ended_there(rig):
    rig.put(2)
    rig.database.jobs["job"].admitted = True
    rig.succession.give_up([SLOT])
    assert not rig.database.formers


def test_a_job_that_waits_for_its_admission_is_given_away_without_what_its_former_schedule_has_decided(rig):
    rig.put(2)
    assert rig.succession.give_up([SLOT])
    assert rig.database.jobs["job"].job.next_run_ms == T + 6000 and not rig.database.formers


def test_a_slot_is_kept_if_a_user_changes_such_a_job_at_that_moment(rig):
    rig.put(2)
    rig.cluster.begin_later.side_effect = lambda jobs, announce: rig.put(3)
    assert not rig.succession.give_up([SLOT])
    assert rig.until() == T + 5000


def test_a_former_schedule_that_no_message_named_is_found(rig):
    assert rig.succession.unseen([SLOT]) == ["job"] and rig.succession.unseen([SLOT + 1]) == []
    rig.succession.end(["job"], {})
    assert rig.succession.unseen([SLOT]) == []


def test_instants_after_the_last_run_that_a_job_may_have_were_not_in_progress():
    slot = SlotRecord(SLOT, 1, T + 5000, T)
    counted = JOB.evolve(policy=Policy(max_runs=2))

    def spans(tally: Tally) -> list[tuple[int, int]]:
        found = uncertain_spans(JobInSlot(JobRecord(counted, SLOT, True, tally=tally), slot))
        return [(span.first - T, span.end - T) for span in found]

    assert spans(Tally(0, runs=1, until=T + 1000)) == [(1000, 5001)]
    assert spans(Tally(0, runs=2, until=T + 2000)) == [(1000, 2001)]
    assert spans(Tally(0, runs=2, until=T)) == []
