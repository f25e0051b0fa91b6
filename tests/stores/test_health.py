"""Health: what lives, what is ready, and what the checks say; by the scheduler's clock, without sleeping."""

from __future__ import annotations

import time
from time import perf_counter

import gevent
import pytest
from gevent.event import Event
from programs import run_program

from gsched import GreenletPoolExecutor, MemoryJobStore
from gsched.event_loop.slices import SLICE_SECONDS, give_way
from gsched.hub.watchdog import Watchdog
from gsched.monitoring.health import Check, health_of
from gsched.monitoring.scheduler_status import Pool, SchedulerStatus
from gsched.monitoring.store_report import StoreReport
from gsched.stores.claims.intervals import Intervals
from gsched.stores.claims.ownership import Ownership
from gsched.testing import ManualClock

pytest_plugins = ["mongodb"]

IDLE = Pool(10, 0, 0, 0.0)


def failing(health):
    return [check.name for check in health.failing()]


def check_of(health, name):
    return next(check for check in health.checks() if check.name == name)


# -- a scheduler -------------------------------------------------------------------------------------------------


def test_a_scheduler_that_was_not_started_lives_and_is_not_ready(unstarted):
    health = unstarted.scheduler.health()
    assert (health.live, health.ready) == (True, False)
    assert health.failing() == [Check("scheduler", False, "stopped")]


def test_a_scheduler_that_runs_is_live_and_ready(bench):
    health = bench.scheduler.health()
    assert health.live and health.ready
    assert [check.name for check in health.checks()] == [
        "hub", "scheduler", "store:default", "overdue:default", "pool:default",
    ]  # fmt: skip


def test_a_scheduler_is_ready_after_a_day_without_jobs(bench):
    bench.advance(86_400)
    assert bench.scheduler.health().ready


def test_a_paused_scheduler_is_ready(bench):
    bench.scheduler.pause()
    assert bench.scheduler.health().ready
    assert check_of(bench.scheduler.health(), "scheduler").what == "paused"


def test_a_scheduler_that_stops_lives_and_is_not_ready(bench):
    bench.every(1, bench.wait)
    bench.advance(1)
    stopping = gevent.spawn(bench.scheduler.shutdown)
    bench.settle()
    health = bench.scheduler.health()
    assert (health.live, failing(health)) == (True, ["scheduler"])
    assert check_of(health, "scheduler").what == "draining"
    bench.open_gate()
    stopping.get()
    assert failing(bench.scheduler.health()) == ["scheduler"]


class StuckStore(MemoryJobStore):
    """Its `settle` waits, which no store's may: the hub greenlet is stuck."""

    def __init__(self):
        super().__init__()
        self.gate = Event()

    def settle(self, run, result):
        self.gate.wait()


def test_a_hub_greenlet_that_is_stuck_does_not_live_until_it_goes_on(make_bench):
    store = StuckStore()
    bench = make_bench(jobstores={"default": store})
    bench.start()
    bench.every(1)
    for _ in range(2):
        bench.clock.step(1000)
        give_way()
        give_way()
    assert bench.scheduler.health().live
    bench.clock.skip(12_000)
    health = bench.scheduler.health()
    assert not health.live and not health.ready
    assert health.failing() == [Check("hub", False, "the hub greenlet had no turn for 12 s")]
    store.gate.set()
    bench.settle()
    assert bench.scheduler.health().live


class BusyStore(MemoryJobStore):
    """Every run takes six seconds to settle, as the scheduler's clock shows."""

    def settle(self, run, result):
        end = perf_counter() + 1.5 * SLICE_SECONDS
        while perf_counter() < end:
            pass
        self.clock.skip(6000)


def test_a_hub_that_works_for_minutes_without_a_pause_lives(make_bench):
    bench = make_bench(jobstores={"default": BusyStore()})
    bench.start()
    bench.scheduler.add_jobs([{"func": bench.note, "id": str(number)} for number in range(20)])
    seen = []
    while len(seen) < 20 or not bench.scheduler._engine.at_rest():
        give_way()
        seen.append(bench.scheduler.health().live)
    assert len(bench.ran) == 20
    assert all(seen)


def test_a_pool_that_is_full_for_half_a_minute_is_a_warning_and_stays_ready(make_bench):
    bench = make_bench(executors={"default": GreenletPoolExecutor(1)})
    bench.start()
    bench.every(1, bench.wait, max_instances=2, id="slow")
    bench.advance(32)
    assert not bench.scheduler.health().warnings()  # it has been full for 30 s
    bench.advance(1)
    health = bench.scheduler.health()
    full = Check("pool:default", True, "full for 31 s: 1 of 1 workers busy, 1 runs wait", warning=True)
    assert (health.ready, health.failing(), health.warnings()) == (True, [], [full])
    assert health.as_dict()["checks"][-1] == {
        "name": "pool:default", "ok": True, "what": full.what, "warning": True,
    }  # fmt: skip
    bench.scheduler.remove_job("slow")
    bench.open_gate()
    assert not bench.scheduler.health().warnings()


def test_a_pool_is_well_as_soon_as_nothing_waits_any_more(make_bench):
    bench = make_bench(executors={"default": GreenletPoolExecutor(1)})
    bench.start()
    bench.every(1, bench.wait, max_instances=2, id="slow")
    bench.advance(40)
    bench.scheduler.remove_job("slow")
    waiting = next(run for run in bench.scheduler.get_running() if run.started_ms is None)
    bench.scheduler.cancel_run(waiting.id)
    assert not bench.scheduler.health().warnings()
    bench.add(bench.wait, id="another")
    bench.settle()
    assert bench.scheduler.health().ready  # it counts from now
    bench.open_gate()


def test_health_can_be_asked_for_in_another_thread(bench):
    assert bench.in_thread(bench.scheduler.health).ready


# -- what the checks say -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "report, ok, what",
    [
        (StoreReport(), True, "connected"),
        (StoreReport(feed="polling"), True, "connected, change feed polling"),
        (StoreReport(connected=False), False, "has not answered yet"),
        (StoreReport(connected=False, answered=12.34, error="StoreError: gone"), False,
         "has not answered for 12.3 s: StoreError: gone"),
    ],
    ids=["memory", "polling", "at the start", "gone"],
)  # fmt: skip
def test_a_store_is_ready_while_it_answers(report, ok, what):
    health = health_of(SchedulerStatus("running", {}, {"default": report}, 0, 0))
    assert check_of(health, "store:default") == Check("store:default", ok, what)
    assert health.live  # whatever the database does


def test_a_process_that_was_told_to_end_is_not_ready():
    health = health_of(SchedulerStatus("running", {"default": IDLE}, {"default": StoreReport()}, 0, 0), draining=True)
    assert (health.live, health.failing()) == (True, [Check("scheduler", False, "draining")])


def test_health_has_a_form_for_json():
    health = health_of(SchedulerStatus("stopped", {}, {}, 0, 0))
    assert health.as_dict() == {
        "live": True,
        "ready": False,
        "checks": [
            {"name": "hub", "ok": True, "what": "it turns"},
            {"name": "scheduler", "ok": False, "what": "stopped"},
        ],
    }


def test_a_database_that_is_silent_for_half_of_the_ttl_is_gone():
    clock = ManualClock()
    ownership = Ownership(None, clock, None, None, str, Intervals(ttl=10))
    assert not ownership.report().connected
    ownership._status.note_answer()
    clock.skip(4900)
    assert ownership.report().connected
    clock.skip(200)
    assert not ownership.report().connected


# -- with MongoDB --------------------------------------------------------------------------------------------------


def test_a_database_that_goes_away_costs_readiness_and_not_life(uri, tmp_path):
    program = f"""
        from gevent import monkey; monkey.patch_all()
        import gevent
        from gsched import GeventScheduler, MongoDBJobStore
        from gsched.embedded import open_embedded

        def until(condition):
            with gevent.Timeout(20):
                while not condition(scheduler.health()):
                    gevent.sleep(0.02)

        mongo = open_embedded({str(tmp_path)!r})
        store = MongoDBJobStore(mongo.uri, modules=["time"])
        print(store.report().connected)
        scheduler = GeventScheduler(jobstores={{"default": store}}, summary_every=None)
        scheduler.start()
        until(lambda health: health.ready)
        until(lambda health: store.report().feed == "connected" and store.report().slots == 256)
        scheduler.add_job("time:time", "interval", seconds=60, id="job")
        until(lambda health: store.report().feed_lag is not None)
        report = store.report()
        print(report.slots, report.nodes, report.watermark_age < 1, report.answered < 1, 0 <= report.feed_lag < 5)
        print(sorted(report.operations.keys() & {{"update", "find", "insert"}}))
        mongo.close()
        until(lambda health: not health.ready)
        health = scheduler.health()
        what = health.failing()[0].what
        print(health.live, [check.name for check in health.failing()], "has not answered for" in what, len(what) < 250)
        until(lambda health: store.report().watermark_age > 0.5 and store.report().feed == "lost")
        mongo.open()
        until(lambda health: health.ready)
        until(lambda health: store.report().watermark_age < 0.5)
        print(store.report().error is not None, {{op for op, _ in store.report().errors}} >= {{"claim"}})
        scheduler.shutdown()
        mongo.close()
        print(store.report().connected)
    """
    out, error, code = run_program(program, timeout=60)
    assert ("Traceback" in error, code) == (False, 0), error
    assert out.splitlines() == [
        "False",
        "256 {'alive': 1, 'draining': 0, 'dead': 0} True True True",
        "['find', 'insert', 'update']",
        "True ['store:default'] True True",
        "True True",
        "False",
    ]


def test_a_standstill_that_is_noticed_after_it_ended_is_reported_with_its_length():
    said = []
    watchdog = Watchdog(1.0, said.append)
    watchdog.start()
    watchdog.stop()
    before = time.monotonic() - 5
    watchdog._caught = before, {"stack": "somewhere"}  # as the native thread does after a SIGSTOP
    watchdog._turn()
    assert [event.fields()["seconds"] for event in said] == [pytest.approx(4.75, abs=0.2)]
