"""Looking at the store, so that followers learn what is different."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, func, select

from gsched.history.queries import RunInfo
from gsched.stores.durable.following import JobState, NodeState, Picture
from gsched.stores.sql.driver.connection import SqlConnection
from gsched.stores.sql.history.read import read_infos
from gsched.stores.sql.rows.jobs import pause_of

_MOST_JOBS: Final = 20_000  # a larger store gives no events of jobs: each picture would read them all
_MOST_RUNS: Final = 10_000  # per picture


class SqlPictures:
    """See `gsched.stores.durable.following.Pictures`."""

    def __init__(self, connection: SqlConnection) -> None:
        self._connection = connection
        self._tables = connection.tables
        self._written_until = 0  # the latest `expires_at` so far: it is in the order of writing
        self._last: set[str] = set()  # the keys of the records that expire just then
        self._is_first = True

    def picture(self) -> Picture:
        return self._connection.read(self._look)

    def _look(self, line: Connection) -> Picture:
        jobs, nodes, slots = self._tables.jobs, self._tables.nodes, self._tables.slots
        known = None
        if line.execute(select(func.count()).select_from(jobs)).scalar_one() <= _MOST_JOBS:
            columns = jobs.c.id, jobs.c.rev, jobs.c.paused, jobs.c.pause, jobs.c.parked, jobs.c.overdue_told
            rows: Sequence[Any] = line.execute(select(*columns)).all()
            known = {row.id: JobState(row.rev, pause_of(row), row.parked, row.overdue_told) for row in rows}
        return Picture(
            known,
            {row.id: _state(row) for row in line.execute(select(nodes))},
            {row.id: row.owner for row in line.execute(select(slots.c.id, slots.c.owner))},
        )

    def new_runs(self) -> Sequence[RunInfo]:
        runs = self._tables.runs
        if self._is_first:
            self._is_first = False
            newest = select(func.coalesce(func.max(runs.c.expires_at), 0))
            self._written_until = self._connection.read(lambda line: line.execute(newest).scalar_one())
            at_once = select(runs.c.key).where(runs.c.expires_at == self._written_until)
            self._last = set(self._connection.read(lambda line: line.execute(at_once).scalars().all()))
            return []
        written = (
            select(runs)
            .where(runs.c.expires_at >= self._written_until, runs.c.key.not_in(self._last))
            .order_by(runs.c.expires_at)
            .limit(_MOST_RUNS)
        )
        rows, infos = self._connection.read(lambda line: read_infos(line, self._tables, written))
        if rows:
            latest = rows[-1].expires_at
            kept = self._last if latest == self._written_until else set()
            self._last = kept | {row.key for row in rows if row.expires_at == latest}
            self._written_until = latest
        return infos


def _state(row: Any) -> NodeState:
    return NodeState(row.alive, row.left, row.draining, row.drain_requested is not None)
