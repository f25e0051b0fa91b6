"""A store that is removed from a scheduler that runs: what was claimed there comes to an end, and nobody waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import pytest
from bench import Bench
from programs import run_program

from gsched import ConfigurationError
from gsched.stores import MemoryJobStore

pytest_plugins = ["mongodb"]


class ClosingStore(MemoryJobStore):
    """Notes when it left and was closed, and what of its jobs was on record by then."""

    def __init__(self) -> None:
        super().__init__(history_successes="all")
        self.said: list[Any] = []

    def leave(self) -> None:
        self.said.append(("left", [record.outcome for record in self._records]))
        super().leave()

    def close(self) -> None:
        super().close()
        self.said.append("closed")


@pytest.fixture
def store(bench: Bench) -> ClosingStore:
    """In use as "other"."""
    made = ClosingStore()
    bench.scheduler.add_jobstore(made, "other")
    return made


def test_due_instants_that_are_not_decided_are_run_before_the_store_goes(bench: Bench, store: ClosingStore) -> None:
    bench.add(jobstore="other")
    bench.scheduler.remove_jobstore("other")
    bench.settle()
    assert bench.ran == [0]
    assert store.said == [("left", ["succeeded"]), "closed"]


def test_nobody_waits_for_a_run_in_progress_which_is_settled_before_the_store_is_closed(
    bench: Bench, store: ClosingStore
) -> None:
    bench.every(10, bench.wait, jobstore="other")
    bench.every(10, id="stays")
    bench.advance(10)
    bench.scheduler.remove_jobstore("other")
    bench.settle()
    assert store.said == [] and "store.removed" not in bench.names("store.")
    assert "other" not in bench.scheduler.stores and bench.ids() == ["stays"]
    bench.open_gate()
    assert store.said == [("left", ["succeeded"]), "closed"]
    assert bench.names("store.")[-1] == "store.removed"
    bench.advance(20)
    assert bench.ran == [10, 10, 20, 30]


def test_without_shutdown_the_store_only_leaves(bench: Bench, store: ClosingStore) -> None:
    bench.scheduler.remove_jobstore("other", shutdown=False)
    assert store.said == [("left", [])] and not store.started


def test_a_job_may_remove_its_own_store(bench: Bench, store: ClosingStore) -> None:
    bench.add(lambda: bench.scheduler.remove_jobstore("other"), jobstore="other")
    bench.settle()
    assert store.said == [("left", ["succeeded"]), "closed"]


def test_a_shutdown_sees_to_the_end_of_stores_that_are_leaving(bench: Bench, store: ClosingStore) -> None:
    bench.every(10, bench.wait, jobstore="other")
    bench.advance(10)
    bench.scheduler.remove_jobstore("other")
    bench.scheduler.shutdown(wait=False)
    assert store.said == [("left", ["cancelled"]), "closed"]


def test_a_caller_who_is_cut_short_leaves_no_store_half_removed(bench: Bench, store: ClosingStore) -> None:
    stop = store.stop
    store.stop = lambda: (bench.gate.wait(), stop())  # type: ignore[assignment, method-assign, return-value]
    caller = gevent.spawn(bench.scheduler.remove_jobstore, "other")
    gevent.sleep(0)
    caller.kill()
    assert store.said == []
    bench.open_gate()
    assert store.said == [("left", []), "closed"]


def test_a_store_that_cannot_stop_is_let_go_all_the_same(bench: Bench, store: ClosingStore) -> None:
    store.stop = lambda: 1 / 0  # type: ignore[assignment, method-assign, return-value]
    bench.scheduler.remove_jobstore("other")
    bench.settle()
    assert store.said == [("left", []), "closed"] and bench.names("store.")[-2:] == ["store.failed", "store.removed"]


def test_a_store_is_removed_though_the_hub_greenlet_was_killed(bench: Bench, store: ClosingStore) -> None:
    bench.every(10, bench.wait, jobstore="other")
    bench.advance(10)
    gevent.kill(bench.scheduler._engine._greenlet)
    bench.scheduler.remove_jobstore("other")
    bench.scheduler._engine.farewells.join()
    assert store.said[-1] == "closed"


def test_a_store_whose_runs_have_not_ended_is_not_added_again(bench: Bench, store: ClosingStore) -> None:
    bench.every(10, bench.wait, jobstore="other")
    bench.advance(10)
    bench.scheduler.remove_jobstore("other")
    with pytest.raises(ConfigurationError, match="runs of its jobs have not ended since it was removed"):
        bench.scheduler.add_jobstore(store, "other")
    bench.scheduler.add_jobstore(MemoryJobStore(), "other")
    assert bench.scheduler.get_runs(jobstore="other") == []
    bench.open_gate()
    bench.scheduler.add_jobstore(store, "another")


def test_a_store_that_cannot_start_is_not_added(bench: Bench) -> None:
    class BrokenStore(ClosingStore):
        broken = True

        def start(self, *args: Any) -> None:
            if self.broken:
                raise OSError("no such host")
            super().start(*args)

        def stop(self) -> None:
            assert not self.broken, "it was never started"
            super().stop()

    store = BrokenStore()
    with pytest.raises(OSError, match="no such host"):
        bench.scheduler.add_jobstore(store, "other")
    assert "other" not in bench.scheduler.stores and not store.started
    store.broken = False
    bench.scheduler.add_jobstore(store, "other")
    bench.scheduler.shutdown()


# -- MongoDB, where what is due is claimed ahead --------------------------------------------------------------------

MONGODB = """
    from gevent import monkey; monkey.patch_all()
    import sys
    import gevent
    from gevent.event import Event
    from gsched import GeventScheduler, MongoDBJobStore, current_run

    gate, ticks = Event(), []

    def tick():
        ticks.append(current_run().scheduled_ms)

    def wait():
        gate.wait()

    def store():
        return MongoDBJobStore({uri!r}, database={name!r}, history_successes="all")

    def until(condition):
        while not condition():
            gevent.sleep(0.01)

    scheduler, removed = GeventScheduler(timezone="UTC"), store()
    scheduler.start()
    scheduler.add_jobstore(removed, "shared")
    scheduler.add_job(tick, "interval", seconds=0.05, id="tick", jobstore="shared", coalesce=False, max_instances=50)
    until(lambda: len(ticks) > 5)
"""


@pytest.fixture
def run_on_mongodb(uri: str, database: Any) -> Callable[[str], None]:
    """Run a program in which a store that ticks is "shared" by a scheduler that runs."""

    def run(program: str) -> None:
        _, error, code = run_program(MONGODB.format(uri=uri, name=database.name) + program)
        assert code == 0 and "Traceback" not in error, error

    return run


def test_instants_that_mongodb_has_claimed_ahead_are_run_before_the_store_goes(
    run_on_mongodb: Callable[[str], None]
) -> None:
    run_on_mongodb("""
    scheduler.add_job(wait, id="waits", jobstore="shared")
    until(lambda: [run.job_id for run in scheduler.get_running()] == ["waits"])
    scheduler.remove_jobstore("shared")
    claimed, = [node.watermark.timestamp() * 1000 for node in removed.nodes()]
    assert claimed - 50 < ticks[-1] <= claimed, (ticks, claimed)
    assert removed.started and [run.job_id for run in scheduler.get_running()] == ["waits"]
    gate.set()
    until(lambda: not removed.started)
    known = len(ticks)
    scheduler.add_jobstore(removed, "shared")
    until(lambda: len(ticks) > known + 5)
    assert [after - before for before, after in zip(ticks, ticks[1:])] == [50] * (len(ticks) - 1), ticks
    until(lambda: scheduler.get_runs("waits", jobstore="shared", outcome="succeeded"))
    assert scheduler.get_runs(jobstore="shared", outcome="lost") == []
    scheduler.shutdown()
    """)


def test_a_node_of_mongodb_leaves_though_its_store_is_not_shut_down(run_on_mongodb: Callable[[str], None]) -> None:
    run_on_mongodb("""
    scheduler.remove_jobstore("shared", shutdown=False)
    until(lambda: not removed.started)  # the last tick may be in progress
    node, = removed.nodes()
    assert (node.state, node.left, node.slots) == ("dead", True, 0), node
    assert [job.id for job in GeventScheduler(jobstores={"default": removed}).get_jobs()] == ["tick"]
    scheduler.shutdown()
    """)


def test_mongodb_is_added_to_a_scheduler_in_a_program_without_gevent_and_removed_again(address: str) -> None:
    out, error, code = run_program(f"""
        import threading
        from gsched import EVENT_JOB_EXECUTED, BackgroundScheduler, MongoDBJobStore
        scheduler = BackgroundScheduler(timezone="UTC", modules=["threading"])
        scheduler.start()
        scheduler.add_jobstore(MongoDBJobStore({address!r}), "shared")
        ran = threading.Event()
        scheduler.add_listener(lambda event: ran.set(), EVENT_JOB_EXECUTED)
        scheduler.add_job("threading:main_thread", "interval", hours=1, jobstore="shared", id="a", next_run_time="now")
        assert ran.wait(20)
        scheduler.remove_jobstore("shared")
        print(scheduler.get_jobs())
        scheduler.shutdown()
    """)
    assert (out, code) == ("[]\n", 0), error
