"""Adds jobs: inserts new ones in bulk, and replaces stored ones on condition that they are as read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final

from bson.raw_bson import RawBSONDocument
from pymongo import errors as driver
from pymongo.errors import BulkWriteError

from gsched.errors import JobIdConflictError, StoreConflictError
from gsched.event_loop.batches import BATCH
from gsched.event_loop.slices import paced
from gsched.jobs.job import Job, replacement
from gsched.stores.base import reschedules
from gsched.stores.mongodb.documents.jobs import JobReader, change_by_replacing, new_document
from gsched.stores.mongodb.driver.codec import Document, Jobs
from gsched.stores.mongodb.jobs.former import NEEDED, as_copied, keep_former
from gsched.stores.mongodb.jobs.write import Rewriting, write_changes
from gsched.times.instants import from_ms

ATTEMPTS: Final = 20
_DUPLICATE_KEY: Final = 11000


class Adding:
    """One call of `add`. All documents are encoded before the first write, so that a bad argument leaves no trace."""

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
                raise driver.AutoReconnect(f"{error}") from error  # the batches before are written
            result += [self._stored[job.id] for job in batch]
        return result

    def check(self, jobs: Sequence[Job]) -> None:
        """Raise what `add` would raise now. Writes nothing."""
        self._encoded(jobs)
        self._find_all(jobs)

    def _encoded(self, jobs: Sequence[Job]) -> dict[str, RawBSONDocument]:
        fresh = {job.id: new_document(job.evolve(rev=self._now), self._now) for job in paced(jobs)}
        if len(fresh) < len(jobs) and not self._replace:
            raise JobIdConflictError(Counter(job.id for job in jobs).most_common(1)[0][0])
        return fresh

    def _find_all(self, jobs: Iterable[Job]) -> None:
        """Raise JobIdConflictError if the id of one of these jobs is taken."""
        for batch in _batches(jobs):
            self._found(batch)

    def _add_batch(self, jobs: list[Job], fresh: dict[str, RawBSONDocument]) -> None:
        """Add jobs with different ids. If another process changes a stored job after it was read, read it again."""
        for _ in range(ATTEMPTS):
            found = self._found(jobs)
            self._insert([job for job in jobs if job.id not in found], fresh)
            reader = self._reader()
            self._replace_all([self._replacing(job, found[job.id], reader) for job in paced(jobs) if job.id in found])
            jobs = [job for job in jobs if job.id not in self._stored]
            if not jobs:
                return
        raise StoreConflictError

    def _found(self, jobs: Iterable[Job]) -> dict[str, Document]:
        """The stored documents of these jobs. Raises JobIdConflictError if one of them must not be replaced."""
        found = {document["_id"]: document for document in self._jobs.find({"_id": {"$in": [job.id for job in jobs]}})}
        if not self._replace:
            reader = self._reader()
            for job_id, document in found.items():
                if not self._has_ended(document, reader):
                    self._undo()
                    raise JobIdConflictError(job_id)
        return found

    def _has_ended(self, document: Document, reader: JobReader) -> bool:
        """True if the stored job is never due again. Instants that no node has claimed yet are late, not over."""
        job = reader.read(document)
        return job.has_ended(self._now) and (document.get("admitted") is True or job.next_run_ms is None)

    def _undo(self) -> None:
        """Another process has added one of the ids meanwhile: remove the jobs that this call added, if unchanged."""
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
            if not problems:  # written, but not confirmed by a majority yet
                raise
            if any(problem["code"] != _DUPLICATE_KEY for problem in problems):
                self._undo()
                raise

    def _note_inserted(self, jobs: list[Job]) -> None:
        self._inserted += [job.id for job in jobs]
        self._stored |= {job.id: job.evolve(rev=self._now) for job in paced(jobs)}

    def _replacing(self, job: Job, found: Document, reader: JobReader) -> Rewriting:
        old = reader.read(found)
        # Without `replace`, the stored job has ended: nothing of it is kept.
        new = replacement(old, job, keep_schedule=self._replace and job.id not in self._timed)
        rescheduled = reschedules(old, new) or not self._replace
        change = change_by_replacing(found, new, self._now, rescheduled, has_ended=not self._replace)
        return Rewriting(found, new, change, rescheduled)

    def _replace_all(self, replacing: list[Rewriting]) -> None:
        self._stored |= {each.job.id: each.job for each in write_changes(self._jobs, replacing)}


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
