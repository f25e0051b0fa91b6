"""When a node beats: each tick, or less often while it is alone and has nothing to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from simulation.cluster import Database, InstantDatabase

from gsched.stores.claims.beats import Beats
from gsched.stores.claims.holdings import Holdings
from gsched.stores.claims.intervals import Intervals, NextTimes
from gsched.stores.claims.live_node import Context, DesiredState, LiveNode
from gsched.stores.messages import ALWAYS
from gsched.testing import ManualClock

NOW = 1_800_000_000_000
INTERVALS = Intervals(idle_tick=1.0)


class Rig:
    """A node that is alone in its database, with a clock by hand."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW / 1000)
        self.database = InstantDatabase(Database(256, NOW), NOW)
        self.database.join("node", NOW)
        self.due: int | None = None  # when the hub has something to run
        self.unfinished: list[Any] = []
        self.hub = Mock(unread=lambda: False, unfinished=list, gives_up=lambda: False, waiting_since=lambda before: [])
        self.hub.next_due = lambda after, late=None: None if self.due is None else max(self.due, after + 1)
        self.outcomes = Mock(first_unwritten=lambda: ALWAYS, has_counts=bool, unwritten=list)
        time = Mock(now=self.clock.now_ms)
        recorded = Mock(missing=lambda: self.unfinished, retrying={}, put_back=set())
        self.desired = DesiredState()
        context = Context(
            *(self.database, self.clock, self.hub, self.outcomes, INTERVALS, NextTimes(self.clock), time, recorded),
            *(Mock(), self.desired),
        )
        self.node = LiveNode(context, Holdings("node", NOW, NOW + 600_000))
        self.node.tend_membership()  # it takes all slots
        for _ in range(3):
            self.move(1)
            self.node.advance_if_due()
            self.node.close_ended()

    def move(self, seconds: float) -> None:
        self.clock.skip(round(seconds * 1000))

    def silence(self) -> float:
        """In how many seconds the node is to beat."""
        return round(self.node.until_advance(), 3)


def test_a_node_that_is_alone_and_has_nothing_to_do_beats_once_per_idle_tick() -> None:
    rig = Rig()
    assert rig.silence() == 1.0
    rig.move(0.9)
    assert rig.silence() == 0.1


def test_a_rest_ends_in_time_to_claim_what_is_due_next() -> None:
    rig = Rig()
    rig.due = rig.clock.now_ms() + 700
    assert rig.silence() == 0.45


def _join(rig: Rig) -> None:
    rig.database.join("other", NOW)
    rig.node.tend_membership()
    rig.node.leaving.clear()  # as soon as it has given its share away


def _ask_to_stop(rig: Rig) -> None:
    rig.desired.stopping = True


def _let_the_hub_have_mail(rig: Rig) -> None:
    rig.hub.unread = lambda: True


def _let_a_run_be_in_progress(rig: Rig) -> None:
    rig.unfinished = [Mock(scheduled_ms=rig.node.holdings.watermark, job=Mock(id="job"))]


def _let_an_outcome_wait_to_be_written(rig: Rig) -> None:
    rig.outcomes.first_unwritten = lambda: rig.node.holdings.watermark


def _let_a_job_be_late(rig: Rig) -> None:
    rig.node.holdings.late["job"] = NOW


def _change_a_job(rig: Rig) -> None:
    rig.node.look_at(["job"])


def _let_a_slot_leave(rig: Rig) -> None:
    rig.node.leaving.add(5)


@pytest.mark.parametrize(
    "happens",
    [
        _join,
        _ask_to_stop,
        _let_the_hub_have_mail,
        _let_a_run_be_in_progress,
        _let_an_outcome_wait_to_be_written,
        _let_a_job_be_late,
        _change_a_job,
        _let_a_slot_leave,
    ],
)
def test_a_rest_is_over_as_soon_as_there_is_something_to_do(happens: Callable[[Rig], object]) -> None:
    rig = Rig()
    rig.move(0.3)
    assert rig.silence() == 0.7
    happens(rig)
    assert rig.silence() <= 0


def test_a_node_does_not_rest_before_what_was_open_in_its_slots_is_closed() -> None:
    rig = Rig()
    rig.node._slots._open[5] = NOW
    assert rig.silence() == 0.1


def test_a_node_is_never_silent_for_more_than_a_quarter_of_the_ttl() -> None:
    beats = Beats(ManualClock(NOW / 1000), Intervals(idle_tick=1.0, ttl=2.0), lambda: 100.0)
    beats.is_alone = True
    beats.note()
    assert beats.until_next() == 0.5


def test_a_node_that_has_never_beaten_is_to_beat_at_once() -> None:
    beats = Beats(ManualClock(NOW / 1000), INTERVALS, lambda: 100.0)
    beats.is_alone = True
    assert beats.is_due()
