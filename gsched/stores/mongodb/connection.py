"""The connections to MongoDB: one for bulk work, one for what must not wait; and the driver's errors as ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pkgutil import resolve_name
from socket import gaierror
from typing import Any, Final, TypeAlias

from bson.errors import BSONError
from pymongo import MongoClient, ReadPreference, WriteConcern, errors as driver, timeout
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.operations import IndexModel
from pymongo.read_concern import ReadConcern

from gsched import errors
from gsched.stores.mongodb.documents import CODEC
from gsched.stores.mongodb.indexes import make_indexes
from gsched.stores.mongodb.monitoring import Operations
from gsched.stores.mongodb.names import check_names
from gsched.wording import without_noise

Document: TypeAlias = dict[str, Any]
Jobs: TypeAlias = Collection[Document]

# Milliseconds. A server that is gone is noticed soon; one that hangs, too. What users give wins, for their client.
_BULK_LIMITS: Final = {"serverSelectionTimeoutMS": 5_000, "connectTimeoutMS": 5_000, "socketTimeoutMS": 30_000}
_CONTROL_LIMITS: Final = {"serverSelectionTimeoutMS": 2_000, "connectTimeoutMS": 2_000, "socketTimeoutMS": 5_000}
_CONTROL_POOL: Final = {"maxPoolSize": 4, "minPoolSize": 0, "waitQueueTimeoutMS": 5_000}
# The claim protocol and the change feed count on these, whatever users set for the whole client.
_CONTROL_PROTOCOL: Final = {"timeoutMS": None, "retryWrites": True, "retryReads": True}
_CONFIRM_MS: Final = 20_000  # how long a majority may take to confirm a write
_FAREWELL_SECONDS: Final = 1.0  # how long a server is looked for, to tell it that sessions have ended

_NO_CONNECTION: Final = (ConnectionRefusedError, FileNotFoundError, gaierror)  # of hosts, sockets, names
_MAY_BE_WRITTEN: Final = (
    "What was being written may have been written: look with get_job, or add again with replace_existing=True."
)
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
_ACCESS_CODES: Final = frozenset({13, 18, 8000})  # Unauthorized, AuthenticationFailed, Atlas' AtlasError

# What the queries need: a slot's jobs by time; those of which runs were requested; those with a tag; those that cannot
# be run; the order of listings.
INDEXES: Final = (
    IndexModel([("slot", 1), ("next_run_time", 1)], name="slot_next_run_time"),
    IndexModel([("slot", 1)], name="requested", partialFilterExpression={"requests.0": {"$exists": True}}),
    IndexModel([("tags", 1)], name="tags"),
    IndexModel([("parked", 1)], name="parked", partialFilterExpression={"parked": {"$type": "string"}}),
    IndexModel([("paused", 1), ("next_run_time", 1), ("_id", 1)], name="listing"),
)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Around calls of the driver (also as a decorator): its errors become ours."""
    try:
        yield
    except driver.PyMongoError as error:
        raise translated(error) from error
    except BSONError as error:  # a value that cannot be asked for, such as text with a null character in a search
        raise errors.StoreError(f"{error}") from error


def translated(error: driver.PyMongoError) -> errors.GschedError:
    """The error of ours that says the same."""
    if isinstance(error, (driver.ConfigurationError, driver.InvalidURI)):
        return errors.ConfigurationError(f"mongodb: {error}")
    kind: type[errors.StoreError] = errors.StoreError
    if isinstance(error, (driver.ConnectionFailure, driver.WTimeoutError, driver.ExecutionTimeout)) or error.timeout:
        kind = errors.StoreUnreachableError
    elif getattr(error, "code", None) in _ACCESS_CODES:
        kind = errors.StoreAccessError
    elif isinstance(error, driver.BulkWriteError) and _only_unconfirmed(error):
        kind = errors.StoreUnreachableError
    what = " ".join((kind.__doc__ or "").split())
    if kind is errors.StoreUnreachableError and not _was_kept_back(error):
        what += f" {_MAY_BE_WRITTEN}"
    return kind(f"{what} ({type(error).__name__}: {without_noise(str(error))})")


def _was_kept_back(error: driver.PyMongoError) -> bool:
    """Whether there was no connection by which anything could have been sent."""
    none_to_be_had = (driver.ServerSelectionTimeoutError, driver.WaitQueueTimeoutError)
    return isinstance(error, none_to_be_had) or isinstance(error.__cause__, _NO_CONNECTION)


def _only_unconfirmed(error: driver.BulkWriteError) -> bool:
    details = error.details or {}
    return not details.get("writeErrors") and bool(details.get("writeConcernErrors"))


class Connection:
    """Where a store's jobs are, and the clients that lead there, made when they are first needed.

    - `jobs()` is for bulk work; `control()` for what must be on time. Heartbeats that share a pool with bulk work wait
      behind it, so that the second client is always our own. It is made from the same address and options; a client
      that was given as an object is copied by PyMongo's own means, and shared in the rare case that it cannot be.
    - A forked child makes clients of its own: sockets and locks must not be shared with the parent.
    - `operations` counts what the clients that are made here do.
    - All reads go to the primary, all writes wait for a majority, whatever the client's defaults are.

    Raises ConfigurationError if the server is named in two ways, or the arguments cannot be right.
    """

    def __init__(
        self, *, uri: str | None, client: Any, database: str, collection: str, address: Document, options: Document
    ) -> None:
        if sum((uri is not None, client is not None, bool(address))) > 1:
            raise errors.ConfigurationError("mongodb: name the server once: by uri, by host and port, or by client")
        if client is not None and options:
            raise errors.ConfigurationError(f"mongodb: {', '.join(options)}: give these to the client itself")
        check_names(database, collection)
        self._given = _checked_client(client)
        self._arguments: Document = {**address, **options} if uri is None else {"host": uri, **options}
        self._database, self.name = database, collection
        self._given_in = self._made_in = os.getpid()
        self._made: dict[str, MongoClient[Document]] = {}
        self.operations = Operations()
        self._is_prepared = False

    def jobs(self) -> Jobs:
        """The collection of the jobs, for bulk work."""
        return self._in_database(self._bulk_client())[self.name]

    def control(self) -> Database[Document]:
        """The database, by the client that only does what must be on time."""
        return self._in_database(self._client("control"))

    @translate_errors()
    def prepare(self, anew: bool = False) -> list[str]:
        """Make the collection and its indexes unless they are there. Any number of processes may do so at once.

        :param anew: look even if it was done before: somebody may have dropped them
        :return: the indexes in whose place people have others
        """
        if self._is_prepared and not anew:
            return []
        differing = make_indexes(self.jobs(), INDEXES)
        self._is_prepared = True
        return differing

    def hello(self) -> Document:
        """What the server says of itself."""
        return self.control().command("hello", codec_options=CODEC)

    def server_time(self) -> datetime:
        """The time on the server."""
        time: datetime = self.hello()["localTime"]
        return time

    def is_standalone(self) -> bool:
        """Whether the server has neither change streams nor transactions: it belongs to no replica set or cluster."""
        hello = self.hello()
        return "setName" not in hello and hello.get("msg") != "isdbgrid"

    def leads_to_same(self, other: Connection) -> bool:
        """Whether the jobs are those of the other one, as far as names and addresses tell: no server is asked."""
        same_names = (self._database, self.name) == (other._database, other.name)
        return same_names and not self._addresses().isdisjoint(other._addresses())

    def _addresses(self) -> set[tuple[str, int | None]]:
        """Of the servers that are named, and of those that the client has heard of."""
        if self._given is not None:
            return _addresses_known_to(self._given)
        with MongoClient(**{**self._arguments, "connect": False}) as client:
            return _addresses_known_to(client)

    def close(self) -> None:
        """Close the clients that were made here, never one that was given. They are made again if needed."""
        made, self._made = self._made, {}
        if self._made_in == os.getpid():  # those of a parent process are not ours to close
            with timeout(_FAREWELL_SECONDS):
                for client in made.values():
                    client.close()

    # -- clients --------------------------------------------------------------------------------------------------

    def _bulk_client(self) -> MongoClient[Document]:
        if self._given is not None and self._given_in == os.getpid():
            return self._given
        return self._client("bulk")

    def _client(self, purpose: str) -> MongoClient[Document]:
        if self._made_in != os.getpid():
            self._made, self._made_in = {}, os.getpid()
        client = self._made.get(purpose)
        if client is None:
            try:
                made = self._make(purpose)
            except (driver.PyMongoError, TypeError, ValueError, KeyError) as error:
                raise errors.ConfigurationError(f"mongodb: {error}") from error
            client = self._made.setdefault(purpose, made)
            if client is not made:  # another greenlet was faster
                made.close()
        return client

    def _make(self, purpose: str) -> MongoClient[Document]:
        limits = _BULK_LIMITS if purpose == "bulk" else {**_CONTROL_LIMITS, **_CONTROL_POOL, **_CONTROL_PROTOCOL}
        if self._given is not None:
            return self._copy_of(self._given, {} if purpose == "bulk" else limits)
        given = self._arguments
        if purpose == "bulk":
            text = str(given.get("host")).lower()
            named = {option.lower() for option in given}
            limits = {k: v for k, v in limits.items() if k.lower() not in named and f"{k.lower()}=" not in text}
        return self._counted({**_without(given, limits), **limits})

    def _copy_of(self, client: MongoClient[Document], limits: Document) -> MongoClient[Document]:
        """A client like this one, with sockets of its own; the same one if PyMongo does not tell how it was made."""
        arguments = getattr(client, "_init_kwargs", None)
        if not isinstance(arguments, dict):
            return client
        return self._counted({**_without(arguments, limits), **limits})

    def _counted(self, arguments: Document) -> MongoClient[Document]:
        listeners = [*(arguments.get("event_listeners") or ()), self.operations]
        return MongoClient(**{**arguments, "event_listeners": listeners})

    def _in_database(self, client: MongoClient[Document]) -> Database[Document]:
        return client.get_database(
            self._database,
            codec_options=CODEC,
            read_preference=ReadPreference.PRIMARY,
            write_concern=WriteConcern("majority", wtimeout=_CONFIRM_MS),
            read_concern=ReadConcern("local"),
        )


def _checked_client(client: Any) -> MongoClient[Document] | None:
    if isinstance(client, str):  # as in APScheduler's settings files
        try:
            client = resolve_name(client)
        except (ImportError, AttributeError, ValueError) as error:
            raise errors.ConfigurationError(f"mongodb: client {client!r} cannot be found: {error}") from error
    if client is not None and not isinstance(client, MongoClient):
        raise errors.ConfigurationError(f"mongodb: client: expected a MongoClient, got {client!r}")
    return client


def _addresses_known_to(client: MongoClient[Any]) -> set[tuple[str, int | None]]:
    known = client.topology_description.server_descriptions()
    return {("localhost" if host in _LOOPBACK else host, port) for host, port in known}


def _without(options: Document, others: Document) -> Document:
    """The options but for those that are among the others, however they are capitalised."""
    names = {name.lower() for name in others}
    return {name: value for name, value in options.items() if name.lower() not in names}
