"""The claim protocol's operations on jobs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Connection, and_, bindparam, case, delete, func, or_, select, update

from gsched.event_loop.batches import batches
from gsched.event_loop.slices import paced
from gsched.jobs.job import Job
from gsched.stores.claims.database import Backlog, FormerSchedule, JobRecord
from gsched.stores.sql.claims.access import ClaimsAccess, greatest
from gsched.stores.sql.driver.connection import Undo
from gsched.stores.sql.rows.jobs import former_schedule, job_record

_FETCH: Final = 250  # rows a statement: reading one page must not hold up the hub
_AT_ONCE: Final = 500  # ids in one statement


class ClaimedJobs(ClaimsAccess):
    """The jobs in slots, their former schedules, and the notes on their late instants."""

    def jobs_in(self, numbers: Collection[int], until: int) -> Iterator[Sequence[JobRecord]]:
        jobs, reader = self._tables.jobs, self._reader()
        for slots in self._pages(numbers, until):
            after: str | None = None
            while True:
                page = select(jobs).where(self._due(slots, until)).order_by(jobs.c.id).limit(_FETCH)
                if after is not None:
                    page = page.where(jobs.c.id > after)
                rows = self._rows(page)
                if rows:
                    yield [job_record(row, reader) for row in paced(rows)]
                if len(rows) < _FETCH:
                    break
                after = rows[-1].id

    def _pages(self, numbers: Collection[int], until: int) -> Iterator[Sequence[int]]:
        """The slots that have such jobs, as many together as fit into one page: most stores have few jobs a slot."""
        slot = self._tables.jobs.c.slot
        size = func.count().label("size")
        counted = select(slot, size).where(self._due(numbers, until)).group_by(slot).order_by(slot)
        together: list[int] = []
        room = _FETCH
        for row in self._rows(counted):
            if together and row.size > room:
                yield together
                together, room = [], _FETCH
            together.append(row.slot)
            room -= row.size
        if together:
            yield together

    def _due(self, numbers: Collection[int], until: int) -> ColumnElement[bool]:
        jobs = self._tables.jobs
        return and_(
            jobs.c.slot.in_(list(numbers)), ~jobs.c.paused, or_(jobs.c.next_run.is_(None), jobs.c.next_run <= until)
        )

    def due_between(self, numbers: Collection[int], after: int, until: int) -> Iterable[str]:
        jobs = self._tables.jobs
        due = jobs.c.slot.in_(list(numbers)), jobs.c.next_run > after, jobs.c.next_run <= until
        return [row.id for row in self._rows(select(jobs.c.id).where(*due))]

    def revisions(self, numbers: Collection[int], until: int) -> Mapping[str, int]:
        jobs = self._tables.jobs
        return {row.id: row.rev for row in self._rows(select(jobs.c.id, jobs.c.rev).where(self._due(numbers, until)))}

    def read_jobs(self, ids: Collection[str]) -> Mapping[str, JobRecord]:
        jobs, reader = self._tables.jobs, self._reader()
        records: dict[str, JobRecord] = {}
        for some in batches(ids, _FETCH):
            for row in paced(self._rows(select(jobs).where(jobs.c.id.in_(some)))):
                records[row.id] = job_record(row, reader)
        return records

    def admit(self, node: str, jobs: Sequence[JobRecord], claimed: int) -> bool:
        table = self._tables.jobs
        groups: dict[tuple[int, bool], list[str]] = {}
        for record in jobs:
            due = record.job.next_run_ms
            groups.setdefault((record.job.rev, due is not None and due <= claimed), []).append(record.job.id)
        marks = [
            update(table)
            .where(table.c.id.in_(some), table.c.rev == rev, ~table.c.admitted)
            .values(admitted=True, late_until=claimed if late else None)
            for (rev, late), ids in groups.items()
            for some in batches(ids, _AT_ONCE)
        ]

        def transaction(connection: Connection) -> None:
            if sum(connection.execute(mark).rowcount for mark in marks) < len(jobs):
                raise Undo

        return self._all_or_none(node, transaction)

    def begin_later(self, jobs: Sequence[JobRecord], announce: bool = False) -> None:
        table = self._tables.jobs
        later = bindparam("later", type_=BigInteger)
        as_given = table.c.id == bindparam("job"), table.c.rev == bindparam("given"), ~table.c.admitted
        begin = update(table).where(*as_given).values(
            next_run=case((later.is_(None), None), else_=greatest(table.c.next_run, later)),
            begins=greatest(table.c.begins, later),
            rev=table.c.rev + int(announce),
        )  # fmt: skip
        values = [{"job": each.job.id, "given": each.job.rev, "later": each.job.next_run_ms} for each in jobs]
        if values:
            self._change(begin, values)

    # -- former schedules ---------------------------------------------------------------------------------------------

    def formers_in(self, numbers: Collection[int]) -> Sequence[FormerSchedule]:
        return self._formers(self._tables.former.c.slot.in_(list(numbers)))

    def formers_of(self, job_ids: Collection[str]) -> Sequence[FormerSchedule]:
        return self._formers(self._tables.former.c.job_id.in_(list(job_ids)))

    def _formers(self, wanted: ColumnElement[bool]) -> Sequence[FormerSchedule]:
        reader, rows = self._reader(), self._rows(select(self._tables.former).where(wanted))
        return [former_schedule(row, reader) for row in paced(rows)]

    def bound_formers(self, until: Mapping[str, int]) -> None:
        former = self._tables.former
        bound = (
            update(former)
            .where(former.c.id == bindparam("former"), former.c.until.is_(None))
            .values(until=bindparam("bound"))
        )
        values = [{"former": name, "bound": at} for name, at in until.items()]
        if values:
            self._change(bound, values)

    def forget_formers(self, ids: Collection[str]) -> None:
        former = self._tables.former
        for some in batches(ids, _AT_ONCE):
            self._change(delete(former).where(former.c.id.in_(some)))

    # -- what is noted in jobs ----------------------------------------------------------------------------------------

    def write_back(self, due: Mapping[str, tuple[int, int]]) -> Collection[str]:
        jobs = self._tables.jobs
        later = (
            update(jobs)
            .where(jobs.c.id == bindparam("job"), jobs.c.rev == bindparam("given"), jobs.c.admitted)
            .values(next_run=greatest(jobs.c.next_run, bindparam("later", type_=BigInteger)))
        )
        values = [{"job": job_id, "given": rev, "later": instant} for job_id, (rev, instant) in due.items()]
        admitted = select(jobs.c.id, jobs.c.rev).where(jobs.c.id.in_(list(due)), jobs.c.admitted)

        def transaction(connection: Connection) -> Sequence[Any]:
            connection.execute(later, values)
            return connection.execute(admitted).all()

        rows = self._write(transaction) if due else ()
        return [row.id for row in rows if row.rev == due[row.id][0]]

    def note_backlogs(self, node: str, jobs: Mapping[str, Backlog]) -> Collection[str]:
        table = self._tables.jobs
        first, until = (bindparam(name, type_=BigInteger) for name in ("first", "last"))
        late = (
            update(table)
            .where(table.c.id == bindparam("job"), table.c.rev == bindparam("given"), table.c.admitted)
            .values(next_run=greatest(table.c.next_run, first), late_until=greatest(table.c.late_until, until))
        )
        values = [
            {"job": job_id, "given": backlog.rev, "first": backlog.first, "last": backlog.until}
            for job_id, backlog in jobs.items()
        ]
        # Whatever their revisions are: an earlier attempt may have noted it before a user changed the job.
        noted = select(table.c.id, table.c.late_until).where(table.c.id.in_(list(jobs)), table.c.admitted)

        def transaction(connection: Connection) -> Sequence[Any]:
            connection.execute(late, values)
            return connection.execute(noted).all()

        rows: Sequence[Any] = self._if_alive(node, transaction) if jobs else ()
        return [row.id for row in rows if row.late_until == jobs[row.id].until]

    def close_late(self, ids: Collection[str], until: int) -> None:
        jobs = self._tables.jobs
        for some in batches(ids, _AT_ONCE):
            as_set = jobs.c.id.in_(some), jobs.c.late_until == until
            self._change(update(jobs).where(*as_set).values(late_until=None))

    def set_down(self, node: str, jobs: Sequence[Job]) -> bool:
        table = self._tables.jobs
        waits = [
            update(table)
            .where(table.c.id == job.id, table.c.rev == job.rev, table.c.admitted)
            .values(
                admitted=False, next_run=job.next_run_ms, late_until=None, parked=job.parked, rev=table.c.rev + 1
            )
            for job in jobs
        ]

        def transaction(connection: Connection) -> None:
            if any(not connection.execute(each).rowcount for each in waits):
                raise Undo

        return self._all_or_none(node, transaction)

    def park(self, jobs: Sequence[Job]) -> Mapping[str, str]:
        table = self._tables.jobs
        note = (
            update(table)
            .where(table.c.id == bindparam("job"), table.c.rev == bindparam("given"))
            .values(parked=bindparam("reason"))
        )
        values = [{"job": job.id, "given": job.rev, "reason": job.parked} for job in jobs]
        if values:
            self._change(note, values)
        return {}
