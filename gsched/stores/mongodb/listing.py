"""Lists of jobs: filtered, ordered and paged by the server as far as it can."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from typing import Final

from gsched.batches import BATCH
from gsched.job import Job
from gsched.stores.base import ALWAYS, JobQuery
from gsched.stores.mongodb.connection import Document, Jobs, translate_errors
from gsched.stores.mongodb.documents import JobReader

EXACT: Final = 2000  # so many jobs are read whole and ordered by when they are truly due
ORDER: Final = [("paused", 1), ("next_run_time", 1), ("_id", 1)]


def list_jobs(jobs: Jobs, reader: JobReader, query: JobQuery, now: int) -> Iterable[Job]:
    """The jobs that match.

    `next_run_time` in a document is a lower bound, the true one follows from the trigger. Up to EXACT jobs are ordered
    by the latter; a longer list is streamed in the order of the index: those that are not paused by the stored time,
    then those that are.
    """
    wanted = _filter(query)
    with translate_errors():
        many = jobs.count_documents(wanted, limit=EXACT + 1) > EXACT
    if many:
        return _streamed(jobs, reader, query, wanted)
    found = [job for job in _read(jobs, reader, wanted) if query.matches(job)]
    due = {job.id: job.next_due_ms(now) or ALWAYS for job in found}
    found.sort(key=lambda job: (due[job.id], job.id))
    return _page(found, query)


def _streamed(jobs: Jobs, reader: JobReader, query: JobQuery, wanted: Document) -> Iterator[Job]:
    if query.state is None:
        return _read(jobs, reader, wanted, query.skip, query.limit)
    if query.state == "parked":
        return _parked(jobs, reader, query, wanted)
    return _page((job for job in _read(jobs, reader, wanted) if query.matches(job)), query)


def _parked(jobs: Jobs, reader: JobReader, query: JobQuery, wanted: Document) -> Iterator[Job]:
    """First those that the database has as parked, which has an index of them and skips; the others are all read, if
    so many are asked for, to see which cannot be run here."""
    stored = {**wanted, "parked": {"$type": "string"}}
    with translate_errors():
        skipped = min(jobs.count_documents(stored), query.skip)
    others = {**wanted, "parked": {"$not": {"$type": "string"}}}
    here = (job for job in _read(jobs, reader, others) if query.matches(job))
    return _page(chain(_read(jobs, reader, stored, skipped), here), replace(query, skip=query.skip - skipped))


def _page(found: Iterable[Job], query: JobQuery) -> Iterator[Job]:
    return islice(found, query.skip, None if query.limit is None else query.skip + query.limit)


def _read(
    jobs: Jobs, reader: JobReader, wanted: Document, skip: int = 0, limit: int | None = None
) -> Iterator[Job]:
    if limit == 0:  # which means "all" to MongoDB
        return
    with translate_errors():  # in batches: what the driver decodes at one go holds up everybody else
        for document in jobs.find(wanted, sort=ORDER, skip=skip, limit=limit or 0, batch_size=BATCH):
            yield reader.read(document)


def _filter(query: JobQuery) -> Document:
    """What the server can tell; it may let pass more than matches.

    It knows which jobs their owners have parked, but not which cannot be run here: a function that is missing in this
    process may be there in another one.
    """
    wanted: Document = {f"metadata.{key}": value for key, value in query.metadata.items()}
    if query.tag is not None:
        wanted["tags"] = query.tag
    if query.text is not None:
        has_text = {"$regex": re.escape(query.text), "$options": "i"}
        wanted["$or"] = [{"_id": has_text}, {"name": has_text}]
    if query.prefix is not None:
        wanted["_id"] = {"$regex": f"^{re.escape(query.prefix)}"}
    if query.state == "paused":
        wanted |= {"paused": True, "parked": None}
    elif query.state == "scheduled":
        wanted |= {"paused": {"$ne": True}, "parked": None}
    return wanted
