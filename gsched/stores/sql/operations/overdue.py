"""Overdue jobs: which there are, and until when jobs are not overdue."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Row, bindparam, select, update

from gsched.jobs.document import DocumentReader
from gsched.jobs.job import Job
from gsched.monitoring.overdue import MOST_LOOKED_AT, OverdueJob
from gsched.stores.sql.driver.connection import SqlConnection
from gsched.stores.sql.rows.jobs import job_of


class SqlExpectations:
    """See `Expectations`. Works in any process, whether its scheduler runs or not.

    :param reader: reads the rows of one batch
    """

    def __init__(self, connection: SqlConnection, reader: Callable[[], DocumentReader]) -> None:
        self._connection = connection
        self._jobs = connection.tables.jobs
        self._reader = reader

    def succeeded(self, at: Mapping[str, int]) -> Collection[str]:
        jobs, since = self._jobs, bindparam("at", type_=BigInteger)
        told = select(jobs.c.id, jobs.c.expected_since).where(jobs.c.id.in_(at), jobs.c.overdue_told)
        # The row has the time between two successes.
        noting = (
            update(jobs)
            .where(jobs.c.id == bindparam("job"), jobs.c.overdue_at.is_not(None), jobs.c.expected_since < since)
            .values(
                overdue_at=since + jobs.c.overdue_at - jobs.c.expected_since, expected_since=since, overdue_told=False
            )
        )
        values = [{"job": job_id, "at": each} for job_id, each in at.items()]

        def transaction(connection: Connection) -> list[str]:
            recovered = [row.id for row in connection.execute(told) if row.expected_since < at[row.id]]
            connection.execute(noting, values)
            return recovered

        return self._connection.write(transaction, urgent=True) if values else []

    def overdue(self, now: int) -> Sequence[OverdueJob]:
        jobs = self._jobs
        columns = select(jobs.c.id, jobs.c.expected_since, jobs.c.overdue_at, jobs.c.overdue_told)
        some = columns.where(jobs.c.overdue_at <= now).order_by(jobs.c.overdue_at).limit(MOST_LOOKED_AT)

        def transaction(connection: Connection) -> list[OverdueJob]:
            found = (connection.execute(some.where(self._told(told))) for told in (False, True))
            return [OverdueJob(*row) for rows in found for row in rows]

        return sorted(self._connection.read(transaction), key=lambda each: each.overdue_at)

    def tell(self, job_ids: Collection[str], now: int) -> Sequence[Job]:
        jobs = self._jobs
        wanted = select(jobs).where(jobs.c.id.in_(job_ids), jobs.c.overdue_at <= now, self._told(False))

        def transaction(connection: Connection) -> Sequence[Row[Any]]:
            rows = connection.execute(wanted).all()
            ids = [row.id for row in rows]
            connection.execute(update(jobs).where(jobs.c.id.in_(ids)).values(overdue_told=True))
            return rows

        reader = self._reader()
        return [job_of(row, reader) for row in self._connection.write(transaction)] if job_ids else []

    def _told(self, told: bool) -> ColumnElement[bool]:
        return self._jobs.c.overdue_told == told
