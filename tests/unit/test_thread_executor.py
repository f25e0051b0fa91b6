"""The thread executor: native threads, which nothing can be raised into."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import gevent
import pytest
from executor_rig import WAIT_SECONDS, Rig, rig_of
from waiting import wait_until

from gsched.errors import ConfigurationError, RunCancelled, RunTimedOut
from gsched.executors import ThreadPoolExecutor
from gsched.jobs.outcomes import Outcome
from gsched.jobs.run import current_run


def native_thread() -> int:
    return threading.get_native_id()


def native_threads() -> set[int]:
    """The threads of this process, as the kernel names them."""
    return {int(task) for task in os.listdir("/proc/self/task")}


seen: ContextVar[str] = ContextVar("seen", default="nothing")


@pytest.fixture
def rig() -> Iterator[Rig]:
    with rig_of(ThreadPoolExecutor(max_workers=4)) as rig:
        yield rig


@pytest.fixture
def narrow() -> Iterator[Rig]:
    """One thread, two places to wait."""
    with rig_of(ThreadPoolExecutor(max_workers=1, max_waiting=2)) as rig:
        yield rig


def until_cancelled(ready: threading.Event) -> str:
    """Cooperates: stops when it is asked to."""
    ready.wait(WAIT_SECONDS)
    return "cancelled" if current_run().cancelled else "went on"


# -- results --------------------------------------------------------------------------------------------------


def test_a_thread_run_returns_what_its_function_returned(rig: Rig) -> None:
    assert rig.finish(lambda a, b: a + b, 1, kwargs={"b": 2}).value == 3


def test_functions_run_in_other_threads_and_the_owner_hears_in_its_own(rig: Rig) -> None:
    idents = {rig.finish(threading.get_ident).value for _ in range(5)}
    assert threading.get_ident() not in idents
    assert rig.hubs == {gevent.get_hub()}


def test_a_thread_executor_never_uses_the_pool_that_resolves_names(rig: Rig) -> None:
    used = gevent.get_hub().threadpool.size
    rig.finish(threading.get_ident)
    assert gevent.get_hub().threadpool.size == used


def test_a_thread_is_used_again(narrow: Rig) -> None:
    assert len({narrow.finish(threading.get_ident).value for _ in range(20)}) == 1


@pytest.mark.parametrize("error", [ValueError(1), SystemExit(3), KeyboardInterrupt(), gevent.Timeout(1)])
def test_whatever_is_raised_ends_the_run_only(narrow: Rig, error: BaseException) -> None:
    def fail() -> None:
        raise error

    result = narrow.finish(fail)
    assert (result.outcome, result.error) == (Outcome.FAILED, error)
    assert narrow.finish(lambda: "next").value == "next"


def test_current_run_is_the_run_and_it_has_started(rig: Rig) -> None:
    run = rig.submit(lambda: (current_run(), current_run().started_at))
    assert rig.result(run).value == (run, run.started_at)
    assert run.duration == 0.0


def test_each_run_has_a_context_of_its_own(narrow: Rig) -> None:
    narrow.finish(seen.set, "something")
    assert narrow.finish(seen.get).value == "nothing"


def test_run_started_comes_before_run_finished(rig: Rig) -> None:
    runs = [rig.submit(lambda: None, id=str(number)) for number in range(500)]
    for run in runs:
        rig.result(run)
    assert set(rig.started) == set(runs)


# -- the pool -------------------------------------------------------------------------------------------------


def test_a_thread_executor_executes_as_many_runs_at_once_as_it_has_threads(rig: Rig) -> None:
    together = threading.Barrier(4)
    runs = [rig.submit(together.wait, WAIT_SECONDS, id=str(number)) for number in range(8)]
    assert {rig.outcome(run) for run in runs} == {Outcome.SUCCEEDED}


def test_submitting_never_blocks_while_all_threads_finish_at_once(rig: Rig) -> None:
    """gevent's pool makes a spawn wait that comes before its own notice of a finished thread."""
    runs = [rig.submit(lambda: None, id=str(number)) for number in range(5000)]
    assert {rig.outcome(run) for run in runs} == {Outcome.SUCCEEDED}


def test_runs_wait_in_order_and_one_too_many_is_skipped(narrow: Rig) -> None:
    go = threading.Event()
    runs = [narrow.submit(go.wait, WAIT_SECONDS) for _ in range(4)]
    assert narrow.results[runs[3]].reason == "pool_full"
    go.set()
    narrow.result(runs[2])
    assert narrow.started == runs[:3]


def test_a_run_that_waited_beyond_its_grace_is_missed(narrow: Rig) -> None:
    go = threading.Event()
    narrow.begin(go.wait, WAIT_SECONDS)
    late = narrow.submit(pytest.fail, misfire_grace_ms=1000)
    narrow.clock.advance(1.001)
    go.set()
    assert narrow.outcome(late) is Outcome.MISSED


def test_a_waiting_run_can_be_cancelled(narrow: Rig) -> None:
    go = threading.Event()
    narrow.begin(go.wait, WAIT_SECONDS)
    run = narrow.submit(pytest.fail)
    assert narrow.executor.cancel(run)
    assert narrow.results[run].outcome is Outcome.CANCELLED
    go.set()


def test_a_system_without_threads_fails_the_run(narrow: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("gsched.executors.thread_worker.start_native_thread", refuse)
    result = narrow.finish(lambda: None)
    assert (result.outcome, str(result.error)) == (Outcome.FAILED, "can't start new thread")
    monkeypatch.undo()
    assert narrow.finish(lambda: "next").value == "next"


def test_shutdown_ends_the_threads() -> None:
    with rig_of(ThreadPoolExecutor(2)) as rig:
        thread = rig.finish(native_thread).value
        assert thread in native_threads()
    wait_until(lambda: thread not in native_threads())


def test_a_thread_executor_can_be_shut_down_before_its_start_and_started_after() -> None:
    executor = ThreadPoolExecutor()
    executor.shutdown()
    for _ in range(2):
        with rig_of(executor) as rig:
            assert rig.finish(lambda: 1).value == 1


# -- timeouts and cancellation --------------------------------------------------------------------------------


def test_a_run_that_looks_at_cancelled_stops_by_itself(narrow: Rig) -> None:
    look = threading.Event()
    run = narrow.begin(until_cancelled, look, timeout_seconds=5.0)
    narrow.step("raise", after=5)
    look.set()
    result = narrow.result(run)
    assert (result.outcome, result.value) == (Outcome.TIMED_OUT, "cancelled")
    assert isinstance(result.error, RunTimedOut)
    assert narrow.steps == ["raise"]
    assert narrow.clock.pending() == 0


def test_an_executing_run_can_be_cancelled(narrow: Rig) -> None:
    look = threading.Event()
    run = narrow.begin(until_cancelled, look)
    assert narrow.executor.cancel(run)
    narrow.step("raise", after=0)
    look.set()
    assert narrow.outcome(run) is Outcome.CANCELLED
    assert isinstance(narrow.result(run).error, RunCancelled)


def test_a_run_that_does_not_stop_is_abandoned_and_its_thread_replaced(narrow: Rig) -> None:
    go = threading.Event()
    threads: list[int] = []
    run = narrow.begin(lambda: (threads.append(native_thread()), go.wait(WAIT_SECONDS)), timeout_seconds=5.0)
    narrow.step("raise", after=5)
    narrow.step("kill", after=1)
    assert not narrow.results
    narrow.step("abandon", after=1)
    assert (narrow.outcome(run), narrow.result(run).reason) == (Outcome.TIMED_OUT, "abandoned")
    assert run.duration == 7.0
    assert narrow.finish(native_thread).value not in threads
    assert narrow.executor.abandoned == 1

    narrow.clock.advance(1)
    go.set()
    wait_until(lambda: threads[0] not in native_threads(), sleep=gevent.sleep)
    assert len(narrow.finished) == 2
    assert run.duration == 7.0
    assert narrow.finish(lambda: "next").value == "next"


def test_shutdown_does_not_wait_for_abandoned_threads() -> None:
    go = threading.Event()
    threads: list[int] = []
    with rig_of(ThreadPoolExecutor(1)) as rig:
        run = rig.begin(lambda: (threads.append(native_thread()), go.wait(WAIT_SECONDS)))
        rig.executor.abandon_all()
        assert rig.results[run].reason == "abandoned"
    go.set()
    wait_until(lambda: threads[0] not in native_threads(), sleep=gevent.sleep)


# -- settings -------------------------------------------------------------------------------------------------


def test_a_size_that_cannot_work_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="max_workers"):
        ThreadPoolExecutor(0)


def test_pool_kwargs_are_accepted_only_if_they_say_nothing() -> None:
    ThreadPoolExecutor(pool_kwargs={})
    with pytest.raises(ConfigurationError, match="thread_name_prefix"):
        ThreadPoolExecutor(pool_kwargs={"thread_name_prefix": "x"})


# -- runs that wait for the next free thread ------------------------------------------------------------------


def test_a_run_that_waits_for_the_next_free_thread_is_cancelled_at_once_and_never_runs(narrow: Rig) -> None:
    release, ran = threading.Event(), []
    blocking = narrow.begin(release.wait, WAIT_SECONDS)
    waiting = narrow.submit(ran.append, 1)
    gevent.sleep(0)
    assert (narrow.executor.in_progress, narrow.executor.waiting) == (1, 1)
    assert narrow.executor.cancel(waiting)
    assert narrow.results[waiting].outcome is Outcome.CANCELLED
    release.set()
    narrow.result(blocking)
    assert narrow.finish(lambda: ran).value == []
    assert narrow.steps == []


def test_runs_beyond_the_free_threads_run_in_order_on_the_threads_there_are(narrow: Rig) -> None:
    narrow.executor.max_waiting = 50
    release, order = threading.Event(), []
    blocking = narrow.begin(release.wait, WAIT_SECONDS)
    runs = [narrow.submit(order.append, number) for number in range(20)]
    release.set()
    narrow.result(blocking)
    for run in runs:
        narrow.result(run)
    assert order == list(range(20))


def test_runs_that_wait_for_a_thread_go_on_in_another_one_if_theirs_is_abandoned(narrow: Rig) -> None:
    release, ran = threading.Event(), []
    stuck = narrow.begin(release.wait, WAIT_SECONDS)
    waiting = narrow.submit(ran.append, 1)
    gevent.sleep(0)
    narrow.executor.cancel(stuck)
    for step, after in (("raise", 0), ("kill", 1), ("abandon", 1)):
        narrow.step(step, after)
    assert narrow.outcome(waiting) is Outcome.SUCCEEDED
    assert ran == [1]
    release.set()
    assert narrow.finish(lambda: 2).value == 2


def test_a_run_that_may_not_be_late_is_missed_if_no_thread_is_free_in_time(narrow: Rig) -> None:
    release = threading.Event()
    blocking = narrow.begin(release.wait, WAIT_SECONDS)
    waiting = narrow.submit(lambda: None, misfire_grace_ms=500)
    gevent.sleep(0)
    narrow.clock.advance(1)
    release.set()
    narrow.result(blocking)
    assert narrow.outcome(waiting) is Outcome.MISSED
