"""Connections to one SQL database: one for what is written and must be on time, one for what is only read.

Each has a native thread of its own. A transaction is a function that gets the connection; it runs in that thread, so
it should only execute statements, whose rows and parameters are made outside.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from typing import Any, Final, TypeVar

from gevent.monkey import get_original
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from gsched.errors import ConfigurationError
from gsched.stores.sql.driver.errors import translated
from gsched.stores.sql.driver.schema import prepare
from gsched.stores.sql.driver.sqlite_file import SQLiteFile
from gsched.stores.sql.driver.tables import Tables
from gsched.stores.sql.driver.threads import LONGEST_SECONDS, NativeThread
from gsched.stores.sql.driver.timing import TransactionTiming

_sleep = get_original("time", "sleep")  # of the native thread

T = TypeVar("T")
Transaction = Callable[[Connection], T]

WAL_PAGES: Final = 128  # of 4 KiB each: SQLite copies so much from the write-ahead log into the database at once
LARGEST_WAL: Final = 1_000_000  # bytes: to so much it is shortened when it has grown because of a reader
_AGAIN_SECONDS: Final = 0.01
BUSY_SECONDS: Final = 5  # how long a statement waits for the lock of another process


class Undo(Exception):
    """Raised in a transaction to roll it back."""


class SqlConnection:
    """The way to one database.

    :param url: where it is
    :param tables: what is in it
    :param engine: of the user's, in place of one that is made from the URL
    :param synchronous: SQLite's setting of that name: FULL loses nothing when the machine fails, NORMAL may lose the
        last transactions then
    :ivar origin: names this object in the news of changes that it makes
    """

    def __init__(self, url: URL, tables: Tables, engine: Engine | None = None, synchronous: str = "FULL") -> None:
        if url.get_backend_name() != "sqlite":
            raise ConfigurationError(
                f"sql: url: {url.get_backend_name()} is not supported; use sqlite:///FILE, or MongoDBJobStore for jobs"
                " that several machines share"
            )
        self.tables = tables
        self.file = SQLiteFile(url)
        self.url = url.set(database=self.file.path)
        self._engine = engine
        busy_ms = round(BUSY_SECONDS * 1000)
        self._pragmas = {
            **{"busy_timeout": busy_ms, "journal_mode": "WAL", "synchronous": synchronous},
            **{"wal_autocheckpoint": WAL_PAGES, "journal_size_limit": LARGEST_WAL},
        }
        self.timing = TransactionTiming()
        self.origin = secrets.token_hex(8)
        self._has_tables = False  # that is known
        self._writer = _Line(self, "BEGIN IMMEDIATE")
        self._reader = _Line(self, "BEGIN")

    @property
    def place(self) -> str:
        """Where the database is, without secrets."""
        return self.file.path

    def leads_to_same(self, other: SqlConnection) -> bool:
        """True if both lead to the same tables."""
        return self.file.path == other.file.path and self.tables.prefix == other.tables.prefix

    def write(self, transaction: Transaction[T], urgent: bool = False) -> T:
        """The result of a transaction that may write. Writes of other processes wait for it. Raises StoreError.

        :param urgent: the store's own work: it goes before what users' calls write, however many of them wait
        """
        with self.timing.timed("write"):
            return self._writer.run(transaction, urgent)

    def read(self, transaction: Transaction[T], urgent: bool = False) -> T:
        """The result of a transaction that only reads, all as of one moment. Raises StoreError.

        :param urgent: as of `write`
        """
        with self.timing.timed("read"):
            return self._reader.run(transaction, urgent)

    def apart(self, work: Transaction[T], begin: str | None = None) -> T:
        """The result of work that may take as long as it likes, on a connection of its own. Raises StoreError.

        :param begin: how its transaction begins; None: it is in none
        """
        line = _Line(self, begin, longest=None)
        try:
            return line.run(work)
        finally:
            line.close()

    def close(self) -> None:
        """Close all; the next transaction opens anew."""
        self._writer.close()
        self._reader.close()
        self.file.closed()
        self._has_tables = False

    def open(self) -> Connection:
        """A new connection. Makes the file and the tables if they are missing. Called in a native thread."""
        self.file.prepare()
        if self._engine is None:
            self._engine = create_engine(self.url, poolclass=NullPool, connect_args={"check_same_thread": False})
        # Transactions are begun by name: the driver's own would begin by reading, and not get the lock then.
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            for pragma, value in self._pragmas.items():
                _set(connection, pragma, value)
            if not self._has_tables:
                _in_transaction(connection, "BEGIN IMMEDIATE", lambda line: prepare(line, self.tables))
                self._has_tables = True
        except BaseException:
            connection.close()
            raise
        return connection

    def insert(self, *, into: Any) -> sqlite.Insert:
        """An INSERT of the dialect, which may have an ON CONFLICT clause."""
        return sqlite.insert(into)


class _Line:
    """One connection and the native thread that uses it."""

    def __init__(self, way: SqlConnection, begin: str | None, longest: float | None = LONGEST_SECONDS) -> None:
        self._way = way
        self._begin = begin
        self._thread = NativeThread(way.place, longest)
        self._connection: Connection | None = None
        self._pid = 0
        self._inherited: list[Connection] = []  # of the parent, in a forked child: never touched, never collected

    def run(self, transaction: Transaction[T], urgent: bool = False) -> T:
        return self._thread.call(lambda: self._run(transaction), urgent)

    def _run(self, transaction: Transaction[T]) -> T:
        try:
            return self._transact(self._open(), transaction)
        except SQLAlchemyError as error:
            self._drop()
            # SQLAlchemy's own words have the statement and its parameters, which may be secret: logs show the driver's.
            raise translated(error, self._way.place) from getattr(error, "orig", None) or error

    def _open(self) -> Connection:
        if self._connection is not None and self._pid != os.getpid():
            self._inherited.append(self._connection)
            self._connection = None
        if self._connection is None:
            self._connection, self._pid = self._way.open(), os.getpid()
        self._way.file.check_in_place()
        return self._connection

    def _transact(self, connection: Connection, transaction: Transaction[T]) -> T:
        return transaction(connection) if self._begin is None else _in_transaction(connection, self._begin, transaction)

    def _drop(self) -> None:
        """Give up the connection: after an error its state is unknown."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except SQLAlchemyError:
                pass

    def close(self) -> None:
        if self._connection is not None:
            self._thread.call(self._drop)
        self._thread.close()


def _set(connection: Connection, pragma: str, value: object) -> None:
    """Set one of SQLite's pragmas.

    The first connections to a new file turn its write-ahead log on. If several do so at the same time, SQLite says at
    once to all but one that the database is locked: `busy_timeout` does not hold for that.
    """
    for tries_left in reversed(range(round(BUSY_SECONDS / _AGAIN_SECONDS))):
        try:
            connection.exec_driver_sql(f"PRAGMA {pragma}={value}")
            return
        except OperationalError as error:
            if "locked" not in str(error.orig) or not tries_left:
                raise
        _sleep(_AGAIN_SECONDS)


def _in_transaction(connection: Connection, begin: str, transaction: Transaction[T]) -> T:
    connection.exec_driver_sql(begin)
    try:
        result = transaction(connection)
        connection.exec_driver_sql("COMMIT")
    except BaseException:
        _roll_back(connection)
        raise
    return result


def _roll_back(connection: Connection) -> None:
    try:
        connection.exec_driver_sql("ROLLBACK")
    except SQLAlchemyError:
        pass  # SQLite has rolled back by itself after some errors
