"""How much memory a recurring job takes: 100,000 in the timetable, each with an id and arguments of its own.

100,000 by RSS, 30,000 by tracemalloc, which slows everything down.
- "sparse": every job is due at a time of its own (the worst case: a trigger, a time and a list for each)
- "dense": all recur every second and share trigger and time
By what Python allocated (tracemalloc) and by what the process grew (RSS), each in a process of its own. Its store, its
definition, id and arguments count as the job's.
Run: python load_tests/memory.py
"""

from __future__ import annotations

import gc
import os
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import gevent
from harness import Results, bars, fresh, promise, run
from workload import counted

from gsched import GeventScheduler

DAY_MS = 86_400_000


def measure(quick: bool) -> Results:
    """Both cases, both ways."""
    bytes_each = {name: fresh(__file__, name, quick) for name in CASES}
    return Results(
        [
            promise(f"memory per recurring job, {name}", bytes_each[name], at_most=1024, unit="bytes")
            for name in ("sparse, RSS", "dense, RSS", "sparse, tracemalloc", "dense, tracemalloc")
        ],
        bytes_each,
        bars("Memory per job in the timetable", "bytes", {f"gsched, {k}": v for k, v in bytes_each.items()}, 1024),
    )


def noted(device: int, address: str) -> None:
    """A job with arguments."""


def sparse(count: int) -> Iterator[dict[str, Any]]:
    """Daily jobs, each at a time of its own."""
    start = datetime.now(UTC) + timedelta(hours=1)
    for number in range(count):
        phase = start + timedelta(milliseconds=number * DAY_MS // (2 * count))
        yield definition(number) | {"days": 1, "start_date": phase}


def dense(count: int) -> Iterator[dict[str, Any]]:
    """Jobs that recur every second, together."""
    start = datetime.now(UTC) + timedelta(hours=1)  # not while we measure
    for number in range(count):
        yield definition(number) | {"seconds": 1, "start_date": start}


def definition(number: int) -> dict[str, Any]:
    """What the cases share."""
    return {"func": noted, "trigger": "interval", "id": f"device-{number}", "args": [number, f"10.0.0.{number}"]}


def case(definitions: Callable[[int], Iterator[dict[str, Any]]], read: Callable[[], int], quick: bool) -> float:
    """Bytes per job."""
    count = 10_000 if quick else 30_000 if read is allocated else 100_000  # tracemalloc is slow
    scheduler = GeventScheduler()
    scheduler.start()
    scheduler.add_job(counted)
    gevent.sleep(0.1)  # everything is imported and set up by now
    if read is allocated:
        tracemalloc.start()
    gc.collect()
    before = read()
    scheduler.add_jobs(definitions(count))
    while len(scheduler._engine.hub._lanes["default"].timetable) < count:
        gevent.sleep(0.05)
    gc.collect()
    return (read() - before) / count


def allocated() -> int:
    """Bytes that Python holds."""
    return tracemalloc.get_traced_memory()[0]


def resident() -> int:
    """Bytes of physical memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


CASES = {
    "sparse, RSS": lambda quick: case(sparse, resident, quick),
    "dense, RSS": lambda quick: case(dense, resident, quick),
    "sparse, tracemalloc": lambda quick: case(sparse, allocated, quick),
    "dense, tracemalloc": lambda quick: case(dense, allocated, quick),
}

if __name__ == "__main__":
    run("memory", measure, CASES)
