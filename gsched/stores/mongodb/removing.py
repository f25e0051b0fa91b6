"""Jobs removed, and on record what was still asked for of them: nobody else would say what became of that."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from pymongo import DeleteOne, InsertOne

from gsched.batches import BATCH, batches
from gsched.errors import JobNotFoundError, StoreConflictError
from gsched.history import RUNNING
from gsched.instants import from_ms
from gsched.job import Job
from gsched.planning import Span
from gsched.records import Record
from gsched.run import Outcome, Reason
from gsched.stores.mongodb.bulk import write_all
from gsched.stores.mongodb.cluster_documents import requests_in
from gsched.stores.mongodb.connection import Document, Jobs
from gsched.stores.mongodb.documents import NOT_ASKED_FOR, JobReader
from gsched.stores.mongodb.former import NEEDED, as_copied, keep_former
from gsched.stores.mongodb.history import expiring_document, run_key
from gsched.stores.mongodb.lookup import find_document

ATTEMPTS: Final = 50  # each that fails means that somebody else's write came first


class Removing:
    """Removes jobs, for one call.

    :param now: the time, ms
    :param keep: how long the history is kept
    """

    def __init__(self, jobs: Jobs, reader: JobReader, now: int, keep: timedelta) -> None:
        self._jobs = jobs
        self._reader = reader
        self._expires_at: Final = from_ms(now) + keep

    def remove(self, job_id: str) -> Job:
        """Remove the job, as it was at last. Raises JobNotFoundError."""
        job = self._remove(job_id)
        if job is None and (found := find_document(self._jobs, job_id)) is not None:
            job = self._remove(found["_id"])
        if job is None:
            raise JobNotFoundError(job_id)
        return job

    def remove_all(self) -> int:
        """Remove all there are; how many that were."""
        removed = 0
        found = self._jobs.find({}, ["_id", *NEEDED], batch_size=BATCH)
        for batch in batches(found):
            keep_former(self._jobs, batch)
            these = {"$or": [as_copied(each) for each in batch]}
            deleted = self._jobs.delete_many({**these, **NOT_ASKED_FOR}).deleted_count
            if deleted < len(batch):
                ids = [document["_id"] for document in batch]
                others = [document["_id"] for document in self._jobs.find({"_id": {"$in": ids}}, ["_id"])]
                deleted += sum(self._remove(each) is not None for each in others)
            removed += deleted
        return removed

    def _remove(self, key: Any) -> Job | None:
        for _ in range(ATTEMPTS):
            document = self._jobs.find_one({"_id": {"$eq": key}})
            if document is None:
                return None
            keep_former(self._jobs, [document])
            if (last := self._jobs.find_one_and_delete(as_copied(document))) is not None:
                job = self._reader.read(last)
                self._note_requests(job, last)
                return job
        raise StoreConflictError(f"job {key!r}: others kept changing it; try again")

    def _note_requests(self, job: Job, document: Document) -> None:
        """What the owner has not taken yet, it will not take any more; it may have noted that as in progress."""
        writes: list[InsertOne[Document] | DeleteOne] = []
        for request, at in requests_in(document):
            skipped = Record.of_span(job, Span(Outcome.SKIPPED, at, at + 1, Reason.REMOVED_OR_PAUSED, request))
            writes.append(InsertOne(expiring_document(skipped, self._expires_at)))
            writes.append(DeleteOne({"_id": run_key(skipped.run_id, 1), "state": RUNNING}))
        if writes:
            write_all(self._jobs.runs, writes)
