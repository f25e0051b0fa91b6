"""Overlap with every store: what waits, what is replaced, and what a request does."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import gevent
import pytest
import waiting
from gevent.event import Event

from gsched import EVENT_ALL, GeventScheduler, current_run
from gsched.stores import BaseJobStore

pytest_plugins = ["mongodb"]

wait_until = partial(waiting.wait_until, sleep=gevent.sleep)

begun: list[int] = []
gates: list[Event] = []


def wait_for_gate() -> None:
    """Lasts until the test opens the run's gate."""
    gate = Event()
    begun.append(current_run().scheduled_ms)
    gates.append(gate)
    gate.wait()


@pytest.fixture
def scheduler(any_store: BaseJobStore) -> Iterator[GeventScheduler]:
    begun.clear()
    gates.clear()
    made = GeventScheduler(jobstores={"default": any_store}, timezone="UTC", modules=[__name__])
    made.start()
    yield made
    made.shutdown(wait=False)  # an instant that waited may have begun, and its gate stays closed


def events_of(scheduler: GeventScheduler) -> list[tuple[str, str | None]]:
    told: list[tuple[str, str | None]] = []
    scheduler.add_listener(lambda event: told.append((event.name, getattr(event, "reason", None))), EVENT_ALL)
    return told


def add(scheduler: GeventScheduler, **options: Any) -> None:
    scheduler.add_job(wait_for_gate, "interval", seconds=0.3, id="job", **options)


def outcomes(scheduler: GeventScheduler) -> dict[int, tuple[str, str | None]]:
    """Outcome and reason of each instant that the history has, of spans that of the first one."""
    found = scheduler.get_runs("job")
    return {round(run.scheduled_at.timestamp() * 1000): (run.outcome, run.reason) for run in found}


def test_an_instant_waits_in_every_store_and_the_latest_one_runs_when_the_run_has_ended(scheduler):
    told = events_of(scheduler)
    add(scheduler, overlap="queue")
    wait_until(lambda: begun, "the first run")
    scheduler_now = scheduler.clock.now_ms
    # The third is due after 900 ms. On a busy machine the scheduler may be late for it.
    wait_until(lambda: scheduler_now() > begun[0] + 3000, "three more instants")
    gates[0].set()
    wait_until(lambda: len(begun) == 2, "the instant that waited")
    assert begun[1] >= begun[0] + 900
    assert ("run.coalesced", None) in told
    assert "run.skipped" not in dict(told)


def test_all_instants_that_wait_run_in_order_in_every_store(scheduler):
    add(scheduler, overlap="queue", coalesce=False)
    wait_until(lambda: begun, "the first run")
    wait_until(lambda: scheduler.clock.now_ms() > begun[0] + 1000, "three more instants")
    for number in range(3):
        gates[number].set()
        wait_until(lambda: len(begun) == number + 2, "the next run")  # noqa: B023 - it is called here
    assert [after - before for before, after in pairwise(begun)] == [300, 300, 300]


def test_a_run_is_replaced_in_every_store(scheduler):
    add(scheduler, overlap="cancel")
    wait_until(lambda: len(begun) >= 3, "two runs to be replaced")
    scheduler.pause_job("job")
    wait_until(lambda: outcomes(scheduler).get(begun[1]) is not None, "the history")
    assert [outcomes(scheduler)[instant] for instant in begun[:2]] == [("cancelled", "replaced")] * 2
    assert (begun[1] - begun[0]) % 300 == 0  # a busy machine coalesces those for which it is late


@pytest.mark.parametrize("overlap", ["skip", "queue", "cancel"])
def test_a_request_at_the_limit_of_instances_is_handled_in_every_store_as_it_says(scheduler, overlap):
    told = events_of(scheduler)
    scheduler.add_job(wait_for_gate, "interval", hours=1, id="job")
    scheduler.run_job("job")
    wait_until(lambda: begun, "the first run")
    asked = scheduler.run_job("job", overlap=overlap)
    if overlap == "skip":
        wait_until(lambda: ("run.skipped", "max_instances") in told, "the request to be skipped")
        assert len(begun) == 1
        return
    if overlap == "queue":
        shared = scheduler.stores["default"].shared
        wait_until(lambda: not shared or scheduler.get_runs(run_id=asked, outcome="running"), "the hub to have it")
        assert len(begun) == 1
        gates[0].set()
    wait_until(lambda: len(begun) == 2, "the run that was asked for")
    assert ("run.cancelled", "replaced") in told if overlap == "cancel" else "run.cancelled" not in dict(told)
    assert [run.id for run in scheduler.get_running("job")] == [asked]
