"""Memory, SQLite and MongoDB beside each other, in one run: what each costs, and how late its runs are.

- idle: memory, CPU and disk of one process with one job that recurs every minute, the database's processes included
- first run: from the start of the process to the start of a job that is due at once, also with 10^5 jobs in the store
- 100 jobs every second, in one process and in four: how late they are, and how long a claim takes
- 10,000 runs a second in one process: how many run, how late they are, and what one costs
- a job that another process adds, due at once: how long until it starts
Run: python load_tests/stores.py [--quick]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness import Results, percentile, promise, run, spread

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from cluster.rig import ReplicaSet, scratch
from stores_jobs import noted
from stores_node import open_store

from gsched import GeventScheduler

NODE = Path(__file__).with_name("stores_node.py")
STORES = ("memory", "sqlite", "mongodb")
MANY = 100_000
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Place:
    """A new store of a kind, and the processes on it.

    :ivar url: what nodes open
    """

    def __init__(self, kind: str, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700)
        self._servers = ReplicaSet(directory) if kind == "mongodb" else None
        self.url = "memory" if kind == "memory" else f"sqlite:///{directory}/jobs.sqlite"
        if self._servers is not None:
            self.url = self._servers.uri
        self._nodes: list[subprocess.Popen[str]] = []

    def start(self, **settings: Any) -> float:
        """Start a node, and wait until it has, and with `waits` until its jobs run; when its process began."""
        began = time.time()
        command = [sys.executable, str(NODE), json.dumps({"store": self.url, **settings})]
        node = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._nodes.append(node)
        assert node.stdout is not None
        assert (node.stdout.readline(), node.stdout.readline()) == ("started\n", "all run\n")
        return began

    def end(self) -> list[dict[str, Any]]:
        """End the nodes; what each has seen."""
        nodes, self._nodes = self._nodes, []
        return [json.loads(node.communicate()[0]) for node in nodes]

    def pids(self) -> list[int]:
        servers = [] if self._servers is None else [member.popen.pid for member in self._servers.members]
        return [*(node.pid for node in self._nodes), *servers]

    def cpu_seconds(self) -> float:
        """Of all its processes."""
        fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.pids()]
        return sum(int(each[11]) + int(each[12]) for each in fields) / TICKS_PER_SECOND

    def memory_mib(self) -> float:
        status = [Path(f"/proc/{pid}/status").read_text() for pid in self.pids()]
        return sum(int(each.partition("VmRSS:")[2].split()[0]) for each in status) / 1024

    def disk_mb(self) -> float:
        """What files take, without the log of the server."""
        files = (path for path in self.directory.rglob("*") if path.is_file() and path.suffix != ".log")
        return sum(path.stat().st_blocks * 512 for path in files) / 1e6

    def close(self) -> None:
        for node in self._nodes:
            node.kill()
            node.wait()
        if self._servers is not None:
            self._servers.end_at_once()


@contextmanager
def place(kind: str) -> Iterator[Place]:
    with scratch() as directory:
        made = Place(kind, directory / kind)
        try:
            yield made
        finally:
            made.close()


def measure(quick: bool) -> Results:
    """Store by store, each part on a new store."""
    seconds = 8 if quick else 30
    figures = {kind: measure_one(kind, seconds, MANY // 10 if quick else MANY) for kind in STORES}
    promises = [
        promise(f"{kind}: {what}", value, **bounds(kind, what))
        for kind, known in figures.items()
        for what, value in known.items()
    ]
    return Results(promises, figures)


def bounds(kind: str, what: str) -> dict[str, Any]:
    """What is promised of SQLite, and the unit; the others are for comparison."""
    unit = what.rpartition(", ")[2]
    promised = {
        "idle: memory of all processes, MiB": {"at_most": 80},
        "idle: CPU, %": {"at_most": 2},
        "idle: disk, MB": {"at_most": 1},
        "first run after the start of the process, s": {"at_most": 0.6},
    }
    return {"unit": unit, **(promised.get(what, {}) if kind == "sqlite" else {})}


def measure_one(kind: str, seconds: int, many: int) -> dict[str, float]:
    found: dict[str, float] = idle(kind, seconds)
    print(kind, found, file=sys.stderr, flush=True)
    for nodes in (1,) if kind == "memory" else (1, 4):
        found |= lateness(kind, nodes, seconds)
    found |= throughput(kind, seconds)
    if kind != "memory":  # others cannot add jobs to it, and it begins empty
        found |= added_elsewhere(kind, seconds * 5)
        found |= many_jobs(kind, many)
    print(kind, found, file=sys.stderr, flush=True)
    return found


def idle(kind: str, seconds: int) -> dict[str, float]:
    with place(kind) as on:
        began = on.start(count=1, seconds=60.0, now=True)
        time.sleep(4)  # all that is done once
        cpu, since = on.cpu_seconds(), time.time()
        time.sleep(seconds)
        share = 100 * (on.cpu_seconds() - cpu) / (time.time() - since)
        memory, disk = on.memory_mib(), on.disk_mb()
        (node,) = on.end()
    first = next(started for job, _, started in node["starts"] if job == "now")
    return {
        "idle: memory of all processes, MiB": memory,
        "idle: CPU, %": share,
        "idle: disk, MB": disk,
        "first run after the start of the process, s": first - began,
    }


def lateness(kind: str, nodes: int, seconds: int) -> dict[str, float]:
    with place(kind) as on:
        for number in range(nodes):
            on.start(count=0 if number else 100, seconds=1.0, waits=True)
        time.sleep(3 if nodes > 1 else 0)  # until they have divided the jobs
        since = time.time()
        time.sleep(seconds)
        seen = on.end()
    late = [1000 * (at - due) for node in seen for _, due, at in node["starts"] if since < due < since + seconds]
    what = f"100 jobs every second, {nodes} process{'es' if nodes > 1 else ''}"
    found = {f"{what}: {name} lateness, ms": spread(late)[name] for name in ("p50", "p99")}
    if advances := [ms for node in seen for ms in node["advances"]]:
        found |= {f"{what}: {name} of a claim, ms": spread(advances)[name] for name in ("p50", "p99")}
    return found


def throughput(kind: str, seconds: int) -> dict[str, float]:
    with place(kind) as on:
        on.start(count=10_000, seconds=1.0, spread=True, waits=True)
        cpu, since = on.cpu_seconds(), time.time()
        time.sleep(seconds)
        used, over = on.cpu_seconds() - cpu, time.time()
        (node,) = on.end()
    ran = [(due, at) for _, due, at in node["starts"] if since <= at < over]
    return {
        "10,000 runs a second: of these run, %": 100 * len(ran) / (over - since) / 10_000,
        "10,000 runs a second: p99 lateness, ms": percentile([1000 * (at - due) for due, at in ran], 0.99),
        "10,000 runs a second: CPU of one, us": 1e6 * used / max(len(ran), 1),
    }


def added_elsewhere(kind: str, count: int) -> dict[str, float]:
    with place(kind) as on:
        on.start()
        time.sleep(2)
        scheduler = GeventScheduler(jobstores={"default": open_store(on.url)}, timezone="UTC")
        added: dict[str, float] = {}
        for number in range(count):
            added[f"new-{number}"] = time.time()
            scheduler.add_job(noted, id=f"new-{number}")
            time.sleep(0.05)
        time.sleep(1)
        scheduler.close()
        (node,) = on.end()
    took = [1000 * (started - added[job]) for job, _, started in node["starts"]]
    assert len(took) == count, f"{len(took)} of {count} ran"
    return {f"added by another process: {name} until it starts, ms": spread(took)[name] for name in ("p50", "p99")}


def many_jobs(kind: str, many: int) -> dict[str, float]:
    with place(kind) as on:
        began = on.start(count=many, seconds=3600.0, spread=True)
        added = time.time() - began
        on.end()
        scheduler = GeventScheduler(jobstores={"default": open_store(on.url)}, timezone="UTC")
        scheduler.add_job(noted, id="now")
        scheduler.close()
        began = on.start()
        time.sleep(15)
        (node,) = on.end()
    first = min(started for job, _, started in node["starts"] if job == "now")
    return {f"{many} jobs: added in, s": added, f"{many} jobs: first run after the start, s": first - began}


if __name__ == "__main__":
    run("stores", measure)
