"""The store's greenlets: whatever is raised in one of them, it goes on, and so does the program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import gevent
import pytest

from gsched.history.retention import RetentionPolicy
from gsched.stores.claims.intervals import Intervals
from gsched.stores.claims.ownership import Ownership
from gsched.stores.durable import change_feed, outcomes, publisher as publishing
from gsched.stores.durable.change_feed import ChangeFeed
from gsched.stores.durable.outcomes import OutcomeWriter
from gsched.stores.durable.publisher import Publisher
from gsched.stores.messages import ALWAYS
from gsched.times.clock import SystemClock


class Raising:
    """A function that raises what it was told to, and counts."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.calls = 0

    def __call__(self, *args: Any) -> Any:
        self.calls += 1
        raise self.error


def ownership(raising: Raising) -> tuple[Callable[[], None], Callable[[], None]]:
    part = Ownership(Mock(time=raising), SystemClock(), Mock(), Mock(), str, Intervals(tick=0.01, longest_retry=0.01))
    return part.run, part.end


def feed(raising: Raising) -> tuple[Callable[[], None], Callable[[], None]]:
    part = ChangeFeed(Mock(listen=raising), Mock(), SystemClock(), Mock())
    return part.run, part.stop


def what_became(raising: Raising) -> tuple[Callable[[], None], Callable[[], None]]:
    part = OutcomeWriter(
        Mock(count=raising), Mock(), SystemClock(), Mock(), retention=RetentionPolicy("none"), change_many=Mock()
    )
    part._counters_of("job")
    return part.run, part.stop


def publisher(raising: Raising) -> tuple[Callable[[], None], Callable[[], None]]:
    counts = {"running": 0, "waiting": 0, "pool_size": 0, "due_soon": 0}
    figures = {"outcomes": {}, "by_tag": {}, "lateness": [], "duration": [], "groups": [], "loop": None}
    hub = Mock(activity=lambda: {**counts, **figures})
    part = Publisher(Mock(), SystemClock(), hub, raising, lambda: False)
    return part.run, part.stop


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have them try again at once."""
    monkeypatch.setattr(change_feed, "_RETRY_SECONDS", (0.01, 0.01))
    monkeypatch.setattr(outcomes, "FLUSH_SECONDS", 0.01)
    monkeypatch.setattr(publishing, "_EVERY_SECONDS", 0.01)


@pytest.mark.parametrize("make", [ownership, feed, what_became, publisher])
def test_ctrl_c_that_finds_the_program_in_a_greenlet_of_the_store_is_the_main_greenlets(
    make: Callable[..., Any],
) -> None:
    raising = Raising(KeyboardInterrupt())
    run, stop = make(raising)
    with gevent.Timeout(10):
        greenlet = gevent.spawn(run)
        with pytest.raises(KeyboardInterrupt):
            greenlet.join()
        raising.error = ValueError()
        while raising.calls < 3:
            gevent.sleep(0.01)
        stop()
        greenlet.join()
    assert greenlet.successful()


@pytest.mark.parametrize("error", [SystemExit, gevent.GreenletExit, ValueError])
@pytest.mark.parametrize("make", [ownership, feed, what_became, publisher])
def test_a_greenlet_of_the_store_goes_on_whatever_is_raised_in_it(
    make: Callable[..., Any], error: type[BaseException]
) -> None:
    raising = Raising(error("not for us"))
    run, stop = make(raising)
    with gevent.Timeout(10):
        greenlet = gevent.spawn(run)
        while raising.calls < 2 and not greenlet.dead:
            gevent.sleep(0.01)
        assert not greenlet.dead
        stop()
        greenlet.join()
    assert greenlet.successful()


def test_a_node_whose_hub_was_killed_falls_silent_and_does_not_say_that_it_has_left() -> None:
    cluster = Mock(nodes=list, free_slots=lambda node: [], owners=list, exclusive=False, advance=lambda *said: True)
    cluster.time.return_value = SystemClock().now_ms()
    hub = Mock(unread=lambda: False, next_due=lambda *asked: None, unfinished=list)
    outcomes = Mock(first_unwritten=lambda: ALWAYS, has_counts=bool, unwritten=list)
    part = Ownership(cluster, SystemClock(), hub, outcomes, str, Intervals(tick=0.01))
    with gevent.Timeout(10):
        greenlet = gevent.spawn(part.run)
        while not cluster.join.called:
            gevent.sleep(0.01)
        part.abandon()
        greenlet.join()
        part.stop()
    assert not cluster.leave.called
