"""Lists of jobs: filtered, ordered and paged by the database as far as it can."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, func, or_, select, tuple_

from gsched.jobs.document import DocumentReader
from gsched.jobs.job import Job
from gsched.jobs.query import JobQuery
from gsched.stores.messages import ALWAYS
from gsched.stores.sql.driver.connection import SqlConnection
from gsched.stores.sql.driver.tables import Tables
from gsched.stores.sql.rows.jobs import job_of

EXACT: Final = 2000  # so many jobs are read whole and ordered by when they are truly due
_LAST: Final = "\U0010ffff"  # comes after every character of an id
_PAGE: Final = 250  # rows a statement: what is read at one go holds up everybody else


def list_jobs(connection: SqlConnection, reader: DocumentReader, query: JobQuery, now: int) -> Iterable[Job]:
    """The jobs that match.

    The stored next run time is a lower bound; the true one follows from the trigger. Up to EXACT jobs are ordered by
    the true one. A longer list is streamed: those that are not paused by the stored time, then those that are.
    """
    wanted = conditions(connection.tables, query, now)
    some = select(connection.tables.jobs.c.id).where(*wanted).limit(EXACT + 1)
    many = len(connection.read(lambda line: line.execute(some).all())) > EXACT
    found: Iterator[Job] = (job for job in _read(connection, reader, wanted) if query.matches(job, now))
    if not many:
        jobs = list(found)
        due = {job.id: job.next_due_ms(now) or ALWAYS for job in jobs}
        jobs.sort(key=lambda job: (due[job.id], job.id))
        found = iter(jobs)
    return islice(found, query.skip, None if query.limit is None else query.skip + query.limit)


def _read(connection: SqlConnection, reader: DocumentReader, wanted: list[ColumnElement[bool]]) -> Iterator[Job]:
    """The jobs, read page by page. Each page begins after the last row of the page before."""
    jobs = connection.tables.jobs
    order = connection.tables.listing
    page: Any = select(jobs).where(*wanted).order_by(*order).limit(_PAGE)
    while True:
        rows = _rows(connection, page)
        for row in rows:
            yield job_of(row, reader)
        if len(rows) < _PAGE:
            return
        last = rows[-1]
        after = tuple_(last.paused, ALWAYS if last.next_run is None else last.next_run, last.id)
        page = select(jobs).where(*wanted, tuple_(*order) > after).order_by(*order).limit(_PAGE)


def _rows(connection: SqlConnection, page: Any) -> Sequence[Row[Any]]:
    return connection.read(lambda line: line.execute(page).all())


def conditions(tables: Tables, query: JobQuery, now: int) -> list[ColumnElement[bool]]:
    """The part of the query that the database can answer. It may let more jobs pass than match.

    It knows which jobs their owners have parked, but not which cannot be run here: a function that is missing in this
    process may be there in another one.
    """
    jobs = tables.jobs
    wanted: list[ColumnElement[bool]] = []
    if query.tag is not None:
        tagged = select(tables.job_tags.c.job_id).where(tables.job_tags.c.tag == query.tag)
        wanted.append(jobs.c.id.in_(tagged))
    if query.text is not None and query.text.isascii():  # SQLite knows no other letters in lower case
        wanted.append(or_(*(column.icontains(query.text, autoescape=True) for column in (jobs.c.id, jobs.c.name))))
    if query.prefix is not None:
        wanted += [jobs.c.id >= query.prefix, jobs.c.id < f"{query.prefix}{_LAST}"]
    if query.failing:
        wanted.append(jobs.c.failing_since >= 0)  # so spelt, it has an index
    if query.overdue:
        wanted.append(jobs.c.overdue_at <= now)
    if query.option is not None:
        wanted.append(jobs.c.document.contains(f'"{query.option}"', autoescape=True))
    if query.group is not None:
        wanted.append(func.json_extract(jobs.c.document, "$.group") == query.group)
    if query.state == "paused":
        wanted += [tables.is_paused(now), jobs.c.parked.is_(None)]
    elif query.state == "scheduled":
        wanted += [tables.is_not_paused(now), jobs.c.parked.is_(None)]
    return wanted
