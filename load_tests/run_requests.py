"""Thousands of runs on request of one job: how fast they are taken, what one costs, and whom they hold up.

First alone: 200 greenlets in each of one or four processes ask for 10,000 runs of one job, which a node runs; or as
many greenlets of the node's own process do. What one costs is CPU time of all processes, MongoDB's too. A tenth as many
must cost about as much each: more would grow with the number that wait.
Then beside 200 jobs that run five times a second, and another one that is paused meanwhile: its last run must not begin
long after that.
Run: python load_tests/run_requests.py [--quick]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from harness import Results, promise, run, spread

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from cluster.rig import Cluster, ReplicaSet, SQLiteCluster, scratch
from waiting import wait_until

HERE = Path(__file__).parent
TICKS = 200
SECONDS = 0.2
CEASES_WITHIN = 2.0  # seconds after a pause, on a busy machine; it took 11 s when requests came first
WARM = 4.0  # seconds for which the other jobs run before
TICK = 1 / os.sysconf("SC_CLK_TCK")
LONGEST_TAKING = 300.0
STORES = ("mongodb", "sqlite")
ASKERS = {"1 process": 1, "4 processes": 4, "the node's process": 0}


def measure(quick: bool) -> Results:
    count = 2000 if quick else 10_000
    figures: dict[str, Any] = {}
    promises: list[dict[str, Any]] = []
    for store in STORES:
        for name, processes in ASKERS.items():
            alone = figures[f"{store}, {name}"] = measure_one(store, processes, count)
            promises += [
                promise(f"{store}, {name}: runs of one job asked for per second", alone["asked_per_second"]),
                promise(f"{store}, {name}: CPU of one", alone["cpu_ms"]["all"], unit="ms"),
            ]
        few = figures[f"{store}, few"] = measure_one(store, 1, count // 10)
        beside = figures[f"{store}, beside others"] = measure_one(store, 1, count, TICKS)
        growth = figures[f"{store}, 1 process"]["cpu_ms"]["all"] / few["cpu_ms"]["all"]
        late = {name: beside[f"lateness_ms_{name}"]["p99"] for name in ("calm", "busy")}
        promises += [
            promise(f"{store}: CPU of one among {count}, to one among a tenth", growth, at_most=2, unit="x"),
            promise(f"{store}: last run of a paused job", beside["last"], at_most=CEASES_WITHIN, unit="s after"),
            promise(f"{store}: p99 lateness of 1,000 other runs a second, before", late["calm"], unit="ms"),
            promise(f"{store}: p99 lateness of 1,000 other runs a second, beside them", late["busy"], unit="ms"),
        ]
    return Results(promises, figures)


def measure_one(store: str, processes: int, count: int, ticks: int = 0) -> dict[str, Any]:
    with scratch() as directory:
        server = ReplicaSet(directory / "server") if store == "mongodb" else None
        if server is None:
            cluster: Cluster = SQLiteCluster(directory, node_ttl=10.0)
        else:
            cluster = Cluster(server.uri, directory, node_ttl=10.0)
        others = [] if server is None else [server.members[0].popen.pid]
        asking = Asking(cluster, processes, count)
        try:
            return asking.measure(others, ticks)
        finally:
            asking.close()
            cluster.close()
            if server is not None:
                server.end_at_once()


class Asking:
    """Processes that ask, and a node that runs what is asked for: one of them, if `processes` is 0."""

    def __init__(self, cluster: Cluster, processes: int, count: int) -> None:
        self._cluster = cluster
        self._count = count
        lines = [] if processes else [str(cluster.runs.path)]
        each = str(count // (processes or 1))
        command = [sys.executable, str(HERE / "asking.py"), cluster.uri, cluster.database, each, *lines]
        self._nodes = [cluster.start("a").popen.pid] if processes else []
        self._asking = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(processes or 1)
        ]

    def measure(self, others: list[int], ticks: int) -> dict[str, Any]:
        """Figures; the processes in `others` work for them, too."""
        cluster = self._cluster
        for each in self._asking:
            self._read(each)
        jobs = cluster.add_ticks(ticks, SECONDS)
        cluster.scheduler.add_job("cluster.jobs:tick", "interval", hours=1, id="asked", max_instances=1)
        cluster.scheduler.add_job("cluster.jobs:tick", "interval", seconds=0.1, id="paused")
        cluster.wait_until_all_run([*jobs, "paused"], time.time() + WARM)
        calm = self._lateness(time.time() - WARM / 2, time.time())
        cpu = [cpu_of(each) for each in (*self._nodes, *others)]
        began = time.time()
        for each in self._asking:
            self._write(each)
        wait_until(lambda: self._ended() > self._count // 10, "some to be taken", LONGEST_TAKING, _look)
        pausing = time.time()
        cluster.scheduler.pause_job("paused")
        paused = time.time()
        said = [json.loads(self._read(each)) for each in self._asking]
        wait_until(lambda: self._ended() >= asked(said), f"{asked(said)} outcomes", LONGEST_TAKING, _look)
        taken = time.time()
        used = [cpu_of(each) - before for each, before in zip((*self._nodes, *others), cpu)]
        busy = self._lateness(began, taken)
        cpu_ms = {"asking": sum(each["cpu"] for each in said), "node": sum(used[: len(self._nodes)])}
        cpu_ms |= {"server": sum(used[len(self._nodes) :]), "all": sum(used) + cpu_ms["asking"]}
        return {
            "requests": asked(said),
            "errors": [each["errors"] for each in said],
            "asked_per_second": asked(said) / (max(each["ended"] for each in said) - began),
            "taken_per_second": asked(said) / (taken - began),
            "longest_call": max(each["longest"] for each in said),
            "cpu_ms": {name: 1000 * seconds / asked(said) for name, seconds in cpu_ms.items()},
            "pause_seconds": paused - pausing,
            "last": max(line["time"] for line in cluster.starts("paused")) - paused,
            "lateness_ms_calm": of(calm),
            "lateness_ms_busy": of(busy),
        }

    def close(self) -> None:
        for each in self._asking:
            each.kill()
            each.wait()

    def _ended(self) -> int:
        """How many of the runs on request have an outcome."""
        return len(self._cluster.records(job_id="asked", state="ended"))

    def _lateness(self, since: float, until: float) -> list[float]:
        """Of runs that began then, in seconds."""
        lines = [line for line in self._cluster.starts(since=since) if line["time"] < until]
        return [line["time"] - line["at"] / 1000 for line in lines if line["job"].startswith("tick")]

    @staticmethod
    def _read(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline()

    @staticmethod
    def _write(process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def of(lateness: list[float]) -> dict[str, float]:
    """p50, p99, p99.9 and the largest, in ms."""
    return {name: 1000 * seconds for name, seconds in spread(lateness or [0.0]).items()}


def asked(said: list[dict[str, Any]]) -> int:
    """How many calls have succeeded."""
    return sum(each["calls"] - sum(each["errors"].values()) for each in said)


def cpu_of(process: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK


def _look(seconds: float) -> None:
    """Counting all that have ended takes its time: not as often as possible."""
    time.sleep(0.5)


if __name__ == "__main__":
    run("run_requests", measure)
