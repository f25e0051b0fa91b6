"""The greenlet executor, and what all executors share: the queue, its limits, interruption in three steps."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import gevent
import gevent.local
import pytest
from executor_rig import NEVER, WAIT_SECONDS, Rig, rig_of
from gevent.event import Event

from gsched.errors import ConfigurationError, RunCancelled, RunTimedOut
from gsched.executors import GreenletPoolExecutor
from gsched.executors.interruption import Interruption
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome, Result
from gsched.jobs.run import Run, current_run

seen: ContextVar[str] = ContextVar("seen", default="nothing")


@pytest.fixture
def rig() -> Iterator[Rig]:
    with rig_of(GreenletPoolExecutor(size=1000)) as rig:
        yield rig


@pytest.fixture
def narrow() -> Iterator[Rig]:
    """One worker, two places to wait."""
    with rig_of(GreenletPoolExecutor(size=1, max_waiting=2)) as rig:
        yield rig


def swallow(times: int, until: Event) -> str:
    """Refuses to stop, so many times."""
    while True:
        try:
            until.wait()
            return "returned"
        except BaseException:
            times -= 1
            if times < 0:
                raise


# -- results --------------------------------------------------------------------------------------------------


def test_a_greenlet_run_returns_what_its_function_returned(rig: Rig) -> None:
    result = rig.finish(lambda a, b: a + b, 1, kwargs={"b": 2})
    assert (result.outcome, result.value) == (Outcome.SUCCEEDED, 3)


def test_none_is_a_result_like_others(rig: Rig) -> None:
    assert rig.finish(lambda: None).outcome is Outcome.SUCCEEDED


def test_an_exception_fails_the_run_and_keeps_its_traceback(rig: Rig) -> None:
    def divide() -> float:
        return 1 / 0

    result = rig.finish(divide)
    assert result.outcome is Outcome.FAILED
    assert isinstance(result.error, ZeroDivisionError)
    assert "in divide" in (result.traceback or "")


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), SystemError(), gevent.Timeout(1), BaseException()]
)
def test_a_base_exception_ends_the_run_only(rig: Rig, error: BaseException) -> None:
    def fail() -> None:
        raise error

    result = rig.finish(fail)
    assert (result.outcome, result.error) == (Outcome.FAILED, error)
    assert rig.finish(lambda: "next").value == "next"


def test_times_are_taken_around_the_call(rig: Rig) -> None:
    go = Event()
    run = rig.begin(go.wait)
    rig.clock.advance(1.5)
    go.set()
    rig.result(run)
    assert run.duration == 1.5


def test_current_run_is_the_run(rig: Rig) -> None:
    run = rig.submit(current_run)
    assert rig.result(run).value is run


def test_each_run_has_a_context_of_its_own(narrow: Rig) -> None:
    narrow.finish(seen.set, "something")
    assert narrow.finish(seen.get).value == "nothing"


# -- workers --------------------------------------------------------------------------------------------------


def test_a_worker_is_used_again(rig: Rig) -> None:
    workers = {id(rig.finish(gevent.getcurrent).value) for _ in range(20)}
    assert len(workers) == 1


def test_thousands_of_runs_wait_at_once() -> None:
    go = Event()
    with rig_of(GreenletPoolExecutor(size=5000)) as rig:
        runs = [rig.submit(go.wait, id=str(number)) for number in range(5000)]
        rig.wait(lambda: len(rig.started) == 5000)
        assert rig.executor.in_progress == 5000
        go.set()
        assert {rig.outcome(run) for run in runs} == {Outcome.SUCCEEDED}
        assert (rig.executor.in_progress, rig.executor.waiting) == (0, 0)


def test_many_short_runs_are_shared_by_few_workers() -> None:
    with rig_of(GreenletPoolExecutor(size=3)) as rig:
        runs = [rig.submit(gevent.getcurrent, id=str(number)) for number in range(3000)]
        assert len({id(rig.result(run).value) for run in runs}) <= 3
        assert rig.finished == runs


def test_a_run_that_kills_its_own_greenlet_is_cancelled(narrow: Rig) -> None:
    result = narrow.finish(lambda: gevent.getcurrent().kill())
    assert (result.outcome, result.reason) == (Outcome.CANCELLED, "killed")
    assert narrow.finish(lambda: "next").value == "next"


def test_a_busy_worker_that_is_killed_can_be_waited_for(narrow: Rig) -> None:
    run = narrow.begin(Event().wait)
    run.worker.kill(timeout=WAIT_SECONDS)
    assert run.worker.dead
    assert narrow.outcome(run) is Outcome.CANCELLED


def test_a_killed_parked_worker_is_replaced(narrow: Rig) -> None:
    parked = narrow.finish(gevent.getcurrent).value
    parked.kill(timeout=WAIT_SECONDS)
    assert parked.dead
    assert narrow.finish(gevent.getcurrent).value is not parked


def test_a_stray_switch_does_not_disturb_a_parked_worker(narrow: Rig) -> None:
    parked = narrow.finish(gevent.getcurrent).value
    switched = Event()
    gevent.get_hub().loop.run_callback(lambda: (parked.switch(), switched.set()))
    assert switched.wait(WAIT_SECONDS)
    assert narrow.finish(gevent.getcurrent).value is parked


def test_a_timeout_left_behind_does_not_disturb_a_worker_that_waits(narrow: Rig) -> None:
    parked = narrow.finish(lambda: (gevent.Timeout(0.001).start(), gevent.getcurrent())[1]).value
    gevent.joinall([parked], timeout=WAIT_SECONDS)
    assert parked.dead
    assert narrow.finish(lambda: "next").value == "next"


def test_shutdown_ends_parked_workers() -> None:
    with rig_of(GreenletPoolExecutor()) as rig:
        parked = rig.finish(gevent.getcurrent).value
    gevent.joinall([parked], timeout=WAIT_SECONDS)
    assert parked.dead


# -- waiting for a worker -------------------------------------------------------------------------------------


def test_runs_wait_in_order(narrow: Rig) -> None:
    go = Event()
    runs = [narrow.submit(go.wait) for _ in range(3)]
    narrow.wait(lambda: narrow.started == runs[:1])
    assert (narrow.executor.in_progress, narrow.executor.waiting) == (1, 2)
    go.set()
    narrow.result(runs[-1])
    assert narrow.started == narrow.finished == runs


def test_a_run_too_many_is_skipped_at_once(narrow: Rig) -> None:
    go = Event()
    for _ in range(3):
        narrow.submit(go.wait)
    result = narrow.results[narrow.submit(go.wait)]
    assert (result.outcome, result.reason) == (Outcome.SKIPPED, "pool_full")
    go.set()


def test_a_run_that_waited_beyond_its_grace_is_missed(narrow: Rig) -> None:
    go = Event()
    narrow.begin(go.wait)
    late = narrow.submit(pytest.fail, misfire_grace_ms=1000)
    patient = narrow.submit(lambda: "late", misfire_grace_ms=1001)
    narrow.clock.advance(1.001)
    go.set()
    assert narrow.result(patient).value == "late"
    assert (narrow.outcome(late), narrow.result(late).reason) == (Outcome.MISSED, "waited")


def test_a_waiting_run_can_be_cancelled(narrow: Rig) -> None:
    go = Event()
    narrow.begin(go.wait)
    run = narrow.submit(pytest.fail)
    assert narrow.executor.cancel(run)
    assert narrow.results[run].outcome is Outcome.CANCELLED
    assert run.cancelled
    assert not narrow.executor.cancel(run)
    go.set()


def test_the_next_run_begins_when_one_is_finished_by_the_owner(narrow: Rig) -> None:
    """An owner may submit from run_finished."""
    again = iter(range(50))

    def run_finished(run: Run, result: Any) -> None:
        Rig.run_finished(narrow, run, result)
        if next(again, None) is not None:
            narrow.submit(lambda: None)

    narrow.run_finished = run_finished  # type: ignore[method-assign]
    narrow.submit(lambda: None)
    narrow.wait(lambda: len(narrow.finished) == 51)


@pytest.mark.parametrize("settings", [{"size": 0}, {"size": True}, {"size": "x"}, {"size": "-5"}, {"max_waiting": -1}])
def test_a_size_that_cannot_work_is_refused_by_name(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        GreenletPoolExecutor(**settings)


# -- timeouts and cancellation --------------------------------------------------------------------------------


def test_a_run_that_takes_too_long_is_timed_out(narrow: Rig) -> None:
    closed = []

    def wait() -> None:
        try:
            Event().wait()
        finally:
            closed.append(current_run().cancelled)

    run = narrow.begin(wait, timeout_seconds=5.0)
    narrow.clock.advance(4.999)
    assert not narrow.results
    narrow.step("raise", after=0.001)
    result = narrow.result(run)
    assert result.outcome is Outcome.TIMED_OUT
    assert isinstance(result.error, RunTimedOut)
    assert "5 s" in str(result.error)
    assert closed == [True]
    assert narrow.steps == ["raise"]
    assert narrow.clock.pending() == 0


def test_a_run_that_ends_in_time_leaves_no_timer(narrow: Rig) -> None:
    assert narrow.finish(lambda: 1, timeout_seconds=5.0).outcome is Outcome.SUCCEEDED
    assert narrow.clock.pending() == 0


def test_a_run_that_swallows_the_error_once_is_killed(narrow: Rig) -> None:
    run = narrow.begin(swallow, 1, Event(), timeout_seconds=5.0)
    narrow.step("raise", after=5)
    narrow.step("kill", after=1)
    assert narrow.outcome(run) is Outcome.TIMED_OUT
    assert narrow.steps == ["raise", "kill"]
    assert narrow.executor.abandoned == 0


def test_a_run_that_swallows_everything_is_abandoned_and_its_worker_replaced(narrow: Rig) -> None:
    go = Event()
    run = narrow.begin(swallow, 2, go, timeout_seconds=5.0)
    narrow.step("raise", after=5)
    narrow.step("kill", after=1)
    assert not narrow.results
    narrow.step("abandon", after=1)
    result = narrow.result(run)
    assert (result.outcome, result.reason) == (Outcome.TIMED_OUT, "abandoned")
    assert run.duration == 7.0
    assert narrow.executor.abandoned == 1
    assert narrow.finish(lambda: "next").value == "next"
    go.set()
    gevent.joinall([run.worker], timeout=WAIT_SECONDS)
    assert run.worker.dead
    assert len(narrow.finished) == 2


def test_a_run_that_swallows_the_error_and_returns_was_timed_out_nevertheless(narrow: Rig) -> None:
    def defy() -> str:
        try:
            Event().wait()
        except RunTimedOut:
            pass
        return "done"

    run = narrow.begin(defy, timeout_seconds=5.0)
    narrow.step("raise", after=5)
    assert (narrow.outcome(run), narrow.result(run).value) == (Outcome.TIMED_OUT, "done")


def test_an_executing_run_can_be_cancelled(narrow: Rig) -> None:
    run = narrow.begin(Event().wait)
    assert narrow.executor.cancel(run)
    assert narrow.executor.cancel(run)
    narrow.step("raise", after=0)
    result = narrow.result(run)
    assert result.outcome is Outcome.CANCELLED
    assert isinstance(result.error, RunCancelled)
    assert narrow.steps == ["raise"]
    assert not narrow.executor.cancel(run)


def test_a_cancelled_run_does_not_time_out(narrow: Rig) -> None:
    run = narrow.begin(swallow, 1, Event(), timeout_seconds=1.0)
    narrow.executor.cancel(run)
    narrow.step("raise", after=0)
    narrow.step("kill", after=1)
    assert narrow.outcome(run) is Outcome.CANCELLED
    assert narrow.clock.pending() == 0


def test_a_run_told_to_stop_before_its_start_was_noticed_is_not_watched_again(narrow: Rig) -> None:
    """Threads begin on their own, so that the cancellation may come first."""
    interruption = Interruption(narrow.run_of(int), narrow.clock, lambda *_: None, lambda *_: None)
    interruption.begin(Outcome.CANCELLED)
    interruption.begin_after(5.0)
    interruption.conclude(Result(Outcome.SUCCEEDED))
    assert narrow.clock.pending() == 0


def test_except_exception_does_not_swallow_the_end(narrow: Rig) -> None:
    def careless() -> None:
        while True:
            try:
                Event().wait()
            except Exception:
                pass

    run = narrow.begin(careless)
    narrow.executor.cancel(run)
    narrow.step("raise", after=0)
    assert narrow.outcome(run) is Outcome.CANCELLED


def begin_and(rig: Rig, act: Callable[[Run], object]) -> Run:
    """A run whose worker has not come to it yet when `act(run)` is called, in gevent's Hub."""
    begin = rig.executor._begin

    def begin_then_act(run: Run) -> None:
        begin(run)
        act(run)

    rig.executor._begin = begin_then_act  # type: ignore[method-assign]
    return rig.submit(pytest.fail, "it was called")


def test_a_run_cancelled_while_its_worker_starts_is_not_called(narrow: Rig) -> None:
    run = begin_and(narrow, narrow.executor.cancel)
    assert narrow.outcome(run) is Outcome.CANCELLED
    assert narrow.started == []
    assert narrow.clock.pending() == 0


def test_a_run_interrupted_while_its_worker_starts_is_not_called(narrow: Rig) -> None:
    run = begin_and(narrow, lambda run: (narrow.executor.cancel(run), run.interruption._raise()))
    assert narrow.outcome(run) is Outcome.CANCELLED
    assert narrow.started == []


def test_a_run_abandoned_while_its_worker_starts_is_reported_once(narrow: Rig) -> None:
    run = begin_and(narrow, lambda run: narrow.executor.abandon_all())
    assert narrow.result(run).reason == "abandoned"
    gevent.idle()
    assert narrow.finished == [run]
    assert narrow.started == []


def test_all_executing_runs_can_be_abandoned(narrow: Rig) -> None:
    go = Event()
    run = narrow.begin(go.wait)
    narrow.executor.abandon_all()
    assert narrow.results[run].reason == "abandoned"
    assert narrow.finish(lambda: "next").value == "next"
    go.set()
    gevent.joinall([run.worker], timeout=WAIT_SECONDS)
    assert len(narrow.finished) == 2


def test_a_job_without_a_function_fails(narrow: Rig) -> None:
    run = Run(Job(id="parked", func=None, trigger=NEVER), narrow.clock.now_ms(), narrow)
    narrow.executor.submit(run)
    assert narrow.outcome(run) is Outcome.FAILED


def test_importing_executors_is_light_and_leaves_monkey_patching_possible() -> None:
    code = (
        "import sys, gsched.executors as executors\n"
        "assert 'gevent' not in sys.modules\n"
        "[getattr(executors, name) for name in executors.__all__]\n"
        "from gevent import monkey; monkey.patch_all()"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=WAIT_SECONDS)


# -- greenlet-local values ------------------------------------------------------------------------------------


class Tenant(gevent.local.local):  # type: ignore[misc]
    """As Django and SQLAlchemy have them: made anew wherever it is first used."""

    def __init__(self) -> None:
        self.seen: list[int] = []


@pytest.fixture(params=[gevent.local.local, Tenant], ids=["plain", "with an initialiser"])
def count(request: pytest.FixtureRequest) -> Callable[[], int]:
    """Counts the runs that have used one greenlet-local object, as a run sees it."""
    local = request.param()

    def count() -> int:
        if not hasattr(local, "seen"):
            local.seen = []
        local.seen.append(1)
        return len(local.seen)

    return count


def test_a_run_does_not_see_the_greenlet_local_values_of_an_earlier_one(narrow: Rig, count: Callable[[], int]) -> None:
    assert [narrow.finish(count).value for _ in range(3)] == [1, 1, 1]


def test_greenlet_local_values_are_kept_from_run_to_run_if_that_is_asked_for(count: Callable[[], int]) -> None:
    with rig_of(GreenletPoolExecutor(size=1, fresh_locals=False)) as rig:
        assert [rig.finish(count).value for _ in range(3)] == [1, 2, 3]


def test_a_worker_whose_runs_leave_no_greenlet_local_values_is_used_again(narrow: Rig) -> None:
    assert len({narrow.finish(gevent.getcurrent).value for _ in range(5)}) == 1


def test_fresh_locals_has_to_be_true_or_false() -> None:
    with pytest.raises(ConfigurationError, match="fresh_locals: expected True or False, got 'no'"):
        GreenletPoolExecutor(fresh_locals="no")  # type: ignore[arg-type]
