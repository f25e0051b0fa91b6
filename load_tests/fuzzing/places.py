"""Where the jobs run: a scheduler of this process, or nodes that share a database and are killed and frozen."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, ClassVar, NamedTuple

import gevent
from cluster.checker import Lines
from cluster.jobs import recorder
from cluster.rig import Cluster, ReplicaSet, SQLiteCluster, brief, scratch
from waiting import wait_until

from gsched import GeventScheduler, MemoryJobStore, MongoDBJobStore, SQLJobStore
from gsched.schedulers.engine import engine_of
from gsched.stores import BaseJobStore

TTL = 3.0
SLACK = 6.0  # what a busy machine gets on top of a period
TAKEOVER_SLICE = 3.0  # on top of the TTL: the time in which others go on with what a node did that was killed
HISTORY = 1_000_000


class Damage(NamedTuple):
    """A time, in seconds, in which something was out of order, or a moment in which something ended."""

    begin: float
    end: float


class Place:
    """Where the jobs run.

    :ivar directory: what is written here can be kept
    :ivar lines: what the jobs wrote
    :ivar scheduler: for whoever judges
    :ivar damages: what has been done
    """

    directory: Path
    lines: Lines
    scheduler: GeventScheduler

    def __init__(self) -> None:
        self.damages: list[Damage] = []

    def make_user(self) -> GeventScheduler:
        """A scheduler for one user."""
        return self.scheduler

    def disturb(self, random: Random, until: float) -> None:
        """Do damage for so long; then everything is as it should be."""
        gevent.sleep(max(0.0, until - time.time()))

    def settle(self) -> None:
        """Wait until all of it works, after the last damage."""

    def events(self, job_id: str) -> list[str]:
        """What was last reported of a job."""
        return []

    def processes(self) -> list[list[int]]:
        """The ids of the processes that run jobs, and of those that they wait for."""
        return [[os.getpid()]]

    def cut_off(self, line: dict[str, Any]) -> float | None:
        """When the node of this line was killed, or frozen, after it: what it did from then on, nobody answers for."""
        return None

    def end(self) -> None:
        """Stop running jobs."""

    def close(self) -> None:
        """Leave nothing behind."""


class InMemory(Place):
    """A scheduler of this process, with the memory store."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        recorder.node, recorder.path = "here", str(directory / "runs.jsonl")
        self.lines = Lines(directory / "runs.jsonl")
        store = MemoryJobStore(history_successes="all", history_size=HISTORY)
        self.scheduler = GeventScheduler(jobstores={"default": store}, timezone="UTC", modules=["cluster.jobs"])
        self.scheduler.start()

    def end(self) -> None:
        self.scheduler.pause()
        hub = engine_of(self.scheduler).require_running()
        while hub.in_progress or not hub.at_rest():  # the last outcomes are not settled yet
            gevent.sleep(0.05)

    def close(self) -> None:
        self.scheduler.shutdown()


class OnNodes(Place):
    """Three nodes that are killed, frozen and ended, and a database that suffers, too."""

    _TO_THE_DATABASE: ClassVar[tuple[Callable[[Any, Random], None], ...]] = ()

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self._cluster = cluster
        self._names = (f"node{number}" for number in count())
        self.directory, self.lines, self.scheduler = cluster.directory, cluster.runs, cluster.scheduler
        self._users: list[GeventScheduler] = []
        cluster.start_and_wait(*(next(self._names) for _ in range(3)), lifetime=86_400)

    def make_user(self) -> GeventScheduler:
        self._users.append(GeventScheduler(jobstores={"default": self._open()}, timezone="UTC"))
        return self._users[-1]

    def _open(self) -> BaseJobStore:
        raise NotImplementedError

    def disturb(self, random: Random, until: float) -> None:
        nodes = (self._kill, self._kill, self._freeze, self._stop)
        to_the_database = tuple(getattr(self, each.__name__) for each in self._TO_THE_DATABASE)
        while time.time() < until:
            # Now and then so long that the others have to have taken over.
            gevent.sleep(random.choice((*(random.uniform(0.5, 4) for _ in range(3)), TTL + TAKEOVER_SLICE)))
            begin = time.time()
            random.choice((*nodes, *nodes, *to_the_database))(random)
            self.damages.append(Damage(begin, time.time()))

    def _any(self, random: Random) -> str:
        return random.choice([name for name, node in self._cluster.nodes.items() if node.alive()])

    def _kill(self, random: Random) -> None:
        self._cluster.kill(self._any(random))
        self._start()

    def _stop(self, random: Random) -> None:
        self._cluster.nodes[self._any(random)].ask_to_end()
        self._start()

    def _freeze(self, random: Random) -> None:
        name = self._any(random)
        self._cluster.freeze(name)
        gevent.sleep(random.uniform(0.3, 1.7) * TTL)
        self._cluster.thaw(name)

    def _start(self) -> None:
        self._cluster.start(next(self._names), lifetime=86_400)

    def settle(self) -> None:
        self._cluster.wait_until_balanced()

    def events(self, job_id: str) -> list[str]:
        its = [each for each in self._cluster.events.all() if each.get("job_id") == job_id]
        return [f"{each['time']:.3f} {each['node_name']} {each['name']} {brief(each)}" for each in its[-10:]]

    def cut_off(self, line: dict[str, Any]) -> float | None:
        ended = self._cluster.ended.get(line["node"], [])
        return min((when for when in ended if when >= line["time"] - SLACK), default=None)

    def processes(self) -> list[list[int]]:
        nodes = [node.popen.pid for node in self._cluster.nodes.values() if node.alive()]
        return [nodes, self._database_processes()]

    def _database_processes(self) -> list[int]:
        return [os.getpid()]  # the users hold the file's lock, too

    def end(self) -> None:
        self._cluster.stop()

    def close(self) -> None:
        for each in self._users:
            each.close()
        self._cluster.close()


class InMongoDB(OnNodes):
    """The server is killed and frozen."""

    def __init__(self, directory: Path) -> None:
        self._server = ReplicaSet(directory / "server")
        super().__init__(Cluster(self._server.uri, directory, node_ttl=TTL))

    def _open(self) -> BaseJobStore:
        return MongoDBJobStore(self._cluster.uri, database=self._cluster.database, modules=["cluster.jobs"])

    def _kill_server(self, random: Random) -> None:
        self._server.members[0].kill()
        gevent.sleep(random.uniform(0, TTL))
        self._server.members[0].start_again()
        self._server.members[0].wait_until_up()
        wait_until(self._server.primary, "a primary")

    def _freeze_server(self, random: Random) -> None:
        self._server.members[0].freeze()
        gevent.sleep(random.uniform(0, TTL))
        self._server.members[0].thaw()

    def _database_processes(self) -> list[int]:
        return [self._server.members[0].popen.pid]

    _TO_THE_DATABASE = (_kill_server, _freeze_server)

    def close(self) -> None:
        super().close()
        self._server.end_at_once()


class InSQLite(OnNodes):
    """Another program locks the file."""

    def __init__(self, directory: Path) -> None:
        super().__init__(SQLiteCluster(directory, node_ttl=TTL))

    def _open(self) -> BaseJobStore:
        return SQLJobStore(self._cluster.uri, modules=["cluster.jobs"])

    def _lock_file(self, random: Random) -> None:
        # With a timeout of its own, SQLite would hold up all greenlets of this process.
        shell = sqlite3.connect(self.directory / "jobs.sqlite", isolation_level=None, timeout=0)
        while not self._begin(shell):
            gevent.sleep(0.001)
        gevent.sleep(random.uniform(0, 2.5) * TTL)
        shell.close()

    @staticmethod
    def _begin(shell: sqlite3.Connection) -> bool:
        try:
            shell.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        return True

    _TO_THE_DATABASE = (_lock_file,)


PLACES: dict[str, Callable[[Path], Place]] = {"memory": InMemory, "sqlite": InSQLite, "mongodb": InMongoDB}


@contextmanager
def place_of(store: str) -> Iterator[Place]:
    with scratch() as directory:
        place = PLACES[store](directory)
        try:
            yield place
        finally:
            place.close()
