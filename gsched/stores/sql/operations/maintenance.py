"""Measuring the store."""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import Connection, case, func, select

from gsched.jobs.query import STATES
from gsched.monitoring.store_statistics import StoreStatistics
from gsched.stores.sql.driver.connection import SqlConnection
from gsched.times.instants import from_ms


def ping(connection: SqlConnection) -> None:
    """Ask whether the database answers. Raises StoreError if it does not."""
    connection.read(lambda line: line.exec_driver_sql("SELECT 1").scalar())


def statistics(connection: SqlConnection, now: int) -> StoreStatistics:
    """What the store holds at `now` (ms), and how large its file is."""
    tables = connection.tables
    jobs, runs, nodes, slots = tables.jobs, tables.runs, tables.nodes, tables.slots
    state = case((jobs.c.parked.is_not(None), "parked"), (tables.is_paused(now), "paused"), else_="scheduled")
    outcome, life = func.coalesce(runs.c.outcome, runs.c.state), case((nodes.c.alive, "alive"), else_="dead")

    def transaction(line: Connection) -> StoreStatistics:
        oldest = line.execute(select(func.min(runs.c.scheduled_at))).scalar()
        return StoreStatistics(
            jobs=dict.fromkeys(STATES, 0) | _counts(line, state),
            records=_counts(line, outcome),
            oldest=None if oldest is None else from_ms(oldest),
            nodes=_counts(line, life),
            owned_slots=line.execute(select(func.count()).where(slots.c.owner.is_not(None))).scalar_one(),
            sizes={os.path.basename(path): os.path.getsize(path) for path in connection.file.all_paths()},
        )

    return connection.read(transaction)


def _counts(line: Connection, key: Any) -> dict[str, int]:
    return dict(line.execute(select(key, func.count()).group_by(key).order_by(key)).all())
