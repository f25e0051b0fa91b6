"""The store as a scheduler sees it."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import replace
from datetime import timedelta
from typing import Any

import gevent
from gevent.monkey import is_module_patched
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from gsched.clock import Clock
from gsched.document import DocumentReader
from gsched.durations import as_seconds
from gsched.embedded import EmbeddedMongo, open_embedded
from gsched.errors import ConfigurationError, FuncRefError
from gsched.events import EVENT_STORE_FAILED, SchedulerEvent
from gsched.funcref import AllowedFunctions
from gsched.helpers import spawn
from gsched.job import Job
from gsched.patching import PATCH_REMEDY
from gsched.planning import Span
from gsched.recent import KEPT, checked_recent
from gsched.records import Keeping
from gsched.run import Result, Run
from gsched.stores.base import BaseJobStore, HubSide
from gsched.stores.mongodb.activity import MongoActivity, Publisher
from gsched.stores.mongodb.aftermath import Aftermath
from gsched.stores.mongodb.changes import ChangeFeed
from gsched.stores.mongodb.connection import Connection
from gsched.stores.mongodb.definitions import MongoDefinitions
from gsched.stores.mongodb.diagnosis import MongoDiagnosis
from gsched.stores.mongodb.following import MongoFollowing
from gsched.stores.mongodb.history import MongoHistory
from gsched.stores.mongodb.housekeeping import MongoHousekeeping
from gsched.stores.mongodb.keeper import Keeper
from gsched.stores.mongodb.mongo_cluster import MongoCluster
from gsched.stores.mongodb.nodes import MongoNodes
from gsched.stores.mongodb.ownership import Ownership
from gsched.stores.mongodb.pace import Pace
from gsched.stores.report import StoreReport

CLOSE_SECONDS = 10.0  # how long leaving waits for what the driver is doing
AWAY_SECONDS = 2.0  # the same while the database is away
_DATABASE = "gsched"  # where nothing names one


class MongoDBJobStore(
    MongoDefinitions, MongoHistory, MongoHousekeeping, MongoNodes, MongoActivity, MongoFollowing, MongoDiagnosis,
    BaseJobStore,
):  # fmt: skip
    """Keeps jobs in MongoDB.

    In a process that only adds, changes and lists jobs it needs no scheduler that runs.

    The server is named by `uri`, by `host` (a name or a URI) and `port`, or by `client`; without any of them it is
    the one on this machine. What is written is confirmed by a majority of the replica set, what is read comes from its
    primary, whatever a given client's defaults are.

    :param uri: "mongodb://..." or "mongodb+srv://..."
    :param client: a MongoClient of yours, or "module:name" of one; it is never closed here
    :param database: in which database the collections are; without it that which the URI names, else "gsched"
    :param collection: name of the collection of jobs
    :param modules: modules in which stored function references may be resolved, beside those that the scheduler allows
    :param history_keep: how long the history of runs is kept: seconds, a timedelta or "14d"
    :param history_successes: which successes, and instants coalesced into a later run, the history has: "none", "all",
        or n for every n-th; all else it always has (see `gsched.records.Keeping`), and what was written down while it
        was in progress
    :param history_recent: how many of each job's last outcomes are kept with its figures, successes too: 32, or 0 for
        none
    :param node_ttl: after so many seconds of silence a node is dead to the others, and its jobs are theirs; the same in
        all processes. Well below the default of ten seconds, a busy machine or a slow database looks like a death
    :param client_options: options for PyMongo's MongoClient
    :raises ConfigurationError: if an argument cannot be right
    """

    shared = True

    def __init__(
        self,
        uri: str | None = None,
        *names: Any,
        client: Any = None,
        database: str | None = None,
        collection: str = "jobs",
        modules: Iterable[str] = (),
        host: Any = None,
        port: int | None = None,
        history_keep: float | timedelta | str = "14d",
        history_successes: str | int = "none",
        history_recent: int = KEPT,
        node_ttl: float | timedelta | str = 10.0,
        **client_options: Any,
    ) -> None:
        _refuse_what_apscheduler_takes(uri, names, client_options)
        given = {"host": host, "port": port}
        address = {name: value for name, value in given.items() if value is not None}
        self._modules = [modules] if isinstance(modules, str) else list(modules)
        self._pace = Pace(ttl=as_seconds(node_ttl, "node_ttl"))
        self._keep_history = timedelta(seconds=as_seconds(history_keep, "history_keep"))
        self._keeping = Keeping(history_successes)
        self._room: dict[str, int] = {}
        self._keeps_recent = checked_recent(history_recent) > 0
        self._greenlets: list[gevent.Greenlet] = []
        self._mongo: EmbeddedMongo | None = None
        self._keeper: Keeper | None = None
        named = _DATABASE if client is not None else _database_in({"host": uri, **address, **client_options})
        self._connection = Connection(
            uri=uri,
            client=client,
            database=named if database is None else database,
            collection=collection,
            address=address,
            options=client_options,
        )

    @classmethod
    def embedded(cls, path: str | os.PathLike[str], **options: Any) -> MongoDBJobStore:
        """A store in a private MongoDB, for people who have none: see `gsched.embedded`.

        :param path: a directory for its data; processes that name the same one share it
        :param options: further arguments of the store
        :raises EmbeddedMongoError: if there is no mongod, or it cannot be started; the message says what to install
        """
        mongo = open_embedded(path)
        store = cls(mongo.uri, **options)
        store._mongo = mongo
        return store

    def has_jobs_of(self, other: BaseJobStore) -> bool:
        return isinstance(other, MongoDBJobStore) and self._connection.leads_to_same(other._connection)

    def bind(self, alias: str, clock: Clock, allowed: AllowedFunctions) -> None:
        super().bind(alias, clock, _Widened(allowed, self._modules) if self._modules else allowed)

    def start(self, hub: HubSide, paused: bool) -> None:
        if not is_module_patched("socket"):
            raise ConfigurationError(f"jobs in MongoDB can only be run where gevent has patched socket: {PATCH_REMEDY}")
        if self._mongo is not None:
            self._mongo.open()  # after a shutdown
        self._emit = hub.emit
        self._aftermath = Aftermath(
            self._connection, self.clock, hub.emit, keep=self._keep_history, keeping=self._keeping,
            recent=self._keeps_recent,
        )  # fmt: skip
        cluster = self._cluster(self._complain)
        self._ownership = Ownership(cluster, self.clock, hub, self._aftermath.history, _node_name, self._pace)
        self._ownership.pause(paused)
        self._feed = ChangeFeed(self._connection, self._ownership, self.clock, hub.emit)
        self._paused = paused
        self._publisher = Publisher(self._connection, self.clock, hub, self._node, lambda: self._paused)
        parts = (self._ownership, self._feed, self._aftermath, self._publisher)
        self._greenlets = [spawn(part.run) for part in parts]
        if self._mongo is not None:
            self._keeper = Keeper(self._mongo, hub.emit)
            self._greenlets.append(spawn(self._keeper.run))

    def _cluster(self, complain: Callable[[str], object] = lambda said: None) -> MongoCluster:
        return MongoCluster(
            self._connection,
            lambda: DocumentReader(self.allowed, self.alias, id_key="_id", durable=True),
            self._keep_history,
            complain,
        )

    def _complain(self, said: str) -> None:
        self._emit(SchedulerEvent(EVENT_STORE_FAILED, error_type="StoreError", error_message=said))

    def pause(self) -> None:
        self._paused = True
        self._ownership.pause(True)

    def resume(self) -> None:
        self._paused = False
        self._ownership.pause(False)

    def stop(self) -> None:
        self._ownership.stop()

    def abandon(self) -> None:
        self._ownership.abandon()

    def greenlets(self) -> list[gevent.Greenlet]:
        return self._greenlets

    def leave(self) -> None:
        if self._greenlets:
            # None is ever killed: it may be inside the driver. Whatever hangs ends by the driver's own limits.
            self._feed.stop()
            self._aftermath.stop()
            self._publisher.stop()
            if self._keeper is not None:
                self._keeper.stop()
            seconds = (AWAY_SECONDS if self._ownership.away else CLOSE_SECONDS) / 2
            gevent.joinall(self._greenlets[1:], timeout=seconds)
            self._ownership.end()  # last: it says that all has ended, and is written
            if len(gevent.joinall(self._greenlets, timeout=seconds)) < len(self._greenlets):
                why = "does not answer" if self._ownership.away else "did not take all in time"
                self._complain(f"the database {why}: what was still to be written is lost, as in a crash")
            self._greenlets = []

    def close(self) -> None:
        self.leave()
        self._connection.close()
        if self._mongo is not None:
            self._mongo.close()

    def report(self) -> StoreReport:
        asked = self._connection.operations
        if self._greenlets:
            known = replace(self._ownership.report(), feed=self._feed.state, feed_lag=self._feed_lag())
        else:
            known = StoreReport(connected=False, error="no scheduler runs here")
        return replace(known, operations=dict(asked.durations), errors={**asked.errors, **known.errors})

    def _feed_lag(self) -> float | None:
        heard = self._feed.heard
        if heard is None or self._ownership.tenure is None:
            return None
        made, arrived = heard
        return max(0, self._ownership.time.at(arrived) - made) / 1000

    def settle(self, run: Run, result: Result) -> None:
        written = self._ownership.written
        if written.ahead and written.take_ahead(run.job.id, run.scheduled_ms, run.scheduled_ms + 1):
            run.recorded = True
        if not self._aftermath.settle_briefly(run, result):
            self._aftermath.settle(run, result, self._node())

    def settle_span(self, job: Job, span: Span) -> None:
        written = self._ownership.written
        ahead = written.take_ahead(job.id, span.first, span.end) if written.ahead else ()
        self._aftermath.settle_span(job, span, self._node(), ahead)

    def defer(self, job: Job, due: int) -> None:
        self._ownership.defer(job.id, job.rev, due)

    def end(self, job: Job) -> None:
        self._ownership.forget(job.id, job.rev)
        self._aftermath.end(job)

    def park(self, job: Job, reason: str | None) -> None:
        self._ownership.park(job, reason)

    def parked(self) -> Set[str]:
        tenure = self._ownership.tenure if self._greenlets else None
        return frozenset() if tenure is None else tenure.parked.copy()

    def executor_added(self) -> None:
        self._ownership.rescan()

    def _node(self) -> str | None:
        tenure = self._ownership.tenure
        return None if tenure is None else tenure.node


def _refuse_what_apscheduler_takes(uri: Any, names: tuple[Any, ...], options: Mapping[str, Any]) -> None:
    """Its first arguments are the names of a database and of a collection, and it keeps pickles."""
    if isinstance(uri, str) and "://" not in uri:
        said, names = f"{uri!r} is no URI", (uri, *names)
        instead = ""
    else:
        said, instead = f"{len(names) + 1} arguments without a name", "uri, "
    if names:
        instead += ", ".join(f"{name}={value!r}" for name, value in zip(("database", "collection", "client"), names))
        raise ConfigurationError(
            f"mongodb: {said}: write MongoDBJobStore({instead}) to name a database, MongoDBJobStore('mongodb://HOST')"
            " to name a server"
        )
    if "pickle_protocol" in options:
        raise ConfigurationError("mongodb: pickle_protocol: jobs are BSON documents, not pickles; leave it out")


def _database_in(arguments: Mapping[str, Any]) -> str:
    """The database that the URI names; raises what the driver has against these arguments, before anything connects."""
    try:
        with MongoClient(**{**arguments, "connect": False}) as client:
            return client.get_default_database(_DATABASE).name
    except (PyMongoError, TypeError, ValueError, KeyError, OSError) as error:  # OSError: of files for TLS
        raise ConfigurationError(f"mongodb: {error}") from error


def _node_name(now: int) -> str:
    """Begins with the time, so that names are in order of birth."""
    return f"{now:013}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"


class _Widened(AllowedFunctions):
    """What the scheduler allows, and the store's own modules."""

    def __init__(self, allowed: AllowedFunctions, modules: Iterable[str]) -> None:
        super().__init__(modules)
        self._allowed = allowed

    def register(self, ref: str, func: Callable[..., Any], *call: Any) -> None:
        self._allowed.register(ref, func, *call)

    def registered_call(self, ref: str, *call: Any) -> Callable[..., Any] | None:
        return self._allowed.registered_call(ref, *call)

    def resolve(self, ref: str) -> Callable[..., Any]:
        try:
            return self._allowed.resolve(ref)
        except FuncRefError:
            return super().resolve(ref)
