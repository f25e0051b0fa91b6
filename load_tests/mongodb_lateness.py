"""How late 100 jobs start that recur every second with MongoDB, on one node and on two, beside the memory store and
greenlets that just sleep: all in the same minute.

Measured inside the jobs by the wall clock. Every case has its own quarter of the second: first the one node, then the
two (all of their 100 jobs at once), then in this process the memory store, then the greenlets. Nodes are processes of
their own; what jobs note they keep until the end, so that none waits for a disk.
Run: python load_tests/mongodb_lateness.py
"""

# ruff: noqa: E402  (gevent has to patch before anything else is imported)
from gevent import monkey

monkey.patch_all()

import time
from datetime import UTC, datetime
from typing import Any

import gevent
from harness import Results, promise, run, shares, spread
from lateness import late, sleep_until
from mongodb_cluster import Cluster, mongodb

from gsched import GeventScheduler

JOBS = 100
CASES = ("MongoDB, one node", "MongoDB, two nodes", "memory", "gevent.sleep")  # in order of their quarters
AHEAD_SECONDS = 3  # everything is loaded by then


def measure(quick: bool) -> Results:
    """All at once."""
    seconds = 8 if quick else 60
    with mongodb() as server, server.cluster("one_node") as one, server.cluster("two_nodes") as two:
        one.wait_until_balanced(one.start_node())
        two.wait_until_balanced(two.start_node(), two.start_node())
        start = int(time.time()) + AHEAD_SECONDS
        for cluster, phase in ((one, 0.0), (two, 0.25)):
            add_jobs(cluster.scheduler, "mongodb_jobs:noted", start + phase)
        memory, raw = in_this_process(start, seconds)
        seen = {name: late_ms(cluster, start, seconds) for name, cluster in zip(CASES, (one, two))}
    seen |= {"memory": memory, "gevent.sleep": raw}
    figures: dict[str, Any] = {name: {"runs": len(ms), **spread(ms), "min": min(ms)} for name, ms in seen.items()}
    return Results(
        [one for name in CASES for one in promises(name, seen[name], JOBS * seconds)],
        {"expected": JOBS * seconds, **figures},
        shares("100 jobs every second: lateness", "ms late", seen, 10),
    )


def promises(name: str, ms: list[float], expected: int) -> list[dict[str, Any]]:
    """What is promised holds with MongoDB; the others are for comparison."""
    bounds = ({"at_least": 100}, {"at_most": 10}) if name.startswith("MongoDB") else ({}, {})
    within = 100 * sum(value <= 50 for value in ms) / expected  # a run that is missing is not in time
    return [
        promise(f"100 jobs every 1 s, {name}: within 50 ms", within, unit="%", **bounds[0]),
        promise(f"100 jobs every 1 s, {name}: lateness p99", spread(ms)["p99"], unit="ms", **bounds[1]),
    ]


def add_jobs(scheduler: GeventScheduler, func: Any, start: float, *args: Any) -> None:
    """All due at `start` for the first time."""
    date = datetime.fromtimestamp(start, UTC)
    recurring = {"func": func, "trigger": "interval", "seconds": 1, "start_date": date, "args": args}
    scheduler.add_jobs(recurring for _ in range(JOBS))


def in_this_process(start: float, seconds: int) -> tuple[list[float], list[float]]:
    """What the memory store and sleeping greenlets make of it."""
    memory: list[float] = []
    raw: list[float] = []
    scheduler = GeventScheduler(timezone="UTC")
    scheduler.start()
    add_jobs(scheduler, late, start + 0.5, memory)
    sleepers = [gevent.spawn(sleep_until, [start + 0.75 + n for n in range(seconds)], raw) for _ in range(JOBS)]
    gevent.joinall(sleepers)
    scheduler.shutdown()
    return memory, raw


def late_ms(cluster: Cluster, start: float, seconds: int) -> list[float]:
    """How late the runs were that were due in time."""
    cluster.stop()
    return [run.late_ms for run in cluster.starts() if start <= run.due < start + seconds]


if __name__ == "__main__":
    run("mongodb_lateness", measure)
