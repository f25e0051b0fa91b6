"""Removes jobs. The owner of a job's slot skips the runs on request that still wait."""

from __future__ import annotations

from typing import Any, Final

from gsched.errors import JobNotFoundError, StoreConflictError
from gsched.event_loop.batches import BATCH, batches
from gsched.jobs.job import Job
from gsched.stores.mongodb.documents.jobs import JobReader
from gsched.stores.mongodb.driver.codec import Jobs
from gsched.stores.mongodb.jobs.former import NEEDED, as_copied, keep_former

ATTEMPTS: Final = 50  # an attempt fails if another process's write came first


class Removing:
    """Removes jobs, for one call."""

    def __init__(self, jobs: Jobs, reader: JobReader) -> None:
        self._jobs = jobs
        self._reader = reader

    def remove(self, job_id: str) -> Job:
        """Remove the job, and give it as it was at the end. Raises JobNotFoundError."""
        job = self._remove(job_id)
        if job is None:
            raise JobNotFoundError(job_id)
        return job

    def remove_all(self) -> int:
        """Remove all jobs. Gives how many."""
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
        raise StoreConflictError(f"job {key!r}: other processes kept changing it; try again")
