"""How late 100 jobs start that recur every second, all at the same instant, for a minute.

Measured inside the job, by the wall clock. Beside it in the same process, half a second apart: a hundred greenlets that
sleep until each instant, the least lateness that gevent and the machine allow.
Run: python load_tests/lateness.py
"""

from __future__ import annotations

import time

import gevent
from harness import Results, promise, run, shares, spread

from gsched import GeventScheduler, current_run

JOBS = 100


def measure(quick: bool) -> Results:
    """Both at once."""
    seconds = 10 if quick else 60
    ours: list[float] = []
    raw: list[float] = []
    scheduler = GeventScheduler()
    scheduler.start()
    start = int(time.time()) + 2
    scheduler.add_jobs(
        {"func": late, "trigger": "interval", "seconds": 1, "start_date": to_date(start), "args": [ours]}
        for _ in range(JOBS)
    )
    sleepers = [gevent.spawn(sleep_until, [start + 0.5 + n for n in range(seconds)], raw) for _ in range(JOBS)]
    gevent.sleep(start + seconds - 0.25 - time.time())
    scheduler.shutdown()
    gevent.joinall(sleepers)
    within = 100 * sum(value <= 50 for value in ours) / (JOBS * seconds)  # a run that is missing is not in time
    figures = {"runs": len(ours), "expected": JOBS * seconds, "gsched_ms": spread(ours), "gevent_sleep_ms": spread(raw)}
    return Results(
        [
            promise("100 jobs every 1 s: within 50 ms", within, at_least=100, unit="%"),
            promise("100 jobs every 1 s: lateness p99", figures["gsched_ms"]["p99"], at_most=10, unit="ms"),
            promise("the same by gevent.sleep: p99", figures["gevent_sleep_ms"]["p99"], unit="ms"),
        ],
        figures,
        shares("100 jobs every second: lateness", "ms late", {"gsched": ours, "gevent.sleep": raw}, 10),
    )


def late(seen: list[float]) -> None:
    """Note by how many milliseconds this run is late."""
    seen.append((time.time() - current_run().scheduled_at.timestamp()) * 1000)


def sleep_until(instants: list[float], seen: list[float]) -> None:
    """The raw primitive."""
    for instant in instants:
        gevent.sleep(max(0.0, instant - time.time()))
        seen.append((time.time() - instant) * 1000)


def to_date(seconds: float) -> str:
    """ISO text of a time."""
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(seconds))


if __name__ == "__main__":
    run("lateness", measure)
