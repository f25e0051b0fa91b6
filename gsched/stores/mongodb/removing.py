"""Removing jobs. Of runs that wait still, whoever owns the job's slot says that they do not begin."""

from __future__ import annotations

from typing import Any, Final

from gsched.batches import BATCH, batches
from gsched.errors import JobNotFoundError, StoreConflictError
from gsched.job import Job
from gsched.stores.mongodb.connection import Jobs
from gsched.stores.mongodb.documents import JobReader
from gsched.stores.mongodb.former import NEEDED, as_copied, keep_former
from gsched.stores.mongodb.lookup import find_document

ATTEMPTS: Final = 50  # each that fails means that somebody else's write came first


class Removing:
    """Removes jobs, for one call."""

    def __init__(self, jobs: Jobs, reader: JobReader) -> None:
        self._jobs = jobs
        self._reader = reader

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
            deleted = self._jobs.delete_many(these).deleted_count
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
                return self._reader.read(last)
        raise StoreConflictError(f"job {key!r}: others kept changing it; try again")
