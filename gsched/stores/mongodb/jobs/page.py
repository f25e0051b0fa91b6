"""Pages of jobs: each begins after a place in the list, and is found by an index. Search in bounded steps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Final

from pymongo import errors as driver

from gsched.event_loop.batches import batches
from gsched.event_loop.slices import paced
from gsched.jobs.cursor import BY_ID, BY_TIME, JobCursor
from gsched.jobs.query import JobQuery
from gsched.monitoring.job_pages import StoredPage, StoredRow
from gsched.monitoring.load import JobSample
from gsched.stores.durable.pages import (
    Places,
    Step,
    TooSlowError,
    count_found,
    filled_page,
    found_jobs,
    page_size,
    search,
)
from gsched.stores.mongodb.documents.jobs import JobReader, job_row
from gsched.stores.mongodb.driver.codec import Document, Jobs
from gsched.stores.mongodb.jobs.list import ORDER, conditions
from gsched.times.clock import Clock
from gsched.times.instants import from_ms, to_ms

_AT_ONCE: Final = 100  # documents of a batch: decoding them holds up all other greenlets
_WINDOW: Final = 20_000  # jobs that one step of a search looks at
_LIMIT_MS: Final = 1000  # of one question; then the page says that it was stopped
_LONGEST_MS: Final = 10_000  # of questions that are asked rarely: tags, the sample
_FIRST: Final = from_ms(-62_135_596_800_000)  # before any time


class MongoPages:
    """Answers the questions about lists of jobs: see `BaseJobStore`."""

    def __init__(self, jobs: Jobs, clock: Clock, reader: JobReader) -> None:
        self._jobs = jobs
        self._clock = clock
        self._reader = reader
        self._now = clock.now_ms()

    def page(self, query: JobQuery) -> StoredPage:
        """See BaseJobStore."""
        places = self._listed(query) if query.text is None else found_jobs(self._search(query), self.rows)
        return filled_page(places, query, self._clock)

    def rows(self, job_ids: Sequence[str]) -> dict[str, StoredRow]:
        """See BaseJobStore."""
        return {
            document["_id"]: self._row(document)
            for some in batches(job_ids, _AT_ONCE)
            for document in paced(self._jobs.find({"_id": {"$in": some}}))
        }

    def count(self, query: JobQuery, most: int) -> int:
        """See BaseJobStore."""
        if query.text is not None:
            return count_found(self._search(replace(query, after=None)), most, self._clock)
        wanted = self._wanted(query)
        if not wanted:
            return min(self._jobs.estimated_document_count(), most)
        return self._jobs.count_documents(wanted, limit=most, maxTimeMS=_LONGEST_MS)

    def tags(self, most: int) -> dict[str, int]:
        """See BaseJobStore."""
        tagged: Document = {"$match": {"tags": {"$gt": ""}}}
        steps: list[Document] = [tagged, {"$unwind": "$tags"}, {"$sortByCount": "$tags"}, {"$limit": most}]
        counted = self._jobs.aggregate(steps, maxTimeMS=_LONGEST_MS)
        return {each["_id"]: each["count"] for each in counted if isinstance(each["_id"], str)}

    def sample(self, most: int) -> JobSample:
        """See BaseJobStore."""
        wanted = self._wanted(JobQuery(state="scheduled"))
        total = self._jobs.count_documents(wanted, maxTimeMS=_LONGEST_MS)
        picking: list[Document] = []
        if total > most:  # first: only so the server picks without reading all
            picking = [{"$sample": {"size": 2 * most}}]
        steps = [*picking, {"$match": wanted}, {"$limit": most}, {"$project": {"trigger": 1, "next_run_time": 1}}]
        found = self._jobs.aggregate(steps, maxTimeMS=_LONGEST_MS, batchSize=10 * _AT_ONCE)
        jobs = [self._reader.read(document).evolve(parked=None) for document in paced(found)]
        return JobSample(jobs, total)

    # -- by time and by id --------------------------------------------------------------------------------------------

    def _listed(self, query: JobQuery) -> Places:
        by_id, place, most = query.sort == BY_ID, query.cursor, min(page_size(query) + 1, _AT_ONCE)
        wanted, is_few = self._wanted(query), _finds_few(query)
        while True:
            documents = self._first(self._after(place, wanted, by_id, is_few), by_id, is_few, most)
            for document in documents:
                if isinstance(document["_id"], str):  # a document with another id is no job
                    place = JobCursor.by_id(document["_id"]) if by_id else _place(document)
                    yield place, self._row(document)
            if len(documents) < most:
                return

    def _after(self, place: JobCursor | None, wanted: Document, by_id: bool, is_few: bool) -> list[Document]:
        """The filters of the documents after a place, one after the other.

        :param is_few: the filter has an index of its own, and few documents match: these are sorted
        """
        if place is None:
            return [wanted]
        if by_id:
            return [_both(wanted, {"_id": {"$gt": place.id}})]
        due = None if place.due is None else from_ms(place.due)
        ranges: list[Document] = [
            {"paused": place.paused, "next_run_time": due, "_id": {"$gt": place.id}},
            {"paused": place.paused, "next_run_time": {"$gt": _FIRST if due is None else due}},
        ]
        if not place.paused:
            ranges.append({"paused": True})
        return [_both(wanted, {"$or": ranges})] if is_few else [_both(wanted, each) for each in ranges]

    def _first(self, filters: Sequence[Document], by_id: bool, is_few: bool, most: int) -> list[Document]:
        """The first documents that the filters find together."""
        found: list[Document] = []
        order = [("_id", 1)] if by_id else ORDER
        hint = {} if is_few or by_id else {"hint": ORDER}
        for wanted in filters:
            with _in_time():
                limits = {"limit": most - len(found), "batch_size": _AT_ONCE, "max_time_ms": _LIMIT_MS}
                found += self._jobs.find(wanted, sort=order, **limits, **hint)
            if len(found) == most:
                break
        return found

    # -- search -------------------------------------------------------------------------------------------------------

    def _search(self, query: JobQuery) -> Iterator[Step]:
        wanted = self._wanted(replace(query, text=None, after=None))
        return search(query, self._end_of, lambda *where: self._with_text(wanted, *where))

    def _end_of(self, begin: str) -> str | None:
        with _in_time():
            after = self._jobs.find({"_id": {"$gt": begin}}, ["_id"], sort=[("_id", 1)], skip=_WINDOW, limit=1)
            return next((document["_id"] for document in after.max_time_ms(_LIMIT_MS)), None)

    def _with_text(self, wanted: Document, text: str, order: str, begin: str, end: str | None) -> Sequence[str]:
        searched = "_id" if order == BY_ID else "name"
        window: Document = {"$gt": begin} if end is None else {"$gt": begin, "$lte": end}
        has_text = {searched: {"$regex": re.escape(text), "$options": "i"}}
        filters = _both(wanted, {"$and": [{"_id": window}, has_text]})
        with _in_time():
            found = self._jobs.find(filters, ["name"], sort=[("_id", 1)], hint=[("_id", 1)], max_time_ms=_LIMIT_MS)
            ids = [document["_id"] for document in paced(found)]
        return ids if order == BY_ID else [job_id for job_id in ids if text not in job_id.lower()]

    # -- reading ------------------------------------------------------------------------------------------------------

    def _wanted(self, query: JobQuery) -> Document:
        wanted = conditions(query, self._now)
        # Those that the owners of the jobs have parked: which functions this process lacks, the server does not know.
        return {**wanted, "parked": {"$type": "string"}} if query.state == "parked" else wanted

    def _row(self, document: Document) -> StoredRow:
        return job_row(document, self._reader, self._now)


def _place(document: Document) -> JobCursor:
    due = document.get("next_run_time")
    due_ms = to_ms(due) if isinstance(due, datetime) and due.tzinfo is not None else None
    return JobCursor(BY_TIME, document.get("paused") is True, due_ms, document["_id"])


def _both(one: Document, other: Document) -> Document:
    return {"$and": [one, other]} if one else other


def _finds_few(query: JobQuery) -> bool:
    """True if an index finds the jobs that match, apart from the list's own."""
    named = query.tag, query.group, query.prefix
    is_marked = query.failing or query.overdue or query.state in ("paused", "parked")
    return is_marked or any(each is not None for each in named)


@contextmanager
def _in_time() -> Iterator[None]:
    """Raise TooSlowError if the server gives up."""
    try:
        yield
    except driver.ExecutionTimeout as error:
        raise TooSlowError from error


