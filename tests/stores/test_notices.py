"""Notifications, from a run that fails to a message; on every store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hooks import HookServer
from store_bench import SHORT_STEP_MS, StoreBench

from gsched.jobs.funcref import AllowedFunctions
from gsched.notices import Notifier, WebHook
from gsched.notices.notice import FAILED, OVERDUE, Notice
from gsched.notices.outbox import KEPT_MS, ChannelState, Outbox
from gsched.schedulers.engine import engine_of
from gsched.stores import BaseJobStore
from gsched.testing import ManualClock

pytest_plugins = ["mongodb"]

MINUTELY = {"trigger": "interval", "minutes": 1}


@pytest.fixture
def hook() -> Iterator[HookServer]:
    server = HookServer()
    yield server
    server.close()


@pytest.fixture
def bench(any_store: BaseJobStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreBench]:
    made = StoreBench(any_store, monkeypatch, SHORT_STEP_MS)
    yield made
    made.close()


def tell(bench: StoreBench, hook: HookServer, **options: Any) -> StoreBench:
    engine_of(bench.scheduler).add_notifier(Notifier("ops", WebHook(hook.url, clock=bench.clock), **options))
    return bench.start()


def test_the_first_failure_is_told_at_once_further_ones_are_counted_and_the_recovery_is_told_once(bench, hook):
    tell(bench, hook, every="5m").add("job", acts="FFFFFFSS", **MINUTELY)
    bench.until(lambda: len(hook.requests) == 3)
    bench.until(lambda: len(bench.began("job")) == 10)
    assert hook.subjects() == [
        "job failed: ConnectionError: vendor down",
        "job failed 5 more times: ConnectionError: vendor down",
        "job works again",
    ]
    (told,) = hook.messages()[0]["notices"]
    assert (told["count"], told["scheduled_at"]) == (1, "2026-03-02T12:01:00+00:00")
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


def test_an_outbox_counts_what_is_the_same_and_tells_it_again_only_after_its_time(outbox):
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


def test_one_node_at_a_time_has_the_channel(outbox):
    ours, theirs = (ChannelState("ops").taken(name, 1000) for name in ("ours", "theirs"))
    assert outbox.swap_state(ours) and not outbox.swap_state(theirs)
    assert list(outbox.states()) == [ours]
    failed = ours.failed(2000, "refused")
    freed = failed.freed()
    assert not outbox.swap_state(failed.freed().freed()) and outbox.swap_state(freed)
    assert outbox.swap_state(ChannelState("other").taken("theirs", 1000))
    assert {each.notifier: each for each in outbox.states()}["ops"] == freed
