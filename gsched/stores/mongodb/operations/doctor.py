"""The store's part of the doctor: each check is a method that gives its findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from pymongo import errors as driver
from pymongo.operations import IndexModel
from pymongo.read_concern import ReadConcern

from gsched.errors import GschedError
from gsched.monitoring.doctor import OK, PROBLEM, WARNING, Finding, parked_finding
from gsched.monitoring.nodes import ALIVE
from gsched.monitoring.pauses import paused_finding
from gsched.stores.claims.server_time import MOST_SKEW_SECONDS
from gsched.stores.durable.node_checks import Owners, node_findings, runner_finding, slot_finding
from gsched.stores.mongodb.documents.jobs import is_not_paused
from gsched.stores.mongodb.driver.codec import Document, Jobs
from gsched.stores.mongodb.driver.connection import Connection, translated
from gsched.stores.mongodb.driver.indexes import INDEXES_BESIDE, JOB_INDEXES, missing_indexes, other_expiries
from gsched.stores.mongodb.driver.streams import UNSUPPORTED_CODES
from gsched.stores.mongodb.operations.activity import paused_jobs
from gsched.stores.mongodb.operations.nodes import read_nodes
from gsched.times.clock import Clock
from gsched.times.instants import from_ms, to_ms
from gsched.wording import without_noise

_OLDEST_SERVER: Final = (5, 0)
_STANDALONE: Final = 40573
_MOST_NAMED: Final = 5
_MOST_COUNTED: Final = 10_000
_LIMIT_MS: Final = 5000

# By types, because that uses the index of ids. "Not a string" would read all documents.
_UNNAMED: Final[Document] = {
    "_id": {
        "$type": [
            *("double", "object", "binData", "objectId", "bool", "date", "null", "int", "timestamp", "long"),
            *("decimal", "minKey", "maxKey"),
        ]
    }
}


class MongoDiagnosis:
    """Looks for problems of a store.

    :param ttl: seconds without a beat after which a node is silent
    """

    def __init__(self, connection: Connection, clock: Clock, ttl: float) -> None:
        self._connection = connection
        self._clock = clock
        self._ttl = ttl

    def diagnose(self, further: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
        """See BaseJobStore, and the findings of `further`. If the server does not answer, that is the only finding."""
        try:
            server = _server(self._connection)
        except (GschedError, driver.PyMongoError) as error:
            yield _unreachable(error)
            return
        yield server
        of_server = (self._topology, self._change_streams, self._clock_skew)
        for check in (*of_server, self._indexes, self._ids, self._parked, self._paused, self._nodes):
            try:
                yield from check(self._connection.jobs())
            except driver.PyMongoError as error:
                name = check.__name__.strip("_").replace("_", " ")
                yield Finding(name, PROBLEM, f"could not be looked at: {translated(error)}", "see the message")
        yield from further()

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
        """Open a stream on the database, as the change feed does."""
        watched = jobs.database.with_options(read_concern=ReadConcern("majority"))
        try:
            with watched.watch([], max_await_time_ms=1) as stream:
                stream.try_next()
            yield Finding("change streams", OK, "one was opened")
        except driver.OperationFailure as error:
            yield _no_stream(error)

    def _clock_skew(self, jobs: Jobs) -> Iterator[Finding]:
        """How far this machine's clock is off the server's, less half of the round trip."""
        before = self._clock.now_ms()
        server = to_ms(self._connection.server_time())
        after = self._clock.now_ms()
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
            remedy = "drop these indexes and run `gsched store init`"
            yield Finding("indexes", PROBLEM, f"documents expire otherwise: {others}", remedy)
        else:
            yield Finding("indexes", OK, "none is missing")

    def _ids(self, jobs: Jobs) -> Iterator[Finding]:
        """Documents whose id is no text are no jobs: nothing reads them."""
        found = list(jobs.find(_UNNAMED, ["_id"], limit=_MOST_NAMED, max_time_ms=_LIMIT_MS))
        if found:
            named = ", ".join(repr(document["_id"]) for document in found)
            ignored = f"documents in {jobs.name} whose _id is no text are ignored: {named}"
            yield Finding("ids of jobs", WARNING, ignored, "insert them again with a text as _id, and delete these")

    def _parked(self, jobs: Jobs) -> Iterator[Finding]:
        parked = {"parked": {"$type": "string"}}
        count = jobs.count_documents(parked, maxTimeMS=_LIMIT_MS)
        some = jobs.find(parked, ["parked"], limit=_MOST_NAMED, max_time_ms=_LIMIT_MS) if count else ()
        yield parked_finding(count, {job["_id"]: job["parked"] for job in some})

    def _paused(self, jobs: Jobs) -> Iterator[Finding]:
        yield paused_finding(paused_jobs(jobs, self._clock.now_ms()))

    def _nodes(self, jobs: Jobs) -> Iterator[Finding]:
        nodes = read_nodes(jobs, self._ttl)
        paused = {each["_id"] for each in jobs.activity.find({"paused": True}, ["_id"])}
        yield from node_findings(nodes, paused)
        if not any(node.runs_jobs for node in nodes):
            now = self._clock.now_ms()
            waiting: Document = {**is_not_paused(now), "parked": None}
            due = {**waiting, "next_run_time": {"$lte": from_ms(now)}}
            yield from runner_finding(_counted(jobs, waiting), _counted(jobs, due))
        yield slot_finding(any(node.state == ALIVE for node in nodes), lambda: _owners(jobs), partial(_repair, jobs))


# -- the server -------------------------------------------------------------------------------------------------------


def _server(connection: Connection) -> Finding:
    info = connection.control().client.server_info()
    if tuple(info["versionArray"][:2]) >= _OLDEST_SERVER:
        return Finding("server", OK, f"MongoDB {info['version']}")
    return Finding("server", PROBLEM, f"MongoDB {info['version']} is too old", "upgrade it to 5.0 at least")


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
    effect = "changes are polled for, and noticed within seconds" if polled else "changes are noticed late"
    why = (error.details or {}).get("errmsg", error)
    return Finding(
        "change streams", WARNING if polled else PROBLEM, f"cannot be opened ({error.code}: {why}); {effect}", remedy
    )


def _found_in_all(jobs: Jobs, look: Callable[[Any, Sequence[IndexModel]], list[str]]) -> str:
    """The names of the indexes that `look` finds in all collections. A collection that does not exist yet lacks none:
    the first process that needs it makes its indexes."""
    there = set(jobs.database.list_collection_names())
    expected = {jobs.name: JOB_INDEXES, **{f"{jobs.name}.{name}": indexes for name, indexes in INDEXES_BESIDE.items()}}
    made = {name: indexes for name, indexes in expected.items() if name in there}
    return ", ".join(f"{name}.{each}" for name, ours in made.items() for each in look(jobs.database[name], ours))


def _counted(jobs: Jobs, wanted: Document) -> str:
    """How many jobs match; "10,000+" if there are more."""
    count = jobs.count_documents(wanted, limit=_MOST_COUNTED, maxTimeMS=_LIMIT_MS)
    return f"{count:,}{'+' if count == _MOST_COUNTED else ''}"


# -- nodes and slots --------------------------------------------------------------------------------------------------


def _owners(jobs: Jobs) -> Owners:
    known = {node["_id"] for node in jobs.nodes.find({}, ["_id"])}
    return Owners({slot["_id"]: slot.get("owner") for slot in jobs.slots.find({}, ["owner"])}, known)


def _repair(jobs: Jobs, owners: Sequence[str]) -> str:
    """The command that frees the slots of these owners."""
    return (
        f"in mongosh: db[{jobs.name + '.slots'!r}].updateMany({{owner: {{$in: {owners!r}}}}}, "
        "{$set: {owner: null, attached: false}})"
    )
