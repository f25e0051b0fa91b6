"""Runs that have not succeeded in time; on every store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from store_bench import SHORT_STEP_MS, StoreBench, gate

from gsched.stores import BaseJobStore

pytest_plugins = ["mongodb"]

EVERY_TEN = {"trigger": "interval", "seconds": 10}
YEARLY = {"trigger": "interval", "days": 365}


@pytest.fixture
def bench(any_store: BaseJobStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreBench]:
    made = StoreBench(any_store, monkeypatch)
    yield made
    made.close()


def pass_until(bench: StoreBench, seconds: float) -> None:
    """Let the clock go on until so many seconds after the start, with all that happens meanwhile."""
    bench.until(lambda: bench.clock.now_ms() >= bench.at(seconds))


def slow(bench: StoreBench) -> list[tuple[float, str]]:
    """The scheduled times of the runs that were reported, in seconds after the start, and what each was doing."""
    start = bench.at(0) / 1000
    return [(event.scheduled_run_time.timestamp() - start, event.state) for event in bench.named("run.slow")]


def test_a_run_in_progress_is_reported_once_when_its_time_is_over(bench):
    bench.start().add("job", acts="W", finish_within=5, overlap="skip", **EVERY_TEN)
    pass_until(bench, 14)
    assert slow(bench) == []
    pass_until(bench, 16)
    assert slow(bench) == [(10, "running")]
    pass_until(bench, 40)
    assert slow(bench) == [(10, "running")]
    (event,) = bench.named("run.slow")
    assert (event.level, event.job_id) == ("warning", "job")
    assert event.fields()["run_id"] == event.run_id == "job@2026-03-02T12:00:10.000Z"


def test_a_run_that_succeeds_in_time_is_not_reported_and_neither_is_one_that_has_failed(bench):
    bench.start().add("job", acts="SF", finish_within=5, **EVERY_TEN)
    pass_until(bench, 40)
    assert bench.began("job")[:3] == [10, 20, 30]
    assert slow(bench) == []


def test_the_time_goes_on_while_a_retry_waits_and_all_attempts_are_one_run(bench):
    bench.start().add(
        "job", "interval", days=1, start_date="2026-03-02 12:00:10", acts="FFS", finish_within=15, retries=2,
        retry_delay=10, retry_backoff=1, retry_jitter=0,
    )  # fmt: skip
    pass_until(bench, 23)
    assert slow(bench) == []
    bench.until(lambda: slow(bench))
    assert bench.clock.now_ms() <= bench.at(27)
    bench.until(lambda: bench.named("run.succeeded"))
    pass_until(bench, 60)
    assert slow(bench) == [(10, "waiting")]


def test_a_run_whose_retries_fail_in_time_is_not_reported(bench):
    bench.start().add(
        "job", "interval", days=1, start_date="2026-03-02 12:00:10", acts="FF", finish_within=30, retries=1,
        retry_delay=5, retry_jitter=0,
    )  # fmt: skip
    bench.until(lambda: bench.named("run.failed"))
    pass_until(bench, 60)
    assert slow(bench) == []


def test_an_instant_that_waits_for_the_end_of_a_run_is_reported_and_not_again_when_it_begins(bench):
    bench.start().add("job", acts="W", finish_within=15, overlap="queue", coalesce=False, **EVERY_TEN)
    pass_until(bench, 46.5)
    assert slow(bench) == [(10, "running"), (20, "waiting"), (30, "waiting")]
    gate.set()
    bench.until(lambda: len(bench.began("job")) >= 4)
    pass_until(bench, 80)
    assert slow(bench) == [(10, "running"), (20, "waiting"), (30, "waiting")]


def test_of_instants_that_will_be_coalesced_none_is_reported(bench):
    bench.start().add("job", acts="W", finish_within=15, overlap="queue", **EVERY_TEN)
    pass_until(bench, 100)
    assert slow(bench) == [(10, "running")]


def test_the_last_of_the_waiting_instants_is_reported_if_it_waits_for_too_long(bench):
    bench.start().add(
        "job", acts="W", finish_within=15, overlap="queue", **EVERY_TEN, end_date="2026-03-02 12:00:30"
    )
    pass_until(bench, 60)
    assert slow(bench) == [(10, "running"), (30, "waiting")]
    gate.set()
    bench.until(lambda: bench.named("job.removed"))
    assert slow(bench) == [(10, "running"), (30, "waiting")]
    assert bench.scheduler._engine.hub._lanes["default"].deadlines.of_waiting == {}


def test_an_instant_that_waits_for_its_turn_in_a_group_is_reported(bench):
    bench.start().scheduler.set_limit("vendor", concurrency=1)
    bench.add("first", acts="W", group="vendor", next_run_time="2026-03-02 12:00:10", **YEARLY)
    bench.add("job", group="vendor", finish_within=15, next_run_time="2026-03-02 12:00:20", **YEARLY)
    pass_until(bench, 34)
    assert (bench.began("job"), slow(bench)) == ([], [])
    pass_until(bench, 36)
    assert slow(bench) == [(20, "waiting")]
    gate.set()
    bench.until(lambda: bench.began("job"))
    pass_until(bench, 60)
    assert slow(bench) == [(20, "waiting")]


def test_a_run_on_request_has_its_time_from_the_request_on(bench):
    bench.step_ms = SHORT_STEP_MS
    bench.start().add("job", acts="W", finish_within=5, **YEARLY)
    pass_until(bench, 3)
    bench.scheduler.run_job("job")
    bench.until(lambda: slow(bench))
    assert bench.at(8) <= bench.clock.now_ms() <= bench.at(11)
    assert bench.named("run.slow")[0].run_id.startswith("job!")


def test_a_run_that_begins_later_than_its_time_is_reported_at_once(bench):
    bench.start().add("job", acts="W", finish_within=5, **EVERY_TEN)
    bench.skip_to("2026-03-02 12:01:05")
    bench.until(lambda: bench.began("job"))
    bench.until(lambda: slow(bench))
    (late,) = slow(bench)
    assert late in [(60, "waiting"), (60, "running")]  # it waits for a worker, which takes it in a moment


def test_a_job_that_is_removed_while_a_retry_waits_is_not_reported(bench):
    bench.start().add(
        "job", "interval", days=1, start_date="2026-03-02 12:00:10", acts="F", finish_within=20, retries=1,
        retry_delay=60,
    )  # fmt: skip
    bench.until(lambda: bench.named("run.retrying"))
    bench.scheduler.remove_job("job")
    pass_until(bench, 60)
    assert slow(bench) == []


def test_nothing_is_kept_of_runs_that_have_ended(bench):
    bench.start().add("job", acts="SFSS", finish_within=5, retries=1, retry_delay=1, **EVERY_TEN)
    bench.until(lambda: len(bench.named("run.succeeded")) >= 3)
    pass_until(bench, 55)
    deadlines = bench.scheduler._engine.hub._lanes["default"].deadlines
    assert (deadlines.of_runs, deadlines.of_waiting, len(deadlines._timetable)) == ({}, {}, 0)


def test_what_is_kept_of_a_job_without_the_option_is_nothing(bench):
    bench.start().add("job", acts="W", **EVERY_TEN)
    bench.until(lambda: bench.began("job"))
    assert bench.scheduler._engine.hub._lanes["default"].deadlines.of_runs == {}
