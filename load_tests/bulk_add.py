"""How long add_jobs takes for 100,000 definitions, beside APScheduler's add_job in the same process and run.

Into a running scheduler, until all are in its timetable, and how long that holds the event loop at a time: by CPU time,
for the wall clock counts other programs, too, and with the garbage collector's collections. On each store, and in the
event loop of the scheduler's own thread (BackgroundScheduler, AsyncIOScheduler), while another thread calls add_jobs.
Run: python load_tests/bulk_add.py
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from statistics import median
from tempfile import TemporaryDirectory
from time import thread_time
from typing import Any

import gevent
from apscheduler.executors.gevent import GeventExecutor
from apscheduler.schedulers.gevent import GeventScheduler as TheirScheduler
from gevent import get_hub
from harness import Case, Results, Stopwatch, bars, fresh, promise, run

from gsched import BackgroundScheduler, BaseJobStore, GeventScheduler, MemoryJobStore, MongoDBJobStore, SQLJobStore


def measure(quick: bool) -> Results:
    """Per job, in CPU time: others on the machine do not count."""
    count, theirs_count, rounds = (10_000, 1000, 1) if quick else (100_000, 5000, 3)
    held = {case: fresh(__file__, case, quick)["held_ms"] for case in HOLDS}
    rows = []
    for _ in range(rounds):
        bulk, single, theirs = add_jobs(count), add_each(theirs_count), their_add_each(theirs_count)
        rows.append({"add_jobs": bulk, "add_job": single, "apscheduler": theirs})
    us = {name: median(row[name]["us"] for row in rows) for name in rows[0]}
    ratio = median(row["apscheduler"]["us"] / row["add_jobs"]["us"] for row in rows)
    return Results(
        [
            promise(f"add_jobs of {count}", median(row["add_jobs"]["seconds"] for row in rows), unit="s"),
            promise("add_jobs, jobs per second, to APScheduler's add_job", ratio, unit="x"),
            promise("add_job, jobs per second, to APScheduler's", single_ratio(rows), at_least=1, unit="x"),
            *(promise(f"add_jobs, {case}: longest hold of the loop, CPU", ms, at_most=10, unit="ms")
              for case, ms in held.items()),
        ],
        {"us_per_job": us, "ratio": ratio, "held_ms": held, "rounds": rows},
        bars(
            "Adding a job to a running scheduler",
            "CPU microseconds per job",
            {"gsched, add_jobs": us["add_jobs"], "gsched, add_job": us["add_job"], "APScheduler 3": us["apscheduler"]},
        ),
    )


def single_ratio(rows: list[dict[str, Any]]) -> float:
    """One by one, beside APScheduler in the same round."""
    return median(row["apscheduler"]["us"] / row["add_job"]["us"] for row in rows)


def noted(device: int) -> None:
    """A job with an argument."""


def definitions(count: int) -> list[dict[str, Any]]:
    """Hourly jobs, none of which is due while we measure."""
    return [
        {"func": noted, "trigger": "interval", "hours": 1, "id": f"device-{number}", "args": [number]}
        for number in range(count)
    ]


def add_jobs(count: int) -> dict[str, float]:
    """In bulk."""
    scheduler, given = GeventScheduler(), definitions(count)
    scheduler.start()
    gc.collect()
    watch = Stopwatch()
    scheduler.add_jobs(given)
    wait_for(scheduler, count)
    wall, cpu = watch.read()
    scheduler.shutdown()
    return {"seconds": wall, "us": cpu / count * 1e6}


def wait_for(scheduler: Any, count: int) -> None:
    """Until so many jobs are in the timetable."""
    while len(scheduler._engine.hub._lanes["default"].timetable) < count:
        gevent.sleep(0.01)


def held_here(make_store: Callable[[str], BaseJobStore], count: int) -> dict[str, float]:
    """How long the event loop is held at a time, while a greenlet of the same thread adds jobs."""
    given = soon(count)
    with TemporaryDirectory() as directory:
        scheduler = GeventScheduler(jobstores={"default": make_store(directory)})
        scheduler.start()
        gevent.sleep(1)  # until it has joined
        gc.collect()
        lag = _Lag()
        scheduler.add_jobs(given)
        wait_for(scheduler, count)
        lag.stop()
        scheduler.shutdown()
    return {"held_ms": lag.longest * 1000}


def held_in_background(count: int) -> dict[str, float]:
    """How long the event loop of the scheduler's own thread is held at a time, while this thread adds jobs."""
    scheduler, given = BackgroundScheduler(), soon(count)
    scheduler.start()
    gc.collect()
    lag = scheduler._engine.call(_Lag)
    scheduler.add_jobs(given)
    scheduler._engine.call(wait_for, scheduler, count)
    scheduler._engine.call(lag.stop)
    scheduler.shutdown()
    return {"held_ms": lag.longest * 1000}


def soon(count: int) -> list[dict[str, Any]]:
    """Jobs that come into the timetable of a store in a database, too; none is due while we measure."""
    return [{**each, "hours": 0, "minutes": 4} for each in definitions(count)]


def sqlite(directory: str) -> BaseJobStore:
    return SQLJobStore(f"sqlite:///{directory}/jobs.sqlite", modules=["__main__"])


def mongodb(directory: str) -> BaseJobStore:
    return MongoDBJobStore.embedded(directory, modules=["__main__"])


# In a database, fewer: what holds the loop is a batch, and the number of jobs in memory is what the first case has.
HOLDS: dict[str, Case] = {
    "memory": lambda quick: held_here(lambda directory: MemoryJobStore(), 20_000 if quick else 100_000),
    "background": lambda quick: held_in_background(20_000 if quick else 100_000),
    "sqlite": lambda quick: held_here(sqlite, 2000 if quick else 20_000),
    "mongodb": lambda quick: held_here(mongodb, 2000 if quick else 20_000),
}


def add_each(count: int) -> dict[str, float]:
    """One by one."""
    scheduler = GeventScheduler()
    scheduler.start()
    done = _each(scheduler, count)
    scheduler.shutdown()
    return done


def their_add_each(count: int) -> dict[str, float]:
    """APScheduler has no other way."""
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
    scheduler = TheirScheduler(executors={"default": GeventExecutor()})
    scheduler.start()
    done = _each(scheduler, count)
    scheduler.shutdown()
    return done


def _each(scheduler: Any, count: int) -> dict[str, float]:
    given = definitions(count)
    gc.collect()
    watch = Stopwatch()
    for one in given:
        scheduler.add_job(**one)
    wall, cpu = watch.read()
    return {"seconds": wall, "us": cpu / count * 1e6}


class _Lag:
    """The most CPU time of this thread between two turns of its event loop, in seconds."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = thread_time()
        self._timer = get_hub().loop.timer(0.001, repeat=0.001)
        self._timer.start(self._turn)

    def _turn(self) -> None:
        now = thread_time()
        self.longest, self._last = max(self.longest, now - self._last), now

    def stop(self) -> None:
        self._timer.stop()
        self._timer.close()


if __name__ == "__main__":
    run("bulk_add", measure, HOLDS)
