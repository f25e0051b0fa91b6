"""Groups take turns while their runs wait for a worker."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from bench import Bench

from gsched import GreenletPoolExecutor, current_run
from gsched.executors.turns import RunsInTurn


@pytest.fixture
def full(make_bench: Any) -> Bench:
    """A bench with one worker, which is busy until the gate is opened."""
    bench = make_bench(executors={"default": GreenletPoolExecutor(1)}).start()
    bench.add(bench.wait, id="busy")
    bench.settle()
    bench.ran.clear()
    return bench


def queue_of(bench: Bench) -> Any:
    return bench.scheduler._engine.hub._executors["default"]._queue


def submit(bench: Bench, *groups: str | None) -> None:
    """A run for each of these groups, in this order. Runs are noted as their group with a number."""
    for number, group in enumerate(groups):
        bench.add(lambda: bench.ran.append(current_run().job_id), id=f"{group}{number}", group=group)
        bench.settle()


def test_groups_take_turns_and_runs_without_a_group_are_one_group(full):
    submit(full, "a", "a", "a", "a", "b", "b", None, None)
    full.open_gate()
    assert full.ran == ["a0", "b4", "None6", "a1", "b5", "None7", "a2", "a3"]


def test_runs_that_waited_before_the_first_of_a_group_keep_their_order(full):
    submit(full, None, None, None, "a", None)
    full.open_gate()
    assert full.ran == ["None0", "a3", "None1", "None2", "None4"]


def test_a_group_that_comes_later_is_served_after_those_that_wait(full):
    submit(full, "a", "a", "a", "b", "c")
    full.open_gate()
    assert full.ran == ["a0", "b3", "c4", "a1", "a2"]


def test_without_groups_the_queue_is_a_plain_one_and_it_is_again_when_no_run_waits(full):
    submit(full, None, None)
    assert isinstance(queue_of(full), deque)
    submit(full, "a")
    assert isinstance(queue_of(full), RunsInTurn)
    full.open_gate()
    assert isinstance(queue_of(full), deque)
    assert len(full.ran) == 3


def test_runs_of_groups_that_find_a_free_worker_need_no_turns(make_bench):
    bench = make_bench().start()
    submit(bench, "a", "a", "b")
    assert isinstance(queue_of(bench), deque)
    assert bench.ran == ["a0", "a1", "b2"]


def test_a_run_that_waits_for_its_turn_can_be_cancelled(full):
    submit(full, "a", "a", "b")
    (cancelled,) = [run for run in queue_of(full) if run.job_id == "a0"]
    full.scheduler.cancel_run(cancelled.id)
    assert [run.job_id for run in queue_of(full)] == ["a1", "b2"]
    full.open_gate()
    assert sorted(full.ran) == ["a1", "b2"]


def test_a_run_that_waits_too_long_for_its_turn_is_missed(full):
    submit(full, "a")
    full.every(10, full.note, id="late", group="b", misfire_grace_time=5)
    full.advance(20)
    full.open_gate()
    assert "run.missed" in full.names()
    assert full.ran[0] == "a0"


def test_the_thread_executor_looks_at_the_next_run_of_all_groups(full):
    submit(full, "a", "b")
    queue = queue_of(full)
    assert queue[0].job_id == "a0" and queue.popleft().job_id == "a0" and queue[0].job_id == "b1"
    queue.clear()
    assert not queue and list(queue) == []
