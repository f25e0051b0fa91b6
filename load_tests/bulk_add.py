"""How long add_jobs takes for 100,000 definitions, beside APScheduler's add_job in the same process and run.

Into a running scheduler, until all are in its timetable, and how long that holds the event loop at a time.
Run: python load_tests/bulk_add.py
"""

from __future__ import annotations

import gc
import logging
from statistics import median
from time import perf_counter
from typing import Any

import gevent
from apscheduler.executors.gevent import GeventExecutor
from apscheduler.schedulers.gevent import GeventScheduler as TheirScheduler
from gevent import get_hub
from harness import Results, Stopwatch, bars, promise, run

from gsched import GeventScheduler


def measure(quick: bool) -> Results:
    """Per job, in CPU time: others on the machine do not count."""
    count, theirs_count, rounds = (10_000, 1000, 1) if quick else (100_000, 5000, 3)
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
            promise("add_job, jobs per second, to APScheduler's", us["apscheduler"] / us["add_job"], unit="x"),
            promise("add_jobs: longest hold of the loop", median(r["add_jobs"]["held_ms"] for r in rows), unit="ms"),
        ],
        {"us_per_job": us, "ratio": ratio, "rounds": rows},
        bars(
            "Adding a job to a running scheduler",
            "CPU microseconds per job",
            {"gsched, add_jobs": us["add_jobs"], "gsched, add_job": us["add_job"], "APScheduler 3": us["apscheduler"]},
        ),
    )


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
    scheduler, given, lag = GeventScheduler(), definitions(count), _Lag()
    scheduler.start()
    gc.collect()
    gevent.sleep(0.05)
    lag.longest, watch = 0.0, Stopwatch()
    scheduler.add_jobs(given)
    while len(scheduler._engine.hub._lanes["default"].timetable) < count:
        gevent.sleep(0.01)
    wall, cpu = watch.read()
    gevent.sleep(0.05)
    lag.stop()
    scheduler.shutdown()
    return {"seconds": wall, "us": cpu / count * 1e6, "held_ms": lag.longest * 1000}


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
    """The longest time between two turns of the event loop."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = perf_counter()
        self._timer = get_hub().loop.timer(0.001, repeat=0.001)
        self._timer.start(self._turn)

    def _turn(self) -> None:
        now = perf_counter()
        self.longest, self._last = max(self.longest, now - self._last), now

    def stop(self) -> None:
        self._timer.stop()
        self._timer.close()


if __name__ == "__main__":
    run("bulk_add", measure)
