"""Start, pause, resume and shutdown."""

from __future__ import annotations

from datetime import datetime, timedelta

import gevent
import pytest
from programs import run_program

from gsched import (
    EVENT_JOB_EXECUTED,
    EVENT_STORE_DISCONNECTED,
    STATE_PAUSED,
    STATE_RUNNING,
    STATE_STOPPED,
    GreenletPoolExecutor,
    MemoryJobStore,
    RunCancelled,
    SchedulerAlreadyRunningError,
    SchedulerEvent,
    SchedulerNotRunningError,
    ThreadPoolExecutor,
)

NOON = datetime(2026, 3, 2, 12, 0)


def background(bench, **options):
    """A greenlet in which the scheduler is being shut down."""
    greenlet = gevent.spawn(bench.scheduler.shutdown, **options)
    gevent.sleep(0)
    return greenlet


def finished(bench, greenlet):
    """What a shutdown in the background gave; the clock moves on meanwhile."""
    with gevent.Timeout(10):
        while not greenlet.ready():
            bench.clock.step(5000)
            gevent.sleep(0.001)
    return greenlet.get()


# -- start, pause, resume -------------------------------------------------------------------------------------------


def test_the_state_says_what_it_does(unstarted):
    scheduler = unstarted.scheduler
    assert (scheduler.state, scheduler.running) == (STATE_STOPPED, False)
    unstarted.start()
    assert (scheduler.state, scheduler.running) == (STATE_RUNNING, True)
    scheduler.pause()
    assert (scheduler.state, scheduler.running) == (STATE_PAUSED, True)
    scheduler.resume()
    assert (scheduler.state, scheduler.running) == (STATE_RUNNING, True)
    scheduler.shutdown()
    assert (scheduler.state, scheduler.running) == (STATE_STOPPED, False)
    unstarted.settle()
    assert unstarted.names("scheduler.") == [
        "scheduler.started", "scheduler.paused", "scheduler.resumed", "scheduler.draining", "scheduler.stopped",
    ]  # fmt: skip


def test_started_paused_it_runs_nothing_until_it_is_resumed(unstarted):
    unstarted.every(10)
    unstarted.start(paused=True)
    assert unstarted.scheduler.state == STATE_PAUSED
    unstarted.advance(25)
    assert unstarted.ran == []
    unstarted.scheduler.resume()
    unstarted.advance(10)
    assert unstarted.ran == [25, 30]
    assert unstarted.names() == ["run.coalesced", "run.succeeded", "run.succeeded"]


def test_instants_during_a_pause_are_late(bench):
    bench.every(10, misfire_grace_time=6, id="strict")
    bench.every(10, id="patient")
    bench.advance(10)
    bench.scheduler.pause()
    bench.advance(17)
    bench.scheduler.resume()
    bench.settle()
    assert bench.ran == [10, 10, 27]
    assert [(event.job_id, event.name) for event in bench.driver.events if event.name == "run.missed"] == [
        ("strict", "run.missed")
    ]


def test_runs_in_progress_go_on_during_a_pause(bench):
    bench.every(10, bench.wait)
    bench.advance(10)
    bench.scheduler.pause()
    bench.open_gate()
    assert bench.names() == ["run.succeeded"]


def test_pausing_twice_and_resuming_twice_does_no_harm(bench):
    bench.every(10)
    for _ in range(2):
        bench.scheduler.pause()
    for _ in range(2):
        bench.scheduler.resume()
    bench.advance(10)
    assert bench.ran == [10]


def test_a_scheduler_is_paused_and_resumed_from_another_native_thread(bench):
    bench.every(10)
    bench.in_thread(bench.scheduler.pause)
    bench.advance(10)
    bench.in_thread(bench.scheduler.resume)
    bench.settle()
    assert bench.ran == [10]
    assert bench.names("scheduler.") == ["scheduler.started", "scheduler.paused", "scheduler.resumed"]


def test_a_scheduler_cannot_be_started_twice(bench):
    with pytest.raises(SchedulerAlreadyRunningError):
        bench.scheduler.start()
    with pytest.raises(SchedulerAlreadyRunningError):
        bench.scheduler.configure()
    bench.every(10)
    bench.advance(10)
    assert bench.ran == [10]


@pytest.mark.parametrize("verb", ["shutdown", "pause", "resume"])
def test_a_verb_that_needs_a_running_scheduler_says_so(unstarted, verb):
    with pytest.raises(SchedulerNotRunningError, match="call start"):
        getattr(unstarted.scheduler, verb)()
    unstarted.start()
    unstarted.scheduler.shutdown()
    with pytest.raises(SchedulerNotRunningError):
        getattr(unstarted.scheduler, verb)()


def test_the_hub_greenlet_can_be_joined(bench):
    unstarted_greenlet = bench.scheduler._engine._greenlet
    bench.scheduler.shutdown()
    unstarted_greenlet.join(timeout=5)
    assert unstarted_greenlet.ready() and unstarted_greenlet.successful()


def test_start_gives_the_hub_greenlet(unstarted):
    greenlet = unstarted.scheduler.start()
    assert isinstance(greenlet, gevent.Greenlet) and not greenlet.ready()
    unstarted.scheduler.shutdown()
    assert greenlet.ready()


# -- shutdown -------------------------------------------------------------------------------------------------------


def test_shutdown_waits_for_runs_in_progress(bench):
    bench.every(10, bench.wait)
    bench.advance(10)
    stopping = background(bench)
    bench.settle()
    assert not stopping.ready() and not bench.scheduler.running
    bench.gate.set()
    assert finished(bench, stopping) == []
    assert bench.names()[-1] == "run.succeeded"
    assert bench.events("scheduler.stopped")[0].cut == 0


def test_shutdown_waits_for_runs_that_wait_for_a_worker(make_bench):
    bench = make_bench(executors={"default": GreenletPoolExecutor(1)}).start()
    bench.add(bench.wait)
    bench.add(args=["second"])
    bench.settle()
    stopping = background(bench)
    bench.gate.set()
    finished(bench, stopping)
    assert bench.ran == [0, (0, "second")]


def test_shutdown_cuts_what_takes_longer_than_its_timeout_and_says_what(bench):
    bench.every(10, bench.wait, id="slow")
    bench.advance(10)
    cut = finished(bench, background(bench, timeout=0.01))
    assert [run.job_id for run in cut] == ["slow"]
    assert bench.names() == ["run.cancelled"]
    assert isinstance(bench.events("run.cancelled")[0].exception, RunCancelled)
    assert bench.events("scheduler.stopped")[0].cut == 1


def test_a_run_that_is_cancelled_while_a_shutdown_waits_is_cut(bench):
    bench.add(bench.wait, id="slow")
    bench.settle()
    greenlet = background(bench)
    bench.settle()
    assert bench.scheduler.cancel_runs("slow") == 1
    assert [run.job_id for run in finished(bench, greenlet)] == ["slow"]
    assert bench.events("scheduler.stopped")[0].cut == 1


def test_shutdown_without_waiting_cuts_at_once(make_bench):
    bench = make_bench(executors={"default": GreenletPoolExecutor(1)}).start()
    bench.every(10, bench.wait, id="slow")
    bench.every(10, bench.note, id="waiting")
    bench.advance(10)
    cut = finished(bench, background(bench, wait=False))
    assert sorted(run.job_id for run in cut) == ["slow", "waiting"]
    assert bench.names() == ["run.cancelled"] * 2
    assert bench.ran == [10]


def test_a_job_that_will_not_stop_does_not_keep_shutdown_for_ever(bench):
    def stubborn():
        while not bench.gate.is_set():
            try:
                bench.gate.wait()
            except BaseException:
                bench.note()

    bench.every(10, stubborn)
    bench.advance(10)
    cut = finished(bench, background(bench, wait=False))
    assert len(cut) == 1
    assert [event.step for event in bench.events("run.interrupted")] == ["raise", "kill", "abandon"]
    assert bench.names() == ["run.cancelled"]


def test_nothing_starts_after_shutdown(bench):
    bench.every(10)
    bench.advance(10)
    bench.scheduler.shutdown()
    bench.clock.skip(100_000)
    gevent.sleep(0.01)
    assert bench.ran == [10]


def test_nothing_starts_while_it_is_being_shut_down(bench):
    bench.every(10, bench.wait)
    bench.advance(10)
    late = bench.every(3)
    stopping = background(bench)
    bench.clock.step(50_000)
    bench.settle()
    with pytest.raises(SchedulerNotRunningError):
        late.run()
    with pytest.raises(SchedulerNotRunningError):
        bench.scheduler.resume()
    with pytest.raises(SchedulerNotRunningError):
        bench.scheduler.shutdown()
    bench.gate.set()
    finished(bench, stopping)
    assert bench.ran == [10]


def test_shutdown_from_inside_a_job_lets_the_job_end(bench):
    def last():
        assert bench.scheduler.shutdown() == []
        bench.gate.wait()
        bench.note("done")

    bench.add(last)
    bench.settle()
    assert not bench.scheduler.running
    greenlet = bench.scheduler._engine._greenlet
    bench.gate.set()
    bench.driver.wait_for(greenlet.ready)
    bench.driver.wait_for(lambda: bench.events("scheduler.stopped"))
    assert bench.ran == [(0, "done")]
    assert bench.names() == ["run.succeeded"]


def test_shutdown_from_inside_a_job_in_a_thread_lets_the_job_end(make_bench):
    bench = make_bench(executors={"default": ThreadPoolExecutor(2)}).start()
    bench.add(lambda: bench.ran.append(bench.scheduler.shutdown()))
    bench.driver.wait_for(lambda: bench.events("scheduler.stopped"))
    assert bench.ran == [[]]
    assert bench.names() == ["run.succeeded"]


def test_shutdown_from_a_listener_works(bench):
    bench.scheduler.add_listener(lambda event: bench.scheduler.shutdown(), EVENT_JOB_EXECUTED)
    greenlet = bench.scheduler._engine._greenlet
    bench.every(10)
    bench.advance(10)
    bench.driver.wait_for(greenlet.ready)
    bench.driver.wait_for(lambda: bench.events("scheduler.stopped"))
    assert bench.ran == [10]
    assert bench.events("listener.failed") == []


def test_shutdown_from_another_native_thread_works(bench):
    bench.every(10)
    assert bench.in_thread(bench.scheduler.shutdown) == []
    assert not bench.scheduler.running


def test_parts_that_raise_do_not_keep_the_others_from_being_shut_down(make_bench):
    class Broken(MemoryJobStore):
        def close(self):
            raise OSError("disk full")

    class Watched(MemoryJobStore):
        closed = False

        def close(self):
            super().close()
            self.closed = True

    watched = Watched()
    bench = make_bench(jobstores={"default": Broken(), "other": watched}).start()
    bench.scheduler.shutdown()
    assert watched.closed and not bench.scheduler.running
    assert [(event.alias, event.error_message) for event in bench.events("store.failed")] == [("default", "disk full")]


def test_the_events_of_a_store_say_which_store_it_is(make_bench):
    class Unreachable(MemoryJobStore):
        def start(self, hub, paused):
            super().start(hub, paused)
            hub.emit(SchedulerEvent(EVENT_STORE_DISCONNECTED))

    bench = make_bench(jobstores={"default": MemoryJobStore(), "one": Unreachable(), "two": Unreachable()}).start()
    bench.settle()
    assert [event.alias for event in bench.events("store.disconnected")] == ["one", "two"]


def test_an_executor_that_cannot_be_closed_is_reported_as_one(make_bench):
    class Broken(GreenletPoolExecutor):
        def shutdown(self):
            super().shutdown()
            raise OSError("out of order")

    bench = make_bench(executors={"default": GreenletPoolExecutor(), "broken": Broken()}).start()
    bench.scheduler.shutdown()
    assert not bench.scheduler.running
    (failed,) = bench.events("executor.failed")
    assert (failed.alias, failed.error_type, failed.error_message) == ("broken", "OSError", "out of order")
    assert not bench.events("store.failed")


# -- again ----------------------------------------------------------------------------------------------------------


def test_a_scheduler_can_be_started_again(bench):
    job = bench.every(10, id="job")
    bench.advance(25)
    bench.scheduler.shutdown()
    bench.clock.skip(20_000)
    bench.start()
    bench.advance(10)
    assert bench.ran == [10, 20, 45, 50]
    assert bench.ledger.problems(job.definition, bench.at(10), bench.at(55)) == []


def test_started_again_at_once_it_repeats_nothing(bench):
    job = bench.every(10, id="job")
    bench.add(None, "date", run_date=NOON + timedelta(seconds=20), id="once")
    bench.advance(20)
    bench.scheduler.shutdown()
    bench.start()
    bench.advance(10)
    assert bench.ran == [10, 20, 20, 30]
    assert bench.ledger.problems(job.definition, bench.at(10), bench.at(30)) == []


def test_a_backlog_that_waited_at_shutdown_is_neither_lost_nor_repeated(bench):
    job = bench.every(10, bench.wait, id="job", coalesce=False)
    bench.advance(10)
    bench.scheduler.pause()
    bench.advance(20)
    bench.scheduler.resume()
    bench.settle()
    finished(bench, background(bench, wait=False))
    bench.gate.set()
    bench.start()
    bench.advance(10)
    assert bench.ran[0] == 10 and bench.ran[-1] == 40
    assert bench.ledger.problems(job.definition, bench.at(10), bench.at(40)) == []


@pytest.mark.parametrize("change", ["pause_job", "remove_job", "reschedule_job"])
def test_a_backlog_is_skipped_visibly_when_its_job_is_changed(bench, change):
    job = bench.every(10, bench.wait, id="job", coalesce=False)
    bench.advance(10)
    bench.scheduler.pause()
    bench.advance(20)
    bench.scheduler.resume()
    bench.settle()
    options = {"trigger": "interval", "hours": 1} if change == "reschedule_job" else {}
    getattr(bench.scheduler, change)("job", **options)
    bench.gate.set()
    bench.settle()
    assert bench.ran == [10]
    assert bench.ledger.outcomes("job") == {"succeeded": 1, "skipped": 1}
    assert bench.ledger.problems(job.definition, bench.at(10), bench.at(30)) == []


def test_jobs_may_be_changed_between_two_starts(bench):
    bench.every(10, id="changed")
    bench.every(10, id="removed")
    bench.every(10, id="kept", args=["kept"])
    bench.advance(10)
    bench.scheduler.shutdown()
    bench.scheduler.reschedule_job("changed", trigger="interval", seconds=7)
    bench.scheduler.remove_job("removed")
    bench.every(3, id="new")
    bench.ran.clear()
    bench.start()
    bench.advance(10)
    assert bench.ran == [13, 16, 17, 19, (20, "kept")]


def test_a_store_that_was_removed_and_added_again_repeats_nothing(bench):
    store = MemoryJobStore()
    bench.scheduler.add_jobstore(store, "other")
    job = bench.every(10, bench.wait, id="job", jobstore="other", max_instances=9)
    bench.advance(20)
    bench.scheduler.remove_jobstore("other")
    bench.advance(25)
    bench.open_gate()
    bench.scheduler.add_jobstore(store, "other")
    bench.settle()
    assert bench.ran == [10, 20, 45]
    assert bench.ledger.problems(job.definition, bench.at(10), bench.at(45)) == []


@pytest.mark.parametrize("part", ["store", "executor"])
def test_a_start_that_fails_leaves_nothing_half_done(make_bench, part):
    class BrokenStore(MemoryJobStore):
        broken = True

        def start(self, *args):
            if self.broken:
                raise OSError("no such host")
            super().start(*args)

    class BrokenExecutor(GreenletPoolExecutor):
        broken = True

        def start(self, *args):
            if self.broken:
                raise OSError("no such host")
            super().start(*args)

    broken = BrokenStore() if part == "store" else BrokenExecutor()
    bench = make_bench(**{"jobstores" if part == "store" else "executors": {"default": broken}})
    bench.every(10)
    with pytest.raises(OSError, match="no such host"):
        bench.scheduler.start()
    assert not bench.scheduler.running and bench.scheduler._engine._greenlet.ready()
    broken.broken = False
    bench.start()
    bench.advance(10)
    assert bench.ran == [10]


# -- in a process of its own ----------------------------------------------------------------------------------------


FOREVER = """
    {patch}
    from gsched import GeventScheduler
    scheduler = GeventScheduler(timezone="UTC")
    scheduler.add_listener(lambda event: print(event.name), 1 << 1)
    scheduler.add_job(print, "interval", seconds=0.05, args=["ran"])
    scheduler.run_forever()
    print("ended", scheduler.running)
"""


@pytest.mark.parametrize("patch", ["", "from gevent import monkey; monkey.patch_all()"], ids=["plain", "patched"])
def test_ctrl_c_ends_run_forever_cleanly(patch):
    out, error, code = run_program(FOREVER.format(patch=patch), interrupt_after="ran")
    assert (out.split()[-3:], code) == (["scheduler.stopped", "ended", "False"], 0)
    assert "Traceback" not in error


def test_run_forever_ends_when_a_job_shuts_down():
    out, error, code = run_program("""
        from gsched import GeventScheduler
        scheduler = GeventScheduler(timezone="UTC")
        scheduler.add_job(lambda: (print("ran"), scheduler.shutdown()))
        scheduler.run_forever()
        print("ended", scheduler.running)
    """)
    assert (out.split(), code) == (["ran", "ended", "False"], 0), error


def test_a_program_that_joins_the_hub_greenlet_lives_on_timers_alone():
    out, error, code = run_program("""
        from gsched import GeventScheduler
        scheduler = GeventScheduler(timezone="UTC", blocked_hub_after=None)
        scheduler.add_job(lambda: (print("ran"), scheduler.shutdown()), "interval", seconds=0.1)
        scheduler.start().join()
        print("ended")
    """)
    assert (out.split(), code) == (["ran", "ended"], 0), error


def test_runs_of_a_removed_executor_are_still_listed_and_cancelled(make_bench):
    bench = make_bench(executors={"other": GreenletPoolExecutor()}).start()
    bench.every(10, bench.wait, executor="other", id="slow")
    bench.advance(10)
    bench.scheduler.remove_executor("other")
    assert [run.job_id for run in bench.scheduler.get_running()] == ["slow"]
    assert bench.scheduler.cancel_runs("slow") == 1
