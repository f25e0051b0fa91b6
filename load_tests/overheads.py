"""What costs what: CPU microseconds per no-op run at 10,000 runs a second, each case in a process of its own.

- "loop": the least there is, a heap, parked greenlets and an interval, without outcomes, events, limits or contexts
- "gsched": as it comes, with the watchdog; then without; with a listener on every success; with structlog writing
  a line for each run to /dev/null; and with gevent's own monitor thread instead of the watchdog, which is why
  the watchdog is our own
Run: python load_tests/overheads.py
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from heapq import heapify, heapreplace
from typing import Any

import gevent
from gevent import get_hub
from harness import Results, Stopwatch, bars, fresh, medians, promise, run
from workload import counted, every_second, runs_so_far

from gsched import EVENT_JOB_EXECUTED, GeventScheduler

JOBS = 10_000


def measure(quick: bool) -> Results:
    """Some rounds of all, one after the other, so that a slow moment of the machine meets them all."""
    names = list(CASES)[:4] if quick else CASES
    rows = [{name: fresh(__file__, name, quick) for name in names} for _ in range(1 if quick else 3)]
    us = medians(rows)
    ratio = medians([{name: row[name] / row["gsched"] for name in row} for row in rows])
    return Results(
        [
            promise("a run, to the bare loop", 1 / ratio["loop"], unit="x"),
            promise("the watchdog's part of a run", 100 * (1 - ratio["gsched, no watchdog"]), unit="%"),
            promise("gevent's monitor thread instead of it", 100 * (ratio["gsched, gevent's monitor"] - 1), unit="%"),
        ],
        {"us_per_run": us, "to_gsched": ratio, "rounds": rows},
        bars("A no-op run at 10,000 a second", "CPU microseconds per run", us),
    )


def loop(quick: bool) -> float:
    """The least there is."""
    gevent.spawn(bare_loop, counted)
    return us_per_run(quick)


def bare_loop(func: Callable[[], None]) -> None:
    """A heap of (due, job) and greenlets that are switched to."""
    hub, parked = get_hub(), []

    def work() -> None:
        while True:
            func()
            parked.append(gevent.getcurrent())
            hub.switch()

    now = int(time.time() * 1000)
    heap = [(now + 1000 + number % 1000, number) for number in range(JOBS)]
    heapify(heap)
    while True:
        now = int(time.time() * 1000)
        while heap[0][0] <= now:
            due, number = heap[0]
            heapreplace(heap, (due + 1000, number))
            if parked:
                hub.loop.run_callback(parked.pop().switch)
            else:
                gevent.spawn(work)
        gevent.sleep(max(0.0001, heap[0][0] / 1000 - time.time()))


def scheduled(quick: bool, prepare: Callable[[GeventScheduler], None] | None = None, **settings: Any) -> float:
    """Ours, with what `prepare` does to the scheduler."""
    scheduler = GeventScheduler(**settings)
    if prepare is not None:
        prepare(scheduler)
    scheduler.add_jobs(every_second(counted, JOBS, delay_seconds=1.0))
    scheduler.start()
    used = us_per_run(quick)
    scheduler.shutdown(wait=False)
    return used


def us_per_run(quick: bool) -> float:
    """CPU microseconds per run, over a while."""
    gevent.sleep(1.5 if quick else 2.5)
    watch, before = Stopwatch(), runs_so_far()
    gevent.sleep(0.7 if quick else 3)
    cpu, done = watch.read()[1], runs_so_far() - before
    return cpu / done * 1e6


def listened(quick: bool) -> float:
    """With a listener on every success."""
    return scheduled(quick, lambda scheduler: scheduler.add_listener(lambda event: None, EVENT_JOB_EXECUTED))


def logged(quick: bool) -> float:
    """With a JSON line for each run."""
    import structlog

    with open(os.devnull, "w") as nowhere:
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso"),
                structlog.processors.JSONRenderer(),
            ],
            logger_factory=structlog.PrintLoggerFactory(nowhere),
            cache_logger_on_first_use=True,
        )
        return scheduled(quick, run_events="all")


def monitored(quick: bool) -> float:
    """With gevent's monitor thread and no watchdog."""
    gevent.config.monitor_thread = True
    get_hub().start_periodic_monitoring_thread()
    return scheduled(quick, blocked_hub_after=None)


CASES = {
    "loop": loop,
    "gsched": scheduled,
    "gsched, no watchdog": lambda quick: scheduled(quick, blocked_hub_after=None),
    "gsched, gevent's monitor": monitored,
    "gsched, a listener": listened,
    "gsched, structlog": logged,
}

if __name__ == "__main__":
    run("overheads", measure, CASES)
