"""The steps of a node's turn, on a database that does not answer."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from gsched.errors import StoreUnreachableError
from gsched.job import Job
from gsched.stores.mongodb.cluster import Cluster, JobRecord
from gsched.stores.mongodb.incarnation import Incarnation, Surroundings, Wishes
from gsched.stores.mongodb.pace import Pace, Rhythm
from gsched.stores.mongodb.partition import slot_of
from gsched.stores.mongodb.tenure import Held, Tenure
from gsched.testing import ManualClock
from gsched.triggers import IntervalTrigger

NOW = 1_800_000_000_000
JOB = Job(id="hourly", name="hourly", func=print, trigger=IntervalTrigger(hours=1), next_run_ms=NOW)


@pytest.fixture
def cluster() -> Mock:
    """A database with the job, not admitted, asked for once."""
    record = JobRecord(JOB, slot_of(JOB.id), admitted=False, requests=(("asked", NOW),))
    return Mock(Cluster, read_jobs=Mock(return_value={JOB.id: record}))


@pytest.fixture
def node(cluster: Mock) -> Incarnation:
    """One that has just beaten, and owns the job's slot."""
    clock, tenure = ManualClock("2027-03-01 12:00"), Tenure("node", NOW, NOW + 60_000)
    tenure.hold(slot_of(JOB.id), Held(fence=7, taken_at=NOW))
    around = Surroundings(
        cluster, clock, Mock(), Mock(), Pace(), Rhythm(clock), Mock(now=lambda: NOW), Mock(), Mock(), Wishes()
    )
    node = Incarnation(around, tenure)
    node.advance_if_due()
    node.look_at([JOB.id])
    return node


@pytest.mark.parametrize("write", ["admit", "take_request"])
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
