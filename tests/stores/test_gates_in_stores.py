"""Groups with limits, with every store: what waits for its turn, and what lets it begin."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
import store_bench
from store_bench import SHORT_STEP_MS, StoreBench

from gsched import RateLimited, current_run
from gsched.stores import BaseJobStore
from gsched.times.instants import from_ms

pytest_plugins = ["mongodb"]

GROUP = "host:x"

refusals: list[float] = []  # for how many seconds a server refuses the next calls
began: list[tuple[str, float]] = []  # the runs that began: the job's id, and when (s)


def call() -> None:
    """A job that calls a server, which may refuse."""
    run = current_run()
    began.append((run.job_id, run.started_ms / 1000))
    if refusals:
        raise RateLimited(refusals.pop(0))


@pytest.fixture
def bench(any_store: BaseJobStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreBench]:
    refusals.clear()
    began.clear()
    made = StoreBench(any_store, monkeypatch, SHORT_STEP_MS)
    made.scheduler._engine.allow_modules([__name__])
    yield made.start()
    made.close()


def add(bench: StoreBench, job_id: str, acts: str = "", seconds: float = 600, **options: object) -> None:
    """A job of the group that is due at once, and then every so many seconds."""
    now = {"next_run_time": from_ms(bench.clock.now_ms())}
    bench.add(job_id, "interval", acts, seconds=seconds, group=GROUP, **{**now, **options})


def waits(bench: StoreBench) -> int:
    """How many jobs wait with a due instant."""
    return bench.scheduler._engine.hub.jobs()["waiting"]


def begun(*job_ids: str) -> int:
    """How many runs of these jobs have begun; without names, of all."""
    return sum(each in job_ids or not job_ids for each, _ in store_bench.began)


def test_as_many_runs_as_the_limit_allows_are_in_progress_and_the_others_begin_in_turn(bench):
    bench.scheduler.set_limit("host:*", concurrency=1)
    for job_id in ("a", "b", "c"):
        add(bench, job_id, "W")
    bench.until(lambda: waits(bench) == 2)
    assert begun() == 1
    store_bench.gate.set()
    bench.until(lambda: begun() == 3)
    assert {job_id for job_id, _ in store_bench.began} == {"a", "b", "c"}


def test_what_becomes_due_while_a_job_waits_for_its_turn_coalesces(bench):
    bench.scheduler.set_limit(GROUP, concurrency=1)
    add(bench, "a", "W")
    bench.until(begun)
    add(bench, "b", seconds=2)
    bench.until(lambda: waits(bench))
    before = bench.clock.now_ms()
    bench.until(lambda: bench.clock.now_ms() > before + 7000)
    store_bench.gate.set()
    bench.until(lambda: begun("b"))
    bench.until(lambda: bench.named("run.coalesced"))
    assert bench.named("run.coalesced")[0].job_id == "b"


def test_a_request_and_a_retry_wait_for_their_turn(bench):
    bench.scheduler.set_limit(GROUP, concurrency=1)
    add(bench, "fails", "F", retries=1, retry_delay=1)
    bench.add("asked", "interval", seconds=600, group=GROUP)
    bench.until(lambda: begun("fails"))
    add(bench, "busy", "W", seconds=0.5)
    bench.until(lambda: begun("busy"))
    bench.scheduler.run_job("asked")
    before = bench.clock.now_ms()
    bench.until(lambda: bench.clock.now_ms() > before + 5000)
    assert begun("fails") == 1 and begun("asked") == 0
    bench.scheduler.pause_job("busy")
    store_bench.gate.set()
    bench.until(lambda: begun("fails") == 2 and begun("asked") == 1)


def test_no_more_runs_begin_than_the_rate_allows(bench):
    bench.scheduler.set_limit(GROUP, rate="1/s")
    before = bench.clock.now_ms()
    bench.until(lambda: bench.clock.now_ms() > before + 2000)
    for number in range(4):
        bench.scheduler.add_job(call, id=str(number), group=GROUP)
    bench.until(lambda: len(began) == 4)
    times = [second for _, second in began]
    assert all(after - before >= 0.999 for before, after in pairwise(times))


def test_a_limit_that_is_raised_or_removed_lets_jobs_begin(bench):
    bench.scheduler.set_limit(GROUP, concurrency=1)
    for job_id in ("a", "b", "c", "d", "e"):
        add(bench, job_id, "W")
    bench.until(lambda: waits(bench) == 4)
    bench.scheduler.set_limit(GROUP, concurrency=3)
    bench.until(lambda: begun() == 3)
    assert waits(bench) == 2
    bench.scheduler.remove_limit(GROUP)
    bench.until(lambda: begun() == 5)


def test_a_paused_group_waits_until_it_is_resumed(bench):
    bench.scheduler.pause_group("host:*", "vendor down")
    add(bench, "a")
    bench.until(lambda: waits(bench))
    assert begun() == 0
    bench.scheduler.resume_group("host:*")
    bench.until(begun)


def test_a_pause_of_a_group_ends_by_itself(bench):
    bench.scheduler.pause_group(GROUP, until="8s")
    ends = bench.clock.now_ms() + 8000
    add(bench, "a")
    bench.until(begun)
    assert bench.clock.now_ms() >= ends


def test_a_run_that_is_refused_begins_again_first_and_spends_no_try(bench):
    bench.scheduler.set_limit(GROUP, concurrency=1)
    refusals.append(5)
    for job_id in ("a", "b"):
        bench.scheduler.add_job(call, id=job_id, group=GROUP)
    bench.until(lambda: len(began) == 3)
    first, again, other = began
    assert again[0] == first[0] != other[0]
    assert again[1] - first[1] >= 5
    (event,) = bench.named("run.retrying")
    assert (event.reason, event.run.attempt) == ("limited", 1)


def test_what_waits_for_its_turn_when_the_scheduler_ends_runs_at_the_next_start_or_is_accounted_for(bench):
    bench.scheduler.set_limit(GROUP, concurrency=1)
    add(bench, "a", "W")
    add(bench, "b")
    bench.until(lambda: waits(bench) == 1)
    bench.restart([__name__])
    bench.until(lambda: begun("b") or bench.scheduler.get_runs("b"))
