"""What the hub makes of messages that come when its claim does not hold any more."""

from __future__ import annotations

import pytest

from gsched.events.bus import EventBus
from gsched.executors.collection import Executors
from gsched.hub.dispatch import Dispatch
from gsched.hub.lane import Lane
from gsched.hub.message_reader import MessageReader
from gsched.hub.reporter import Reporter
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome, Reason, Span
from gsched.monitoring.counters import Counters
from gsched.policies.planning import Hold
from gsched.stores import MemoryJobStore
from gsched.stores.messages import Admitted, Claimed, Disowned, Message
from gsched.testing import ManualClock
from gsched.triggers import IntervalTrigger

JOB = Job(id="poll", name="poll", func=print, trigger=IntervalTrigger(seconds=1), coalesce=False)


class SharedStore(MemoryJobStore):
    """A store that other nodes use, too.

    :ivar settled: what it is told of instants
    """

    shared = True

    def __init__(self) -> None:
        super().__init__()
        self.settled: list[tuple[Job, Span]] = []

    def settle_span(self, job: Job, span: Span) -> None:
        self.settled.append((job, span))


class Rig:
    """A lane whose claim has run out, with a backlog of the job that came back to this node meanwhile."""

    def __init__(self) -> None:
        self.clock = ManualClock("2027-03-01 12:00")
        self.now = self.clock.now_ms()
        self.store, bus, counters = SharedStore(), EventBus(), Counters()
        self.lane = Lane("default", self.store)
        report = Reporter(self.clock, bus, counters, None)
        dispatch = Dispatch(self.clock, bus, Executors(), counters, report, wake=lambda: None)
        self._reader = MessageReader(self.clock, dispatch, report)
        self.lane.claimed, self.lane.expires = self.now, self.clock.monotonic() - 1
        self.lane.hold(self.lane.admit(JOB, None, fence=1), self.now - 5000, Hold.INSTANCES)
        self.read(Admitted(JOB, self.now + 1000, 3, is_new=False))

    def read(self, message: Message) -> None:
        self._reader.read(self.lane, message)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_waiting_instants_of_a_job_that_came_back_are_settled_when_the_claim_holds_again(rig: Rig) -> None:
    assert rig.store.settled == []
    assert rig.lane.first_undecided(-1, {}) == rig.now - 5000
    for _ in range(2):
        rig.read(Claimed(rig.now, rig.now + 60_000, rig.clock.monotonic() + 10))
    span = Span(Outcome.SKIPPED, rig.now - 5000, rig.now + 1, Reason.MAX_INSTANCES)
    assert rig.store.settled == [(JOB, span)]
    assert rig.lane.first_undecided(-1, {}) == rig.now + 1000


def test_waiting_instants_of_a_job_that_another_node_took_over_are_not_settled_here(rig: Rig) -> None:
    rig.read(Disowned())
    rig.read(Claimed(rig.now, rig.now + 60_000, rig.clock.monotonic() + 10))
    assert rig.store.settled == []


class Exiting(IntervalTrigger):
    """A user's trigger that ends its program instead of answering."""

    def next_ms(self, after: int) -> int | None:
        raise SystemExit


def test_waiting_instants_of_a_job_whose_trigger_would_end_the_program_are_reported(rig: Rig) -> None:
    job = JOB.evolve(id="odd", trigger=Exiting(seconds=1))
    rig.lane.hold(rig.lane.admit(job, None, fence=1), rig.now - 9000, Hold.INSTANCES)
    assert rig.lane.first_undecided(rig.now - 8000, {}) == rig.now - 7999
