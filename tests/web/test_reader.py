"""Questions to the store on behalf of many users."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event

from gsched.testing import ManualClock
from gsched.web import reader
from gsched.web.reader import StoreReader
from gsched.web.refusals import RequestRefused


class Asked:
    """A reader on a manual clock, and the questions that reached the store."""

    def __init__(self):
        self.clock = ManualClock("2026-03-02 12:00")
        self.reader = StoreReader(self.clock.monotonic)
        self.gate = Event()
        self.questions = []

    def ask(self, key, seconds=2.0, wait=False):
        def question():
            self.questions.append(key)
            if wait:
                self.gate.wait()
            return f"{key} {len(self.questions)}"

        return self.reader.ask(key, seconds, question)

    def until_waiting(self, count):
        """Let users ask until so many questions wait for their turn."""
        while len(self.reader._turns) < count:
            gevent.sleep(0.001)


@pytest.fixture
def asked():
    with gevent.Timeout(30):
        made = Asked()
        yield made
        made.gate.set()


def test_equal_questions_at_the_same_time_are_asked_once(asked):
    users = [gevent.spawn(asked.ask, "overview", wait=True) for _ in range(50)]
    gevent.sleep(0)
    asked.gate.set()
    assert {user.get() for user in users} == {"overview 1"}
    assert asked.questions == ["overview"]


def test_an_answer_is_shared_for_a_while(asked):
    assert asked.ask("overview") == asked.ask("overview") == "overview 1"
    asked.clock.skip(1999)
    assert asked.ask("overview") == "overview 1"
    asked.clock.skip(1)
    assert asked.ask("overview") == "overview 2"


def test_after_a_change_no_earlier_answer_is_given(asked):
    asked.ask("overview")
    early = gevent.spawn(asked.ask, "jobs", wait=True)
    gevent.sleep(0)
    asked.reader.forget()
    assert asked.ask("overview") == "overview 3"
    late = gevent.spawn(asked.ask, "jobs")
    assert late.get() == "jobs 4"
    asked.gate.set()
    assert early.get().startswith("jobs")


def test_the_store_has_four_questions_at_once_and_the_others_wait_their_turn(asked):
    users = [gevent.spawn(asked.ask, number, wait=True) for number in range(6)]
    asked.until_waiting(2)
    assert asked.questions == [0, 1, 2, 3]
    asked.gate.set()
    gevent.joinall(users)
    assert asked.questions == [0, 1, 2, 3, 4, 5]


def test_questions_that_ask_another_one_do_not_wait_for_each_other_s_turns(asked):
    def counts(number):
        gevent.sleep(0)  # until all four have a turn
        return asked.ask("overview")

    users = [
        gevent.spawn(asked.reader.ask, ("counts", number), 2.0, lambda number=number: counts(number))
        for number in range(reader.MOST_ASKED)
    ]
    assert {user.get() for user in users} == {"overview 1"}
    assert asked.reader._asking == 0


def test_a_change_leaves_answers_that_are_kept_for_minutes(asked):
    assert (asked.ask("load", 600), asked.ask("tags", 60)) == ("load 1", "tags 2")
    asked.reader.forget()
    assert (asked.ask("load", 600), asked.ask("tags", 60)) == ("load 1", "tags 3")


def test_too_many_questions_are_refused_until_some_are_answered(asked):
    users = [gevent.spawn(asked.ask, number, wait=True) for number in range(reader.MOST_ASKED + reader.MOST_WAITING)]
    asked.until_waiting(reader.MOST_WAITING)
    with pytest.raises(RequestRefused) as refused:
        asked.ask("one more")
    assert (refused.value.status, refused.value.code, refused.value.headers) == (503, "busy", {"Retry-After": "5"})
    asked.gate.set()
    gevent.joinall(users)
    assert asked.ask("one more").startswith("one more")


def test_an_answer_that_takes_too_long_is_given_up_and_its_question_goes_on(asked, monkeypatch):
    monkeypatch.setattr(reader, "LONGEST_SECONDS", 0.01)
    with pytest.raises(RequestRefused) as refused:
        asked.ask("load", wait=True)
    assert (refused.value.status, refused.value.code) == (504, "too_slow")
    asked.gate.set()
    gevent.sleep(0.01)
    assert asked.ask("load") == "load 1" and asked.questions == ["load"]


def test_an_error_is_told_to_those_who_wait_and_not_kept(asked):
    def fail():
        asked.questions.append("x")
        raise ValueError("away")

    for _ in range(2):
        with pytest.raises(ValueError, match="away"):
            asked.reader.ask("x", 60, fail)
    assert asked.questions == ["x", "x"]


def test_no_more_answers_are_kept_than_there_is_room_for(asked):
    for number in range(reader.MOST_KEPT + 10):
        asked.ask(number, 3600)
    assert len(asked.reader._answers) == reader.MOST_KEPT
    assert asked.ask(reader.MOST_KEPT + 9, 3600) == f"{reader.MOST_KEPT + 9} {reader.MOST_KEPT + 10}"


def test_threads_without_an_event_loop_share_answers_with_greenlets(asked, bench):
    waiting = gevent.spawn(asked.ask, "jobs", wait=True)
    gevent.sleep(0)
    gevent.spawn_later(0.01, asked.gate.set)
    assert bench.in_thread(lambda: asked.ask("jobs")) == waiting.get() == "jobs 1"
    assert bench.in_thread(lambda: asked.ask("runs")) == "runs 2"
