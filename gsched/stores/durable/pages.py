"""Pages of jobs, filled from the ordered rows that a database gives; and search, in bounded steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from gsched.jobs.cursor import BY_ID, BY_NAME, JobCursor
from gsched.jobs.query import JobQuery
from gsched.monitoring.job_pages import PAGE, SECONDS, JobPage, StoredPage, StoredRow
from gsched.times.clock import Clock

Places = Iterator[tuple[JobCursor, StoredRow | None]]
"""Jobs in the order of the list, each with its place; None: nothing was found up to this place."""


class TooSlowError(Exception):
    """The database has given up a question that took too long."""


def page_size(query: JobQuery) -> int:
    """How many jobs the page has at most."""
    return query.limit or PAGE


def filled_page(places: Places, query: JobQuery, clock: Clock) -> StoredPage:
    """The page. It ends when it is full, and when the search for another job has taken a second.

    A database cannot tell which jobs cannot be run in this process: those that do not match are left out here.
    """
    now, end = clock.now_ms(), clock.monotonic() + SECONDS
    rows: list[StoredRow] = []
    last = query.cursor
    try:
        for place, row in places:
            if row is not None and query.matches(row.job, now):
                if len(rows) == page_size(query):
                    return JobPage(tuple(rows), str(last))
                rows.append(row)
                last = place
                continue
            last = place
            if clock.monotonic() >= end:  # nothing was found for so long
                return JobPage(tuple(rows), str(place), stopped_early=True)
    except TooSlowError:
        return JobPage(tuple(rows), None if last is None else str(last), stopped_early=True)
    return JobPage(tuple(rows))


class Step(NamedTuple):
    """The result of one step of a search.

    :ivar place: how far it has looked
    :ivar ids: the jobs with the text, in order
    """

    place: JobCursor
    ids: Sequence[str]


def search(
    query: JobQuery,
    end_of: Callable[[str], str | None],
    with_text: Callable[[str, str, str, str | None], Sequence[str]],
) -> Iterator[Step]:
    """Search for `query.text`, in ids first, then in names, each in the order of ids.

    :param end_of: gives the id with which a step ends that begins after an id; None: with the last one
    :param with_text: finds the ids of jobs with a text (in lower case) in their ids or names, as an order says, from an
        id, not included, to another, or to the last one
    """
    start, text = query.cursor or JobCursor.by_id(""), (query.text or "").lower()
    for order in (BY_ID, BY_NAME) if start.order == BY_ID else (BY_NAME,):
        begin: str | None = start.id if start.order == order else ""
        while begin is not None:
            end = end_of(begin)
            ids = with_text(text, order, begin, end)
            reached = end or (ids[-1] if ids else begin)
            if reached:
                yield Step(JobCursor.by_id(reached, order), ids)
            begin = end


def found_jobs(steps: Iterable[Step], rows: Callable[[Sequence[str]], Mapping[str, StoredRow]]) -> Places:
    """The jobs that a search finds, in order, and how far it has looked after each step.

    :param rows: reads the jobs with these ids; some may be gone
    """
    for place, ids in steps:
        there = rows(ids)
        for job_id in ids:
            if job_id in there:
                yield place._replace(id=job_id), there[job_id]
        yield place, None


def count_found(steps: Iterable[Step], most: int, clock: Clock) -> int:
    """How many jobs a search finds, at most `most`, and as far as it comes in a second."""
    count, end = 0, clock.monotonic() + SECONDS
    for step in steps:
        count += len(step.ids)
        if count >= most or clock.monotonic() >= end:
            break
    return min(count, most)
