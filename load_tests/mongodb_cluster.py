"""A MongoDB of its own for a load test, a view of what is in it, and processes that run its jobs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import gevent
from harness import HERE
from pymongo import MongoClient, monitoring

from gsched import GeventScheduler
from gsched.embedded import open_embedded
from gsched.stores import MongoDBJobStore
from gsched.stores.claims.membership import wanted_slots

LONGEST_SECONDS = 60.0


class Start(NamedTuple):
    """One line of a node's log: a run that has started, when it was due and when it began, in seconds."""

    job: str
    due: float
    began: float
    value: int

    @property
    def late_ms(self) -> float:
        return (self.began - self.due) * 1000


class Node:
    """A scheduler process."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.popen = popen
        self._log = log
        self._starts: list[Start] = []
        self._read = 0  # bytes of the log

    @property
    def started(self) -> float:
        """When `start` was called."""
        return float(Path(f"{self._log}.started").read_text())

    def has_started(self) -> bool:
        """Whether `start` was called."""
        return Path(f"{self._log}.started").exists()

    def starts(self) -> list[Start]:
        """What it has run so far, as far as it is in its log."""
        with open(self._log, "rb") as file:
            file.seek(self._read)
            text = file.read()
        complete = text[: text.rfind(b"\n") + 1]
        self._read += len(complete)
        self._starts += map(_start, complete.decode().splitlines())
        return self._starts

    def resident(self) -> int:
        """Bytes of physical memory that it has."""
        return int(Path(f"/proc/{self.popen.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def kill(self) -> float:
        """kill -9; when."""
        when = time.time()
        self.popen.kill()
        self.popen.wait()
        return when

    def tell_to_stop(self) -> float:
        """SIGTERM; when."""
        when = time.time()
        self.popen.send_signal(signal.SIGTERM)
        return when

    def stop(self) -> float:
        """End it in good order; when it was told to."""
        when = self.tell_to_stop()
        self.popen.wait(LONGEST_SECONDS)
        return when


def _start(line: str) -> Start:
    job, due_ms, began, value = line.split()
    return Start(job, int(due_ms) / 1000, float(began), int(value))


class Cluster:
    """The jobs of one database of the server, and the nodes that run them."""

    def __init__(self, uri: str, database: str, directory: Path) -> None:
        self.uri, self.database = uri, database
        self._directory = directory
        self.client: MongoClient[dict[str, Any]] = MongoClient(uri, w="majority")
        self.jobs = self.client[database]["jobs"]
        self.nodes: list[Node] = []
        # Not started: it only adds and changes jobs, as a process does that is no scheduler.
        store = MongoDBJobStore(uri, database=database, modules=["mongodb_jobs"])
        self.scheduler = GeventScheduler(jobstores={"default": store}, timezone="UTC")
        self.store = store

    def start_node(self, **settings: Any) -> Node:
        """Start a process (see mongodb_node.Settings)."""
        log = self._directory / f"{self.database}-{len(self.nodes)}.log"
        log.touch()
        given = {"uri": self.uri, "database": self.database, "log": str(log), **settings}
        command = [sys.executable, str(HERE / "mongodb_node.py"), json.dumps(given)]
        self.nodes.append(Node(subprocess.Popen(command), log))
        return self.nodes[-1]

    def owned(self) -> dict[int, int]:
        """How many attached slots each process has, by its id."""
        pids = {node["_id"]: node["pid"] for node in self.jobs.nodes.find()}
        attached = self.jobs.slots.find({"attached": True})
        return Counter(pids.get(slot["owner"], 0) for slot in attached)

    def wait_until_balanced(self, *nodes: Node) -> float:
        """Wait until these own all slots, each the share that is meant for it; when that is seen."""
        pids = {node.popen.pid for node in nodes}

        def balanced() -> bool:
            alive = {node["_id"] for node in self.jobs.nodes.find({"state": "alive", "pid": {"$in": list(pids)}})}
            if len(alive) < len(pids):
                return False
            meant = {number: node for node in alive for number in wanted_slots(node, frozenset(alive), False)}
            return meant == {slot["_id"]: slot["owner"] for slot in self.jobs.slots.find({"attached": True})}

        return wait_until(balanced, 0.05)

    def owner_of(self, nodes: Mapping[int, Node]) -> dict[str, Node]:
        """Which node owns which job now; `nodes` by process id."""
        pids = {node["_id"]: node["pid"] for node in self.jobs.nodes.find()}
        owners = {slot["_id"]: pids.get(slot["owner"], 0) for slot in self.jobs.slots.find({"attached": True})}
        return {job["_id"]: nodes[owners[job["slot"]]] for job in self.jobs.find({}, ["slot"])}

    def starts(self) -> list[Start]:
        """What all nodes have run so far."""
        return [start for node in self.nodes for start in node.starts()]

    def stop(self) -> None:
        """End the nodes that still run."""
        living = [node for node in self.nodes if node.popen.poll() is None]
        for node in living:
            node.tell_to_stop()
        for node in living:
            node.popen.wait(LONGEST_SECONDS)

    def close(self) -> None:
        """Whatever happened: nothing is left."""
        for node in self.nodes:
            if node.popen.poll() is None:
                node.kill()
        self.store.close()
        self.client.drop_database(self.database)
        self.client.close()


class Server:
    """The MongoDB of one load test."""

    def __init__(self, uri: str, directory: Path) -> None:
        self.uri = uri
        self._directory = directory

    @contextmanager
    def cluster(self, database: str) -> Iterator[Cluster]:
        """A database of its own, dropped afterwards."""
        made = Cluster(self.uri, database, self._directory)
        try:
            yield made
        finally:
            made.close()


@contextmanager
def mongodb() -> Iterator[Server]:
    """An embedded MongoDB, a replica set of one node, in a directory that is removed afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="gsched-load-"))
    try:
        with open_embedded(directory / "mongodb") as server:
            yield Server(server.uri, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class RoundTrips(monitoring.CommandListener):
    """Counts the commands that a client sends, by their names; for the client option `event_listeners`."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.counts[event.command_name] += 1

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


def wait_until(happened: Callable[[], object], every: float = 0.002, seconds: float = LONGEST_SECONDS) -> float:
    """Look again and again; when it was seen."""
    give_up = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > give_up:
            raise TimeoutError(f"it has not happened within {seconds:g} s")
        gevent.sleep(every)
    return time.time()
