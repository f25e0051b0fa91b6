"""What the hub makes of messages that come when its claim does not hold any more."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from gsched.dispatch import Dispatch
from gsched.executors.collection import Executors
from gsched.figures import Figures
from gsched.job import Job
from gsched.lane import Lane
from gsched.message_reader import MessageReader
from gsched.planning import Span
from gsched.run import Outcome, Reason
from gsched.stores.base import Admitted, Claimed, Disowned, Message
from gsched.testing import ManualClock
from gsched.triggers import IntervalTrigger

JOB = Job(id="poll", name="poll", func=print, trigger=IntervalTrigger(seconds=1), coalesce=False)


class Rig:
    """A lane whose claim has run out, with a backlog of the job that came back to this node meanwhile."""

    def __init__(self) -> None:
        self.clock = ManualClock("2027-03-01 12:00")
        self.now = self.clock.now_ms()
        self.store = Mock(shared=True)
        self.lane = Lane("default", self.store)
        dispatch = Dispatch(self.clock, Mock(mask=0), Executors(), Figures(), Mock(), Mock())
        self._reader = MessageReader(self.clock, dispatch, Mock())
        self.lane.claimed, self.lane.expires = self.now, self.clock.monotonic() - 1
        self.lane.hold(self.lane.admit(JOB, None, fence=1), self.now - 5000, parked=False)
        self.read(Admitted(JOB, self.now + 1000, 3, is_new=False))

    def read(self, message: Message) -> None:
        self._reader.read(self.lane, message)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_what_waited_of_a_job_that_came_back_is_settled_when_the_claim_holds_again(rig: Rig) -> None:
    assert not rig.store.settle_span.called
    assert rig.lane.first_undecided(-1, {}) == rig.now - 5000
    for _ in range(2):
        rig.read(Claimed(rig.now, rig.now + 60_000, rig.clock.monotonic() + 10))
    span = Span(Outcome.SKIPPED, rig.now - 5000, rig.now + 1, Reason.MAX_INSTANCES)
    rig.store.settle_span.assert_called_once_with(JOB, span)
    assert rig.lane.first_undecided(-1, {}) == rig.now + 1000


def test_it_is_not_when_others_have_taken_it_over(rig: Rig) -> None:
    rig.read(Disowned())
    rig.read(Claimed(rig.now, rig.now + 60_000, rig.clock.monotonic() + 10))
    assert not rig.store.settle_span.called


class Exiting(IntervalTrigger):
    """A user's trigger that ends its program instead of answering."""

    def next_ms(self, after: int) -> int | None:
        raise SystemExit


def test_what_waits_of_a_job_whose_trigger_would_end_the_program_is_told_all_the_same(rig: Rig) -> None:
    job = JOB.evolve(id="odd", trigger=Exiting(seconds=1))
    rig.lane.hold(rig.lane.admit(job, None, fence=1), rig.now - 9000, parked=False)
    assert rig.lane.first_undecided(rig.now - 8000, {}) == rig.now - 7999
