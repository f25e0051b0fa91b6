"""Thousands of runs on request of one job, beside jobs that go on: how fast they are taken, and whom they hold up.

A node runs 200 jobs five times a second. Meanwhile many threads ask for runs of one more job, 10,000 in all, and
another job is paused: its last run must not begin long after that.
Run: python load_tests/mongodb_requests.py [--quick]
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

from harness import Results, percentile, promise, run

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from cluster.rig import Cluster, ReplicaSet, scratch
from waiting import wait_until

THREADS = 20
TICKS = 200
SECONDS = 0.2
CEASES_WITHIN = 2.0  # seconds after a pause, on a busy machine; it took 11 s when requests came first


def measure(quick: bool) -> Results:
    count = 2000 if quick else 10_000
    with scratch() as directory:
        server = ReplicaSet(directory / "server")
        cluster = Cluster(server.uri, directory, node_ttl=10.0)
        try:
            return beside(cluster, count)
        finally:
            cluster.close()
            server.end_at_once()


def beside(cluster: Cluster, count: int) -> Results:
    cluster.start_and_wait("a")
    jobs = cluster.add_ticks(TICKS, SECONDS)
    cluster.scheduler.add_job("cluster.jobs:tick", "interval", hours=1, id="asked", max_instances=1)
    cluster.scheduler.add_job("cluster.jobs:tick", "interval", seconds=0.1, id="paused")
    cluster.wait_until_all_run([*jobs, "paused"], 0)
    calm = lateness(cluster, time.time() - 2, time.time())
    began = time.time()
    asking = [threading.Thread(target=ask, args=(cluster, count // THREADS)) for _ in range(THREADS)]
    for each in asking:
        each.start()
    wait_until(lambda: ended(cluster) > count // 10, "some to be taken")
    pausing = time.time()
    cluster.scheduler.pause_job("paused")
    paused = time.time()
    for each in asking:
        each.join()
    asked = time.time()
    wait_until(lambda: ended(cluster) >= count, lambda: f"{count} outcomes; there are {ended(cluster)}", 300)
    taken = time.time()
    busy = lateness(cluster, began, taken)
    last = max(line["time"] for line in cluster.starts("paused"))
    figures: dict[str, Any] = {
        "requests": count,
        "asked_per_second": round(count / (asked - began)),
        "taken_per_second": round(count / (taken - began)),
        "pause_seconds": round(paused - pausing, 3),
        "lateness_ms_calm": {"p50": percentile(calm, 0.5) * 1000, "p99": percentile(calm, 0.99) * 1000},
        "lateness_ms_busy": {"p50": percentile(busy, 0.5) * 1000, "p99": percentile(busy, 0.99) * 1000},
    }
    return Results(
        [
            promise("runs of one job asked for per second, by 20 threads", figures["asked_per_second"]),
            promise("taken per second", figures["taken_per_second"]),
            promise("the last run of a job paused meanwhile", last - paused, at_most=CEASES_WITHIN, unit="s after"),
            promise("p99 lateness of 1,000 runs a second beside them", figures["lateness_ms_busy"]["p99"], unit="ms"),
        ],
        figures,
    )


def ask(cluster: Cluster, count: int) -> None:
    job = cluster.store.get("asked")
    for _ in range(count):
        cluster.store.request_run(job, f"{threading.get_ident()}-{time.monotonic_ns()}")


def ended(cluster: Cluster) -> int:
    """How many of the runs on request have an outcome."""
    runs = cluster.client[cluster.database]["jobs.runs"]
    return int(runs.count_documents({"job_id": "asked", "state": "ended"}))


def lateness(cluster: Cluster, since: float, until: float) -> list[float]:
    """Of runs that began then, in seconds."""
    lines = [line for line in cluster.starts(since=since) if line["time"] < until and line["job"].startswith("tick")]
    return [line["time"] - line["at"] / 1000 for line in lines]


if __name__ == "__main__":
    run("mongodb_requests", measure)
