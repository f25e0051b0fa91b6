"""The limits and pauses of groups, in tables of their own."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select

from gsched.errors import GroupNotPausedError, LimitNotFoundError
from gsched.jobs.limits import GroupLimit, GroupLimits, limit_document, read_limit
from gsched.jobs.pause import Pause
from gsched.stores.sql.driver.connection import SqlConnection
from gsched.stores.sql.driver.tables import OF_LIMITS, Tables
from gsched.stores.sql.jobs.write import tell
from gsched.times.clock import Clock


class SqlLimits:
    """Works in any process, whether its scheduler runs or not. See BaseJobStore for what each method does."""

    def __init__(self, connection: SqlConnection, clock: Clock) -> None:
        self._connection = connection
        self._tables = connection.tables
        self._clock = clock

    def limits(self) -> GroupLimits:
        now = self._clock.now_ms()
        return self._connection.read(lambda connection: stored_limits(connection, self._tables, now))

    def set_limit(self, limit: GroupLimit) -> None:
        self._put(self._tables.limits, limit.pattern, limit_document(limit))

    def remove_limit(self, pattern: str) -> None:
        if not self._remove(self._tables.limits, pattern):
            raise LimitNotFoundError(pattern)

    def pause_group(self, pattern: str, pause: Pause) -> None:
        values = {"reason": pause.reason, "by": pause.by, "at": pause.at_ms, "until": pause.until_ms}
        self._put(self._tables.pauses, pattern, values)

    def resume_group(self, pattern: str) -> None:
        if not self._remove(self._tables.pauses, pattern):
            raise GroupNotPausedError(pattern)

    def _put(self, table: Table, pattern: str, values: dict[str, Any]) -> None:
        """Write a row in place of the one with this pattern."""
        row = {"pattern": pattern, **values}

        def transaction(connection: Connection) -> None:
            connection.execute(delete(table).where(table.c.pattern == pattern))
            connection.execute(insert(table), row)
            self._tell(connection)

        self._connection.write(transaction)

    def _remove(self, table: Table, pattern: str) -> bool:
        """Remove the row with this pattern; True if there was one."""
        there = delete(table).where(table.c.pattern == pattern)

        def transaction(connection: Connection) -> bool:
            self._forget_ended(connection)
            found = connection.execute(there).rowcount > 0
            self._tell(connection)
            return found

        return self._connection.write(transaction)

    def _forget_ended(self, connection: Connection) -> None:
        """Remove pauses that have ended."""
        pauses = self._tables.pauses
        connection.execute(delete(pauses).where(pauses.c.until <= self._clock.now_ms()))

    def _tell(self, connection: Connection) -> None:
        tell(connection, self._tables, [OF_LIMITS], self._clock.now_ms(), self._connection.origin)


def stored_limits(connection: Connection, tables: Tables, now: int) -> GroupLimits:
    """The limits of groups, and the pauses that hold at `now` (ms)."""
    limits = [read_limit(row.pattern, row._asdict()) for row in connection.execute(select(tables.limits)).all()]
    rows = connection.execute(select(tables.pauses)).all()
    return GroupLimits(limits, {row.pattern: Pause(row.reason, row.by, row.at, row.until) for row in rows}).at(now)
