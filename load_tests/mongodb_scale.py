"""What a million stored jobs cost: nearly all due every six hours, spread over them, and five hundred every second.

For each number of jobs, in a database of its own:
- start: from `start` in a fresh process until it owns all slots and each fast job has started
- adding and modifying one job, from another process, meanwhile
- lateness of the fast jobs, and memory of the scheduler's process; with so many more jobs they should be the same
Then 1, 2 and 4 nodes on some of the jobs: who owns how many slots, and how long from the start of a process until
each node owns its share.
Run: python load_tests/mongodb_scale.py
"""

# ruff: noqa: E402  (gevent has to patch before anything else is imported)
from gevent import monkey

monkey.patch_all()

import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import gevent
from harness import BLUE, ORANGE, Results, promise, run, spread
from lateness import sleep_until
from mongodb_cluster import Cluster, Node, Server, mongodb, wait_until

SIZES, QUICK_SIZES = (1000, 10_000, 100_000, 1_000_000), (1000, 10_000)
NODES_SIZE, QUICK_NODES_SIZE = 100_000, 5000
FAST, QUICK_FAST = 500, 200
PERIOD = timedelta(hours=6)
ADDS_PER_SECOND = 3000  # at least: so long the first of the slow jobs are not due
RAW_SECONDS = 0.005  # beside it, how late this process wakes that does nothing but sleep
START_SECONDS = 120.0  # longer than promised, so that it is measured, too
FUNC = "mongodb_jobs:noted"


def measure(quick: bool) -> Results:
    """From few to many jobs."""
    with mongodb() as server:
        rows = [measure_size(server, size, quick) for size in (QUICK_SIZES if quick else SIZES)]
        nodes = measure_nodes(server, quick)
    few, many = rows[0], rows[-1]
    jobs = f"{many['jobs']:,} stored jobs"
    return Results(
        [
            promise(f"{jobs}: start", many["start_seconds"], at_most=30, unit="s"),
            promise(f"{jobs}: add one, p50", many["add_ms"]["p50"], at_most=50, unit="ms"),
            promise(f"{jobs}: modify one, p50", many["modify_ms"]["p50"], at_most=50, unit="ms"),
            promise(f"{jobs}: add one, p99", many["add_ms"]["p99"], unit="ms"),
            promise(
                f"{jobs}: lateness p99 of the fast ones, beyond that with {few['jobs']:,}",
                many["lateness_ms"]["p99"] - few["lateness_ms"]["p99"],
                at_most=10,
                unit="ms",
            ),
            promise("gevent.sleep in another process meanwhile: p99", many["gevent_sleep_ms"]["p99"], unit="ms"),
            promise(f"{jobs}: memory of the scheduler", many["mib"], unit="MiB"),
            promise(f"memory with {few['jobs']:,}", few["mib"], unit="MiB"),
            *(promise(f"{row['nodes']} nodes: most slots of one", max(row["slots"]), unit="of 256") for row in nodes),
            promise("a node joins: balanced after", max(row["seconds"] for row in nodes), unit="s"),
        ],
        {"sizes": rows, "nodes": nodes},
        chart(rows),
    )


def measure_size(server: Server, size: int, quick: bool) -> dict[str, Any]:
    """One node, with so many jobs."""
    fast, seconds, changes = (QUICK_FAST, 3, 10) if quick else (FAST, 15, 50)
    said(f"{size:,} jobs")
    with server.cluster(f"scale_{size}") as cluster:
        adding = time.time()
        cluster.scheduler.add_jobs(slow_jobs(size - fast))
        added = time.time()
        cluster.scheduler.add_jobs(fast_jobs(fast))
        node = cluster.start_node(at_once=True)
        wait_until(lambda: owns_all(cluster) and all_started(node, fast), 0.05, START_SECONDS)
        start_seconds = first_starts(node)[-1] - node.started
        gevent.sleep(1)
        before, raw = time.time(), list[float]()
        sleep_until([before + n * RAW_SECONDS for n in range(1, round(seconds / RAW_SECONDS))], raw)
        calm = lateness(node, before, time.time())
        before = time.time()
        add_ms = [add_one(cluster, number) for number in range(changes)]
        modify_ms = [modify_one(cluster, number) for number in range(changes)]
        changing = lateness(node, before, time.time())
        row = {
            "jobs": size,
            "added_per_second": (size - fast) / (added - adding),
            "start_seconds": start_seconds,
            "first_run_seconds": first_starts(node)[0] - node.started,
            "add_ms": spread(add_ms),
            "modify_ms": spread(modify_ms),
            "lateness_ms": spread(calm),
            "gevent_sleep_ms": spread(raw),
            "lateness_while_changing_ms": spread(changing),
            "mib": node.resident() / 2**20,
        }
        cluster.stop()
        return row


def slow_jobs(count: int) -> Iterator[dict[str, Any]]:
    """Due hours apart, evenly spread, from when they should all be stored."""
    begin = datetime.now(UTC) + timedelta(seconds=count / ADDS_PER_SECOND)
    for number in range(count):
        yield {
            "func": FUNC,
            "trigger": "interval",
            "seconds": PERIOD.total_seconds(),
            "start_date": begin + PERIOD * (number / count),
            "id": f"slow-{number}",
            "args": [number],
        }


def fast_jobs(count: int) -> Iterator[dict[str, Any]]:
    """Every second, spread over it."""
    begin = datetime.now(UTC)
    for number in range(count):
        phase = begin + timedelta(seconds=number / count)
        yield {"func": FUNC, "trigger": "interval", "seconds": 1, "start_date": phase, "id": f"fast-{number}"}


def owns_all(cluster: Cluster) -> bool:
    """Whether all slots are attached to some node."""
    return sum(cluster.owned().values()) == 256


def first_starts(node: Node) -> list[float]:
    """When each fast job started first, in order."""
    began: dict[str, float] = {}
    for start in node.starts():
        if start.job.startswith("fast-"):
            began.setdefault(start.job, start.began)
    return sorted(began.values())


def all_started(node: Node, count: int) -> bool:
    """Whether each fast job has started."""
    return len(first_starts(node)) == count


def lateness(node: Node, since: float, until: float) -> list[float]:
    """Milliseconds, of the fast jobs that were due in this time."""
    gevent.sleep(0.2)  # until they have run
    return [one.late_ms for one in node.starts() if one.job.startswith("fast-") and since <= one.due < until]


def add_one(cluster: Cluster, number: int) -> float:
    """Milliseconds of the call."""
    began = time.time()
    cluster.scheduler.add_job(FUNC, "interval", hours=6, id=f"new-{number}")
    return (time.time() - began) * 1000


def modify_one(cluster: Cluster, number: int) -> float:
    """Milliseconds of the call."""
    began = time.time()
    cluster.scheduler.modify_job(f"slow-{number}", args=[-1])
    return (time.time() - began) * 1000


def measure_nodes(server: Server, quick: bool) -> list[dict[str, Any]]:
    """One node, then a second, then a third and a fourth at once."""
    size, fast = (QUICK_NODES_SIZE, QUICK_FAST) if quick else (NODES_SIZE, FAST)
    said(f"1, 2, 4 nodes with {size:,} jobs")
    rows = []
    with server.cluster("nodes") as cluster:
        cluster.scheduler.add_jobs(slow_jobs(size - fast))
        cluster.scheduler.add_jobs(fast_jobs(fast))
        for count in (1, 2, 4):
            began = time.time()
            while len(cluster.nodes) < count:
                cluster.start_node(at_once=True)
            balanced = cluster.wait_until_balanced(*cluster.nodes)
            gevent.sleep(1)
            late = [one.late_ms for one in cluster.starts() if one.job.startswith("fast-") and one.due >= began]
            slots = sorted(cluster.owned().values())
            rows.append({"nodes": count, "slots": slots, "seconds": balanced - began, "lateness_ms": spread(late)})
        cluster.stop()
    return rows


def said(what: str) -> None:
    """It takes minutes: say where it is."""
    print(f"  {what} ...", file=sys.stderr, flush=True)


def chart(rows: Sequence[dict[str, Any]]) -> Any:
    """By the number of jobs, everything in a chart of its own scale: seconds and milliseconds, logarithmic."""

    def draw(axes: Any) -> None:
        jobs = [row["jobs"] for row in rows]
        axes.plot(jobs, [1000 * row["start_seconds"] for row in rows], "o-", color=BLUE, label="start")
        for label, key, style in (("add one, p50", "add_ms", "s--"), ("modify one, p50", "modify_ms", "^--")):
            axes.plot(jobs, [row[key]["p50"] for row in rows], style, label=label)
        axes.plot(jobs, [row["lateness_ms"]["p99"] for row in rows], "x:", label="lateness p99 of the fast ones")
        axes.axhline(50, color=ORANGE, linestyle="--", linewidth=1)
        axes.set(title="One node, by the number of stored jobs", xlabel="jobs", ylabel="ms", xscale="log", yscale="log")
        axes.legend(fontsize="small")

    return draw


if __name__ == "__main__":
    run("mongodb_scale", measure)
