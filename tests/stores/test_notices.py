"""Notifications, from a run that fails to a message; on every store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hooks import HookServer
from store_bench import SHORT_STEP_MS, StoreBench

from gsched.notices import Notifier, WebHook
from gsched.schedulers.engine import engine_of
from gsched.stores import BaseJobStore

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
