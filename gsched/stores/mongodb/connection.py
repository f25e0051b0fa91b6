"""The connections to MongoDB: for bulk work, for what must not wait, for following; and the driver's errors as ours."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pkgutil import resolve_name
from socket import gaierror
from typing import Any, Final, NamedTuple, TypeAlias

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
from gsched.stores.mongodb.refusals import Refusals
from gsched.wording import without_noise

Document: TypeAlias = dict[str, Any]
Jobs: TypeAlias = Collection[Document]

# The claim protocol and the change feeds count on these, whatever users set for the whole client.
_PROTOCOL: Final = {"timeoutMS": None, "retryWrites": True, "retryReads": True}
# Milliseconds. A server that is gone is noticed soon, and so is one that hangs. Nobody waits for a free connection
# without end: PyMongo's default has no limit.
_BULK_LIMITS: Final = {
    "serverSelectionTimeoutMS": 5_000,
    "connectTimeoutMS": 5_000,
    "socketTimeoutMS": 30_000,
    "waitQueueTimeoutMS": 10_000,
}
_CONTROL_LIMITS: Final = {
    "serverSelectionTimeoutMS": 2_000,
    "connectTimeoutMS": 2_000,
    "socketTimeoutMS": 5_000,
    "waitQueueTimeoutMS": 5_000,
    "maxPoolSize": 4,
    "minPoolSize": 0,
    **_PROTOCOL,
}
_WATCH_LIMITS: Final = {**_BULK_LIMITS, **_PROTOCOL, "waitQueueTimeoutMS": 2_000, "maxPoolSize": 100, "minPoolSize": 0}
_CONFIRM_MS: Final = 20_000  # how long a majority may take to confirm a write
_FAREWELL_SECONDS: Final = 1.0  # how long a server is looked for, to tell it that sessions have ended
_LIMITS: Final[Mapping[str, Document]] = {"bulk": _BULK_LIMITS, "control": _CONTROL_LIMITS, "watch": _WATCH_LIMITS}

_NO_CONNECTION: Final = (ConnectionRefusedError, FileNotFoundError, gaierror)  # of hosts, sockets, names
_MAY_BE_WRITTEN: Final = (
    "What was being written may have been written: look with get_job, or add again with replace_existing=True."
)
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
_ACCESS_CODES: Final = frozenset({13, 18, 8000})  # Unauthorized, AuthenticationFailed, Atlas' AtlasError

# What the queries need: a slot's jobs by time; those with a tag; those that cannot be run; the order of listings.
INDEXES: Final = (
    IndexModel([("slot", 1), ("next_run_time", 1)], name="slot_next_run_time"),
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


class _Made(NamedTuple):
    """A client that was made here."""

    client: MongoClient[Document]
    refusals: Refusals


class Connection:
    """Where a store's jobs are, and the clients that lead there, made when they are first needed.

    - `jobs()` is for bulk work; `control()` for what must be on time; `watched()` for those who follow change streams,
      each of whom keeps a connection. Heartbeats that share a pool with bulk work wait behind it, and bulk work waits
      for ever behind followers, so that the second and the third client are always our own. They are made from the same
      address and options, with limits of ours; a client that was given as an object is copied by PyMongo's own means,
      and shared in the rare case that it cannot be.
    - A client whose connections the server has come to refuse is replaced by a new one; but for one that was given, in
      whose place the application has to put another.
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
        self._made: dict[str, _Made] = {}
        self._replaced: list[MongoClient[Document]] = []  # others may be waiting for their answers still
        self.operations = Operations()
        self._is_prepared = False

    def jobs(self) -> Jobs:
        """The collection of the jobs, for bulk work."""
        return self._in_database(self._bulk_client())[self.name]

    def control(self) -> Database[Document]:
        """The database, by the client that only does what must be on time."""
        return self._in_database(self._client("control"))

    def watched(self) -> Jobs:
        """The collection of the jobs, for following."""
        return self._in_database(self._client("watch"))[self.name]

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
        made, self._made = [*(each.client for each in self._made.values()), *self._replaced], {}
        self._replaced = []
        if self._made_in == os.getpid():  # those of a parent process are not ours to close
            with timeout(_FAREWELL_SECONDS):
                for client in made:
                    client.close()

    # -- clients --------------------------------------------------------------------------------------------------

    def _bulk_client(self) -> MongoClient[Document]:
        if self._given is not None and self._given_in == os.getpid():
            return self._given
        return self._client("bulk")

    def _client(self, purpose: str) -> MongoClient[Document]:
        if self._made_in != os.getpid():
            self._made, self._replaced, self._made_in = {}, [], os.getpid()
        known = self._made.get(purpose)
        if known is None or known.refusals.noted:
            refusals = Refusals()
            try:
                client = self._make(purpose, refusals)
            except (driver.PyMongoError, TypeError, ValueError, KeyError) as error:
                raise errors.ConfigurationError(f"mongodb: {error}") from error
            if self._made.get(purpose) is not known:  # another greenlet was faster
                client.close()
                return self._made[purpose].client
            self._replace(known)
            known = self._made[purpose] = _Made(client, refusals)
        return known.client

    def _replace(self, known: _Made | None) -> None:
        """Close the clients that were replaced before, and this one with the next."""
        over, self._replaced = self._replaced, [] if known is None else [known.client]
        for client in over:
            client.close()

    def _make(self, purpose: str, refusals: Refusals) -> MongoClient[Document]:
        limits = _LIMITS[purpose]
        if self._given is not None:
            return self._copy_of(self._given, {} if purpose == "bulk" else limits, refusals)
        given = self._arguments
        if purpose == "bulk":  # what users give wins
            text = str(given.get("host")).lower()
            named = {option.lower() for option in given}
            limits = {k: v for k, v in limits.items() if k.lower() not in named and f"{k.lower()}=" not in text}
        return self._heard({**_without(given, limits), **limits}, refusals)

    def _copy_of(self, client: MongoClient[Document], limits: Document, refusals: Refusals) -> MongoClient[Document]:
        """A client like this one, with sockets of its own; the same one if PyMongo does not tell how it was made."""
        arguments = getattr(client, "_init_kwargs", None)
        if not isinstance(arguments, dict):
            return client
        return self._heard({**_without(arguments, limits), **limits}, refusals)

    def _heard(self, arguments: Document, refusals: Refusals) -> MongoClient[Document]:
        listeners = [*(arguments.get("event_listeners") or ()), self.operations, refusals]
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
