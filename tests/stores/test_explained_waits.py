"""What `explain` says of instants, retries and attempts that wait, on every store."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from gevent.event import Event
from store_bench import SHORT_STEP_MS, StoreBench

from gsched import current_run
from gsched.history.explanation import Explanation
from gsched.stores import BaseJobStore

pytest_plugins = ["mongodb"]

DUE = "2026-03-02 12:00:"
AT_LIMIT = f"max_instances (1) is reached by the run of {DUE}10+00:00"
COALESCED = " Of the instants that wait, the last one will run, and the others will be coalesced into it."

begun: list[tuple[int, int]] = []
failing: list[int] = []  # the seconds of the instants whose first attempt fails
may_end = Event()
stopped = Event()


def work() -> None:
    """Lasts until the test lets it end, and then until it may stop."""
    run = current_run()
    begun.append((run.scheduled_at.second, run.attempt))
    if run.attempt == 1 and run.scheduled_at.second in failing:
        raise ValueError("no")
    try:
        may_end.wait()
    finally:
        stopped.wait()


@pytest.fixture
def bench(any_store: BaseJobStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreBench]:
    begun.clear()
    failing.clear()
    may_end.clear()
    stopped.set()
    made = StoreBench(any_store, monkeypatch, SHORT_STEP_MS).start()
    made.scheduler._engine.allow_modules([__name__])
    yield made
    may_end.set()
    stopped.set()
    made.close()


@pytest.fixture
def explained(bench: StoreBench) -> Callable[[int], Explanation]:
    """Explains the instant so many seconds after the start."""
    return lambda second: bench.scheduler.explain("job", bench.at(second) / 1000)


def advance(bench: StoreBench, seconds: float) -> None:
    bench.until(lambda: bench.clock.now_ms() >= bench.at(seconds))


def add(bench: StoreBench, **options: object) -> None:
    bench.scheduler.add_job(work, "interval", seconds=10, id="job", **options)


@pytest.mark.parametrize("overlap", ["queue", "cancel"])
def test_an_instant_that_waits_for_the_end_of_a_run_is_said_to_wait_for_it(bench, explained, overlap):
    stopped.clear()
    add(bench, overlap=overlap)
    advance(bench, 20.5)
    stops = ", which is being stopped for it" if overlap == "cancel" else ""
    found = explained(20)
    assert (found.outcome, found.recorded) == ("waiting", False)
    assert found.sentence == f"due 0.5 s ago, and waiting to run: {AT_LIMIT}{stops}.{COALESCED}"
    assert explained(10).outcome == "running"
    assert explained(30).sentence == "due in 9.5 s: it is still to come."


def test_all_instants_that_wait_are_said_to_run_if_the_job_does_not_coalesce(bench, explained):
    add(bench, overlap="queue", coalesce=False)
    advance(bench, 34)
    for second in (20, 30):
        assert explained(second).sentence == f"due {34 - second} s ago, and waiting to run: {AT_LIMIT}."


def test_an_instant_that_waits_too_long_is_said_to_be_missed(bench, explained):
    add(bench, overlap="queue", misfire_grace_time=5)
    advance(bench, 27)
    found = explained(20)
    assert found.outcome == "waiting"
    assert found.sentence.endswith("It is later than misfire_grace_time (5 s), so it will be missed.")


def test_several_runs_that_an_instant_waits_for_are_counted(bench, explained):
    add(bench, overlap="queue", max_instances=2)
    advance(bench, 34)
    limit = f"max_instances (2) is reached by 2 runs, the oldest of {DUE}10+00:00"
    assert explained(30).sentence == f"due 4 s ago, and waiting to run: {limit}.{COALESCED}"


def test_an_instant_that_has_waited_is_explained_by_what_became_of_it(bench, explained):
    add(bench, overlap="queue")
    advance(bench, 34)
    may_end.set()
    bench.until(lambda: (30, 1) in begun)
    bench.until(lambda: "or was coalesced into a later instant's run" in explained(20).sentence)
    bench.until(lambda: explained(30).outcome == "succeeded")


def test_a_retry_is_said_to_be_due_later_and_then_to_wait_for_a_free_instance(bench, explained):
    failing.append(10)
    add(bench, coalesce=False, retries=3, retry_delay=14, retry_jitter=0)
    bench.until(lambda: explained(10).sentence.startswith("attempt 1 failed"))  # its record comes after the retry's
    due = bench.scheduler.get_runs("job", outcome="waiting")[0].due_at
    said = f"{due.isoformat(' ', 'milliseconds' if due.microsecond else 'seconds')}"
    failed = "attempt 1 failed (ValueError: no); attempt 2 "
    assert explained(10).sentence == f"{failed}is due at {said}."
    advance(bench, 26)
    limit = f"max_instances (1) is reached by the run of {DUE}20+00:00"
    waits = f"and has not begun: {limit}" if not bench.store.shared else f"it is in progress, or waits, for {limit}"
    between = ", " if not bench.store.shared else ": "
    node = ""
    if bench.store.shared:
        node = f", node {bench.scheduler.admin.get_nodes()[0].id}"
    assert explained(10).sentence == f"{failed}has been due since {said}{between}{waits}{node}."
    assert (10, 2) not in begun
    may_end.set()
    bench.until(lambda: (10, 2) in begun)
    bench.until(lambda: explained(10).outcome == "succeeded")


def test_a_retry_that_is_in_progress_is_said_to_be(bench, explained):
    failing.append(10)
    add(bench, coalesce=False, retries=3, retry_delay=4)
    bench.until(lambda: (10, 2) in begun)
    bench.until(lambda: explained(10).sentence.startswith("attempt 1 failed (ValueError: no); "))
    found = explained(10)
    assert found.outcome == "running" and "; attempt 2 is in progress, " in found.sentence


def test_a_retry_that_was_due_while_the_scheduler_was_paused_is_explained_as_due_since_then(bench, explained):
    failing.append(10)
    add(bench, coalesce=False, retries=3, retry_delay=4, retry_jitter=0)
    bench.until(lambda: explained(10).outcome == "waiting")
    bench.scheduler.pause()
    advance(bench, 15)
    found = explained(10)
    assert found.outcome == "waiting"
    assert f"attempt 2 has been due since {DUE}14" in found.sentence and ", and has not begun: " in found.sentence
    if not bench.store.shared:
        assert found.sentence.endswith("has not begun: the scheduler is paused.")


def test_an_instant_of_a_job_that_skips_is_not_said_to_wait(bench, explained):
    add(bench)
    advance(bench, 21)
    assert "wait" not in explained(20).sentence
    bench.until(lambda: explained(20).outcome == "skipped")
