"""Notifications, from a run that fails to a message; on every store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from hooks import HookServer
from sqlalchemy import insert, update
from store_bench import StoreBench
from waiting import LONGEST_SECONDS

from gsched.events import EVENT_NODE_DIED, SchedulerEvent
from gsched.events.bus import EventBus
from gsched.jobs.funcref import AllowedFunctions
from gsched.notices import Notifier, WebHook
from gsched.notices.channels.channel import Channel
from gsched.notices.message import Composer, Message
from gsched.notices.notice import FAILED, OVERDUE, Notice
from gsched.notices.outbox import KEPT_MS, ChannelState, Outbox
from gsched.notices.sender import HELD_MS
from gsched.notices.service import Notices
from gsched.schedulers.engine import engine_of
from gsched.stores import BaseJobStore, MongoDBJobStore, SQLJobStore
from gsched.testing import ManualClock

pytest_plugins = ["mongodb"]

OFTEN = {"trigger": "interval", "seconds": 20}


@pytest.fixture
def hook() -> Iterator[HookServer]:
    server = HookServer()
    yield server
    server.close()


class Waited:
    """An outbox, during whose calls the clock of the bench stands still."""

    def __init__(self, outbox: Outbox, bench: StoreBench) -> None:
        self._outbox = outbox
        self._bench = bench

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            token: Any = object()
            self._bench._turning.add(token)
            try:
                return getattr(self._outbox, name)(*args)
            finally:
                self._bench._turning.discard(token)

        return call


@pytest.fixture
def bench(any_store: BaseJobStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreBench]:
    made = StoreBench(any_store, monkeypatch)
    real = any_store.outbox
    monkeypatch.setattr(any_store, "outbox", lambda: Waited(real(), made))
    monkeypatch.setattr("gsched.notices.sending.is_module_patched", lambda module: True)  # no time passes meanwhile
    yield made
    made.close()


def tell(bench: StoreBench, hook: HookServer, **options: Any) -> StoreBench:
    engine_of(bench.scheduler).add_notifier(Notifier("ops", WebHook(hook.url, clock=bench.clock), **options))
    return bench.start()


def test_the_first_failure_is_reported_at_once_further_ones_are_counted_and_the_recovery_is_reported_once(bench, hook):
    tell(bench, hook, every="1m").add("job", acts="FFFSS", **OFTEN)
    bench.until(lambda: len(hook.requests) == 3)
    bench.until(lambda: len(bench.began("job")) == 8)
    assert hook.subjects() == [
        "job failed: ConnectionError: vendor down",
        "job failed 2 more times: ConnectionError: vendor down",
        "job works again",
    ]
    (told,) = hook.messages()[0]["notices"]
    assert (told["count"], told["scheduled_at"]) == (1, "2026-03-02T12:00:20+00:00")
    assert "failed with ConnectionError: vendor down, started" in told["explanation"]


# -- the outbox -------------------------------------------------------------------------------------------------------


def noticed(job_id: str = "job", at: int = 1000, kind: str = FAILED, what: str = "Boom", count: int = 1) -> Notice:
    return Notice("ops", kind, "default", job_id, what, count, at, at, at, text=f"at {at}")


@pytest.fixture
def outbox(any_store: BaseJobStore) -> Outbox:
    any_store.bind("default", ManualClock(), AllowedFunctions(()))
    any_store.prepare()
    return any_store.outbox()


def due(outbox: Outbox, now: int = 10_000) -> list[tuple[str, int, int, int]]:
    return [(each.job_id, each.count, each.told, each.due_at) for each in outbox.due("ops", now, 10).notices]


def test_an_outbox_counts_equal_notices_which_are_due_again_only_after_their_period(outbox):
    outbox.add([noticed(at=1000), noticed("other", at=500)])
    outbox.add([noticed(at=2000, count=3), noticed(at=1500, what="$job_id")])
    assert due(outbox) == [("other", 1, 0, 500), ("job", 4, 0, 1000), ("job", 1, 0, 1500)]
    (told,) = [each for each in outbox.due("ops", 1000, 10).notices if each.job_id == "job"]
    assert (told.first_at, told.last_at, told.text) == (1000, 2000, "at 2000")
    assert outbox.due("nobody", 10_000, 10).notices == [] and len(outbox.due("ops", 10_000, 2).notices) == 2
    outbox.add([noticed(at=3000)])  # while it is told
    outbox.told([told], 9000)
    assert due(outbox, 8999) == [("other", 1, 0, 500), ("job", 1, 0, 1500)]
    assert ("job", 1, 4, 9000) in due(outbox, 9000)
    outbox.told([each for each in outbox.due("ops", 9000, 10).notices if each.told], 20_000)
    outbox.add([noticed(at=9500)])
    assert ("job", 1, 5, 20_000) in due(outbox, 20_000) and len(due(outbox, 19_999)) == 2


def test_an_outbox_knows_which_jobs_fail_until_they_are_closed(outbox):
    outbox.add([noticed(), noticed("b"), noticed(kind=OVERDUE), noticed("")])
    outbox.told(outbox.due("ops", 1000, 10).notices, 5000)
    assert due(outbox) == []  # nothing but a failure stays
    assert sorted(outbox.open_failures(10)) == [("ops", "default", "b", None), ("ops", "default", "job", None)]
    outbox.close([("default", "job"), ("elsewhere", "b")])
    outbox.expire(4999)
    outbox.add([noticed(at=3000)])
    assert [each.due_at for each in outbox.open_failures(10) if each.job_id == "job"] == [5000]
    outbox.close([("default", "job")])
    outbox.told(outbox.due("ops", 5000, 10).notices, 6000)
    outbox.expire(6000)
    outbox.add([noticed(at=6001)])
    assert due(outbox) == [("job", 1, 0, 6001)]  # it was forgotten
    outbox.expire(6001 + KEPT_MS)
    assert due(outbox) == [("job", 1, 0, 6001)]
    outbox.expire(6002 + KEPT_MS)
    assert due(outbox) == [] and list(outbox.open_failures(10)) == []


def test_one_node_at_a_time_sends_through_a_channel(outbox):
    ours, theirs = (ChannelState("ops").taken(name, 1000) for name in ("ours", "theirs"))
    assert outbox.swap_state(ours) and not outbox.swap_state(theirs)
    assert list(outbox.states()) == [ours]
    failed = ours.failed(2000, "refused")
    freed = failed.freed()
    assert not outbox.swap_state(failed.freed().freed()) and outbox.swap_state(freed)
    assert outbox.swap_state(ChannelState("other").taken("theirs", 1000))
    assert {each.notifier: each for each in outbox.states()}["ops"] == freed


# -- several nodes ----------------------------------------------------------------------------------------------------


class Node:
    """The notifications of a scheduler, with a channel that may die while it sends."""

    def __init__(self, store: BaseJobStore, clock: ManualClock, dies: bool = False) -> None:
        store.bind("default", clock, AllowedFunctions(()))
        self.sent: list[tuple[int, str]] = []
        self.tries = 0
        self.bus = EventBus()
        self.bus.attach(clock)
        node = self

        class Mouth(Channel):
            def send(self, message: Message) -> None:
                node.tries += 1
                if dies:
                    raise gevent.GreenletExit
                node.sent.append((clock.now_ms(), message.subject))

            def where(self) -> str:
                return "here"

        notifiers = {"ops": Notifier("ops", Mouth())}
        composer = Composer("gsched", lambda notice: None, lambda notice: None, None)
        self.notices = Notices(notifiers, store.outbox(), composer, clock, self.bus)
        self.notices.start()


def test_another_node_sends_the_notices_of_a_dead_node_once(make_store, monkeypatch):
    monkeypatch.setattr("gsched.notices.sending.is_module_patched", lambda module: True)
    clock = ManualClock()

    def until(condition: Callable[[], Any]) -> None:
        with gevent.Timeout(LONGEST_SECONDS):
            while not condition():
                clock.skip(500)
                while clock.step(0) is not None:
                    pass
                gevent.sleep(0.002)

    stores = [make_store() for _ in range(3)]
    stores[0].bind("default", clock, AllowedFunctions(()))
    stores[0].prepare()
    dying = Node(stores[0], clock, dies=True)
    dying.bus.emit(SchedulerEvent(EVENT_NODE_DIED, "default", node="n1"))
    until(lambda: dying.tries)
    (state,) = stores[0].outbox().states()
    others = [Node(store, clock) for store in stores[1:]]
    until(lambda: any(node.sent for node in others))
    end = clock.now_ms()
    until(lambda: clock.now_ms() > end + HELD_MS)
    ((at, subject),) = [each for node in others for each in node.sent]
    assert subject == "The node n1 died" and at >= state.held_until
    for node in (dying, *others):
        gevent.killall(list(node.notices.greenlets()))
    for store in stores:
        store.close()


def test_a_notice_that_somebody_edited_wrongly_is_removed_with_an_error(outbox, any_store):
    outbox.add([noticed("broken"), noticed("fine")])
    if isinstance(any_store, MongoDBJobStore):
        any_store._connection.jobs().notices.update_one({"job_id": "broken"}, {"$set": {"count": "many"}})
        any_store._connection.jobs().notifiers.insert_one({"_id": "ops", "rev": 7, "tokens": "x"})
    elif isinstance(any_store, SQLJobStore):
        tables = any_store._connection.tables
        strange = update(tables.notices).where(tables.notices.c.job_id == "broken").values(document='{"job_id": 7}')
        any_store._connection.write(lambda line: line.execute(strange))
        row = {"name": "ops", "rev": 7, "document": "[]"}
        any_store._connection.write(lambda line: line.execute(insert(tables.notifiers), row))
    else:
        return  # nobody can write there
    found = outbox.due("ops", 10_000, 10)
    assert [each.job_id for each in found.notices] == ["fine"] and "malformed, and is removed: " in found.broken[0]
    assert outbox.due("ops", 10_000, 10).broken == []
    (state,) = outbox.states()
    assert state == ChannelState("ops", 7) and outbox.swap_state(state.taken("ours", 1))
