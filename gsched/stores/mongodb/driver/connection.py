"""The connections to MongoDB, one for each purpose, and the translation of the driver's errors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pkgutil import resolve_name
from socket import gaierror
from typing import Any, Final, NamedTuple

from bson.errors import BSONError
from pymongo import MongoClient, ReadPreference, WriteConcern, errors as driver, timeout
from pymongo.database import Database
from pymongo.read_concern import ReadConcern

from gsched import errors
from gsched.stores.mongodb.driver.codec import CODEC, Document, Jobs
from gsched.stores.mongodb.driver.command_timing import CommandTimes
from gsched.stores.mongodb.driver.indexes import JOB_INDEXES, make_indexes
from gsched.stores.mongodb.driver.refusals import Refusals
from gsched.wording import without_noise

# The claim protocol and the change feeds rely on these options, whatever users set for their client.
_PROTOCOL: Final = {"timeoutMS": None, "retryWrites": True, "retryReads": True}
# Milliseconds. With these limits, a server that is gone or hangs is noticed soon, and no caller waits for a free
# connection without end, as with PyMongo's default.
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
_FAREWELL_SECONDS: Final = 1.0  # closing a client takes this long at most: it ends sessions on the server
_LIMITS: Final[Mapping[str, Document]] = {"bulk": _BULK_LIMITS, "control": _CONTROL_LIMITS, "watch": _WATCH_LIMITS}

_NO_CONNECTION: Final = (ConnectionRefusedError, FileNotFoundError, gaierror)  # of hosts, sockets, names
_MAY_BE_WRITTEN: Final = "The write may have happened: look with get_job, or add again with replace_existing=True."
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
_ACCESS_CODES: Final = frozenset({13, 18, 8000})  # Unauthorized, AuthenticationFailed, Atlas' AtlasError


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn the driver's errors into gsched's. A context manager and a decorator."""
    try:
        yield
    except driver.PyMongoError as error:
        raise translated(error) from error
    except BSONError as error:  # a value that BSON cannot hold, such as a null character in a search
        raise errors.StoreError(f"{error}") from error


def translated(error: driver.PyMongoError) -> errors.GschedError:
    """The error of gsched for an error of the driver, with the driver's message."""
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
    """True if nothing was sent, because there was no connection."""
    not_connected = (driver.ServerSelectionTimeoutError, driver.WaitQueueTimeoutError)
    return isinstance(error, not_connected) or isinstance(error.__cause__, _NO_CONNECTION)


def _only_unconfirmed(error: driver.BulkWriteError) -> bool:
    details = error.details or {}
    return not details.get("writeErrors") and bool(details.get("writeConcernErrors"))


class _Made(NamedTuple):
    """A client that this connection made."""

    client: MongoClient[Document]
    refusals: Refusals


class Connection:
    """The address of a store's jobs, and the clients that connect to it, made on first use.

    - `jobs()` is for bulk work, `control()` for the claim protocol, and `watched()` for followers, each of whom keeps a
      connection. Three clients, because heartbeats would wait behind bulk work in a shared pool, and bulk work would
      wait behind followers for ever. The second and the third have the same address and options as the first, with
      limits of their own. If the user gave a client, they are copies of it; a client that cannot be copied, which is
      rare, is shared.
    - A new client replaces one whose connections the server refuses. The application must replace its own client.
    - A forked child makes its own clients: it must not share sockets and locks with its parent.
    - `timing` counts the commands of all clients but the one that the user gave.
    - All reads go to the primary and all writes wait for a majority, whatever the client's defaults are.

    :raises ConfigurationError: if the arguments name the server twice, or cannot be right
    """

    def __init__(
        self, *, uri: str | None, client: Any, database: str, collection: str, address: Document, options: Document
    ) -> None:
        if sum((uri is not None, client is not None, bool(address))) > 1:
            raise errors.ConfigurationError("mongodb: name the server once: by uri, by host and port, or by client")
        if client is not None and options:
            raise errors.ConfigurationError(f"mongodb: {', '.join(options)}: give these to the client itself")
        _check_names(database, collection)
        self._given = _checked_client(client)
        self._arguments: Document = {**address, **options} if uri is None else {"host": uri, **options}
        self._database, self.name = database, collection
        self._given_in = self._made_in = os.getpid()
        self._made: dict[str, _Made] = {}
        self._replaced: list[MongoClient[Document]] = []  # other greenlets may still wait for their answers
        self.timing = CommandTimes()
        self._is_prepared = False

    def jobs(self) -> Jobs:
        """The collection of the jobs, for bulk work."""
        return self._in_database(self._bulk_client())[self.name]

    def control(self) -> Database[Document]:
        """The database, for the claim protocol and other work that must not wait behind bulk work."""
        return self._in_database(self._client("control"))

    def watched(self) -> Jobs:
        """The collection of the jobs, for followers."""
        return self._in_database(self._client("watch"))[self.name]

    @translate_errors()
    def prepare(self, anew: bool = False) -> None:
        """Make the collection and its indexes if they are missing. Any number of processes may do so at once.

        :param anew: look again, although this process has made them before: somebody may have dropped them
        """
        if anew or not self._is_prepared:
            make_indexes(self.jobs(), JOB_INDEXES)
            self._is_prepared = True

    def hello(self) -> Document:
        """The server's answer to the command `hello`."""
        return self.control().command("hello", codec_options=CODEC)

    def server_time(self) -> datetime:
        """The time on the server."""
        time: datetime = self.hello()["localTime"]
        return time

    def is_standalone(self) -> bool:
        """True if the server belongs to no replica set or cluster. It has neither change streams nor transactions."""
        hello = self.hello()
        return "setName" not in hello and hello.get("msg") != "isdbgrid"

    def leads_to_same(self, other: Connection) -> bool:
        """True if both have the same jobs, judged by names and addresses. Asks no server."""
        same_names = (self._database, self.name) == (other._database, other.name)
        return same_names and not self._addresses().isdisjoint(other._addresses())

    def _addresses(self) -> set[tuple[str, int | None]]:
        """The addresses of the servers that are named, and of those that the client has discovered."""
        if self._given is not None:
            return _addresses_known_to(self._given)
        with MongoClient(**{**self._arguments, "connect": False}) as client:
            return _addresses_known_to(client)

    def close(self) -> None:
        """Close all clients but one that the user gave. They are made again if needed."""
        made, self._made = [*(each.client for each in self._made.values()), *self._replaced], {}
        self._replaced = []
        if self._made_in == os.getpid():  # a child must not close its parent's
            with timeout(_FAREWELL_SECONDS):
                for client in made:
                    client.close()

    # -- clients ------------------------------------------------------------------------------------------------------

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
            if self._made.get(purpose) is not known:  # another greenlet has made one meanwhile
                client.close()
                return self._made[purpose].client
            self._replace(known)
            known = self._made[purpose] = _Made(client, refusals)
        return known.client

    def _replace(self, known: _Made | None) -> None:
        """Close the clients that were replaced earlier. This one is closed at the next replacement."""
        over, self._replaced = self._replaced, [] if known is None else [known.client]
        for client in over:
            client.close()

    def _make(self, purpose: str, refusals: Refusals) -> MongoClient[Document]:
        limits = _LIMITS[purpose]
        if self._given is not None:
            return self._copy_of(self._given, {} if purpose == "bulk" else limits, refusals)
        given = self._arguments
        if purpose == "bulk":  # options of the user win
            text = str(given.get("host")).lower()
            named = {option.lower() for option in given}
            limits = {k: v for k, v in limits.items() if k.lower() not in named and f"{k.lower()}=" not in text}
        return self._new_client({**_without(given, limits), **limits}, refusals)

    def _copy_of(self, client: MongoClient[Document], limits: Document, refusals: Refusals) -> MongoClient[Document]:
        """A client like this one, with its own sockets; the same client if PyMongo does not keep its arguments."""
        arguments = getattr(client, "_init_kwargs", None)
        if not isinstance(arguments, dict):
            return client
        return self._new_client({**_without(arguments, limits), **limits}, refusals)

    def _new_client(self, arguments: Document, refusals: Refusals) -> MongoClient[Document]:
        """A client whose commands are timed, and whose refusals are noted."""
        listeners = [*(arguments.get("event_listeners") or ()), self.timing, refusals]
        return MongoClient(**{**arguments, "event_listeners": listeners})

    def _in_database(self, client: MongoClient[Document]) -> Database[Document]:
        return client.get_database(
            self._database,
            codec_options=CODEC,
            read_preference=ReadPreference.PRIMARY,
            write_concern=WriteConcern("majority", wtimeout=_CONFIRM_MS),
            read_concern=ReadConcern("local"),
        )


def _check_names(database: Any, collection: Any) -> None:
    """Refuse names that the driver refuses, before anything connects."""
    try:
        with MongoClient[Document](connect=False) as client:
            client[database][collection]
    except (driver.InvalidName, TypeError) as error:
        named = f"database {database!r}, collection {collection!r}"
        raise errors.ConfigurationError(f"mongodb: {named}: {error}") from error


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
    """The options without those that are among the others, in any capitalisation."""
    names = {name.lower() for name in others}
    return {name: value for name, value in options.items() if name.lower() not in names}
