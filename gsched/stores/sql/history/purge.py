"""Removing old history by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection, func, or_, select

from gsched.stores.sql.driver.connection import SqlConnection
from gsched.stores.sql.history.write import remove_runs

_AT_ONCE: Final = 500  # records in a transaction


def count_records(connection: SqlConnection, before: int) -> int:
    """How many records `purge` would remove."""
    runs = connection.tables.runs
    counted = select(func.count()).select_from(runs).where(*_ended_before(connection, before))
    return connection.read(lambda line: line.execute(counted).scalar_one())


def purge(connection: SqlConnection, before: int, progress: Callable[[int], object] | None) -> int:
    """Remove the records of what was due before an instant (ms), some at a time; how many there were."""
    runs, purged = connection.tables.runs, 0
    some = select(runs.c.key).where(*_ended_before(connection, before)).limit(_AT_ONCE)

    def transaction(line: Connection) -> int:
        keys = line.execute(some).scalars().all()
        remove_runs(line, connection.tables, keys)
        return len(keys)

    while count := connection.write(transaction):
        purged += count
        if progress is not None:
            progress(purged)
    return purged


def _ended_before(connection: SqlConnection, before: int) -> tuple[Any, ...]:
    """Records of instants that were due before that time. Runs in progress are left out."""
    runs = connection.tables.runs
    return runs.c.state == "ended", runs.c.scheduled_at < before, or_(runs.c.until.is_(None), runs.c.until <= before)
