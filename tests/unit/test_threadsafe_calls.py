"""Calls into an event loop from other native threads."""

from __future__ import annotations

import ast
import threading
from pathlib import Path

import gevent
import pytest
from gevent import get_hub
from gevent.event import Event

import gsched
from gsched.event_loop.threads import LoopInbox
from gsched.event_loop.threadsafe_calls import ThreadsafeCalls, threadsafe_calls
from gsched.event_loop.waiter import Waiter

MOST_CALLS = 1_000


def in_thread(step: object) -> None:
    """Call it in a native thread, while no event loop turns here."""
    thread = threading.Thread(target=step)
    thread.start()
    thread.join()


def test_calls_of_other_threads_are_made_in_the_loop_in_their_order() -> None:
    made: list[int] = []
    all_made = Event()
    calls = threadsafe_calls()

    def put() -> None:
        for number in range(MOST_CALLS):
            calls.put(made.append, number)
        calls.put(all_made.set)

    in_thread(put)
    assert made == []
    assert all_made.wait(10)
    assert made == list(range(MOST_CALLS))


@pytest.mark.parametrize("way", ["calls", "inbox", "waiter"])
def test_a_thread_that_wakes_a_loop_leaves_the_count_alone_that_keeps_it_going(way: str) -> None:
    # gevent's own run_callback_threadsafe adds to it without a lock; with each addition that is lost, the loop ends
    # sooner.
    call = {"calls": lambda: threadsafe_calls().put, "inbox": lambda: LoopInbox().put, "waiter": lambda: Waiter().wake}
    put = call[way]()
    loop = get_hub().loop
    before = loop.activecnt
    counts: list[int] = []

    def wake() -> None:
        put() if way == "waiter" else put(int)
        counts.append(loop.activecnt)

    in_thread(wake)
    assert counts == [before]
    gevent.sleep(0)


def test_nothing_of_the_package_wakes_a_loop_by_gevents_own_call_of_other_threads() -> None:
    used = [
        path.name
        for path in Path(gsched.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "run_callback_threadsafe"
    ]
    # The loop is that of a worker, which answers this call by ThreadsafeCalls.
    assert set(used) <= {"thread_worker.py"}


def test_a_call_that_raises_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[object] = []
    monkeypatch.setattr(get_hub(), "handle_error", lambda context, kind, *_: errors.append(kind))
    done = Event()
    calls = threadsafe_calls()

    def fail() -> None:
        raise OSError

    def put() -> None:
        calls.put(fail)
        calls.put(done.set)

    in_thread(put)
    assert done.wait(10)
    assert errors == [OSError]


def test_a_call_into_a_loop_that_was_destroyed_has_no_effect() -> None:
    loop = get_hub().loop.__class__(default=False)
    calls = ThreadsafeCalls(loop)
    calls.close()
    loop.destroy()
    calls.put(pytest.fail, "it was called")
    gevent.sleep(0)
