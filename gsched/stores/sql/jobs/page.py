"""Pages of jobs: each begins after a place in the list, and is found by an index. Search in bounded steps."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, func, literal, literal_column, select, tuple_

from gsched.event_loop.batches import batches
from gsched.event_loop.slices import paced
from gsched.jobs.cursor import BY_ID, BY_TIME, JobCursor
from gsched.jobs.document import DocumentReader
from gsched.jobs.job import Job
from gsched.jobs.query import JobQuery
from gsched.monitoring.job_pages import StoredPage, StoredRow
from gsched.monitoring.load import JobSample
from gsched.stores.durable.pages import Places, Step, count_found, filled_page, found_jobs, page_size, search
from gsched.stores.messages import ALWAYS
from gsched.stores.sql.driver.connection import SqlConnection
from gsched.stores.sql.jobs.list import conditions
from gsched.stores.sql.rows.jobs import job_row, triggered_job
from gsched.times.clock import Clock

_AT_ONCE: Final = 250  # rows of a statement: reading them holds up all other greenlets
_WINDOW: Final = 5000  # jobs that one step of a search looks at
_IN: Final = 500  # values in a statement

Conditions = Sequence[ColumnElement[bool]]


class SqlPages:
    """Answers the questions about lists of jobs: see `BaseJobStore`."""

    def __init__(self, connection: SqlConnection, clock: Clock, reader: DocumentReader) -> None:
        self._connection = connection
        self._tables = connection.tables
        self._clock = clock
        self._reader = reader
        self._now = clock.now_ms()

    def page(self, query: JobQuery) -> StoredPage:
        """See BaseJobStore."""
        places = self._listed(query) if query.text is None else found_jobs(self._search(query), self.rows)
        return filled_page(places, query, self._clock)

    def rows(self, job_ids: Sequence[str]) -> dict[str, StoredRow]:
        """See BaseJobStore."""
        jobs, rows = self._tables.jobs, {}
        for some in batches(job_ids, _AT_ONCE):
            for row in paced(self._read(select(jobs).where(jobs.c.id.in_(some)))):
                rows[row.id] = self._row(row)
        return rows

    def count(self, query: JobQuery, most: int) -> int:
        """See BaseJobStore."""
        if query.text is not None:
            return count_found(self._search(replace(query, after=None)), most, self._clock)
        matching = select(literal(1)).select_from(self._tables.jobs).where(*self._wanted(query)).limit(most)
        counted = select(func.count()).select_from(matching.subquery())
        return self._connection.read(lambda line: line.execute(counted).scalar_one())

    def tags(self, most: int) -> dict[str, int]:
        """See BaseJobStore."""
        tags, count = self._tables.job_tags, func.count()
        counted = select(tags.c.tag, count).group_by(tags.c.tag).order_by(count.desc(), tags.c.tag).limit(most)
        return dict(map(tuple, self._read(counted)))

    def sample(self, most: int) -> JobSample:
        """See BaseJobStore."""
        wanted = self._wanted(JobQuery(state="scheduled"))
        jobs = self._tables.jobs
        total = self._connection.read(
            lambda line: line.execute(select(func.count()).select_from(jobs).where(*wanted)).scalar_one()
        )
        return JobSample(self._sampled(wanted, most if total > most else None), total)

    def _sampled(self, wanted: Conditions, most: int | None) -> Iterator[Job]:
        """The jobs, each with its trigger and next run time only; at most so many, picked at random."""
        jobs = self._tables.jobs
        row_id: ColumnElement[int] = literal_column("rowid")
        trigger = func.json_extract(jobs.c.document, "$.trigger").label("trigger")
        columns = select(row_id.label("row_id"), jobs.c.id, jobs.c.next_run, trigger).where(*wanted)
        if most is None:
            last = 0
            while rows := self._read(columns.where(row_id > last).order_by(row_id).limit(_IN)):
                yield from (triggered_job(row, self._reader) for row in rows)
                last = rows[-1].row_id
            return
        last_id = select(func.coalesce(func.max(row_id), 0)).select_from(jobs)
        highest = self._connection.read(lambda line: line.execute(last_id).scalar_one())
        picked = random.sample(range(1, highest + 1), min(highest, 2 * most))
        found = (row for some in batches(picked, _IN) for row in self._read(columns.where(row_id.in_(some))))
        yield from (triggered_job(row, self._reader) for row in islice(found, most))

    # -- by time and by id --------------------------------------------------------------------------------------------

    def _listed(self, query: JobQuery) -> Places:
        by_id, place, most = query.sort == BY_ID, query.cursor, min(page_size(query) + 1, _AT_ONCE)
        wanted, is_few = self._wanted(query), _finds_few(query)
        while True:
            statements = self._after(place, wanted, by_id, is_few)
            rows = self._connection.read(lambda line: _first(line, statements, most))  # noqa: B023
            for row in rows:
                place = JobCursor.by_id(row.id) if by_id else self._place(row)
                yield place, self._row(row)
            if len(rows) < most:
                return

    def _place(self, row: Row[Any]) -> JobCursor:
        return JobCursor(BY_TIME, row.paused, row.next_run, row.id)

    def _after(
        self, place: JobCursor | None, wanted: Conditions, by_id: bool, is_few: bool
    ) -> Sequence[Select[Any]]:
        """The statements that give the rows after a place, one after the other.

        :param is_few: the conditions have an index of their own, and few rows match: these are sorted
        """
        jobs, (paused, due, job_id) = self._tables.jobs, self._tables.listing
        if by_id:
            later = [] if place is None else [job_id > place.id]
            return [select(jobs).where(*wanted, *later).order_by(_unindexed(job_id, "''", is_few))]
        at = None if place is None else (place.paused, ALWAYS if place.due is None else place.due, place.id)
        if is_few:
            later = [] if at is None else [tuple_(paused, due, job_id) > tuple_(*map(literal, at))]
            return [select(jobs).where(*wanted, *later).order_by(_unindexed(paused, "0", True), due, job_id)]
        if at is None:
            return [select(jobs).where(*wanted).order_by(paused, due, job_id)]
        # Not one comparison of three columns: SQLite would use the index for the first of them only.
        alike = paused == literal(int(at[0]))
        ranges: list[tuple[Conditions, Sequence[Any]]] = [
            ((alike, due == at[1], job_id > at[2]), (job_id,)),
            ((alike, due > at[1]), (due, job_id)),
        ]
        if not at[0]:
            ranges.append(((paused == literal(1),), (due, job_id)))
        return [select(jobs).where(*wanted, *later).order_by(*order) for later, order in ranges]

    # -- search -------------------------------------------------------------------------------------------------------

    def _search(self, query: JobQuery) -> Iterator[Step]:
        wanted = self._wanted(replace(query, text=None, after=None))
        return search(query, self._end_of, lambda *where: self._with_text(wanted, *where))

    def _end_of(self, begin: str) -> str | None:
        ids = self._tables.jobs.c.id
        end = select(ids).where(ids > begin).order_by(ids).offset(_WINDOW).limit(1)
        return self._connection.read(lambda line: line.execute(end).scalar())

    def _with_text(self, wanted: Conditions, text: str, order: str, begin: str, end: str | None) -> Sequence[str]:
        jobs = self._tables.jobs
        searched = jobs.c.id if order == BY_ID else jobs.c.name
        wanted = [*wanted, jobs.c.id > begin, *([] if end is None else [jobs.c.id <= end])]
        if text.isascii():  # SQLite knows no other letters in lower case
            wanted.append(searched.icontains(text, autoescape=True))
        columns = (jobs.c.id,) if order == BY_ID else (jobs.c.id, jobs.c.name)
        rows = paced(self._read(select(*columns).where(*wanted).order_by(jobs.c.id)))
        if order == BY_ID:
            return [row.id for row in rows if text in row.id.lower()]
        return [row.id for row in rows if text in row.name.lower() and text not in row.id.lower()]

    # -- reading ------------------------------------------------------------------------------------------------------

    def _wanted(self, query: JobQuery) -> Conditions:
        wanted = conditions(self._tables, query, self._now)
        # Those that the owners of the jobs have parked: which functions this process lacks, SQLite does not know.
        return [*wanted, self._tables.jobs.c.parked >= ""] if query.state == "parked" else wanted

    def _read(self, statement: Any) -> Sequence[Row[Any]]:
        return self._connection.read(lambda line: line.execute(statement).all())

    def _row(self, row: Row[Any]) -> StoredRow:
        return job_row(row, self._reader, self._now)


def _first(line: Connection, statements: Sequence[Select[Any]], most: int) -> Sequence[Row[Any]]:
    """The first rows that the statements give together."""
    rows: list[Row[Any]] = []
    for statement in statements:
        rows += line.execute(statement.limit(most - len(rows))).all()
        if len(rows) == most:
            break
    return rows


def _finds_few(query: JobQuery) -> bool:
    """True if an index finds the jobs that match, apart from the list's own."""
    named = (query.tag, query.prefix)
    is_marked = query.failing or query.overdue or query.state in ("paused", "parked")
    return is_marked or any(each is not None for each in named)


def _unindexed(column: Any, nothing: str, is_few: bool) -> Any:
    """The column to order by, spelt so that no index gives the order: else SQLite walks through the whole list."""
    return func.coalesce(column, literal_column(nothing)) if is_few else column
