"""Lists of jobs. The server filters, orders and pages them as far as it can."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from typing import Final

from gsched.event_loop.batches import BATCH
from gsched.jobs.job import Job
from gsched.jobs.query import JobQuery
from gsched.stores.messages import ALWAYS
from gsched.stores.mongodb.documents.jobs import OVERDUE_TOLD, JobReader, is_not_paused, is_overdue, is_paused
from gsched.stores.mongodb.driver.codec import Document, Jobs
from gsched.stores.mongodb.driver.connection import translate_errors

EXACT: Final = 2000  # up to this many jobs are read whole, and ordered by their true next run times
ORDER: Final = [("paused", 1), ("next_run_time", 1), ("_id", 1)]


def list_jobs(jobs: Jobs, reader: JobReader, query: JobQuery, now: int) -> Iterable[Job]:
    """The jobs that match.

    `next_run_time` in a document is a lower bound; the trigger gives the true time. Up to EXACT jobs are ordered by the
    true time. A longer list is streamed in the order of the index: by the stored time, with the paused jobs last.
    """
    wanted = conditions(query, now)
    with translate_errors():
        many = jobs.count_documents(wanted, limit=EXACT + 1) > EXACT
    if many:
        return _streamed(jobs, reader, query, wanted, now)
    found = [job for job in _read(jobs, reader, wanted) if query.matches(job, now)]
    due = {job.id: job.next_due_ms(now) or ALWAYS for job in found}
    found.sort(key=lambda job: (due[job.id], job.id))
    return _page(found, query)


def _streamed(jobs: Jobs, reader: JobReader, query: JobQuery, wanted: Document, now: int) -> Iterator[Job]:
    if query.state is None and query.option is None:
        return _read(jobs, reader, wanted, query.skip, query.limit)
    if query.state == "parked":
        return _parked(jobs, reader, query, wanted, now)
    return _page((job for job in _read(jobs, reader, wanted) if query.matches(job, now)), query)


def _parked(jobs: Jobs, reader: JobReader, query: JobQuery, wanted: Document, now: int) -> Iterator[Job]:
    """First the jobs that the database has as parked, by its index. Then the others are read, as far as the query needs
    them, to find those that cannot be run in this process."""
    stored = {**wanted, "parked": {"$type": "string"}}
    with translate_errors():
        skipped = min(jobs.count_documents(stored), query.skip)
    others = {**wanted, "parked": {"$not": {"$type": "string"}}}
    here = (job for job in _read(jobs, reader, others) if query.matches(job, now))
    return _page(chain(_read(jobs, reader, stored, skipped), here), replace(query, skip=query.skip - skipped))


def _page(found: Iterable[Job], query: JobQuery) -> Iterator[Job]:
    return islice(found, query.skip, None if query.limit is None else query.skip + query.limit)


def _read(
    jobs: Jobs, reader: JobReader, wanted: Document, skip: int = 0, limit: int | None = None
) -> Iterator[Job]:
    if limit == 0:  # MongoDB takes 0 for "all"
        return
    with translate_errors():  # in batches: decoding a batch holds up all other greenlets
        for document in jobs.find(wanted, sort=ORDER, skip=skip, limit=limit or 0, batch_size=BATCH):
            if isinstance(document["_id"], str):  # a document with another id is no job
                yield reader.read(document)


def conditions(query: JobQuery, now: int) -> Document:
    """The filter for the server. It may let more jobs pass than match.

    The server knows which jobs their owners have parked, but not which cannot be run in this process: a function may be
    missing here and exist in another process.
    """
    wanted: Document = {f"metadata.{key}": value for key, value in query.metadata.items()}
    if query.tag is not None:
        wanted["tags"] = query.tag
    if query.text is not None:
        has_text = {"$regex": re.escape(query.text), "$options": "i"}
        wanted["$or"] = [{"_id": has_text}, {"name": has_text}]
    if query.prefix is not None:
        wanted["_id"] = {"$gte": query.prefix, "$lt": f"{query.prefix}\U0010ffff"}  # comes after every character
    if query.failing:
        wanted["figures.failing_since"] = {"$type": "date"}
    if query.option is not None:
        wanted[query.option] = {"$exists": True}
    if query.group is not None:
        wanted["group"] = query.group
    if query.state == "paused":
        wanted |= {"$and": [is_paused(now)], "parked": None}
    elif query.state == "scheduled":
        wanted |= {**is_not_paused(now), "parked": None}
    if query.overdue:
        either = {"$or": [{"overdue_told": told, **is_overdue(now)} for told in OVERDUE_TOLD]}
        wanted["$and"] = [*wanted.get("$and", ()), either]
    return wanted
