"""Who holds the event loop: what the windows see, and the estimate made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import gevent
import pytest
from greenlet import gettrace, settrace
from programs import run_program

from gsched.executors.greenlet import GreenletPoolExecutor, GreenletWorker
from gsched.hub.loop_times import LoopTimes
from gsched.monitoring.loop_shares import LoopShares
from gsched.times.clock import SystemClock, Timer


class StandingClock(SystemClock):
    """It stands still unless code holds the loop. No timer goes off."""

    seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds

    def call_later(self, *_: object) -> Timer:
        return SimpleNamespace(cancel=lambda: None, let_loop_end=lambda: None)  # type: ignore[return-value]


class Rig:
    """Loop times by such a clock; windows of 50 ms that begin by hand."""

    def __init__(self) -> None:
        self.clock = StandingClock()
        self.times = LoopTimes(self.clock)
        self.times.start(gevent.Greenlet())

    def hold(self, *seconds: float) -> None:
        """Hold the loop for so long, and wait for others in between."""
        for each in seconds:
            self.clock.seconds += each
            gevent.sleep(0)

    def run(self, job_id: str, *seconds: float) -> None:
        """A run of a job that holds the loop, on a worker of its own."""
        pool = SimpleNamespace(fresh_locals=False)
        worker = GreenletWorker(pool, SimpleNamespace(job=SimpleNamespace(id=job_id)))  # type: ignore[arg-type]
        pool.execute = lambda worker, run: (self.hold(*seconds), setattr(worker, "retired", True))
        worker.start()
        worker.join()

    def window(self, *calls: Callable[[], object], late: float = 0.0) -> None:
        """A window in which these calls are made in greenlets."""
        in_loop(self.times.begin_window, self.clock.seconds - late)
        for call in calls:
            gevent.spawn(call).join()
        in_loop(self.times.end_window)


def in_loop(call: Callable[..., object], *args: object) -> None:
    gevent.get_hub().loop.run_callback(call, *args)
    gevent.sleep(0)


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.times.stop()


def shares(rig: Rig) -> LoopShares:
    found = rig.times.shares()
    assert found is not None
    return found


def test_nothing_is_said_before_the_first_window_has_ended(rig: Rig) -> None:
    assert rig.times.shares() is None


def test_what_a_job_holds_the_loop_for_is_its_share_of_the_time(rig: Rig) -> None:
    rig.window(lambda: rig.run("report", 0.010, 0.005))
    rig.window()
    assert shares(rig).by_job == {"report": 0.15}
    assert shares(rig).jobs == 0.15


def test_other_greenlets_are_no_jobs(rig: Rig) -> None:
    rig.window(lambda: rig.hold(0.010))
    assert (shares(rig).other, shares(rig).jobs, shares(rig).by_job) == (0.2, 0.0, {})


def test_the_schedulers_own_greenlet_is_gscheds(rig: Rig) -> None:
    own = gevent.Greenlet(rig.hold, 0.010)
    rig.times.start(own)
    rig.window(lambda: (own.start(), own.join()))
    assert shares(rig).gsched == 0.2


def test_what_begins_in_a_window_counts_whole_and_what_begins_after_it_does_not(rig: Rig) -> None:
    rig.window(lambda: rig.run("long", 0.040, 0.030, 0.5))
    assert shares(rig).by_job == {"long": round(0.070 / 0.05, 4)}


def test_a_window_that_begins_late_ends_on_time(rig: Rig) -> None:
    # Otherwise what holds the loop while a window is to begin would be followed by a whole window of the same rush.
    rig.window(lambda: rig.run("rush", 0.010), late=0.2)
    assert shares(rig).jobs == 0.0


def test_the_jobs_that_held_the_loop_longest_come_first_and_the_others_still_count(rig: Rig) -> None:
    for number in range(30):
        rig.window(lambda number=number: rig.run(f"job-{number}", 0.001 * (number + 1)))  # type: ignore[misc]
    found = shares(rig)
    assert list(found.by_job) == [f"job-{number}" for number in range(29, 24, -1)]
    assert found.jobs == pytest.approx(sum(range(1, 31)) * 0.001 / (30 * 0.05), abs=0.001)


def test_windows_older_than_a_minute_are_forgotten(rig: Rig) -> None:
    rig.window(lambda: rig.run("old", 0.010))
    rig.clock.seconds += 61
    rig.window(lambda: rig.run("new", 0.010))
    assert list(shares(rig).by_job) == ["new"]


def test_what_was_measured_more_than_a_minute_ago_is_not_told_though_nothing_was_measured_since(rig: Rig) -> None:
    rig.window(lambda: rig.run("old", 0.010))
    rig.clock.seconds += 61
    assert rig.times.shares() is None


def test_nothing_is_measured_while_other_code_traces_greenlets(rig: Rig) -> None:
    def theirs(*_: object) -> None:
        pass

    settrace(theirs)
    try:
        rig.window(lambda: rig.run("unseen", 0.010))
        assert gettrace() is theirs
    finally:
        settrace(None)
    assert rig.times.shares() is None


def test_a_scheduler_that_stops_within_a_window_traces_no_more(rig: Rig) -> None:
    in_loop(rig.times.begin_window, rig.clock.seconds)
    assert gettrace() is not None
    rig.times.stop()
    assert gettrace() is None


def test_plain_values_of_shares_give_the_shares_again() -> None:
    known = LoopShares(0.3, 0.1, 0.05, {"a": 0.2, "b.c": 0.1})
    assert LoopShares.of(known.plain()) == known
    assert LoopShares.of(None) is None


def test_a_worker_names_the_job_that_it_runs() -> None:
    assert GreenletWorker(GreenletPoolExecutor(), SimpleNamespace(job=SimpleNamespace(id="a"))).job_id == "a"  # type: ignore[arg-type]


def test_in_a_forked_child_nothing_is_measured() -> None:
    program = """
        import os
        import gevent
        from gsched import GeventScheduler
        from gsched.schedulers.engine import engine_of

        scheduler = GeventScheduler()
        scheduler.start()
        times = engine_of(scheduler).hub.loop_times
        child = os.fork()
        if not child:
            os._exit(0 if times._timer is None else 1)
        print(os.waitpid(child, 0)[1], times._timer is None)
        scheduler.shutdown()
        """
    out, error, code = run_program(program)
    assert (out, code) == ("0 False\n", 0), error
