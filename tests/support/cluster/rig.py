"""Real processes for tests: MongoDB servers and nodes that are started, killed, stopped and continued."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from cluster.checker import Lines, Pause, Verdict, check
from folders import database_parent
from ports import free_port
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from waiting import LONGEST_SECONDS, wait_until

from gsched import GeventScheduler
from gsched.embedded import find_mongod
from gsched.stores import BaseJobStore, JobQuery, MongoDBJobStore, SQLJobStore
from gsched.stores.claims.partition import slot_of
from gsched.times.instants import from_ms, to_ms

HERE = Path(__file__).parent
PR_SET_PDEATHSIG = 1
TTL = 2.0  # seconds after which a node that stands still counts as dead
SLACK = 20.0  # seconds that busy machines get on top of every promised time; load_tests measures how long it takes
REPLICA_SET = "rs"
LOOK_SECONDS = 0.1  # between two looks at a cluster: each reads its slots, or all that was run
LONGEST_UNCLAIMED = 3.0  # seconds for which a slot that changes hands may not be claimed when all nodes end


class Process:
    """A child process that ends with this one."""

    def __init__(self, command: list[str], log: Path, environment: dict[str, str] | None = None) -> None:
        libc = ctypes.CDLL(None)
        with open(log, "ab") as out:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **(environment or {})},
                preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
            )

    def signal(self, number: int) -> float:
        """Send a signal; when (monotonic time is not comparable with what others write down)."""
        now = time.time()
        self.popen.send_signal(number)
        return now

    def kill(self) -> float:
        """kill -9; when."""
        now = self.signal(signal.SIGKILL)
        self.popen.wait()
        return now

    def end_at_once(self) -> None:
        """Kill it, if it lives."""
        if self.alive():
            self.kill()

    def freeze(self) -> float:
        """Stop it in mid-air, as a suspended machine or a debugger does."""
        return self.signal(signal.SIGSTOP)

    def thaw(self) -> float:
        return self.signal(signal.SIGCONT)

    def stands_still(self) -> bool:
        """Whether a signal has stopped it."""
        return Path(f"/proc/{self.popen.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def alive(self) -> bool:
        return self.popen.poll() is None

    def end(self, seconds: float = 20.0) -> None:
        """Ask it to end, and wait."""
        self.ask_to_end()
        self.wait_for_end(seconds)

    def ask_to_end(self) -> float:
        """SIGTERM, also to what is frozen; when."""
        when = self.signal(signal.SIGTERM)
        self.thaw()
        return when

    def wait_for_end(self, seconds: float = 20.0) -> None:
        """Wait until it has ended; kill it if it does not."""
        try:
            self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not end within {seconds} s: {self.popen.args}") from None


# -- MongoDB ----------------------------------------------------------------------------------------------------------


class Mongod(Process):
    """A MongoDB server on a loopback port.

    :param options: more of mongod's options
    :param query: what its clients need in their URI
    """

    def __init__(self, directory: Path, *options: str, port: int | None = None, query: str = "") -> None:
        self.directory, self.options, self.query = directory, options, query
        self.port = port or free_port()
        (directory / "db").mkdir(parents=True, exist_ok=True)
        super().__init__(self._command(), directory / "mongod.log")

    def _command(self) -> list[str]:
        return [
            str(find_mongod()),
            *("--dbpath", str(self.directory / "db"), "--port", str(self.port), "--bind_ip", "127.0.0.1"),
            *("--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--quiet"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *("--setParameter", "enableTestCommands=1"),
            *self.options,
        ]

    def start_again(self) -> None:
        """After it was killed: on the same data and port."""
        super().__init__(self._command(), self.directory / "mongod.log")

    def start_anew(self) -> None:
        """After it was killed: with nothing of its own."""
        shutil.rmtree(self.directory / "db")
        (self.directory / "db").mkdir()
        self.start_again()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def uri(self) -> str:
        """Of this server alone."""
        return f"mongodb://{self.address}/?directConnection=true{self.query}"

    def client(self, **options: Any) -> Any:
        return MongoClient(self.uri, tz_aware=True, datetime_conversion="DATETIME_AUTO", **options)

    def wait_until_up(self) -> None:
        """Until it answers."""
        with self.client(serverSelectionTimeoutMS=200) as client:
            wait_until(lambda: self._answers(client), lambda: f"mongod to answer; its log: {self.log_tail()}")

    def _answers(self, client: Any) -> bool:
        assert self.alive(), f"mongod ended: {self.log_tail()}"
        try:
            return bool(client.admin.command("ping"))
        except PyMongoError:
            return False

    def log_tail(self) -> str:
        return (self.directory / "mongod.log").read_text(errors="replace")[-2000:]


class ReplicaSet:
    """MongoDB servers that replicate each other, with a short election timeout."""

    def __init__(self, directory: Path, members: int = 1, *options: str, ready: bool = True, query: str = "") -> None:
        self.members = [
            Mongod(directory / f"member{n}", "--replSet", REPLICA_SET, "--oplogSize", "64", *options, query=query)
            for n in range(members)
        ]
        if ready:
            self.wait_until_ready()

    @property
    def uri(self) -> str:
        if len(self.members) == 1:
            return self.members[0].uri
        addresses = ",".join(each.address for each in self.members)
        return f"mongodb://{addresses}/?replicaSet={REPLICA_SET}{self.members[0].query}"

    def client(self, **options: Any) -> Any:
        return MongoClient(self.uri, tz_aware=True, datetime_conversion="DATETIME_AUTO", **options)

    def wait_until_ready(self) -> None:
        """Until it has been initiated and has a primary."""
        for each in self.members:
            each.wait_until_up()
        members = [{"_id": n, "host": each.address} for n, each in enumerate(self.members)]
        settings = {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500}
        with self.members[0].client() as client:
            client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members, "settings": settings})
        wait_until(self.primary, "a primary")

    def primary(self) -> Mongod | None:
        """The member that is primary now."""
        for each in self.members:
            if each.alive():
                with each.client(serverSelectionTimeoutMS=200, socketTimeoutMS=1000) as client:
                    try:
                        if client.admin.command("hello").get("isWritablePrimary"):
                            return each
                    except PyMongoError:
                        pass
        return None

    def step_down(self) -> None:
        """Have the primary give up, and another one take over."""
        primary = wait_until(self.primary, "a primary")
        with primary.client() as client:
            client.admin.command({"replSetStepDown": 5, "secondaryCatchUpPeriodSecs": 3})

    def has_recovered(self) -> bool:
        """Whether all members have all that there is, or are about to."""
        primary = self.primary()
        if primary is None:
            return False
        with primary.client(serverSelectionTimeoutMS=200) as client:
            states = {member["stateStr"] for member in client.admin.command("replSetGetStatus")["members"]}
        return states == {"PRIMARY", "SECONDARY"}

    def replicate(self, goes_on: bool, primary: Mongod) -> None:
        """Whether the others fetch what the primary writes."""
        for each in self.members:
            if each is not primary:
                with each.client() as client:
                    mode = "off" if goes_on else "alwaysOn"
                    client.admin.command({"configureFailPoint": "stopReplProducer", "mode": mode})

    def end_at_once(self) -> None:
        """Tests that are over need no clean end."""
        for each in self.members:
            each.end_at_once()


# -- nodes ------------------------------------------------------------------------------------------------------------


class Node(Process):
    """A process that runs the node program.

    :param within: a command that runs it in name spaces of its own, as a container does
    """

    def __init__(self, name: str, directory: Path, settings: dict[str, Any], within: Sequence[str] = ()) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        self._within = within
        command = [*within, sys.executable, str(HERE / "node.py"), json.dumps({"name": name, **settings})]
        super().__init__(command, self.log)

    def signal(self, number: int) -> float:
        if not self._within:
            return super().signal(number)
        parent, now = self.popen.pid, time.time()
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            os.kill(int(child), number)
        return now

    def arm(self) -> None:
        """Let it crash where it was told to."""
        self.signal(signal.SIGUSR1)


class Cluster:
    """Nodes that share the jobs of one database, and what they wrote down.

    :param uri: of the database server
    :param node_ttl: short, so that tests are
    """

    def __init__(self, uri: str, directory: Path, *, node_ttl: float = 2.0) -> None:
        self.uri, self.directory, self.node_ttl = uri, directory, node_ttl
        self.database = f"cluster_{uuid.uuid4().hex[:8]}"
        self.nodes: dict[str, Node] = {}
        self.ended: dict[str, list[float]] = {}  # when a node was killed or stopped in mid-air
        self.pauses: list[Pause] = []
        self.runs = Lines(directory / "runs.jsonl")
        self.events = Lines(directory / "events.jsonl")
        self.store = self.open()
        self.scheduler = GeventScheduler(jobstores={"default": self.store}, timezone="UTC")

    # -- the database ---------------------------------------------------------------------------------------------

    def open(self) -> BaseJobStore:
        """The store, for this process; what looks into its database is opened, too."""
        limits = {"serverSelectionTimeoutMS": 5000}
        self.client: Any = MongoClient(self.uri, tz_aware=True, datetime_conversion="DATETIME_AUTO", **limits)
        return MongoDBJobStore(self.uri, database=self.database)

    def _slots(self) -> dict[int, str]:
        """The slots that their owners have attached."""
        slots = self.client[self.database]["jobs.slots"].find({"attached": True})
        return {slot["_id"]: slot["owner"] for slot in slots}

    def records(self, **wanted: Any) -> list[dict[str, Any]]:
        """What the database has about runs."""
        return list(self.client[self.database]["jobs.runs"].find(wanted))

    def _claimed(self) -> dict[int, int]:
        """Until when (ms) each slot is claimed; what is due later, whoever starts next will run."""
        database = self.client[self.database]
        nodes = {node["_id"]: node.get("watermark") for node in database["jobs.nodes"].find()}
        slots = list(database["jobs.slots"].find())
        return {
            slot["_id"]: to_ms(max(slot["watermark"], nodes[slot["owner"]]) if slot["attached"] else slot["watermark"])
            for slot in slots
        }

    # -- nodes ----------------------------------------------------------------------------------------------------

    def start(self, name: str, within: Sequence[str] = (), **settings: Any) -> Node:
        """Start a node; it joins soon."""
        told = self.settings(**settings)
        self.nodes[name] = Node(name, self.directory, told, within)
        return self.nodes[name]

    def settings(self, **settings: Any) -> dict[str, Any]:
        """What a node is told, but for its name."""
        return {
            "uri": self.uri,
            "database": self.database,
            "runs": str(self.runs.path),
            "events": str(self.events.path),
            "node_ttl": self.node_ttl,
            **settings,
        }

    def start_and_wait(self, *names: str, **settings: Any) -> list[Node]:
        """Start nodes, and wait until they have divided the slots among all that are alive."""
        nodes = [self.start(name, **settings) for name in names]
        self.wait_until_balanced()
        return nodes

    def wait_until_balanced(self) -> None:
        """Until every living node owns slots, and nobody else does."""
        wait_until(
            self._is_balanced, lambda: f"{self._living()} to own slots, but {self._owners()}\n{self.problems_said()}",
            every=LOOK_SECONDS,
        )  # fmt: skip

    def _is_balanced(self) -> bool:
        as_told = (None, 0, -signal.SIGTERM)  # the last: told to end before it could listen
        failed = [n for n in self.nodes.values() if n.popen.poll() not in as_told and n.name not in self.ended]
        assert not failed, self.problems_said()
        owners = self._owners()
        return set(owners) == self._living() and len(self._slots()) == 256

    def _living(self) -> set[str]:
        return {node.name for node in self.nodes.values() if node.alive()}

    def _owners(self) -> set[str]:
        """Names of nodes (not their ids) that own slots."""
        names = {said["node"]: said["node_name"] for said in self.events.all() if said["name"] == "node.joined"}
        return {names.get(owner, owner) for owner in self._slots().values()}

    def jobs_of(self, name: str, jobs: list[str]) -> list[str]:
        """Those of the jobs that the node owns now."""
        ids = {said["node"] for said in self.events.named("node.joined") if said["node_name"] == name}
        slots = self._slots()
        return [job for job in jobs if slots.get(slot_of(job)) in ids]

    def kill(self, name: str) -> float:
        """kill -9 a node; when."""
        when = self.nodes[name].kill()
        self.ended.setdefault(name, []).append(when)
        return when

    def note_crash(self, name: str) -> float:
        """The node has been told to crash: wait until it has; about when."""
        self.nodes[name].popen.wait(LONGEST_SECONDS)
        self.ended.setdefault(name, []).append(time.time())
        return time.time()

    def freeze_at_its_point(self, name: str) -> float:
        """The node stops itself where it was told to; about when."""
        since = time.time()
        self.nodes[name].arm()
        wait_until(self.nodes[name].stands_still, "it stands still")
        self.ended.setdefault(name, []).append(time.time())
        return since

    def freeze(self, name: str) -> float:
        """Stop a node in mid-air; since when it stands still."""
        self.nodes[name].freeze()
        wait_until(self.nodes[name].stands_still, "it stands still")
        self.ended.setdefault(name, []).append(time.time())
        return self.ended[name][-1]

    def thaw(self, name: str) -> float:
        """Let a node that stands still go on; when."""
        when = self.nodes[name].thaw()
        self.pauses.append(Pause(name, self.ended[name][-1], when))
        return when

    def stop(self, *names: str) -> float:
        """End nodes cleanly, all if none is named; when they were told to."""
        nodes = [self.nodes[name] for name in names or self._living()]
        when = time.time()
        for node in nodes:
            node.ask_to_end()
        for node in nodes:
            node.wait_for_end()
        return when

    def close(self) -> None:
        """Whatever happened: nothing is left."""
        for node in self.nodes.values():
            node.end_at_once()
        self.store.close()
        if self.client is not None:
            self.client.close()

    # -- jobs -----------------------------------------------------------------------------------------------------

    def add_ticks(self, count: int, seconds: float = 0.5, **options: Any) -> list[str]:
        """Add jobs that recur every so often from one second from now, out of step with each other."""
        name = options.pop("name", "tick")
        start = (int(time.time()) + 1) * 1000
        ids = [f"{name}-{n}" for n in range(count)]
        self.scheduler.add_jobs(
            {
                "func": "cluster.jobs:tick",
                "trigger": "interval",
                "seconds": seconds,
                "start_date": datetime.fromtimestamp((start + n * 37 % round(seconds * 1000)) / 1000, UTC),
                "id": job_id,
                **options,
            }
            for n, job_id in enumerate(ids)
        )
        return ids

    def add_flaky(self, count: int) -> list[str]:
        """Add jobs whose runs fail and are retried: half of them succeed in the third attempt, the others fail at last;
        half of each run again after a crash."""
        policy = {"coalesce": False, "max_instances": 20, "retries": 2, "retry_delay": [0.5]}
        ids = []
        for name, attempt, recover in (
            *(("healed-once", 3, False), ("healed-again", 3, True)),
            *(("hopeless-once", 100, False), ("hopeless-again", 100, True)),
        ):
            flaky = {"func": "cluster.jobs:flaky", "args": [attempt], "recover": recover}
            ids += self.add_ticks(count, 1.0, name=name, **flaky, **policy)
        return ids

    def starts(self, job: str | None = None, since: float = 0.0, **wanted: Any) -> list[dict[str, Any]]:
        """What has been started: the lines about it."""
        return [
            line
            for line in self.runs.all()
            if line["what"] == "start" and line["time"] >= since and job in (None, line["job"])
            and all(line[key] == value for key, value in wanted.items())
        ]  # fmt: skip

    def wait_for_event(self, name: str, since: float = 0.0, seconds: float = LONGEST_SECONDS, **wanted: Any) -> Any:
        """The first such event that happened after `since`."""
        found = partial(self.first_event, name, since, **wanted)
        return wait_until(found, lambda: f"{name} {wanted}\n{self.problems_said()}", seconds, every=LOOK_SECONDS)

    def first_event(self, name: str, since: float = 0.0, **wanted: Any) -> Any:
        for said in self.events.named(name):
            if said["time"] >= since and all(said.get(key) == value for key, value in wanted.items()):
                return said
        return None

    def history(self, job: str) -> list[dict[str, Any]]:
        """What the database says of a job's runs."""
        return self.records(job_id=job)

    def documents(self) -> Any:
        """The collection of the jobs."""
        return self.client[self.database]["jobs"]

    def wait_for_start(self, job: str, since: float, seconds: float = LONGEST_SECONDS, **wanted: Any) -> Any:
        """The first line of a run of the job that started after `since`."""
        return wait_until(
            lambda: next(iter(self.starts(job, since, **wanted)), None),
            lambda: f"a run of {job} {wanted}\n{self.problems_said()}",
            seconds,
            every=LOOK_SECONDS,
        )

    def wait_until_all_run(self, jobs: list[str], after: float, seconds: float = LONGEST_SECONDS) -> float:
        """Wait until each of the jobs has started an instant due after `after`; when the last of these began."""

        def first_starts() -> dict[str, float]:
            first: dict[str, float] = {}
            for line in self.starts():
                if line["at"] > after * 1000 and line["request"] is None:
                    first.setdefault(line["job"], line["time"])
            return first

        wait_until(
            lambda: first_starts().keys() >= set(jobs),
            lambda: f"runs of {sorted(set(jobs) - first_starts().keys())}\n{self.problems_said()}",
            seconds,
            every=LOOK_SECONDS,
        )
        found = first_starts()
        return max(found[job] for job in jobs)

    # -- the verdict ----------------------------------------------------------------------------------------------

    def check(self, until: float, only: list[str] | None = None) -> Verdict:
        """Whether every instant up to `until` had one outcome. To be called when all nodes have ended.

        :param only: these jobs; default: all that are there at the end
        """
        jobs = [job for job in self.store.find(JobQuery()) if only is None or job.id in only]
        history = self.records(request=None)
        crashes = [when for times in self.ended.values() for when in times]
        claimed = self._claimed()
        ends = {job.id: min(round(until * 1000), claimed[slot_of(job.id)]) for job in jobs}
        verdict = check(jobs, ends, self.runs.all(), self.events.all(), history, crashes, self.pauses)
        behind = [job_id for job_id, end in ends.items() if end < (until - LONGEST_UNCLAIMED) * 1000]
        verdict.problems += [f"{job_id} was claimed until {ends[job_id]} only" for job_id in behind]
        return verdict

    def stop_and_check(self, only: list[str] | None = None) -> Verdict:
        """End all nodes cleanly, and assert that every instant until then had one outcome."""
        verdict = self.check(self.stop(), only)
        said = "\n".join(verdict.problems[:20])
        assert not verdict.problems, f"{said}\n{self.problems_said()}"
        return verdict

    def problems_said(self) -> str:
        """The end of what the nodes said, for a test that fails."""
        said = [f"{line['time']:.3f} {line['node_name']} {line['name']} {brief(line)}" for line in self.events.all()]
        logs = [f"{n.name}: {n.log.read_text(errors='replace')[-1500:]}" for n in self.nodes.values() if n.log.exists()]
        return "\n".join([*said[-40:], *logs])


class SQLiteCluster(Cluster):
    """Nodes that share the jobs of one SQLite file in the directory."""

    def __init__(self, directory: Path, *, node_ttl: float = 2.0) -> None:
        super().__init__(f"sqlite:///{directory}/jobs.sqlite", directory, node_ttl=node_ttl)

    def open(self) -> SQLJobStore:
        self.client = None
        return SQLJobStore(self.uri)

    def freeze(self, name: str) -> float:
        """Stop a node that is not writing: one that stands still in a transaction holds up all others."""
        while True:
            self.nodes[name].freeze()
            wait_until(self.nodes[name].stands_still, "it stands still")
            if self._may_be_written():
                return super().freeze(name)
            self.nodes[name].thaw()

    def _may_be_written(self) -> bool:
        with closing(sqlite3.connect(self.uri.removeprefix("sqlite:///"), timeout=1.0, isolation_level=None)) as line:
            try:
                line.execute("BEGIN IMMEDIATE")
                line.execute("ROLLBACK")
            except sqlite3.OperationalError:
                return False
        return True

    def _rows(self, table: str) -> list[dict[str, Any]]:
        # Through the store, for SQLite knows its own files: another one that closes them would drop its locks.
        found = getattr(self.store._connection.tables, table)
        return self.store._connection.read(lambda line: [dict(row) for row in line.execute(found.select()).mappings()])

    def _slots(self) -> dict[int, str]:
        return {slot["id"]: slot["owner"] for slot in self._rows("slots") if slot["attached"]}

    def records(self, **wanted: Any) -> list[dict[str, Any]]:
        rows = [row for row in self._rows("runs") if all(row[key] == value for key, value in wanted.items())]
        return [_as_document(row) for row in rows]

    def _claimed(self) -> dict[int, int]:
        nodes = {node["id"]: node["watermark"] for node in self._rows("nodes")}
        return {
            slot["id"]: max(slot["watermark"], nodes[slot["owner"]]) if slot["attached"] else slot["watermark"]
            for slot in self._rows("slots")
        }


def _as_document(row: dict[str, Any]) -> dict[str, Any]:
    """What MongoDB's documents would say."""
    times = ("scheduled_at", "until")
    known = {name: value for name, value in row.items() if value is not None}
    return {name: from_ms(value) if name in times else value for name, value in known.items()}


def brief(line: dict[str, Any]) -> str:
    """An event in a line of moderate length."""
    rest = {key: value for key, value in line.items() if key not in ("time", "node_name", "name")}
    return str(rest)[:300]


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory for servers and files."""
    directory = Path(tempfile.mkdtemp(prefix="gsched-cluster-", dir=database_parent()))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def wait_for_outcome(cluster: Cluster, job: str, outcome: str) -> None:
    """Until the history of a job has it."""
    wait_until(
        lambda: outcome in [run.get("outcome") for run in cluster.history(job)],
        lambda: f"{job} to be {outcome}: {cluster.history(job)}\n{cluster.problems_said()}",
    )


def report(what: str, **figures: Any) -> None:
    """Figures for people: shown by pytest -s."""
    print(what, {name: round(value, 3) for name, value in figures.items()})
