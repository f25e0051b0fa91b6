"""The definitions of jobs: added, found, changed and removed, each in a transaction that any process may make."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, func, select, update

from gsched.errors import JobNotFoundError, StoreConflictError, TooManyWaitingError
from gsched.event_loop.batches import batches
from gsched.event_loop.slices import paced
from gsched.history.reruns import NextAttempt, Obstacle
from gsched.jobs.audit import Act, AuditEntry
from gsched.jobs.document import DocumentReader
from gsched.jobs.funcref import AllowedFunctions
from gsched.jobs.job import Job
from gsched.jobs.query import JobQuery
from gsched.jobs.run import run_id
from gsched.monitoring.job_pages import StoredPage, StoredRow
from gsched.monitoring.load import JobSample
from gsched.policies.spreading import Numbers, Series
from gsched.stores.base import reschedules
from gsched.stores.claims.partition import slot_of_job
from gsched.stores.sql.driver.connection import SqlConnection, Undo
from gsched.stores.sql.jobs.add import AT_ONCE, SqlAdding
from gsched.stores.sql.jobs.list import list_jobs
from gsched.stores.sql.jobs.page import SqlPages
from gsched.stores.sql.jobs.retry import AT_ONCE as RETRIED_AT_ONCE, retry_some
from gsched.stores.sql.jobs.series import take_numbers
from gsched.stores.sql.jobs.write import JobChange, change_jobs, note_act, remove_jobs, tell
from gsched.stores.sql.rows.jobs import changed_row, job_of
from gsched.stores.sql.rows.runs import run_key
from gsched.times.clock import Clock

ATTEMPTS: Final = 50  # an attempt fails if another process's write came first
MOST_WAITING: Final = 10_000  # runs of one job
_REMOVED_AT_ONCE: Final = 200


class SqlDefinitions:
    """Works in any process, whether its scheduler runs or not. See BaseJobStore for what each verb does.

    :param alias: of the store in its scheduler
    :param changed: called with the ids of jobs that were added, changed or removed here
    """

    def __init__(
        self,
        connection: SqlConnection,
        clock: Clock,
        allowed: AllowedFunctions,
        alias: str,
        changed: Callable[[Iterable[str]], None],
    ) -> None:
        self._connection = connection
        self._tables = connection.tables
        self._clock = clock
        self._allowed = allowed
        self._alias = alias
        self._changed = changed

    def add(self, jobs: Sequence[Job], replace: bool, timed: Collection[str] = ()) -> list[Job]:
        if not jobs:  # a scheduler that is being made adds none, and must not make the file yet
            return []
        added = self._adding(replace, timed).add(jobs)
        self._changed([job.id for job in added])
        return added

    def check_addable(self, jobs: Sequence[Job], replace: bool) -> None:
        self._adding(replace, ()).check(jobs)

    def _adding(self, replace: bool, timed: Collection[str]) -> SqlAdding:
        return SqlAdding(self._connection, self.reader, self._clock.now_ms(), replace, timed)

    def get(self, job_id: str) -> Job:
        return job_of(self.row(job_id), self.reader())

    def find(self, query: JobQuery) -> Iterable[Job]:
        return list_jobs(self._connection, self.reader(), query, self._clock.now_ms())

    def page(self, query: JobQuery) -> StoredPage:
        return self._pages().page(query)

    def rows(self, job_ids: Sequence[str]) -> dict[str, StoredRow]:
        return self._pages().rows(job_ids)

    def count(self, query: JobQuery, most: int) -> int:
        return self._pages().count(query, most)

    def tags(self, most: int) -> dict[str, int]:
        return self._pages().tags(most)

    def sample(self, most: int) -> JobSample:
        return self._pages().sample(most)

    def _pages(self) -> SqlPages:
        return SqlPages(self._connection, self._clock, self.reader())

    def change(self, job_id: str, change: Callable[[Job], Job], act: Act | None = None) -> Job:
        for _ in range(ATTEMPTS):
            row, now = self.row(job_id), self._clock.now_ms()
            old = job_of(row, self.reader())
            new = change(old) if act is None else act.stamped(change(old))
            made = self._made(row, old, new, now)
            entry = None if act is None else act.entry(job_id, 1, old, new)
            if self._written([made], now, entry):
                return self._stored(made)
        raise StoreConflictError(f"job {job_id!r}: other processes kept changing it; try again")

    def change_many(self, job_ids: Sequence[str], change: Callable[[Job], Job | None]) -> list[Job]:
        return [job for some in batches(job_ids, AT_ONCE) for job in self._change_some(some, change)]

    def _change_some(self, job_ids: Sequence[str], change: Callable[[Job], Job | None]) -> list[Job]:
        """Change jobs in one transaction."""
        wanted = select(self._tables.jobs).where(self._tables.jobs.c.id.in_(job_ids))
        for _ in range(ATTEMPTS):
            now, reader = self._clock.now_ms(), self.reader()
            rows = self._connection.read(lambda connection: connection.execute(wanted).all())
            jobs = [(row, old, change(old)) for row, old in ((row, job_of(row, reader)) for row in paced(rows))]
            made = [self._made(row, old, new, now) for row, old, new in jobs if new is not None]
            if not made or self._written(made, now):
                return [self._stored(each) for each in made]
        raise StoreConflictError(f"{len(job_ids)} jobs: other processes kept changing them; try again")

    def _made(self, row: Row[Any], old: Job, new: Job, now: int) -> JobChange:
        new = new.evolve(rev=old.rev + 1, parked=None if old.parked is not None else new.parked)
        if new.func is not None and new.func_ref is not None:
            self._allowed.register(new.func_ref, new.func, new.args, new.kwargs)
        rescheduled = reschedules(old, new)
        return JobChange(old, new, changed_row(row, new, now, rescheduled), rescheduled)

    def _stored(self, change: JobChange) -> Job:
        """The job as it is stored. If it was parked, it is read again, because the change may have healed it."""
        return change.new if change.old.parked is None else self.get(change.old.id)

    def _written(self, changes: Sequence[JobChange], now: int, entry: AuditEntry | None = None) -> bool:
        """Write changes in one transaction. Gives False if another process has written one of the jobs first."""
        job_ids = [each.old.id for each in changes]

        def transaction(connection: Connection) -> None:
            change_jobs(connection, self._tables, changes)
            note_act(connection, self._tables, entry)
            tell(connection, self._tables, job_ids, now, self._connection.origin)

        try:
            self._connection.write(transaction)
        except Undo:
            return False
        self._changed(job_ids)
        return True

    def remove(self, job_id: str, act: Act | None = None) -> Job:
        wanted = select(self._tables.jobs).where(self._tables.jobs.c.id == job_id)
        now = self._clock.now_ms()

        def transaction(connection: Connection) -> Row[Any] | None:
            row = connection.execute(wanted).first()
            if row is not None and act is not None:
                note_act(connection, self._tables, act.entry(job_id))
            remove_jobs(connection, self._tables, [job_id])
            tell(connection, self._tables, [job_id], now, self._connection.origin)
            return row

        if (row := self._connection.write(transaction)) is None:
            raise JobNotFoundError(job_id)
        self._changed([job_id])
        return job_of(row, self.reader())

    def remove_all(self) -> int:
        """Remove the jobs, some at a time; what others add meanwhile stays, and an error leaves a part of the jobs."""
        jobs, now, removed = self._tables.jobs, self._clock.now_ms(), 0
        some = select(jobs.c.id).where(jobs.c.created_at <= now).order_by(jobs.c.id).limit(_REMOVED_AT_ONCE)

        def transaction(connection: Connection) -> Sequence[str]:
            ids = connection.execute(some).scalars().all()
            if ids:
                tell(connection, self._tables, ids, now, self._connection.origin)
                remove_jobs(connection, self._tables, ids)
            return ids

        while ids := self._connection.write(transaction):
            self._changed(ids)
            removed += len(ids)
        return removed

    def take_numbers(self, wanted: Mapping[Series, int]) -> Mapping[Series, Numbers]:
        return self._connection.write(lambda connection: take_numbers(connection, self._tables, wanted))

    def request_run(self, job: Job, request: str, overlap: str | None = None) -> None:
        """Store that a run waits. Raises JobNotFoundError and TooManyWaitingError."""
        job_id = job.id
        tables, now = self._tables, self._clock.now_ms()
        noticed = update(tables.jobs).where(tables.jobs.c.id == job_id).values(rev=tables.jobs.c.rev + 1)
        waiting = tables.runs.c.job_id == job_id, tables.waits
        counted = select(func.count()).select_from(tables.runs).where(*waiting)
        run = {
            "key": run_key(run_id(job_id, now, request), 1),
            "state": "waiting",
            "slot": slot_of_job(job),
            "job_id": job_id,
            "scheduled_at": now,
            "due_at": now,
            "attempt": 1,
            "request": request,
            "cause": "request",
            "overlap": overlap,
        }

        asked = self._connection.insert(into=tables.runs).on_conflict_do_nothing()

        def transaction(connection: Connection) -> None:
            if not connection.execute(noticed).rowcount:
                raise JobNotFoundError(job_id)
            if connection.execute(counted).scalar_one() >= MOST_WAITING:
                raise TooManyWaitingError(f"job {job_id!r}: {MOST_WAITING} runs that were asked for wait already")
            connection.execute(asked, run)  # a request of this name may be there already: it is the same one
            tell(connection, tables, [job_id], now, self._connection.origin)

        self._connection.write(transaction)
        self._changed([job_id])

    def retry_runs(self, attempts: Sequence[NextAttempt], dry_run: bool) -> Mapping[NextAttempt, Obstacle]:
        found: dict[NextAttempt, Obstacle] = {}
        for some in batches(attempts, RETRIED_AT_ONCE):
            found |= retry_some(self._connection, some, self._clock.now_ms(), dry_run)
            if not dry_run:
                self._changed([attempt.job_id for attempt in some if attempt not in found])
        return found

    def row(self, job_id: str) -> Row[Any]:
        """The job's row. Raises JobNotFoundError."""
        wanted = select(self._tables.jobs).where(self._tables.jobs.c.id == job_id)
        row = self._connection.read(lambda connection: connection.execute(wanted).first())
        if row is None:
            raise JobNotFoundError(job_id)
        return row

    def reader(self) -> DocumentReader:
        """Reads the rows of one batch."""
        return DocumentReader(self._allowed, self._alias, durable=True)
