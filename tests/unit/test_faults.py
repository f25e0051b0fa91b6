"""Faults: whatever jobs, triggers, listeners, stores and executors do, the scheduler goes on and says what happened."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from unittest.mock import Mock

import gevent
import pytest
from gevent import GreenletExit
from programs import run_program

from gsched import (
    EVENT_HUB_BLOCKED,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_SKIPPED,
    EVENT_JOB_SUBMITTED,
    EVENT_LISTENER_FAILED,
    CronTrigger,
    GeventScheduler,
    GreenletPoolExecutor,
    IntervalTrigger,
    MemoryJobStore,
    OrTrigger,
    Outcome,
    Result,
    RunTimedOut,
    SchedulerNotRunningError,
)
from gsched.hub.watchdog import Watchdog
from gsched.monitoring.loop_shares import LoopShares


def assert_sound(bench):
    """Nothing is half done, and it still works."""
    assert bench.scheduler.running
    assert bench.scheduler.get_running() == []
    assert bench.scheduler._engine.hub.in_progress == 0
    assert not bench.scheduler._engine._greenlet.ready()
    bench.ran.clear()
    job = bench.every(1, args=["sound"])
    bench.advance(1)
    job.remove()
    assert bench.ran == [(bench.elapsed, "sound")]


# KeyboardInterrupt is Ctrl-C's: see below.
ERRORS = [ZeroDivisionError("no idea"), SystemExit(3), GreenletExit(), gevent.Timeout(5)]
any_error = pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)


# -- jobs -----------------------------------------------------------------------------------------------------------


class Custom(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), Custom("x"), SystemError("x")])
def test_whatever_a_job_raises_ends_the_run_only(bench, error):
    def fail():
        raise error

    bench.every(10, fail, id="failing")
    bench.advance(20)
    assert bench.names() == ["run.failed", "run.failed"]
    event = bench.events("run.failed")[0]
    assert (event.job_id, event.exception) == ("failing", error)
    assert "raise error" in event.traceback
    assert_sound(bench)


def test_a_foreign_timeout_that_a_job_lets_through_is_a_failure(bench):
    def fail():
        raise gevent.Timeout(5)

    bench.every(10, fail)
    bench.advance(10)
    assert bench.names() == ["run.failed"]
    assert_sound(bench)


def test_a_job_that_raises_greenlet_exit_was_cancelled(bench):
    def leave():
        raise GreenletExit

    bench.every(10, leave)
    bench.advance(20)
    assert bench.names() == ["run.cancelled", "run.cancelled"]
    assert_sound(bench)


def test_a_job_that_kills_its_own_greenlet_was_cancelled(bench):
    bench.every(10, lambda: gevent.getcurrent().kill())
    bench.advance(20)
    assert bench.names() == ["run.cancelled", "run.cancelled"]
    assert_sound(bench)


def test_a_job_that_kills_everybody_elses_greenlet_does_not_kill_the_scheduler(bench):
    bench.every(10, bench.wait, id="victim")
    bench.advance(10)
    victim = bench.scheduler.get_running("victim")[0].worker
    bench.add(lambda: victim.kill(block=False))
    bench.settle()
    assert [event.reason for event in bench.events("run.cancelled")] == ["killed"]
    bench.scheduler.remove_job("victim")
    assert_sound(bench)


def test_a_run_that_takes_too_long_is_timed_out(bench):
    bench.every(10, bench.wait, timeout=3, id="slow")
    bench.advance(12)
    assert bench.names() == []
    bench.advance(1)
    assert bench.names() == ["run.timed_out"]
    event = bench.events("run.timed_out")[0]
    assert isinstance(event.exception, RunTimedOut) and str(event.exception) == "the run took longer than 3 s"
    assert event.run.duration == 3
    bench.scheduler.remove_job("slow")
    assert_sound(bench)


def test_a_job_that_catches_exceptions_is_timed_out_all_the_same(bench):
    def careless():
        while True:
            try:
                bench.gate.wait()
                return
            except Exception:
                bench.note("swallowed")

    bench.every(10, careless, timeout=3, id="slow")
    bench.advance(13)
    assert (bench.ran, bench.names()) == ([], ["run.timed_out"])
    bench.scheduler.remove_job("slow")
    assert_sound(bench)


def test_a_job_that_swallows_everything_is_abandoned_and_its_worker_replaced(make_bench):
    bench = make_bench(executors={"default": GreenletPoolExecutor(1)}).start()

    def stubborn():
        while not bench.gate.is_set():
            try:
                bench.gate.wait()
            except BaseException as error:
                bench.note(type(error).__name__)

    bench.add(stubborn, timeout=3, id="stubborn")
    bench.advance(3)
    bench.advance(2)
    assert bench.ran == [(3, "RunTimedOut"), (4, "GreenletExit")]
    assert [event.step for event in bench.events("run.interrupted")] == ["raise", "kill", "abandon"]
    assert bench.names() == ["run.timed_out"]
    assert bench.events("run.timed_out")[0].reason == "abandoned"
    assert_sound(bench)
    bench.open_gate()  # what was abandoned ends at last, and nobody hears of it
    assert bench.names().count("run.timed_out") == 1


def test_a_job_that_cleans_up_when_it_is_timed_out_may_do_so(bench):
    def tidy():
        try:
            bench.gate.wait()
        finally:
            bench.note("closed")

    bench.every(10, tidy, timeout=3, id="tidy")
    bench.advance(13)
    assert (bench.ran, bench.names()) == ([(13, "closed")], ["run.timed_out"])


def test_a_run_that_returns_in_time_is_not_interrupted_later(bench):
    bench.every(10, timeout=3)
    bench.advance(19)
    assert (bench.names(), bench.events("run.interrupted")) == (["run.succeeded"], [])


def test_a_job_may_shut_the_scheduler_down(bench):
    bench.add(bench.scheduler.shutdown)
    bench.driver.wait_for(lambda: bench.events("scheduler.stopped"))
    assert bench.names() == ["run.succeeded"]
    with pytest.raises(SchedulerNotRunningError):
        bench.scheduler.shutdown()


# -- triggers -------------------------------------------------------------------------------------------------------


class Moody(IntervalTrigger):
    """Raises `error` once it is asked for what comes after `limit`."""

    __slots__ = ("error", "limit")

    def __setattr__(self, name, value):
        object.__setattr__(self, name, value)

    def next_ms(self, after):
        if after >= getattr(self, "limit", 1 << 62):
            raise self.error
        return super().next_ms(after)


def moody(limit, error=ERRORS[0]):
    trigger = Moody(seconds=10, start_date="2026-03-02 12:00:10", timezone="UTC")
    trigger.limit, trigger.error = limit, error
    return trigger


@any_error
def test_a_trigger_that_raises_parks_its_job_with_the_reason(bench, error):
    bench.add(None, moody(bench.at(20), error), id="moody")
    bench.advance(45)
    assert bench.ran == [10]
    assert [event.reason for event in bench.events("job.parked")] == [f"its trigger raised {error!r}"]
    job = bench.scheduler.get_job("moody")
    assert (job.state, job.next_run_time) == ("parked", None)
    assert bench.ids(state="parked") == ["moody"]
    assert_sound(bench)


def test_a_trigger_that_raises_when_it_is_added_is_the_callers_error(bench):
    with pytest.raises(ZeroDivisionError):
        bench.add(None, moody(limit=0))
    assert bench.ids() == []
    assert_sound(bench)


# -- listeners ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GreenletExit()])
def test_a_listener_that_raises_is_reported_and_the_others_hear(bench, error):
    def bad(event):
        raise error

    heard = []
    bench.scheduler.add_listener(bad, EVENT_JOB_EXECUTED)
    bench.scheduler.add_listener(heard.append, EVENT_JOB_EXECUTED)
    bench.every(10, id="job")
    bench.advance(20)
    assert [event.job_id for event in heard] == ["job", "job"]
    failed = bench.driver.of(EVENT_LISTENER_FAILED)
    assert [(event.event_name, event.error_type) for event in failed] == [("run.succeeded", type(error).__name__)] * 2
    assert "bad" in failed[0].listener
    assert_sound(bench)


def test_a_listener_that_fails_at_everything_does_not_hear_of_itself_for_ever(bench):
    def bad(event):
        raise ValueError

    bench.scheduler.add_listener(bad)
    bench.every(10)
    bench.advance(10)
    failed_at = [event.event_name for event in bench.driver.of(EVENT_LISTENER_FAILED)]
    assert failed_at == ["job.added", "run.submitted", "run.started", "run.succeeded"]
    assert bench.ran == [10]


def test_a_listener_that_blocks_delays_no_run_and_order_is_kept(bench):
    heard = []

    def blocking(event):
        bench.gate.wait()
        heard.append(event.scheduled_run_time.second)

    bench.scheduler.add_listener(blocking, EVENT_JOB_EXECUTED)
    bench.every(10)
    for runs in (1, 2, 3):
        bench.driver.wait_for(lambda: bench.scheduler._engine.hub.at_rest())
        bench.clock.step(10_000)
        bench.driver.wait_for(lambda runs=runs: len(bench.ran) == runs)
    assert (bench.ran, heard) == ([10, 20, 30], [])
    bench.gate.set()
    bench.settle()
    assert heard == [10, 20, 30]


def test_a_listener_may_be_removed_and_add_another(bench):
    heard = []

    def once(event):
        heard.append("once")
        bench.scheduler.remove_listener(once)
        bench.scheduler.add_listener(lambda event: heard.append("after"), EVENT_JOB_EXECUTED)

    bench.scheduler.add_listener(once, EVENT_JOB_EXECUTED)
    bench.every(10)
    bench.advance(20)
    assert heard == ["once", "after"]


# -- stores and executors -------------------------------------------------------------------------------------------


class Forgetful(MemoryJobStore):
    def settle(self, run, result):
        raise self.error

    def settle_span(self, job, span):
        raise self.error

    def exhaust(self, job):
        raise self.error


@any_error
def test_a_store_that_raises_is_reported_and_the_hub_lives(make_bench, error):
    store = Forgetful()
    store.error = error
    bench = make_bench(jobstores={"default": store}).start()
    bench.every(10, id="job")
    bench.add(id="once")
    bench.advance(20)
    bench.clock.skip(50_000)
    bench.scheduler._engine.wake()
    bench.settle()
    assert bench.ran == [0, 10, 20, 70]
    said = {(event.alias, event.error_type, event.error_message) for event in bench.events("store.failed")}
    assert said == {("default", type(error).__name__, str(error))}
    assert bench.names().count("run.succeeded") == 4
    assert_sound(bench)


class Reluctant(GreenletPoolExecutor):
    def submit(self, run):
        raise self.error


@any_error
def test_an_executor_that_raises_fails_the_run_and_the_hub_lives(make_bench, error):
    executor = Reluctant()
    executor.error = error
    bench = make_bench(executors={"reluctant": executor}).start()
    job = bench.every(10, executor="reluctant", id="job")
    bench.advance(20)
    assert [event.exception for event in bench.events("run.failed")] == [error] * 2
    assert bench.ledger.problems(job.definition, bench.at(10), bench.at(20)) == []
    assert_sound(bench)


def test_a_full_pool_skips_with_the_reason(make_bench):
    bench = make_bench(executors={"default": GreenletPoolExecutor(1, max_waiting=1)}).start()
    for name in "abc":
        bench.add(bench.wait, id=name)
    bench.settle()
    assert [(event.job_id, event.reason) for event in bench.events("run.skipped")] == [("c", "pool_full")]
    bench.open_gate()
    assert sorted(bench.names()) == ["run.skipped", "run.succeeded", "run.succeeded"]
    assert_sound(bench)


def test_a_run_that_waited_beyond_its_grace_time_is_missed(make_bench):
    bench = make_bench(executors={"default": GreenletPoolExecutor(1)}).start()
    bench.add(bench.wait)
    bench.add(id="strict", misfire_grace_time=5)
    bench.advance(6)
    bench.open_gate()
    assert [(event.job_id, event.reason) for event in bench.events("run.missed")] == [("strict", "waited")]
    assert bench.ran == [0]
    assert_sound(bench)


# -- the hub greenlet -----------------------------------------------------------------------------------------------


class Littering(IntervalTrigger):
    """Leaves a Timeout behind, where it will hit the hub greenlet."""

    def next_ms(self, after):
        gevent.Timeout.start_new(0.001)
        return super().next_ms(after)


def test_a_timeout_that_hits_the_hub_greenlet_is_reported_and_it_goes_on(bench):
    trigger = Littering(seconds=10, start_date="2026-03-02 12:00:10", timezone="UTC")
    with gevent.Timeout(10):
        try:
            bench.add(None, trigger, id="litter")  # calls it here, too
            gevent.sleep(1)
        except gevent.Timeout as timeout:
            assert timeout.seconds == 0.001
        bench.advance(20)
        while not bench.events("hub.failed"):
            gevent.sleep(0.001)
    assert {event.error_type for event in bench.events("hub.failed")} == {"Timeout"}
    assert bench.ran == [10, 20]
    bench.scheduler.remove_job("litter")
    gevent.sleep(0.2)  # real time: until the last Timeout has gone off, and the hub greenlet works again
    assert_sound(bench)


def test_a_hub_greenlet_that_somebody_kills_is_reported_and_nobody_waits_for_it(bench, monkeypatch):
    bench.every(10, bench.wait, id="job")
    bench.advance(10)
    abandoned = Mock(wraps=bench.scheduler.stores["default"].abandon)
    monkeypatch.setattr(bench.scheduler.stores["default"], "abandon", abandoned)
    bench.scheduler._engine._greenlet.kill()
    with gevent.Timeout(5):
        while not bench.events("hub.died"):
            gevent.sleep(0)
        abandoned.assert_called_once_with()  # others, if there are any, take over
        assert (bench.scheduler.running, bench.scheduler.health().live) == (False, False)
        assert [check.what for check in bench.scheduler.health().failing()] == ["the hub greenlet was killed"]
        bench.gate.set()
        bench.scheduler.shutdown()
    bench.start()
    assert_sound(bench)


def test_ctrl_c_that_finds_the_program_in_the_hub_greenlet_is_the_main_greenlets_and_costs_no_instant():
    program = """
        import gevent
        from gsched import EVENT_JOB_EXECUTED, GeventScheduler, IntervalTrigger, MemoryJobStore

        class Interrupted(IntervalTrigger):
            calls = 0
            def next_ms(self, after):
                Interrupted.calls += 1
                if Interrupted.calls == 4:
                    raise KeyboardInterrupt
                return super().next_ms(after)

        class Store(MemoryJobStore):
            def settle(self, run, result):
                if len(ran) == 6:
                    raise KeyboardInterrupt

        ran = []
        scheduler = GeventScheduler(jobstores={"default": Store()})
        scheduler.add_job(lambda: ran.append(1), Interrupted(seconds=0.01))
        interrupts = 0
        scheduler.start()
        while len(ran) < 10:
            try:
                gevent.sleep(0.01)
            except KeyboardInterrupt:
                interrupts += 1
        scheduler.shutdown()
        print(interrupts, scheduler.running)
    """
    out, error, code = run_program(program)
    assert (out, code) == ("2 False\n", 0), error


def test_ctrl_c_that_finds_the_program_in_a_worker_that_waits_for_a_run_is_the_main_greenlets():
    program = """
        import gevent
        from gsched import GeventScheduler

        workers = []
        scheduler = GeventScheduler()
        scheduler.add_job(lambda: workers.append(gevent.getcurrent()), "interval", seconds=0.01)
        scheduler.start()
        while not workers:
            gevent.sleep(0.01)
        workers[0].kill(KeyboardInterrupt, block=False)
        try:
            gevent.sleep(10)
        except KeyboardInterrupt:
            print("interrupted")
        begun = len(workers)
        while len(workers) == begun:
            gevent.sleep(0.01)
        scheduler.shutdown()
    """
    out, error, code = run_program(program)
    assert (out, code) == ("interrupted\n", 0), error


# -- the event loop -------------------------------------------------------------------------------------------------


def hog():
    """Holds the event loop: `time` is not patched here."""
    time.sleep(0.7)


def test_a_job_that_holds_the_event_loop_is_named():
    blocked = []
    scheduler = GeventScheduler(timezone="UTC", blocked_hub_after=0.2)
    scheduler.add_listener(blocked.append, EVENT_HUB_BLOCKED)
    scheduler.add_job(hog, id="hog", name="The hog")
    scheduler.start()
    with gevent.Timeout(10):
        while not blocked:
            gevent.sleep(0.01)
    scheduler.shutdown()
    event = blocked[0]
    assert (event.job_id, event.job_name) == ("hog", "The hog")
    assert event.run_id.startswith("hog@")
    assert event.seconds >= 0.2
    assert "in hog" in event.stack and "time.sleep(0.7)" in event.stack


def test_a_report_of_a_held_event_loop_names_those_that_held_it_in_the_last_minute():
    events = []
    shares = LoopShares(0.4, 0.1, 0.0, {"hog": 0.3, "other": 0.1})
    watchdog = Watchdog(0.2, events.append, lambda: shares)
    watchdog.start()
    gevent.sleep(0)
    hog()
    with gevent.Timeout(10):
        while not events:
            gevent.sleep(0.01)
    watchdog.stop()
    assert events[0].holders == {"hog": 0.3, "other": 0.1}


def test_code_that_holds_the_event_loop_and_is_no_job_is_shown_too():
    blocked = []
    scheduler = GeventScheduler(timezone="UTC", blocked_hub_after=0.2)
    scheduler.add_listener(blocked.append, EVENT_HUB_BLOCKED)
    scheduler.start()
    gevent.sleep(0.1)
    hog()
    with gevent.Timeout(10):
        # On a busy machine others may have held it, too.
        while not (hogged := [event for event in blocked if "in hog" in event.stack]):
            gevent.sleep(0.01)
    scheduler.shutdown()
    assert "job_id" not in hogged[0].details


def test_an_event_loop_that_never_turns_again_is_reported_on_standard_error():
    program = """
        from gsched import GeventScheduler
        def hog():
            while True:
                pass
        scheduler = GeventScheduler(blocked_hub_after=0.05)
        scheduler.add_job(hog, id="hog")
        scheduler.run_forever()
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with gevent.Timeout(20):
        said = next(line for line in process.stderr if "blocked for" in line)
        process.kill()
        stack = process.stderr.read()
    assert said.startswith("gsched: gevent's hub has been blocked for ")
    assert "job_id: hog" in stack and "in hog" in stack


def test_the_clock_is_watched(bench):
    bench.driver.jump(3600)
    bench.driver.jump(-1800.5)
    assert [event.seconds for event in bench.events("clock.skewed")] == [3600, -1800.5]
    assert_sound(bench)


def test_an_interval_goes_on_by_elapsed_time_when_the_clock_is_set_back(bench):
    job = bench.every(10, id="job")
    bench.advance(30)
    bench.driver.jump(-3600)
    bench.advance(40)
    assert bench.ran == [10, 20, 30, *(second - 3600 for second in (40, 50, 60, 70))]  # as the clock shows
    assert bench.ledger.problems(job.definition, bench.at(10), bench.at(70)) == []
    assert {event.run.lateness for event in bench.events("run.succeeded")} == {0.0}


def test_an_interval_follows_a_clock_that_is_set_right_again(bench):
    job = bench.every(10, id="job")
    bench.advance(30)
    bench.driver.jump(-3600)
    bench.advance(40)
    bench.driver.jump(3600)
    bench.advance(30)
    assert bench.ran[-3:] == [80, 90, 100]
    assert bench.ledger.problems(job.definition, bench.at(10), bench.at(100)) == []


def test_cron_repeats_nothing_and_follows_a_clock_that_is_set_back(bench):
    job = bench.add(trigger="cron", second="*/10", id="job")
    bench.advance(30)
    bench.driver.jump(-25)
    bench.advance(40)
    assert bench.ran == [0, 10, 20, 30, 40]
    assert bench.ledger.problems(job.definition, bench.at(0), bench.at(45)) == []


def test_a_combination_goes_by_elapsed_time_if_all_its_members_do(bench):
    every = IntervalTrigger(seconds=10)
    for name, other in (("elapsed", IntervalTrigger(seconds=1000)), ("wall", CronTrigger(hour=3))):
        bench.add(trigger=OrTrigger([every, other]), id=name, args=[name])
    bench.advance(10)
    bench.driver.jump(-3600)
    bench.advance(20)
    assert bench.ran[-3:] == [(10, "wall"), (-3580, "elapsed"), (-3570, "elapsed")]


def test_a_paused_job_stays_paused_when_the_clock_is_set_back(bench):
    bench.every(10, id="job")
    bench.advance(30)
    bench.scheduler.pause()
    bench.driver.jump(-3600)
    bench.advance(60)
    assert bench.ran == [10, 20, 30]
    bench.scheduler.resume()
    bench.settle()
    assert len(bench.ran) == 4  # late, as what falls due while it is paused


def test_a_job_that_is_added_after_the_clock_was_set_back_goes_by_it(bench):
    bench.driver.jump(-3600)
    bench.every(10, id="job")
    bench.advance(20)
    assert bench.ran == [-3590, -3580]


def test_a_job_that_is_resumed_after_the_clock_was_set_back_goes_by_it_and_its_run_ids_repeat(bench):
    job = bench.every(10, id="job")
    bench.advance(30)
    bench.driver.jump(-20)
    job.pause()
    job.resume()
    bench.advance(30)
    assert bench.ran == [10, 20, 30, 20, 30, 40]
    ids = [event.run.id for event in bench.events("run.succeeded")]
    assert ids[1:3] == ids[3:5]


def test_a_clock_that_goes_forward_makes_runs_late(bench):
    job = bench.every(10, id="job", misfire_grace_time=15)
    bench.driver.jump(45)
    assert bench.ran == [45]
    assert bench.names() == ["run.missed", "run.coalesced", "run.succeeded"] or bench.names()[0] == "run.missed"
    assert bench.ledger.problems(job.definition, bench.at(10), bench.at(45)) == []


def test_nothing_is_submitted_twice(bench):
    submitted = []
    bench.scheduler.add_listener(submitted.append, EVENT_JOB_SUBMITTED)
    bench.every(10)
    bench.advance(50)
    for _ in range(5):
        bench.scheduler._engine.wake()
        bench.settle()
    assert len(submitted) == 5


def test_a_run_that_has_ended_is_in_nobodys_way_though_it_is_not_settled_yet(bench):
    class AtOnce(GreenletPoolExecutor):
        """Ends runs as they come; and with the first of them somebody asks for another one."""

        asked = None

        def submit(self, run):
            run.owner.run_started(run)
            run.owner.run_finished(run, Result(Outcome.SUCCEEDED))
            if self.asked is None:
                self.asked = bench.scheduler.run_job(run.job.id)

    bench.scheduler.add_executor(AtOnce(), "at_once")
    outcomes = []
    bench.scheduler.add_listener(
        lambda event: outcomes.append(event.name), EVENT_JOB_EXECUTED | EVENT_JOB_SKIPPED
    )
    bench.scheduler.add_job(print, "interval", seconds=1, id="quick", executor="at_once")
    bench.advance(1)
    assert outcomes == ["run.succeeded", "run.succeeded"]


def test_a_run_on_request_of_a_job_that_is_not_due_here_counts_among_its_instances(bench):
    class FirstAtOnce(GreenletPoolExecutor):
        """Ends the first run as it comes; the others go on."""

        first = True

        def submit(self, run):
            run.owner.run_started(run)
            if self.first:
                self.first = False
                run.owner.run_finished(run, Result(Outcome.SUCCEEDED))

    bench.scheduler.add_executor(FirstAtOnce(), "odd")
    job = bench.every(1, id="poll", executor="odd")
    job.pause()
    bench.settle()
    for _ in range(2):
        job.run()
    job.resume()
    bench.advance(1)
    assert bench.names() == ["run.succeeded", "run.skipped"]
