"""No-op recurring runs in programs without gevent, beside APScheduler: threads, and coroutines on an event loop.

Each case demands a number of runs a second for some seconds, in a process of its own. Rates are per CPU second of the
process while it is saturated, so that neighbours on the machine do not count. Lateness is that of a moderate demand.

Run: python load_tests/without_gevent.py
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.executors.asyncio import AsyncIOExecutor as TheirCoroutines
from apscheduler.executors.pool import ThreadPoolExecutor as TheirThreads
from apscheduler.schedulers.asyncio import AsyncIOScheduler as TheirAsyncIOScheduler
from apscheduler.schedulers.background import BackgroundScheduler as TheirBackgroundScheduler
from harness import Results, Stopwatch, bars, fresh, medians, percentile, promise, run

MODERATE = 2_000  # runs a second, at which lateness is compared
DEMANDS = (20_000, 40_000, 60_000, 100_000)  # runs a second; the last ones are more than can be done
QUICK_DEMANDS = (20_000, 60_000)
KINDS = ("threads", "asyncio")
OPTIONS = {"max_instances": 1, "misfire_grace_time": None, "coalesce": True}

_runs = 0
_late: list[float] = []


def counted(phase: float) -> None:
    """A no-op that is counted. `phase` is when it is due in each second."""
    global _runs
    _runs += 1
    if len(_late) < 100_000:
        _late.append((time.time() - phase) % 1)


async def counted_coroutine(phase: float) -> None:
    """The same as a coroutine function."""
    counted(phase)


def measure(quick: bool) -> Results:
    """Some rounds of all cases, one after the other, so that a slow moment of the machine meets them all."""
    rounds = [{name: fresh(__file__, name, quick) for name in CASES} for _ in range(1 if quick else 5)]
    promises, chart = [], {}
    for kind in KINDS:
        ours, theirs = ([row[f"{whose}, {kind}"] for row in rounds] for whose in ("gsched", "APScheduler"))
        pairs = list(zip(ours, theirs, strict=True))
        figures = medians([
            {
                "rate": best(mine) / best(other),
                "overload": mine["rates"][-1] / best(mine),
                "p50": mine["late_p50"] / other["late_p50"],
                "p99": mine["late_p99"] / other["late_p99"],
            }
            for mine, other in pairs
        ])  # fmt: skip
        rate, overload = "runs per CPU second when saturated", "runs per CPU second under the heaviest overload"
        promises += [
            promise(f"{kind}: {rate}, to APScheduler's", figures["rate"], at_least=1.3, unit="x"),
            promise(f"{kind}: {overload}, to its best", figures["overload"], at_least=0.8, unit="x"),
        ]
        promises += [
            promise(f"{kind}: lateness {p} at {MODERATE:,} runs/s, to APScheduler's", figures[p], at_most=1, unit="x")
            for p in ("p50", "p99")
        ]
        chart |= {f"gsched, {kind}": best(ours[0]), f"APScheduler, {kind}": best(theirs[0])}
    return Results(promises, {"rounds": rounds}, bars("Without gevent, saturated", "runs per CPU second", chart))


def best(case: dict[str, Any]) -> float:
    """Runs per CPU second at the demand at which that was most."""
    return max(case["rates"])


def case_of(make: Callable[[], Any], is_coroutine: bool) -> Callable[[bool], dict[str, Any]]:
    """Measures one scheduler in this process."""

    def measure_case(quick: bool) -> dict[str, Any]:
        logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
        work = counted_coroutine if is_coroutine else counted
        return asyncio.run(measured(make, work, quick))

    return measure_case


async def measured(make: Callable[[], Any], work: Any, quick: bool) -> dict[str, Any]:
    """Rates at all demands, and lateness at the moderate one."""
    rates = [(await demand(make, work, jobs, quick))[0] for jobs in (QUICK_DEMANDS if quick else DEMANDS)]
    _, late = await demand(make, work, MODERATE, quick)
    return {"rates": rates, "late_p50": percentile(late, 0.5), "late_p99": percentile(late, 0.99)}


async def demand(make: Callable[[], Any], work: Any, jobs: int, quick: bool) -> tuple[float, list[float]]:
    """Runs per CPU second, and how late they were, with so many runs due each second."""
    scheduler, started = make(), _runs
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    for number in range(jobs):
        phase = number % 1000 / 1000
        due = start + timedelta(seconds=jobs / 10_000 + phase)
        scheduler.add_job(work, "interval", seconds=1, start_date=due, args=[phase], id=str(number))
    scheduler.start()
    gc.collect()
    gc.freeze()
    while _runs == started or (datetime.now(UTC) - start).total_seconds() < jobs / 10_000 + 2:
        await asyncio.sleep(0.1)
    watch, before = Stopwatch(), _runs
    _late.clear()
    await asyncio.sleep(1 if quick else 3)
    rate, late = (_runs - before) / watch.read()[1], list(_late)
    await ended(scheduler)
    gc.unfreeze()
    return rate, late


async def ended(scheduler: Any) -> None:
    """Shut it down, ours and theirs."""
    scheduler.remove_all_jobs()
    if hasattr(scheduler, "ashutdown"):
        await scheduler.ashutdown(timeout=5)
    else:
        await asyncio.to_thread(scheduler.shutdown, wait=False)
        await asyncio.sleep(0.2)


def our_background() -> Any:
    from gsched import BackgroundScheduler

    return BackgroundScheduler(timezone="UTC", job_defaults=OPTIONS, run_events="none")


def our_asyncio() -> Any:
    from gsched import AsyncIOScheduler

    return AsyncIOScheduler(timezone="UTC", job_defaults=OPTIONS, run_events="none")


def their_background() -> Any:
    return TheirBackgroundScheduler(timezone="UTC", job_defaults=OPTIONS, executors={"default": TheirThreads(10)})


def their_asyncio() -> Any:
    return TheirAsyncIOScheduler(timezone="UTC", job_defaults=OPTIONS, executors={"default": TheirCoroutines()})


CASES = {
    "gsched, threads": case_of(our_background, is_coroutine=False),
    "APScheduler, threads": case_of(their_background, is_coroutine=False),
    "gsched, asyncio": case_of(our_asyncio, is_coroutine=True),
    "APScheduler, asyncio": case_of(their_asyncio, is_coroutine=True),
}

if __name__ == "__main__":
    run("without_gevent", measure, CASES)
