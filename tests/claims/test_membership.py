"""Membership: who counts as dead, by nothing but this machine's own elapsed time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gsched.stores.claims.database import NodeRecord
from gsched.stores.claims.membership import Membership

TTL = 10.0


@pytest.fixture
def clock() -> Any:
    seconds = SimpleNamespace(now=100.0)
    return SimpleNamespace(monotonic=lambda: seconds.now, seconds=seconds)


def other(beat: int) -> list[NodeRecord]:
    return [NodeRecord("other", True, 0, 0, beat), NodeRecord("me", True, 0, 0, 0)]


def looks(membership: Membership, clock: Any, *beats: tuple[float, int]) -> list[list[str]]:
    """What was found silent at each of these times, with this beat."""
    found = []
    for second, beat in beats:
        clock.seconds.now = 100 + second
        found.append([node.id for node in membership.silent(other(beat), "me")])
    return found


def test_a_node_is_silent_when_its_beat_has_not_changed_for_the_ttl(clock):
    every_half = [(second / 2, 7) for second in range(1, 22)]
    found = looks(Membership(clock, TTL), clock, (0, 6), *every_half, (11.0, 7))
    assert found == [[]] * 22 + [["other"]]


def test_a_node_whose_process_has_ended_is_waited_for_no_longer(clock):
    membership = Membership(clock, TTL)
    living, ended = NodeRecord("living", True, 0, 0, 7), NodeRecord("ended", True, 0, 0, 7, ended=True)
    assert membership.silent([living, ended, NodeRecord("me", True, 0, 0, 0, ended=True)], "me") == [ended]
    assert membership.silent([living, ended._replace(alive=False)], "me") == []


def test_a_node_that_could_not_look_itself_counts_no_other_node_as_silent(clock):
    membership = Membership(clock, TTL)
    every_half = [(30 + second / 2, 7) for second in range(21)]
    found = looks(membership, clock, (0, 7), *every_half, (40.5, 7))
    assert found == [[]] * 22 + [["other"]]


def test_an_owner_that_is_no_node_is_a_stranger_after_the_ttl(clock):
    membership = Membership(clock, TTL)
    assert membership.strangers({"gone", "other"}, other(7)) == []
    clock.seconds.now += TTL + 1
    assert membership.strangers({"other"}, other(7)) == []
    assert membership.strangers({"gone", "other"}, other(7)) == []  # anew
    clock.seconds.now += TTL + 1
    assert membership.strangers({"gone", "other"}, other(7)) == ["gone"]
