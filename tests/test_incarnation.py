"""The steps of a node's turn, on a database that does not answer, and among nodes that have died."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
from simulation.cluster import Database, InstantCluster, JobDocument

from gsched.errors import StoreUnreachableError
from gsched.job import Job
from gsched.stores.base import ALWAYS, Lost
from gsched.stores.mongodb.cluster import Cluster, JobRecord, NodeRecord, RunRecord
from gsched.stores.mongodb.incarnation import LONGEST_WRITING_MS, Incarnation, Surroundings, Wishes
from gsched.stores.mongodb.pace import Pace, Rhythm
from gsched.stores.mongodb.partition import slot_of
from gsched.stores.mongodb.tenure import Held, Tenure
from gsched.testing import ManualClock
from gsched.triggers import IntervalTrigger

NOW = 1_800_000_000_000
JOB = Job(id="hourly", name="hourly", func=print, trigger=IntervalTrigger(hours=1), next_run_ms=NOW)


ASKED = RunRecord(JOB.id, slot_of(JOB.id), NOW, 1, "asked")


@pytest.fixture
def cluster() -> Mock:
    """A database with the job, not admitted, asked for once."""
    record = JobRecord(JOB, slot_of(JOB.id), admitted=False)
    answers = {"read_jobs": {JOB.id: record}, "waiting_of": [ASKED], "begin_waiting": [ASKED]}
    answers |= {"formers_of": (), "formers_in": ()}
    return Mock(Cluster, **{name: Mock(return_value=value) for name, value in answers.items()})


def incarnation(
    cluster: Cluster, hub: Mock, clock: ManualClock | None = None, outcomes: Mock | None = None
) -> Incarnation:
    clock, tenure = clock or ManualClock("2027-03-01 12:00"), Tenure("node", NOW, NOW + 60_000)
    outcomes, written = outcomes or Mock(first_unwritten=lambda: ALWAYS), Mock(missing=list)
    around = Surroundings(
        cluster, clock, hub, outcomes, Pace(), Rhythm(clock), Mock(now=lambda: NOW), written, Mock(), Wishes()
    )
    return Incarnation(around, tenure)


@pytest.fixture
def node(cluster: Mock) -> Incarnation:
    """One that has just beaten, and owns the job's slot."""
    node = incarnation(cluster, Mock(obstacle=lambda job: None))
    node.tenure.hold(slot_of(JOB.id), Held(fence=7, taken_at=NOW))
    node.advance_if_due()
    node.look_at([JOB.id])
    return node


@pytest.mark.parametrize("write", ["admit", "begin_waiting"])
def test_what_a_write_without_an_answer_did_is_read_when_a_majority_has_confirmed_what_came_after_it(
    node: Incarnation, cluster: Mock, write: str
) -> None:
    getattr(cluster, write).side_effect = StoreUnreachableError("the connection broke")
    with pytest.raises(StoreUnreachableError, match="broke"):
        node.admit()
    getattr(cluster, write).side_effect = None
    cluster.reset_mock()
    node.settle()
    node.admit()
    asked = [each[0] for each in cluster.method_calls]
    assert asked.index("advance") < asked.index("read_jobs")


class Neighbourhood:
    """Two nodes of which one wrote a run of the job down, which is in progress; what the other one's hub is told."""

    def __init__(self) -> None:
        database = Database(256, NOW)
        database.jobs[JOB.id] = JobDocument(JOB.evolve(next_run_ms=NOW + 3_600_000), admitted=True)
        self.cluster = InstantCluster(database, NOW)
        self.cluster.join("node", NOW)
        self.cluster.join("other", NOW)
        self.cluster.record_runs("other", [RunRecord(JOB.id, slot_of(JOB.id), NOW)])
        self._hub = Mock(unread=lambda: False, next_due=lambda *asked: None, unfinished=list)
        self._node = incarnation(self.cluster, self._hub)

    def the_other_one_ends(self) -> None:
        """And a third node sees that nothing is its own any more."""
        self.cluster.leave("other", NOW)
        self.cluster.note_settled(["other"])

    def lost(self) -> list[str]:
        """What is lost, as far as the node finds when it looks at the others."""
        self._hub.post.reset_mock()
        self._node.tend_membership()
        told = (call.args[0] for call in self._hub.post.call_args_list)
        return [message.job.id for message in told if isinstance(message, Lost)]


def test_what_a_node_had_in_progress_is_lost_when_it_dies_though_others_have_seen_that_before() -> None:
    town = Neighbourhood()
    town.cluster.take_slots("other", [slot for slot in range(256) if slot != slot_of(JOB.id)])
    assert town.lost() == []
    town.the_other_one_ends()
    assert town.lost() == [JOB.id]
    assert town.lost() == []


def test_what_was_in_progress_on_a_node_that_died_long_ago_is_lost_when_its_slot_is_taken() -> None:
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


def test_of_a_node_whose_document_is_gone_nothing_is_silent_and_what_fell_due_since_then_is_late(cluster: Mock) -> None:
    cluster.configure_mock(**{
        "nodes.return_value": [NodeRecord("node", True, NOW, NOW, 1)],
        "owners.return_value": {"gone"},
        "free_slots.return_value": [],
        "exclusive": False,
    })
    clock = ManualClock("2027-03-01 12:00")
    node = incarnation(cluster, Mock(), clock)
    for _ in range(3):
        node.tend_membership()
        clock.skip(6000)
    (freed,) = [call.args[0] for call in cluster.free_slots_of.call_args_list]
    assert (freed.id, freed.watermark, freed.acked) == ("gone", NOW - 9000, NOW - 20_000)


def leaving(cluster: Mock, outcomes: Mock | None = None) -> Incarnation:
    """A node that is about to give its slot away, and whose hub has begun all that is claimed, a second ago."""
    hub = Mock(unread=lambda: False, next_due=lambda *asked: None, unfinished=list)
    node = incarnation(cluster, hub, outcomes=outcomes)
    node.tenure.hold(slot_of(JOB.id), Held(fence=7, taken_at=NOW))
    node.tenure.watermark = NOW - 1000
    node.leaving = {slot_of(JOB.id)}
    return node


def test_a_slot_is_kept_while_the_hub_lacks_a_job_of_which_instants_are_claimed(cluster: Mock) -> None:
    node = leaving(cluster)
    node.tenure.awaited[JOB.id] = NOW - 2000
    node.release_what_leaves()
    assert not cluster.release_slots.called
    node.tenure.awaited.clear()
    node.release_what_leaves()
    assert cluster.release_slots.called


def test_what_may_be_noted_as_late_is_closed_before_a_slot_is_given_away_by_a_node_that_leaves(cluster: Mock) -> None:
    node = leaving(cluster, Mock(first_unwritten=lambda: ALWAYS, unwritten=list))
    node.tenure.know(JobRecord(JOB, slot_of(JOB.id), admitted=True))
    hub = node._hub
    hub.configure_mock(**{"waiting_since": lambda before: [JOB.id], "due": lambda job_id: NOW - 5000})
    cluster.note_backlogs.side_effect = StoreUnreachableError("the connection broke")
    with pytest.raises(StoreUnreachableError, match="broke"):
        node.close_what_was_late()
    cluster.note_backlogs.side_effect, cluster.note_backlogs.return_value = None, [JOB.id]
    node.leave()
    writes = [call[0] for call in cluster.method_calls]
    assert writes.index("close_late") < writes.index("release_slots")
    cluster.close_late.assert_called_once_with([JOB.id], NOW - 1000)


def test_a_slot_is_kept_until_it_is_written_what_became_of_what_was_claimed_but_not_for_long(cluster: Mock) -> None:
    outcomes = Mock(first_unwritten=Mock(return_value=NOW - 1500))
    node = leaving(cluster, outcomes)
    node.release_what_leaves()
    assert not cluster.release_slots.called
    outcomes.first_unwritten.return_value = ALWAYS
    node.release_what_leaves()
    assert cluster.release_slots.called
    cluster.release_slots.reset_mock()
    outcomes.first_unwritten.return_value = NOW - LONGEST_WRITING_MS - 1500
    node = leaving(cluster, outcomes)
    node.tenure.watermark = NOW - LONGEST_WRITING_MS - 1
    node.release_what_leaves()
    assert cluster.release_slots.called
