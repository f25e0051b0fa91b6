"""Adding jobs: new ones, and those that replace others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from gsched.errors import JobIdConflictError, StoreConflictError
from gsched.event_loop.slices import paced
from gsched.jobs.document import DocumentReader
from gsched.jobs.job import Job, replacement
from gsched.stores.base import reschedules
from gsched.stores.sql.driver.connection import SqlConnection, Undo
from gsched.stores.sql.jobs.write import JobChange, change_jobs, insert_jobs, remove_jobs, tell
from gsched.stores.sql.rows.jobs import Values, changed_row, job_of, new_row, tag_rows

ATTEMPTS: Final = 20
AT_ONCE: Final = 200  # jobs in a transaction, some 10 ms: meanwhile nobody else writes


class SqlAdding:
    """One call of `add`. All rows are made before the first write, so that a bad argument leaves no trace.

    :param replace: replace jobs with the same ids
    :param timed: ids of those whose next run time the user set
    """

    def __init__(
        self,
        connection: SqlConnection,
        reader: Callable[[], DocumentReader],
        now: int,
        replace: bool,
        timed: Collection[str],
    ) -> None:
        self._connection = connection
        self._tables = connection.tables
        self._reader = reader
        self._now = now
        self._replace = replace
        self._timed = timed
        self._inserted: list[str] = []

    def add(self, jobs: Sequence[Job]) -> list[Job]:
        """Store the jobs and give them as stored: all of them, or none."""
        rows = self._rows_of(jobs)
        if len(jobs) > AT_ONCE:
            self._check(jobs)
        stored: list[Job] = []
        for batch in _batches(jobs):
            try:
                stored += self._add_batch(batch, rows)
            except BaseException:
                self._undo()
                raise
        return stored

    def check(self, jobs: Sequence[Job]) -> None:
        """Raise what `add` would raise now. Writes nothing."""
        self._rows_of(jobs)
        self._check(jobs)

    def _rows_of(self, jobs: Sequence[Job]) -> Mapping[str, Values]:
        rows = {job.id: new_row(job.evolve(rev=self._now), self._now) for job in paced(jobs)}
        if len(rows) < len(jobs) and not self._replace:
            raise JobIdConflictError(Counter(job.id for job in jobs).most_common(1)[0][0])
        return rows

    def _check(self, jobs: Iterable[Job]) -> None:
        for batch in _batches(jobs):
            self._found(batch)

    def _found(self, batch: Iterable[Job]) -> dict[str, Row[Any]]:
        """The stored rows of these jobs. Raises JobIdConflictError if one of them must not be replaced."""
        jobs = self._tables.jobs
        wanted = select(jobs).where(jobs.c.id.in_([job.id for job in batch]))
        found = {row.id: row for row in self._connection.read(lambda connection: connection.execute(wanted).all())}
        if not self._replace:
            reader = self._reader()
            for job_id, row in found.items():
                if not self._has_ended(row, job_of(row, reader)):
                    raise JobIdConflictError(job_id)
        return found

    def _has_ended(self, row: Row[Any], job: Job) -> bool:
        """True if the stored job is never due again. Instants that no node has claimed yet are late, not over."""
        return job.has_ended(self._now) and (row.admitted or job.next_run_ms is None)

    def _add_batch(self, batch: Sequence[Job], rows: Mapping[str, Values]) -> list[Job]:
        """Add jobs with different ids, in one transaction. If another process changes one meanwhile, start again."""
        for _ in range(ATTEMPTS):
            found, reader = self._found(batch), self._reader()
            new = [job for job in batch if job.id not in found]
            changes = [self._replacing(job, found[job.id], reader) for job in batch if job.id in found]
            if self._written(new, changes, rows):
                self._inserted += [job.id for job in new]
                stored = {job.id: job.evolve(rev=self._now) for job in new}
                stored |= {each.new.id: each.new for each in changes}
                return [stored[job.id] for job in batch]
        raise StoreConflictError

    def _replacing(self, job: Job, found: Row[Any], reader: DocumentReader) -> JobChange:
        old = job_of(found, reader)
        # Without `replace`, the stored job has ended: nothing of it is kept.
        new = replacement(old, job, keep_schedule=self._replace and job.id not in self._timed)
        rescheduled = reschedules(old, new) or not self._replace
        values = changed_row(found, new, self._now, rescheduled, has_ended=not self._replace)
        return JobChange(old, new, values, rescheduled)

    def _written(self, new: Sequence[Job], changes: Sequence[JobChange], rows: Mapping[str, Values]) -> bool:
        """Write the jobs in one transaction. Gives False if another process has written one of them first."""
        tables = self._tables
        new_rows, tags = [rows[job.id] for job in new], [tag for job in new for tag in tag_rows(job)]
        ids = [*(job.id for job in new), *(each.new.id for each in changes)]
        taken = select(tables.jobs.c.id).where(tables.jobs.c.id.in_([job.id for job in new])).limit(1)

        def transaction(connection: Connection) -> None:
            if new_rows:
                if connection.execute(taken).first() is not None:
                    raise Undo
                insert_jobs(connection, tables, new_rows, tags)
            change_jobs(connection, tables, changes)
            tell(connection, tables, ids, self._now, self._connection.origin)

        try:
            self._connection.write(transaction)
        except Undo:
            return False
        return True

    def _undo(self) -> None:
        """A later batch failed: remove the jobs that earlier batches have added, if they are unchanged."""
        jobs = self._tables.jobs
        for start in range(0, len(self._inserted), AT_ONCE):
            ids = self._inserted[start : start + AT_ONCE]
            untouched = select(jobs.c.id).where(
                jobs.c.id.in_(ids), jobs.c.rev == self._now, jobs.c.created_at == self._now
            )

            def transaction(connection: Connection, untouched: Any = untouched) -> None:
                added = connection.execute(untouched).scalars().all()
                remove_jobs(connection, self._tables, added)
                tell(connection, self._tables, added, self._now, self._connection.origin)

            self._connection.write(transaction)


def _batches(jobs: Iterable[Job]) -> Iterator[list[Job]]:
    """Lists of jobs with different ids, in order, as many as go into a transaction."""
    batch: dict[str, Job] = {}
    for job in jobs:
        if job.id in batch or len(batch) == AT_ONCE:
            yield list(batch.values())
            batch = {}
        batch[job.id] = job
    if batch:
        yield list(batch.values())
