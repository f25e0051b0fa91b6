"""The steps of a node's turn, on a database that does not answer, and among nodes that have died."""

from __future__ import annotations

import pytest
from simulation.cluster import Database, JobDocument, RunDocument, SlotDocument, run_key
from simulation.steps import StepHub, Unwritten, lose_answers, watched

from gsched.errors import StoreUnreachableError
from gsched.jobs.job import Job
from gsched.jobs.tally import Tally
from gsched.stores.claims.database import JobRecord, RunRecord
from gsched.stores.claims.holdings import Held, Holdings
from gsched.stores.claims.intervals import Intervals, NextTimes
from gsched.stores.claims.live_node import LONGEST_WRITING_MS, Context, DesiredState, LiveNode
from gsched.stores.claims.partition import slot_of
from gsched.stores.claims.recorded_runs import RecordedRuns
from gsched.stores.claims.server_time import ServerTime
from gsched.stores.claims.status import StatusTracker
from gsched.stores.messages import Lost
from gsched.testing import ManualClock
from gsched.triggers import IntervalTrigger

START = "2027-03-01 12:00"
NOW = ManualClock(START).now_ms()
JOB = Job(id="hourly", name="hourly", func=print, trigger=IntervalTrigger(hours=1), next_run_ms=NOW)
SLOT = slot_of(JOB.id)
ASKED = RunRecord(JOB.id, SLOT, NOW, 1, "asked")


class Rig:
    """A node that has joined a simulated database in which the job is, not admitted, and asked for once."""

    def __init__(self) -> None:
        self.database = Database(256, NOW)
        self.database.jobs[JOB.id] = JobDocument(JOB)
        self.database.runs[run_key(ASKED)] = RunDocument("", ASKED, waits=True, due=ASKED.scheduled)
        self.cluster = watched(self.database, NOW)
        self.cluster.join("node", NOW)
        self.hub, self.outcomes, self.clock = StepHub(), Unwritten(), ManualClock(START)
        time = ServerTime(self.cluster, self.clock, self.hub)
        time.measure()
        recorded = RecordedRuns(self.cluster, self.hub, self.outcomes)
        status = StatusTracker(self.clock, self.hub, Intervals().ttl)
        others = Intervals(), NextTimes(self.clock), time, recorded, status, DesiredState()
        self.holdings = Holdings("node", NOW, NOW + 60_000)
        self.node = LiveNode(Context(self.cluster, self.clock, self.hub, self.outcomes, *others), self.holdings)

    def own(self, *numbers: int) -> None:
        """The node has taken these slots."""
        self.cluster.take_slots("node", numbers)
        self.cluster.attach_slots("node", numbers, self.holdings.watermark)
        for number in numbers:
            self.holdings.hold(number, Held(self.database.slots[number].fence, NOW))

    def asked(self) -> list[str]:
        """The operations that the database was asked for."""
        return [call[0] for call in self.cluster.method_calls]

    def owner(self) -> str | None:
        """Of the job's slot."""
        return self.database.slots[SLOT].owner


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.mark.parametrize("write", ["admit", "begin_waiting"])
def test_the_effect_of_a_write_without_an_answer_is_read_after_a_majority_has_confirmed_a_later_write(
    rig: Rig, write: str
) -> None:
    rig.own(SLOT)
    rig.node.advance_if_due()
    rig.node.look_at([JOB.id])
    lose_answers(rig.cluster, write)
    with pytest.raises(StoreUnreachableError, match="broke"):
        rig.node.admit()
    getattr(rig.cluster, write).side_effect = None
    rig.cluster.reset_mock()
    rig.node.settle()
    rig.node.admit()
    assert rig.asked().index("advance") < rig.asked().index("read_jobs")


class Neighbourhood(Rig):
    """Two nodes of which one wrote a run of the job down, which is in progress; what the other one's hub is told."""

    def __init__(self) -> None:
        super().__init__()
        self.database.runs.clear()
        self.database.jobs[JOB.id] = JobDocument(JOB.evolve(next_run_ms=NOW + 3_600_000), admitted=True)
        self.cluster.join("other", NOW)
        self.cluster.record_runs("other", [RunRecord(JOB.id, SLOT, NOW)])

    def the_other_one_ends(self) -> None:
        """And a third node sees that nothing is its own any more."""
        self.cluster.leave("other", NOW)
        self.cluster.note_settled(["other"])

    def lost(self) -> list[str]:
        """What is lost, as far as the node finds when it looks at the others."""
        self.hub.told.clear()
        self.node.tend_membership()
        return [message.job.id for message in self.hub.told if isinstance(message, Lost)]


def test_runs_in_progress_on_a_node_that_dies_are_lost_though_others_have_seen_the_death_before() -> None:
    town = Neighbourhood()
    town.cluster.take_slots("other", [slot for slot in range(256) if slot != SLOT])
    assert town.lost() == []
    town.the_other_one_ends()
    assert town.lost() == [JOB.id]
    assert town.lost() == []


def test_runs_in_progress_on_a_node_that_died_long_ago_are_lost_when_its_slot_is_taken() -> None:
    town = Neighbourhood()
    town.the_other_one_ends()
    assert town.lost() == [JOB.id]
    assert town.lost() == []


def test_a_slot_that_a_dead_node_takes_by_a_late_write_is_taken_from_it() -> None:
    town = Neighbourhood()
    town.the_other_one_ends()
    town.cluster.take_slots("other", range(256))
    assert town.lost() == [JOB.id]
    assert "node" in town.cluster.owners() and "other" not in town.cluster.owners()


def test_a_node_whose_document_is_gone_leaves_no_silent_instant_and_later_ones_are_late(rig: Rig) -> None:
    rig.database.slots[SLOT] = SlotDocument("gone", 1, NOW - 60_000, NOW - 60_000, attached=True)
    for seconds in (0, 6, 6):
        rig.clock.skip(seconds * 1000)
        rig.node.tend_membership()
    (freed,) = [call.args[0] for call in rig.cluster.free_slots_of.call_args_list]
    now = rig.clock.now_ms()
    assert (freed.id, freed.watermark, freed.acked) == ("gone", now - 9000, now - 20_000)
    assert rig.owner() == "node"


def leaving(rig: Rig) -> LiveNode:
    """The node, about to give its slot away; its hub has begun all that is claimed, a second ago."""
    rig.own(SLOT)
    rig.holdings.watermark = NOW - 1000
    rig.node.leaving = {SLOT}
    return rig.node


def test_a_slot_is_kept_while_the_hub_lacks_a_job_of_which_instants_are_claimed(rig: Rig) -> None:
    node = leaving(rig)
    node.holdings.awaited[JOB.id] = NOW - 2000
    node.release_leaving()
    assert rig.owner() == "node"
    node.holdings.awaited.clear()
    node.release_leaving()
    assert rig.owner() is None


def test_a_node_that_leaves_closes_its_marks_of_late_jobs_before_it_gives_slots_away(rig: Rig) -> None:
    node, document = leaving(rig), rig.database.jobs[JOB.id]
    document.admitted = True
    node.holdings.know(JobRecord(JOB, SLOT, admitted=True))
    rig.hub.dues, rig.hub.waiting = {JOB.id: NOW - 3_600_000}, [JOB.id]
    lose_answers(rig.cluster, "note_backlogs")
    with pytest.raises(StoreUnreachableError, match="broke"):
        node.close_ended()
    assert document.late_until == NOW - 1000
    rig.cluster.note_backlogs.side_effect, rig.hub.dues, rig.hub.waiting = None, {}, []
    node.leave()
    assert rig.asked().index("close_late") < rig.asked().index("release_slots")
    assert document.late_until == -1 and rig.owner() is None


def test_a_slot_is_kept_until_it_is_written_what_became_of_what_was_claimed(rig: Rig) -> None:
    node = leaving(rig)
    rig.outcomes.instants = {JOB.id: NOW - 1500}
    node.release_leaving()
    assert rig.owner() == "node"
    rig.outcomes.instants = {}
    node.release_leaving()
    assert rig.owner() is None


def test_a_slot_is_given_away_soon_even_if_outcomes_of_its_instants_are_not_written(rig: Rig) -> None:
    node = leaving(rig)
    rig.outcomes.instants = {JOB.id: NOW - LONGEST_WRITING_MS - 1500}
    node.holdings.watermark = NOW - LONGEST_WRITING_MS
    node.release_leaving()
    assert rig.owner() == "node"
    node.holdings.watermark -= 1
    node.release_leaving()
    assert rig.owner() is None


def test_a_slot_is_not_given_away_before_counts_are_written_however_long_that_takes(rig: Rig) -> None:
    node = leaving(rig)
    rig.outcomes.counted = {JOB.id: Tally(5, runs=2, until=NOW - 9000)}
    node.holdings.watermark = NOW - LONGEST_WRITING_MS - 1
    node.release_leaving()
    assert rig.owner() == "node"
    rig.outcomes.counted = {}
    node.release_leaving()
    assert rig.owner() is None
