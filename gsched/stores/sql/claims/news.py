"""News: which jobs other processes have changed, known within some 20 ms.

Each write that defines a job adds a row to the table of changes. A native thread with a connection of its own asks
SQLite whether any other connection has written, which takes microseconds, and reads the new rows then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final

from gevent.event import Event
from gevent.monkey import get_original
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from gsched.errors import StoreError
from gsched.event_loop.threads import LoopInbox, start_native_thread
from gsched.stores.durable.answers import ChangeNotice
from gsched.stores.sql.driver.connection import SqlConnection
from gsched.stores.sql.driver.errors import translated
from gsched.stores.sql.driver.tables import OF_LIMITS

POLL_SECONDS: Final = 0.02
_MOST: Final = 1000  # rows that are read at once
_LOOK_SECONDS: Final = 0.5  # how often `stop` is asked

_sleep = get_original("time", "sleep")


class SqlNews:
    """Reports changes that other processes make: see `gsched.stores.durable.answers.News`."""

    def __init__(self, connection: SqlConnection) -> None:
        self._connection = connection

    def listen(self, stop: Callable[[], bool]) -> Iterator[ChangeNotice]:
        """Changes from now on. Raises StoreError if the database cannot be asked."""
        watch = _Watch(self._connection)
        start_native_thread(watch.run)
        try:
            while not stop():
                for row in watch.wait():
                    yield ChangeNotice(None) if row is None else _notice(row)
        finally:
            watch.stop()


def _notice(row: Any) -> ChangeNotice:
    if row.job_id == OF_LIMITS:
        return ChangeNotice(None, row.at, limits=True)
    return ChangeNotice(row.job_id, row.at)


class _Watch:
    """What the native thread does, and what it has found."""

    def __init__(self, connection: SqlConnection) -> None:
        self._way = connection
        self._changes = connection.tables.changes
        self._inbox = LoopInbox()
        self._found: deque[Any] = deque()  # filled by the thread: None when it begins to watch, then rows
        self._error: StoreError | None = None
        self._wakeup = Event()  # of the listener's hub
        self._stopped = False

    def wait(self) -> Iterator[Any]:
        """The rows that were found, after a while at most; raises the error that ended the thread."""
        self._wakeup.wait(_LOOK_SECONDS)
        self._wakeup.clear()
        while self._found:
            yield self._found.popleft()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End the thread, soon."""
        self._stopped = True

    # -- in the native thread -----------------------------------------------------------------------------------------

    def run(self) -> None:
        try:
            connection = self._way.open()
            try:
                self._watch(connection)
            finally:
                connection.close()
        except SQLAlchemyError as error:
            self._end(translated(error, self._way.place))
        except StoreError as error:
            self._end(error)

    def _watch(self, connection: Connection) -> None:
        last = connection.execute(select(func.coalesce(func.max(self._changes.c.seq), 0))).scalar_one()
        cursor = connection.connection.cursor()  # the driver's: by SQLAlchemy the question would cost 20 times as much
        version = None
        self._found.append(None)
        self._tell()
        while not self._stopped:
            cursor.execute("PRAGMA data_version")
            now = cursor.fetchone()
            if now != version:
                self._way.file.check_in_place()
                last, version = self._read_after(connection, last), now
            _sleep(POLL_SECONDS)

    def _read_after(self, connection: Connection, last: int) -> int:
        new = select(self._changes).where(self._changes.c.seq > last).order_by(self._changes.c.seq).limit(_MOST)
        while rows := connection.execute(new).all():
            self._found.extend(row for row in rows if row.origin != self._way.origin)
            self._tell()
            last = rows[-1].seq
            if len(rows) < _MOST:
                break
            new = select(self._changes).where(self._changes.c.seq > last).order_by(self._changes.c.seq).limit(_MOST)
        return last

    def _end(self, error: StoreError) -> None:
        self._error = error
        self._tell()

    def _tell(self) -> None:
        self._inbox.put(self._wakeup.set)
