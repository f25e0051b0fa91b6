"""How many no-op recurring runs per second, beside gevent.pool.Pool.spawn and APScheduler 3, in one process and run.

Two rates of ours:
- saturated: a thousand jobs, half as much again due as can be done, what is too much is coalesced
- sustained: jobs that recur every second, spread over it, as many as possible while every instant runs (no coalescing)
  and p99 of lateness stays below a second; the jobs are frozen once they are there, as docs/embedding.md advises, for
  both schedulers

Rates are per CPU second of the process, so that neighbours on the machine do not count; per second of wall clock is
there, too.
Run: python load_tests/throughput.py
"""

from __future__ import annotations

import gc
import logging
from typing import Any

import gevent
from apscheduler.executors.gevent import GeventExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.gevent import GeventScheduler as TheirScheduler
from gevent.pool import Pool
from harness import Results, Stopwatch, bars, medians, promise, run
from readings import lateness_percentile, outcomes
from workload import counted, every_second, freeze, runs_so_far

from gsched import GeventScheduler

JOBS = 1000
OVERLOAD = 1.5
LADDER = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4)  # shares of the most that could be done, to try one after the other
QUICK_LADDER = (0.6, 0.3)
SETTLE_SECONDS = 4.0  # until what fell due while the jobs were added is worked off
OPTIONS = {"max_instances": 1000, "misfire_grace_time": None, "coalesce": True}


def measure(quick: bool) -> Results:
    """Some rounds of all three, then the ladder."""
    seconds, rounds = (0.6, 1) if quick else (1.0, 11)
    ours, theirs = calibrate(our_saturated, quick), calibrate(their_saturated, quick)
    rows = []
    for _ in range(rounds):
        pool, mine, other = pool_spawn(seconds), our_saturated(ours, seconds), their_saturated(theirs, seconds)
        rows.append({
            "pool_spawn": pool["cpu"], "saturated": mine["cpu"], "apscheduler": other["cpu"],
            "pool_spawn_wall": pool["wall"], "saturated_wall": mine["wall"], "apscheduler_wall": other["wall"],
            "vs_pool": mine["cpu"] / pool["cpu"], "vs_apscheduler": mine["cpu"] / other["cpu"],
            "vs_pool_wall": mine["wall"] / pool["wall"], "vs_apscheduler_wall": mine["wall"] / other["wall"],
        })  # fmt: skip
    figures = medians(rows)
    climbed = climb(hold, ours, quick)
    their_climbed = climb(their_hold, theirs, quick)
    sustained, theirs_sustained = climbed[-1], their_climbed[-1]
    vs_pool = sustained["cpu"] / figures["pool_spawn"]
    vs_apscheduler = sustained["jobs"] / theirs_sustained["jobs"]
    return Results(
        [
            promise("no-op runs/s, saturated, to Pool.spawn", figures["vs_pool"], at_least=2, unit="x"),
            promise("no-op runs/s, saturated, to APScheduler", figures["vs_apscheduler"], at_least=10, unit="x"),
            promise("no-op runs/s, sustained, to Pool.spawn", vs_pool, at_least=2, unit="x"),
            promise("no-op runs/s, sustained, to APScheduler", vs_apscheduler, at_least=10, unit="x"),
        ],
        {**figures, "sustained": climbed, "apscheduler_sustained": their_climbed, "rounds": rows},
        bars(
            "No-op recurring runs, memory store",
            "runs per CPU second",
            {
                "gsched, sustained": sustained["cpu"],
                "gsched, saturated": figures["saturated"],
                "Pool.spawn": figures["pool_spawn"],
                "APScheduler 3, saturated": figures["apscheduler"],
                "APScheduler 3, sustained": theirs_sustained["cpu"],
            },
        ),
    )


def pool_spawn(seconds: float) -> dict[str, float]:
    """The raw primitive: a greenlet for each no-op."""
    gc.collect()
    pool, watch, before = Pool(10_000), Stopwatch(), runs_so_far()
    while watch.read()[0] < seconds:
        for _ in range(1000):
            pool.spawn(counted)
    pool.join()
    return rates(watch, before)


def calibrate(saturated, quick: bool) -> float:
    """How many runs per second a scheduler can do at most, roughly."""
    best, demand = 0.0, 2000.0
    for _ in range(2 if quick else 6):
        done = saturated(demand / OVERLOAD, 0.2 if quick else 0.5)
        best = max(best, done["wall"])
        # While it keeps up, what it needs per run says what it could do.
        demand = max(demand * 1.2, done["cpu"]) if done["wall"] > 0.9 * demand else (demand + done["wall"]) / 2
    return best


def our_saturated(capacity: float, seconds: float) -> dict[str, float]:
    """Ours, with `OVERLOAD` times the capacity due."""
    scheduler = GeventScheduler(job_defaults=OPTIONS, timezone="UTC")
    scheduler.start()
    scheduler.add_jobs({"func": counted, "trigger": "interval", "seconds": interval(capacity)} for _ in range(JOBS))
    done = window(seconds)
    scheduler.shutdown(wait=False)
    return done


def their_saturated(capacity: float, seconds: float) -> dict[str, float]:
    """APScheduler, the same."""
    scheduler = their_scheduler()
    scheduler.start()
    for _ in range(JOBS):
        scheduler.add_job(counted, "interval", seconds=interval(capacity))
    done = window(seconds)
    scheduler.remove_all_jobs()
    scheduler.shutdown()
    return done


def interval(capacity: float) -> float:
    """Seconds, so that JOBS jobs demand OVERLOAD times the capacity; at least the resolution of a millisecond."""
    return max(0.001, round(JOBS / (OVERLOAD * capacity), 3))


def window(seconds: float) -> dict[str, float]:
    """Rates over a while, after a moment to get going."""
    gc.collect()
    gevent.sleep(0.3)
    watch, before = Stopwatch(), runs_so_far()
    gevent.sleep(seconds)
    return rates(watch, before)


def rates(watch: Stopwatch, before: int) -> dict[str, float]:
    (wall, cpu), done = watch.read(), runs_so_far() - before
    return {"wall": done / wall, "cpu": done / cpu}


def climb(hold_jobs, capacity: float, quick: bool) -> list[dict[str, Any]]:
    """From the most that could be done down to the first that holds; all that were tried."""
    tried = []
    for share in QUICK_LADDER if quick else LADDER:
        tried.append(hold_jobs(round(capacity * share), 1 if quick else 4))
        if tried[-1]["held"]:
            break
    return tried


def hold(jobs: int, seconds: float) -> dict[str, Any]:
    """Whether `jobs` jobs, one run a second each, all run in time."""
    scheduler = GeventScheduler(job_defaults={"max_instances": 1000, "coalesce": False}, timezone="UTC")
    scheduler.add_jobs(every_second(counted, jobs, delay_seconds=0.5 + jobs / 40_000))
    scheduler.start()
    freeze()
    gevent.sleep(SETTLE_SECONDS + jobs / 40_000)
    before, earlier = outcomes(scheduler), list(scheduler._engine.hub.counters.lateness.counts)
    done = window(seconds)
    after, p99 = outcomes(scheduler), lateness_percentile(scheduler, earlier, 0.99)
    scheduler.shutdown(wait=False)
    ended = {name: after[name] - before[name] for name in after if after[name] > before[name]}
    held = ended.keys() == {"succeeded"} and p99 < 1 and keeps_pace(done, jobs)
    return {"jobs": jobs, **done, "lateness_p99_below": p99, "outcomes": ended, "held": held}


def their_hold(jobs: int, seconds: float) -> dict[str, Any]:
    """The same with APScheduler, which cannot say how late it is: that it keeps pace is enough."""
    scheduler = their_scheduler(coalesce=False)
    for definition in every_second(counted, jobs, delay_seconds=0):
        scheduler.add_job(**definition)
    scheduler.start()
    freeze()
    gevent.sleep(SETTLE_SECONDS)
    done = window(seconds)
    scheduler.remove_all_jobs()
    scheduler.shutdown()
    return {"jobs": jobs, **done, "held": keeps_pace(done, jobs)}


def keeps_pace(done: dict[str, float], jobs: int) -> bool:
    """Whether as many ran as were due; more means that a backlog is being worked off."""
    return 0.99 * jobs <= done["wall"] <= 1.01 * jobs


def their_scheduler(**options: Any) -> TheirScheduler:
    """APScheduler as it is at its best here: in memory, on greenlets, without log lines."""
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
    return TheirScheduler(
        jobstores={"default": MemoryJobStore()},
        executors={"default": GeventExecutor()},
        job_defaults=OPTIONS | options,
        timezone="UTC",
    )


if __name__ == "__main__":
    run("throughput", measure)
