"""The store's part of the doctor: each check is a small function that gives its findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import gevent
from pymongo import errors as driver
from pymongo.operations import IndexModel
from pymongo.read_concern import ReadConcern

from gsched.clock import Clock
from gsched.doctor import OK, PROBLEM, WARNING, Finding
from gsched.document import shown_id
from gsched.errors import GschedError
from gsched.instants import from_ms, to_ms
from gsched.nodes import ALIVE, DEAD, DRAINING, SILENT, NodeInfo
from gsched.stores.mongodb.connection import INDEXES as JOB_INDEXES, Connection, Document, Jobs, translated
from gsched.stores.mongodb.indexes import missing_indexes, other_expiries
from gsched.stores.mongodb.mongo_cluster import INDEXES
from gsched.stores.mongodb.nodes import read_nodes
from gsched.stores.mongodb.pace import Pace
from gsched.stores.mongodb.partition import SLOTS
from gsched.stores.mongodb.server_time import MOST_SKEW_SECONDS
from gsched.stores.mongodb.streams import UNSUPPORTED_CODES
from gsched.wording import without_noise

_OLDEST_SERVER: Final = (5, 0)
_STANDALONE: Final = 40573
_STUCK_SECONDS: Final = 5.0  # a watermark that is so far behind the time stands still
_LONG_DRAIN_SECONDS: Final = 60.0
_LOOK_AGAIN_SECONDS: Final = 1.5  # what is just being handed over has arrived then
_MOST_NAMED: Final = 5
_MOST_COUNTED: Final = 10_000
_LIMIT_MS: Final = 5000


class MongoDiagnosis:
    """The part of the store that looks for what is wrong with it, in any process."""

    clock: Clock
    _connection: Connection
    _pace: Pace

    def diagnose(self) -> Iterator[Finding]:
        """See BaseJobStore. If the server does not answer, that is the only finding."""
        try:
            server = _server(self._connection)
        except (GschedError, driver.PyMongoError) as error:
            yield _unreachable(error)
            return
        yield server
        for check in (self._topology, self._change_streams, self._clock_skew, self._indexes, self._parked, self._nodes):
            try:
                yield from check(self._connection.jobs())
            except driver.PyMongoError as error:
                name = check.__name__.strip("_").replace("_", " ")
                yield Finding(name, PROBLEM, f"could not be looked at: {translated(error)}", "see the message")

    def _topology(self, jobs: Jobs) -> Iterator[Finding]:
        if not self._connection.is_standalone():
            hello = self._connection.hello()
            name = f"a replica set, {hello['setName']!r}" if "setName" in hello else "a sharded cluster"
            yield Finding("replica set", OK, f"{name}, of {len(hello.get('hosts', ())) or 'unknown'} members")
            return
        yield Finding(
            "replica set", WARNING,
            "a standalone server: one node at a time runs jobs, and changes are polled for",
            "restart mongod with --replSet rs0 and run rs.initiate(); one member is enough",
        )  # fmt: skip

    def _change_streams(self, jobs: Jobs) -> Iterator[Finding]:
        try:
            with jobs.with_options(read_concern=ReadConcern("majority")).watch([], max_await_time_ms=1) as stream:
                stream.try_next()
            yield Finding("change streams", OK, "one was opened")
        except driver.OperationFailure as error:
            yield _no_stream(error)

    def _clock_skew(self, jobs: Jobs) -> Iterator[Finding]:
        """How far this machine's clock is off the server's; half of the round trip is taken off."""
        before = self.clock.now_ms()
        server = to_ms(self._connection.server_time())
        after = self.clock.now_ms()
        skew = ((before + after) / 2 - server) / 1000
        if abs(skew) - (after - before) / 2000 <= MOST_SKEW_SECONDS:
            yield Finding("clock skew", OK, f"this machine and the server agree within {max(abs(skew), 0.001):.3f} s")
            return
        direction = "ahead of" if skew > 0 else "behind"
        yield Finding(
            "clock skew", WARNING,
            f"this machine's clock is {abs(skew):.1f} s {direction} the database server's, which counts",
            "run an NTP client (chrony, systemd-timesyncd) on both machines",
        )  # fmt: skip

    def _indexes(self, jobs: Jobs) -> Iterator[Finding]:
        if lacking := _found_in_all(jobs, missing_indexes):
            yield Finding("indexes", PROBLEM, f"missing: {lacking}", "run `gsched store init`")
        elif others := _found_in_all(jobs, other_expiries):
            remedy = "if that is not what you want, drop them and run `gsched store init`"
            yield Finding("indexes", WARNING, f"documents expire otherwise: {others}", remedy)
        else:
            yield Finding("indexes", OK, "none is missing")

    def _parked(self, jobs: Jobs) -> Iterator[Finding]:
        parked = {"parked": {"$type": "string"}}
        count = jobs.count_documents(parked, maxTimeMS=_LIMIT_MS)
        if not count:
            yield Finding("parked jobs", OK, "none")
            return
        some = jobs.find(parked, ["parked"], limit=_MOST_NAMED, max_time_ms=_LIMIT_MS)
        named = "; ".join(f"{shown_id(job['_id'])}: {job['parked']}" for job in some)
        yield Finding(
            "parked jobs", PROBLEM, f"{count} cannot be run: {named}{' ...' if count > _MOST_NAMED else ''}",
            "mend the reason (store.modules, executors, the trigger); owners look again once the job is changed: "
            "`gsched job resume ID` does",
        )  # fmt: skip

    def _nodes(self, jobs: Jobs) -> Iterator[Finding]:
        nodes = read_nodes(jobs, self._pace.ttl)
        paused = {each["_id"] for each in jobs.activity.find({"paused": True}, ["_id"])}
        troubles = [trouble for node in nodes for trouble in _node_troubles(node, nodes, paused)]
        living = sum(node.runs_jobs for node in nodes)
        yield from troubles
        if not troubles:
            said = f"{living} of {len(nodes)} known live" if living else "none runs jobs now"
            yield Finding("nodes", OK, said)
        if not living:
            yield from self._no_runner(jobs)
        yield _slots(jobs, self._pace.ttl)

    def _no_runner(self, jobs: Jobs) -> Iterator[Finding]:
        """How many jobs no runner runs; a problem if some are due already."""
        waiting: Document = {"paused": {"$ne": True}, "parked": None}
        due = {**waiting, "next_run_time": {"$lte": from_ms(self.clock.now_ms())}}
        jobs_left, due_left = (_counted(jobs, wanted) for wanted in (waiting, due))
        if jobs_left != "0":
            said = f"no runner is alive: {jobs_left} jobs wait for one, {due_left} of them are due"
            yield Finding("runners", WARNING if due_left == "0" else PROBLEM, said, "start one: `gsched run`")


# -- the server -------------------------------------------------------------------------------------------------------


def _server(connection: Connection) -> Finding:
    told = connection.control().client.server_info()
    known = tuple(told["versionArray"][:2])
    if known >= _OLDEST_SERVER:
        return Finding("server", OK, f"MongoDB {told['version']}")
    return Finding("server", PROBLEM, f"MongoDB {told['version']} is too old", "upgrade it to 5.0 at least")


def _unreachable(error: Exception) -> Finding:
    remedy = "check the address, the network, the user, and that the server runs"
    return Finding("server", PROBLEM, f"it does not let us in, or answer: {without_noise(str(error))}", remedy)


def _no_stream(error: driver.OperationFailure) -> Finding:
    remedy = "see the server's log"
    if error.code == _STANDALONE:
        remedy = "make the server a replica set, of one member at least"
    elif error.code in UNSUPPORTED_CODES:
        remedy = "give the user the privilege: the role readWrite on the database has changeStream and find"
    polled = error.code in UNSUPPORTED_CODES
    effect = "changes are polled for, and heard of within seconds" if polled else "changes are heard of late"
    why = (error.details or {}).get("errmsg", error)
    said = f"cannot be opened ({error.code}: {why}); {effect}"
    return Finding("change streams", WARNING if polled else PROBLEM, said, remedy)


def _found_in_all(jobs: Jobs, look: Callable[[Any, Sequence[IndexModel]], list[str]]) -> str:
    """What there is to say of the indexes. A collection that does not exist yet lacks none: whoever needs it makes it.
    """
    there = set(jobs.database.list_collection_names())
    expected = {jobs.name: JOB_INDEXES, **{f"{jobs.name}.{name}": indexes for name, indexes in INDEXES.items()}}
    made = {name: indexes for name, indexes in expected.items() if name in there}
    return ", ".join(f"{name}.{each}" for name, ours in made.items() for each in look(jobs.database[name], ours))


def _counted(jobs: Jobs, wanted: Document) -> str:
    """How many jobs match, as far as they are counted."""
    count = jobs.count_documents(wanted, limit=_MOST_COUNTED, maxTimeMS=_LIMIT_MS)
    return f"{count:,}{'+' if count == _MOST_COUNTED else ''}"


# -- nodes and slots --------------------------------------------------------------------------------------------------


def _node_troubles(node: NodeInfo, nodes: Sequence[NodeInfo], paused: Iterable[str]) -> Iterator[Finding]:
    others_live = any(other.state == ALIVE and other is not node for other in nodes)
    if node.state == DEAD:
        if node.slots:
            yield _dead_owner(node, others_live)
    elif node.state == SILENT:
        remedy = "it is declared dead within seconds" if others_live else "start a node: it takes the jobs over"
        yield Finding("nodes", WARNING, f"{node.id} has not been heard of for {_ago(node.beat_age)}", remedy)
    elif node.state == DRAINING:
        if node.watermark_age > _LONG_DRAIN_SECONDS:
            yield Finding(
                "nodes", WARNING, f"{node.id} has been draining for {_ago(node.watermark_age)}: runs in progress last",
                "see `gsched runs list --outcome running`; a shorter drain_timeout cancels them",
            )  # fmt: skip
    elif node.watermark_age > _STUCK_SECONDS:
        yield _stuck(node, node.id in paused)
    elif node.drain_requested is not None and (node.watermark - node.drain_requested).total_seconds() > _STUCK_SECONDS:
        yield Finding(
            "nodes", WARNING, f"{node.id} was asked to drain at {node.drain_requested.isoformat()} and does not",
            "it is embedded in an application that does not listen to node.drain_requested: stop that process",
        )  # fmt: skip


def _ago(seconds: float | None) -> str:
    return f"{seconds or 0:.0f} s"


def _stuck(node: NodeInfo, paused: bool) -> Finding:
    where = f"{node.id} (process {node.pid} on {node.host})"
    if paused:
        return Finding(
            "nodes", WARNING, f"{where} is paused since {_ago(node.watermark_age)}: what is due in it waits",
            "resume() the scheduler, or drain the node: `gsched node drain`",
        )  # fmt: skip
    return Finding(
        "nodes", PROBLEM, f"{where} lives, but its watermark has stood still for {_ago(node.watermark_age)}: "
        "it starts nothing",
        "look at its log for store.failed and hub.blocked; then restart it: others take its jobs over",
    )  # fmt: skip


def _dead_owner(node: NodeInfo, others_live: bool) -> Finding:
    said = f"{node.id} is dead and still owns {node.slots} slots"
    if others_live:
        remedy = "living nodes should have taken them over within a second: look at their logs for store.failed"
        return Finding("nodes", PROBLEM, said, remedy)
    return Finding("nodes", WARNING, said, "start a node: it takes the jobs over")


def _slots(jobs: Jobs, ttl: float) -> Finding:
    """Slots that nobody owns, or somebody who is not known; looked at twice, for they change hands."""
    living = any(node.state == ALIVE for node in read_nodes(jobs, ttl))
    unowned, strange = _ownerless(jobs)
    for _ in range(2):
        if not strange and not (unowned and living):
            break
        gevent.sleep(_LOOK_AGAIN_SECONDS)
        again = _ownerless(jobs)
        unowned, strange = unowned & again[0], strange & again[1]
    if strange:
        owners = sorted({str(s["owner"]) for s in jobs.slots.find({"_id": {"$in": list(strange)}}, ["owner"])})
        return Finding(
            "slots", PROBLEM, f"{len(strange)} of {SLOTS} belong to nodes that are not known: {', '.join(owners)}",
            f"in mongosh: db[{jobs.name + '.slots'!r}].updateMany({{owner: {{$in: {owners!r}}}}}, "
            "{$set: {owner: null, attached: false}})",
        )  # fmt: skip
    if unowned and living:
        return Finding(
            "slots", PROBLEM, f"{len(unowned)} of {SLOTS} have no owner: the jobs in them are not run",
            "living nodes should take them within a second: look at their logs for store.failed, and restart them",
        )  # fmt: skip
    return Finding("slots", OK, "all have an owner" if living else "no node runs jobs, none needs an owner")


def _ownerless(jobs: Jobs) -> tuple[set[int], set[int]]:
    """The slots without an owner, and those of owners that are not known."""
    known = {node["_id"] for node in jobs.nodes.find({}, ["_id"])}
    owners = {slot["_id"]: slot.get("owner") for slot in jobs.slots.find({}, ["owner"])}
    unowned = {number for number, owner in owners.items() if owner is None}
    return unowned, {number for number, owner in owners.items() if owner is not None and owner not in known}
