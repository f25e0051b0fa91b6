"""Runs that fail and are retried: how long the hub works at a time, what an attempt costs, and what MongoDB writes.

Each job recurs every second. Its first attempt fails, and its second one, 300 ms later, succeeds.

- "memory": 10,000 failing runs a second, with the memory store. A timer in the event loop, every millisecond, notes for
  how long the loop did not turn: see hub_slices.py. What the garbage collector takes is in these times.
- "slices": the same without the collector; for how long the hub works before it gives others a turn.
- "mongodb": 1,000 failing runs a second, on a server of its own; how many documents the server inserts and updates, and
  how many commands the scheduler sends. Then more and more failing runs, up to the highest rate at which the retries
  begin in time.
Run: python load_tests/retries.py
"""

# ruff: noqa: E402  (gevent has to patch before anything else is imported)
from gevent import monkey

monkey.patch_all()

import gc
import logging
import time
from typing import Any

import gevent
from harness import Results, Stopwatch, fresh, promise, run
from hub_slices import Probe
from mongodb_cluster import RoundTrips, Server, mongodb, wait_until
from mongodb_throughput import in_mongodb, knows, running
from pymongo import MongoClient
from retries_jobs import attempts, fail_once
from workload import every_second

from gsched import GeventScheduler
from gsched.schedulers.engine import engine_of
from gsched.stores import MemoryJobStore

MEMORY_RATE, MONGODB_RATE = 10_000, 1000  # failing runs a second
LADDER = (1000, 1500, 2000, 3000, 4000, 6000)
SHARE_IN_TIME = 0.97  # of the retries that are due in a window: so many begin in it if the rate is kept
DELAY_SECONDS = 0.3
POLICY = {"retries": 1, "retry_delay": DELAY_SECONDS, "retry_jitter": 0.0, "max_instances": 10}


def measure(quick: bool) -> Results:
    memory, slices = fresh(__file__, "memory", quick), fresh(__file__, "slices", quick)
    with mongodb() as server:
        steady = in_database(server, MONGODB_RATE, 5 if quick else 30)
        climbed = list(climb(server, 2 if quick else 6, LADDER[:2] if quick else LADDER))
    kept = max((each["rate"] for each in climbed if each["kept"]), default=0)
    documents = sum(steady["documents"].values()) / steady["retries"]
    return Results(
        [
            promise("10,000 failing runs/s: longest slice of the hub", slices["longest_ms"], at_most=10, unit="ms"),
            promise("p99 of the loop's holds, CPU", memory["cpu_p99"], at_most=10, unit="ms"),
            promise("the longest of them, with the garbage collector", memory["cpu_max"], unit="ms"),
            promise("the same, retries that began in time", 100 * memory["in_time"], unit="%"),
            promise("CPU of an attempt in memory", memory["cpu_us"], unit="us"),
            promise("MongoDB: retries/s of 1,000 failing runs/s", steady["retries_per_second"], at_least=970),
            promise("MongoDB: documents inserted and updated per retry", documents, at_most=5),
            promise("MongoDB: commands per retry", steady["commands"] / steady["retries"], at_most=1),
            promise("MongoDB: CPU of an attempt, without the server's", steady["cpu_us"], unit="us"),
            promise("MongoDB: failing runs/s at which retries begin in time", kept, at_least=1000),
        ],
        {"memory": memory, "slices": slices, "mongodb": steady, "climbed": climbed},
    )  # fmt: skip


def in_memory(quick: bool) -> dict[str, Any]:
    """The event loop's lag, and the CPU time of an attempt."""
    quiet()
    with running(MemoryJobStore(), **POLICY) as scheduler:
        add(scheduler, MEMORY_RATE)
        gc.collect()
        gc.freeze()
        probe, began = Probe(), time.time()
        window = count(3 if quick else 15, MEMORY_RATE)
        return {**window, **probe.lag(began, time.time())}


def in_slices(quick: bool) -> dict[str, Any]:
    """The longest slice of the hub: the upper end of its bucket."""
    quiet()
    with running(MemoryJobStore(), **POLICY) as scheduler:
        add(scheduler, MEMORY_RATE)
        slices = engine_of(scheduler).require_running().counters.slices
        gc.collect()
        gc.disable()
        before = list(slices.counts)
        count(3 if quick else 15, MEMORY_RATE)
        new = [now - then for now, then in zip(slices.counts, before, strict=True)]
        longest = max(place for place, slices_of in enumerate(new) if slices_of)
        return {"longest_ms": [*slices.bounds, float("inf")][longest], "slices": new}


def in_database(server: Server, rate: int, seconds: float) -> dict[str, Any]:
    """What the server writes and the scheduler sends while so many runs a second fail."""
    quiet()
    trips = RoundTrips()
    with in_mongodb(server, event_listeners=[trips]) as store, running(store, **POLICY) as scheduler:
        add(scheduler, rate)
        gevent.sleep(2)
        written, sent = documents_written(server), trips.counts.total()
        window = count(seconds, rate)
        after = documents_written(server)
        documents = {name: after[name] - written[name] for name in after}
        return {"rate": rate, **window, "documents": documents, "commands": trips.counts.total() - sent}


def climb(server: Server, seconds: float, rates: tuple[int, ...]) -> Any:
    """Higher and higher rates, up to the first one that is not kept."""
    for rate in rates:
        tried = in_database(server, rate, seconds)
        kept = tried["in_time"] >= SHARE_IN_TIME
        yield {**tried, "kept": kept}
        if not kept:
            break


def count(seconds: float, rate: int) -> dict[str, Any]:
    """How many retries begin in so many seconds, and the CPU time of an attempt."""
    before, watch = attempts.copy(), Stopwatch()
    gevent.sleep(seconds)
    wall, cpu = watch.read()
    done = attempts - before
    return {
        "retries": done[2],
        "retries_per_second": done[2] / wall,
        "in_time": done[2] / (rate * wall),
        "cpu_us": 1e6 * cpu / done.total(),
        "cpu_share": cpu / wall,
    }


def add(scheduler: GeventScheduler, rate: int) -> None:
    """Add so many jobs, and wait until the first of them is retried."""
    before = attempts[2]
    scheduler.add_jobs(every_second(fail_once, rate, delay_seconds=1 + rate / 5000))
    wait_until(lambda: knows(scheduler, rate), 0.05)
    wait_until(lambda: attempts[2] > before, 0.05)
    gevent.sleep(1)


def documents_written(server: Server) -> dict[str, int]:
    """How many documents the server has inserted and updated so far."""
    with MongoClient[dict[str, Any]](server.uri) as client:
        written = client.admin.command("serverStatus")["metrics"]["document"]
    return {name: written[name] for name in ("inserted", "updated")}


def quiet() -> None:
    """Failures are meant: do not log them."""
    logging.getLogger("gsched").setLevel(logging.CRITICAL)


if __name__ == "__main__":
    run("retries", measure, {"memory": in_memory, "slices": in_slices})
