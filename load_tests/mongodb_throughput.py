"""How many no-op recurring runs per second with the MongoDB store, beside the memory store and APScheduler's MongoDB
store on the same server, in one process and run; and how often each asks the database.

"saturated" and "sustained" are as in throughput.py. The stores take turns, and what is judged is the median ratio of
neighbours. Rates are per CPU second of this process; what mongod takes is not in them, so the wall clock's are there,
too. Round trips are commands that PyMongo sends, at 10,000 runs a second, with everything included: claims, the change
feed, figures. Writes are confirmed by a majority.
Run: python load_tests/mongodb_throughput.py
"""

# ruff: noqa: E402  (gevent has to patch before anything else is imported)
from gevent import monkey

monkey.patch_all()

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median
from typing import Any

import gevent
from apscheduler.executors.gevent import GeventExecutor
from apscheduler.jobstores.mongodb import MongoDBJobStore as TheirStore
from apscheduler.schedulers.gevent import GeventScheduler as TheirScheduler
from harness import Results, Stopwatch, bars, promise, run
from mongodb_cluster import RoundTrips, Server, mongodb, wait_until
from pymongo import MongoClient
from readings import lateness_percentile, outcomes
from throughput import JOBS, LADDER, OPTIONS, OVERLOAD, QUICK_LADDER, calibrate, interval, window
from workload import counted, every_second, runs_so_far

from gsched import GeventScheduler
from gsched.stores import MemoryJobStore, MongoDBJobStore
from gsched.stores.claims.partition import SLOTS

ROUND_TRIPS_RUNS = 10_000  # a second
THEIR_JOBS = 50
THEIR_RUNS = 20  # a second: few enough that it runs them one by one
SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)  # of what the memory store can sustain, to try one after the other


def measure(quick: bool) -> Results:
    """Both stores in turns, theirs, then the round trips of both."""
    seconds, rounds = (0.6, 2) if quick else (1.0, 15)
    with mongodb() as server:
        ours = {"memory": in_memory, "mongodb": partial(in_mongodb, server)}
        capacity = calibrate(partial(saturated, in_memory), quick)
        rows = [{name: saturated(made, capacity, seconds) for name, made in ours.items()} for _ in range(rounds)]
        memory_held = climb(in_memory, capacity, QUICK_LADDER if quick else LADDER, quick)
        held = climb(ours["mongodb"], memory_held[-1]["jobs"], SHARES, quick)
        theirs = their_saturated(server, calibrate(partial(their_saturated, server), True), seconds)
        trips = round_trips(server, 3 if quick else 10)
        their_trips = their_round_trips(server, 3 if quick else 10)
    cpu = {name: median(row[name]["cpu"] for row in rows) for name in ours}
    ratios = {kind: median(row["mongodb"][kind] / row["memory"][kind] for row in rows) for kind in ("cpu", "wall")}
    sustained = 100 * held[-1]["jobs"] / memory_held[-1]["jobs"] if held[-1]["held"] else 0
    return Results(
        [
            promise("MongoDB to memory store: no-op runs/s, saturated", 100 * ratios["cpu"], at_least=80, unit="%"),
            promise("MongoDB to memory store: no-op runs/s, sustained", sustained, at_least=80, unit="%"),
            promise("the same by the wall clock, saturated", 100 * ratios["wall"], unit="%"),
            promise("no-op runs/s, saturated, to APScheduler with MongoDB", cpu["mongodb"] / theirs["cpu"], unit="x"),
            promise(f"round trips per run at {trips['rate']:,.0f} runs/s", trips["per_run"], at_most=0.01),
            promise("round trips per run, APScheduler", their_trips["per_run"]),
        ],
        {
            "saturated": cpu,
            "saturated_ratio": ratios,
            "rounds": rows,
            "memory_sustained": memory_held,
            "mongodb_sustained": held,
            "apscheduler_saturated": theirs,
            "round_trips": trips,
            "apscheduler_round_trips": their_trips,
        },
        bars(
            "No-op recurring runs",
            "runs per CPU second",
            {
                "gsched, memory, saturated": cpu["memory"],
                "gsched, MongoDB, saturated": cpu["mongodb"],
                "gsched, memory, sustained": memory_held[-1]["cpu"],
                "gsched, MongoDB, sustained": held[-1]["cpu"],
                "APScheduler 3, MongoDB": theirs["cpu"],
            },
        ),
    )


# -- ours -------------------------------------------------------------------------------------------------------------


@contextmanager
def in_memory() -> Iterator[MemoryJobStore]:
    yield MemoryJobStore()


@contextmanager
def in_mongodb(server: Server, **options: Any) -> Iterator[MongoDBJobStore]:
    """A store in a fresh database."""
    with server.cluster("throughput") as cluster:
        yield MongoDBJobStore(cluster.uri, database=cluster.database, **options)


def saturated(make_store: Callable[[], Any], capacity: float, seconds: float) -> dict[str, float]:
    """With more due than can be done."""
    with make_store() as store, running(store, **OPTIONS) as scheduler:
        recurring = {"func": counted, "trigger": "interval", "seconds": interval(capacity)}
        phases = (timedelta(seconds=number * recurring["seconds"] / JOBS) for number in range(JOBS))
        start = datetime.now(UTC)
        scheduler.add_jobs({**recurring, "start_date": start + phase} for phase in phases)
        wait_until(lambda: knows(scheduler, JOBS))
        return window(seconds)


@contextmanager
def running(store: Any, **job_defaults: Any) -> Iterator[GeventScheduler]:
    """A scheduler that has started and may run what is in its store."""
    scheduler = GeventScheduler(jobstores={"default": store}, job_defaults=job_defaults, timezone="UTC")
    scheduler.start()
    try:
        if isinstance(store, MongoDBJobStore):
            wait_until(lambda: owns_all(store))
        yield scheduler
    finally:
        scheduler.shutdown(wait=False)


def owns_all(store: MongoDBJobStore) -> bool:
    """Whether all slots are attached: its first moments are no part of what is measured."""
    holdings = store._ownership.holdings
    return holdings is not None and len(holdings.slots) == SLOTS


def climb(make_store: Callable[[], Any], top: float, shares: Sequence[float], quick: bool) -> list[dict[str, Any]]:
    """From `top` runs a second down to the first share of it that holds; all that were tried."""
    tried = []
    for share in shares:
        tried.append(hold(make_store, round(top * share), 1 if quick else 4))
        if tried[-1]["held"]:
            break
    return tried


def hold(make_store: Callable[[], Any], jobs: int, seconds: float) -> dict[str, Any]:
    """Whether `jobs` jobs, one run a second each, all run in time."""
    with make_store() as store, running(store, max_instances=1000, coalesce=False) as scheduler:
        delay = 1 + jobs / (3000 if isinstance(store, MongoDBJobStore) else 40_000)  # until all are stored and known
        first = time.monotonic() + delay
        scheduler.add_jobs(every_second(counted, jobs, delay))
        wait_until(lambda: knows(scheduler, jobs), 0.05)
        gevent.sleep(max(0.0, first - time.monotonic()) + 1)
        before, earlier = outcomes(scheduler), list(scheduler._engine.hub.counters.lateness.counts)
        done = window(seconds)
        after, p99 = outcomes(scheduler), lateness_percentile(scheduler, earlier, 0.99)
    ended = {name: after[name] - before[name] for name in after if after[name] > before[name]}
    held = ended.keys() == {"succeeded"} and p99 < 1 and done["wall"] >= 0.99 * jobs
    return {"jobs": jobs, **done, "lateness_p99_below": p99, "outcomes": ended, "held": held}


def knows(scheduler: GeventScheduler, jobs: int) -> bool:
    """Whether all jobs are in its timetable."""
    return len(scheduler._engine.hub._lanes["default"].entries) == jobs


def round_trips(server: Server, seconds: float) -> dict[str, Any]:
    """How often our store asks the database, while it runs ROUND_TRIPS_RUNS jobs a second."""
    trips = RoundTrips()
    with in_mongodb(server, event_listeners=[trips]) as store, running(store) as scheduler:
        scheduler.add_jobs(every_second(counted, ROUND_TRIPS_RUNS, delay_seconds=0))
        wait_until(lambda: knows(scheduler, ROUND_TRIPS_RUNS), 0.05)
        gevent.sleep(1)
        return trips_per_run(trips, seconds)


# -- theirs -----------------------------------------------------------------------------------------------------------


@contextmanager
def theirs_running(server: Server, **options: Any) -> Iterator[TheirScheduler]:
    """APScheduler on greenlets, in a fresh database, without log lines."""
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
    with server.cluster("apscheduler") as cluster, MongoClient(cluster.uri, w="majority", **options) as client:
        scheduler = TheirScheduler(
            jobstores={"default": TheirStore(database=cluster.database, client=client)},
            executors={"default": GeventExecutor()},
            job_defaults=OPTIONS,
            timezone="UTC",
        )
        scheduler.start()
        yield scheduler
        scheduler.shutdown()
        gevent.sleep(0.2)  # it does not wait for the greenlet that uses the client


def their_saturated(server: Server, capacity: float, seconds: float) -> dict[str, float]:
    """With more due than can be done."""
    with theirs_running(server) as scheduler:
        for _ in range(THEIR_JOBS):
            scheduler.add_job(counted, "interval", seconds=THEIR_JOBS / (OVERLOAD * capacity))
        return window(seconds)


def their_round_trips(server: Server, seconds: float) -> dict[str, Any]:
    """While it has little to do."""
    trips = RoundTrips()
    with theirs_running(server, event_listeners=[trips]) as scheduler:
        start = datetime.now(UTC) + timedelta(seconds=1)
        for number in range(THEIR_RUNS):
            phase = start + timedelta(seconds=number / THEIR_RUNS)
            scheduler.add_job(counted, "interval", seconds=1, start_date=phase)
        gevent.sleep(1)
        return trips_per_run(trips, seconds)


def trips_per_run(trips: RoundTrips, seconds: float) -> dict[str, Any]:
    """Counted for a while."""
    watch, runs, before = Stopwatch(), runs_so_far(), trips.counts.copy()
    gevent.sleep(seconds)
    done, asked = runs_so_far() - runs, trips.counts - before
    return {"rate": done / watch.read()[0], "per_run": sum(asked.values()) / done, "commands": dict(asked)}


if __name__ == "__main__":
    run("mongodb_throughput", measure)
