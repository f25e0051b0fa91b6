"""What a run in a thread costs: CPU microseconds, beside APScheduler's thread pool, each case in a process of its own.

- "gsched, patched": in a program whose standard library gevent has patched, so that each thread has a hub of its own
- "gsched, not patched": plain threads
- "APScheduler": its BackgroundScheduler with its thread pool, in a program that is not patched

There are 500 no-op runs a second, and 300 that block for 2 to 5 ms, in 20 threads.
Run: python load_tests/threads.py
"""

# ruff: noqa: E402  (gevent has to patch before anything else is imported)
import sys

from gevent import monkey

block = monkey.get_original("time", "sleep")
if "gsched, patched" in sys.argv:
    monkey.patch_all()

from collections.abc import Callable
from time import process_time
from typing import Any

import gevent
from apscheduler.executors.pool import ThreadPoolExecutor as TheirThreads
from apscheduler.schedulers.background import BackgroundScheduler
from harness import Results, bars, fresh, medians, promise, run
from workload import counted, every_second, freeze, runs_so_far

from gsched import GeventScheduler, ThreadPoolExecutor

THREADS = 20
MOST = {"gsched, patched": 1.2, "gsched, not patched": 1}  # times what APScheduler takes
OPTIONS = {"max_instances": 3, "misfire_grace_time": None}
Sleep = Callable[[float], Any]


def measure(quick: bool) -> Results:
    """Some rounds of all cases, one after the other, so that a slow moment of the machine meets them all."""
    rounds = [{name: fresh(__file__, name, quick) for name in CASES} for _ in range(1 if quick else 7)]
    promises = []
    for work in WORKS:
        ratios = medians([{name: row[name][work] / row["APScheduler"][work] for name in CASES} for row in rounds])
        promises += [
            promise(f"a run in a thread, {work}, {name}, to APScheduler's", ratios[name], at_most=most, unit="x")
            for name, most in MOST.items()
        ]
    us = {
        f"{name}, {work}": value
        for work in WORKS
        for name, value in medians([{name: row[name][work] for name in CASES} for row in rounds]).items()
    }
    chart = bars("A run in a thread", "CPU microseconds per run", us)
    return Results(promises, {"us_per_run": us, "rounds": rounds}, chart)


def block_thread(milliseconds: int) -> None:
    """A run that blocks without gevent's knowledge."""
    counted()
    block(milliseconds / 1000)


def no_op() -> list[dict[str, Any]]:
    """500 runs a second."""
    return list(every_second(counted, 500, delay_seconds=0.5))


def blocking() -> list[dict[str, Any]]:
    """300 runs a second, of 2 to 5 ms."""
    jobs = every_second(block_thread, 300, delay_seconds=0.5)
    return [{**job, "args": [2 + number % 4]} for number, job in enumerate(jobs)]


WORKS = {"no-op": no_op, "blocking": blocking}


def ours(quick: bool) -> dict[str, float]:
    """With the thread pool of gsched, patched or not."""
    return {work: ours_with(jobs(), quick) for work, jobs in WORKS.items()}


def ours_with(jobs: list[dict[str, Any]], quick: bool) -> float:
    threads = ThreadPoolExecutor(THREADS)
    scheduler = GeventScheduler(timezone="UTC", executors={"default": threads}, job_defaults=OPTIONS)
    scheduler.start()
    scheduler.add_jobs(jobs)
    used = us_per_run(quick, gevent.sleep)
    scheduler.shutdown()
    return used


def theirs(quick: bool) -> dict[str, float]:
    """With APScheduler."""
    return {work: theirs_with(jobs(), quick) for work, jobs in WORKS.items()}


def theirs_with(jobs: list[dict[str, Any]], quick: bool) -> float:
    scheduler = BackgroundScheduler(
        timezone="UTC", executors={"default": TheirThreads(THREADS)}, job_defaults={**OPTIONS, "coalesce": True}
    )
    scheduler.start()
    for job in jobs:
        scheduler.add_job(**job)
    used = us_per_run(quick, block)
    scheduler.shutdown()
    return used


def us_per_run(quick: bool, sleep: Sleep) -> float:
    """CPU microseconds of this process per run, over a while."""
    freeze()
    sleep(1.5)
    began, before = process_time(), runs_so_far()
    sleep(1 if quick else 3)
    return (process_time() - began) / (runs_so_far() - before) * 1e6


CASES = {"gsched, patched": ours, "gsched, not patched": ours, "APScheduler": theirs}

if __name__ == "__main__":
    run("threads", measure, CASES)
