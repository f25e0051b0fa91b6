"""The MongoDB store: connects the parts that answer `gsched.stores.durable` with MongoDB."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from gevent.monkey import is_module_patched
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from gsched.errors import ConfigurationError
from gsched.files.data_directory import absolute, refuse_sqlite
from gsched.history.recent import KEPT
from gsched.jobs.document import DocumentReader
from gsched.stores.base import BaseJobStore
from gsched.stores.durable.answers import Answers
from gsched.stores.durable.native_answers import in_native_threads
from gsched.stores.durable.store import DurableJobStore, Helper
from gsched.stores.messages import HubPort
from gsched.stores.mongodb.claims.database import MongoClaimDatabase
from gsched.stores.mongodb.claims.news import MongoNews
from gsched.stores.mongodb.documents.jobs import JobReader
from gsched.stores.mongodb.driver.connection import Connection
from gsched.stores.mongodb.driver.keeper import Keeper
from gsched.stores.mongodb.history.outputs import MongoOutputs
from gsched.stores.mongodb.history.reader import MongoHistory
from gsched.stores.mongodb.history.records import MongoRecords
from gsched.stores.mongodb.jobs.definitions import MongoDefinitions
from gsched.stores.mongodb.jobs.limits import MongoLimits
from gsched.stores.mongodb.operations.operations import MongoOperations
from gsched.stores.mongodb.operations.outbox import MongoOutbox
from gsched.stores.mongodb.operations.overdue import MongoExpectations

if TYPE_CHECKING:
    from gsched.embedded import EmbeddedMongo

_DATABASE = "gsched"  # if no argument names a database


class MongoDBJobStore(DurableJobStore):
    """Keeps jobs in MongoDB.

    A process that only adds, changes and lists jobs need not start its scheduler.

    Name the server by `uri`, by `host` (a name or a URI) and `port`, or by `client`; without any of them, the server on
    this machine is used. A majority of the replica set confirms each write, and all reads go to the primary, whatever
    the client's defaults are.

    :param uri: "mongodb://..." or "mongodb+srv://..."
    :param client: a MongoClient of yours, or "module:name" of one; the store never closes it
    :param database: the database of the collections; default: the one that the URI names, else "gsched"
    :param collection: the name of the collection of jobs
    :param modules: modules in which stored function references may be resolved, beside those that the scheduler allows
    :param history_keep: how long the history of runs is kept: seconds, a timedelta or "14d"
    :param history_successes: which successes, and instants coalesced into a later run, the history has: "none", "all",
        or n for every n-th. The history always has all other outcomes (see `gsched.history.retention.RetentionPolicy`),
        and runs that were recorded while they were in progress
    :param history_recent: how many of each job's last outcomes are kept with its figures, successes too: 32, or 0 for
        none
    :param node_ttl: after this many seconds without a heartbeat, the other nodes declare a node dead and take its jobs
        over. Set the same in all processes. Well below the default of ten seconds, a node on a busy machine or with a
        slow database may be declared dead
    :param client_options: options for PyMongo's MongoClient
    :raises ConfigurationError: if an argument cannot be right
    """

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
        _refuse_apschedulers_arguments(uri, names, client_options)
        given = {"host": host, "port": port}
        address = {name: value for name, value in given.items() if value is not None}
        super().__init__(
            modules=modules,
            history_keep=history_keep,
            history_successes=history_successes,
            history_recent=history_recent,
            node_ttl=node_ttl,
        )
        self._mongo: EmbeddedMongo | None = None
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
        """A store in a private MongoDB, for people without a server: see `gsched.embedded`.

        :param path: a directory for its data; processes that name the same directory share the jobs
        :param options: further arguments of the store
        :raises EmbeddedMongoError: if there is no mongod, or it cannot be started; the message says what to install
        :raises ConfigurationError: if the directory holds the jobs of a SQLite store
        """
        from gsched.embedded import open_embedded  # not on every platform

        refuse_sqlite(absolute(path))
        mongo = open_embedded(path)
        store = cls(mongo.uri, **options)
        store._mongo = mongo
        return store

    def has_jobs_of(self, other: BaseJobStore) -> bool:
        return isinstance(other, MongoDBJobStore) and self._connection.leads_to_same(other._connection)

    def answers(self) -> Answers:
        connection, clock = self._connection, self.clock
        expectations = MongoExpectations(connection, lambda: JobReader(self.allowed, self.alias))
        answers = Answers(
            definitions=MongoDefinitions(connection, clock, self.allowed, self.alias),
            limits=MongoLimits(connection, clock),
            history=MongoHistory(connection, clock, self.keep_history, self.retention),
            outputs=MongoOutputs(connection, clock, self.keep_history),
            operations=MongoOperations(connection, clock, expectations, self.intervals.ttl),
            records=MongoRecords(connection, clock, self.keep_history),
            expectations=expectations,
            outbox=MongoOutbox(connection),
            news=MongoNews(connection),
            timing=connection.timing,
            claims=self._claim_database,
        )
        return answers if is_module_patched("socket") else in_native_threads(answers)

    def _claim_database(self, complain: Callable[[str], object]) -> MongoClaimDatabase:
        return MongoClaimDatabase(
            self._connection,
            lambda: DocumentReader(self.allowed, self.alias, id_key="_id", durable=True),
            self.keep_history,
            complain,
        )

    def start(self, hub: HubPort, paused: bool) -> None:
        if self._mongo is not None:
            self._mongo.open()  # after a shutdown
        super().start(hub, paused)

    def helpers(self, hub: HubPort) -> Iterable[Helper]:
        return () if self._mongo is None else (Keeper(self._mongo, hub.emit),)

    def backup(self, path: str | os.PathLike[str]) -> None:
        raise ConfigurationError(
            "jobs in MongoDB are copied by MongoDB's own tools: mongodump --oplog, or a snapshot of its disk; `gsched"
            " store export` writes the jobs without their history"
        )

    def close(self) -> None:
        self.leave()
        self._connection.close()
        for threads in self._threads:
            threads.close()
        if self._mongo is not None:
            self._mongo.close()


def _refuse_apschedulers_arguments(uri: Any, names: tuple[Any, ...], options: Mapping[str, Any]) -> None:
    """Refuse the arguments of APScheduler's store, which begin with a database and a collection; it keeps pickles."""
    if isinstance(uri, str) and "://" not in uri:
        problem, names = f"{uri!r} is no URI", (uri, *names)
        instead = ""
    else:
        problem, instead = f"{len(names) + 1} arguments without a name", "uri, "
    if names:
        instead += ", ".join(f"{name}={value!r}" for name, value in zip(("database", "collection", "client"), names))
        raise ConfigurationError(
            f"mongodb: {problem}: write MongoDBJobStore({instead}) to name a database, or "
            "MongoDBJobStore('mongodb://HOST') to name a server"
        )
    if "pickle_protocol" in options:
        raise ConfigurationError("mongodb: pickle_protocol: jobs are BSON documents, not pickles; leave it out")


def _database_in(arguments: Mapping[str, Any]) -> str:
    """The database that the URI names. Nothing connects yet.

    :raises ConfigurationError: if the driver refuses the arguments
    """
    try:
        with MongoClient(**{**arguments, "connect": False}) as client:
            return client.get_default_database(_DATABASE).name
    except (PyMongoError, TypeError, ValueError, KeyError, OSError) as error:  # OSError: of files for TLS
        raise ConfigurationError(f"mongodb: {error}") from error
