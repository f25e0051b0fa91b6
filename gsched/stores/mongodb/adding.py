"""Adding jobs: new ones in bulk, and those that replace others by updates conditional on what was read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import UpdateOne, errors as driver
from pymongo.errors import BulkWriteError

from gsched.batches import BATCH
from gsched.errors import JobIdConflictError, StoreConflictError
from gsched.instants import from_ms
from gsched.job import Job, replacement
from gsched.stores.base import reschedules
from gsched.stores.mongodb.connection import Document, Jobs
from gsched.stores.mongodb.documents import CODEC, JobReader, new_document, replacing_fields
from gsched.stores.mongodb.former import NEEDED, as_copied, keep_former

ATTEMPTS: Final = 20
_DUPLICATE_KEY: Final = 11000


class Replacing(NamedTuple):
    """A stored document, the job that takes its place, and what that sets."""

    found: Document
    job: Job
    fields: RawBSONDocument
    rescheduled: bool

    def has_happened(self, document: Document | None) -> bool:
        """Whether the document is as this leaves it."""
        if document is None:
            return False
        stored = {key: document.get(key) for key in self.fields}
        return bool(bson.encode(stored, codec_options=CODEC) == self.fields.raw)


class Adding:
    """One call of `add`. Documents are encoded before anything is written, so that arguments are refused in time."""

    def __init__(
        self, jobs: Jobs, reader: Callable[[], JobReader], now: int, replace: bool, timed: Collection[str]
    ) -> None:
        self._jobs = jobs
        self._reader = reader
        self._now = now
        self._replace = replace
        self._timed = timed
        self._stored: dict[str, Job] = {}
        self._inserted: list[str] = []

    def add(self, jobs: Sequence[Job]) -> list[Job]:
        """Store the jobs and give them as stored."""
        fresh = self._encoded(jobs)
        if len(jobs) > BATCH:
            self._find_all(jobs)
        result: list[Job] = []
        for batch in _batches(jobs):
            try:
                self._add_batch(batch, fresh)
            except driver.ServerSelectionTimeoutError as error:
                if not self._stored:
                    raise
                raise driver.AutoReconnect(f"{error}") from error  # what came before is written
            result += [self._stored[job.id] for job in batch]
        return result

    def check(self, jobs: Sequence[Job]) -> None:
        """Raise what `add` would raise, as things are."""
        self._encoded(jobs)
        self._find_all(jobs)

    def _encoded(self, jobs: Sequence[Job]) -> dict[str, RawBSONDocument]:
        fresh = {job.id: new_document(job.evolve(rev=self._now), self._now) for job in jobs}
        if len(fresh) < len(jobs) and not self._replace:
            raise JobIdConflictError(Counter(job.id for job in jobs).most_common(1)[0][0])
        return fresh

    def _find_all(self, jobs: Iterable[Job]) -> None:
        """Raise JobIdConflictError if one of the jobs exists and is in the way."""
        for batch in _batches(jobs):
            self._found(batch)

    def _add_batch(self, jobs: list[Job], fresh: dict[str, RawBSONDocument]) -> None:
        """Add jobs with different ids. Those that others have touched since we looked are looked at again."""
        for _ in range(ATTEMPTS):
            found = self._found(jobs)
            self._insert([job for job in jobs if job.id not in found], fresh)
            reader = self._reader()
            self._replace_all([self._replacing(job, found[job.id], reader) for job in jobs if job.id in found])
            jobs = [job for job in jobs if job.id not in self._stored]
            if not jobs:
                return
        raise StoreConflictError

    def _found(self, jobs: Iterable[Job]) -> dict[str, Document]:
        """Those of the jobs that exist. Raises JobIdConflictError if one of them is in the way."""
        found = {document["_id"]: document for document in self._jobs.find({"_id": {"$in": [job.id for job in jobs]}})}
        if not self._replace:
            reader = self._reader()
            for job_id, document in found.items():
                if not self._has_ended(document, reader):
                    self._undo()
                    raise JobIdConflictError(job_id)
        return found

    def _has_ended(self, document: Document, reader: JobReader) -> bool:
        """Whether nothing is due any more. What nobody has claimed yet is late, and not over."""
        job = reader.read(document)
        return job.has_ended(self._now) and (document.get("admitted") is True or job.next_run_ms is None)

    def _undo(self) -> None:
        """Somebody else has added one of the ids meanwhile: remove what was added here, if nobody has touched it."""
        for start in range(0, len(self._inserted), BATCH):
            batch = self._inserted[start : start + BATCH]
            untouched = {"_id": {"$in": batch}, "rev": self._now, "created_at": from_ms(self._now)}
            added = list(self._jobs.find(untouched, [*NEEDED]))
            keep_former(self._jobs, added)
            if added:
                self._jobs.delete_many({"$or": [as_copied(each) for each in added]})

    def _insert(self, jobs: list[Job], fresh: dict[str, RawBSONDocument]) -> None:
        if not jobs:
            return
        try:
            self._jobs.insert_many([fresh[job.id] for job in jobs], ordered=False)
            self._note_inserted(jobs)
        except BulkWriteError as error:
            problems = error.details["writeErrors"]
            failed = {problem["index"] for problem in problems}
            self._note_inserted([job for index, job in enumerate(jobs) if index not in failed])
            if not problems:  # written, but not confirmed by a majority: that may still come
                raise
            if any(problem["code"] != _DUPLICATE_KEY for problem in problems):
                self._undo()
                raise

    def _note_inserted(self, jobs: list[Job]) -> None:
        self._inserted += [job.id for job in jobs]
        self._stored |= {job.id: job.evolve(rev=self._now) for job in jobs}

    def _replacing(self, job: Job, found: Document, reader: JobReader) -> Replacing:
        old = reader.read(found)
        # Without `replace` the old one has ended: nothing of it is to be kept.
        new = replacement(old, job, keep_schedule=self._replace and job.id not in self._timed)
        rescheduled = reschedules(old, new) or not self._replace
        return Replacing(found, new, replacing_fields(new, self._now, rescheduled), rescheduled)

    def _replace_all(self, replacing: list[Replacing]) -> None:
        if not replacing:
            return
        keep_former(self._jobs, [each.found for each in replacing if each.rescheduled])
        done = self._jobs.bulk_write([_update(each) for each in replacing], ordered=False)
        if done.matched_count < len(replacing):
            # Which ones, the server does not tell.
            ids = [each.job.id for each in replacing]
            stored = {document["_id"]: document for document in self._jobs.find({"_id": {"$in": ids}})}
            replacing = [each for each in replacing if each.has_happened(stored.get(each.job.id))]
        self._stored |= {each.job.id: each.job for each in replacing}


def _update(replacing: Replacing) -> UpdateOne:
    found = replacing.found
    as_read = as_copied(found) if replacing.rescheduled else {"_id": found["_id"], "rev": found.get("rev")}
    return UpdateOne(as_read, {"$set": replacing.fields})


def _batches(jobs: Iterable[Job]) -> Iterator[list[Job]]:
    """Lists of at most a thousand jobs with different ids, in order."""
    batch: dict[str, Job] = {}
    for job in jobs:
        if job.id in batch or len(batch) == BATCH:
            yield list(batch.values())
            batch = {}
        batch[job.id] = job
    if batch:
        yield list(batch.values())
