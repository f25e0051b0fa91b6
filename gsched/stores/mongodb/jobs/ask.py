"""Stores runs on request. Requests of one process that come at the same moment are written together."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterable
from typing import Final

from pymongo import UpdateOne, errors as driver

from gsched.errors import JobNotFoundError, TooManyWaitingError
from gsched.jobs.job import Job
from gsched.jobs.run import run_id
from gsched.stores.claims.partition import slot_of_job
from gsched.stores.mongodb.documents.runs import WAITING, run_key
from gsched.stores.mongodb.driver.bulk import DUPLICATE, write_all
from gsched.stores.mongodb.driver.codec import Document, Jobs
from gsched.stores.mongodb.driver.connection import Connection
from gsched.stores.mongodb.jobs.notice import as_error, notify_owners

MOST_WAITING: Final = 10_000  # runs of one job
AT_ONCE: Final = 500  # runs in one batch
WRITERS: Final = 4  # batches that are written at the same time; more would change the same jobs' documents


class Asked:
    """One request for a run.

    :ivar is_decided: the run waits in the database, or it was refused and `error` is set
    """

    __slots__ = ("error", "is_decided", "job_id", "key", "overlap", "request", "slot")

    def __init__(self, job: Job, request: str, overlap: str | None) -> None:
        self.job_id = job_id = job.id
        self.slot = slot_of_job(job)
        self.request = request
        self.overlap = overlap
        self.key = run_key(run_id(job_id, 0, request), 1)
        self.is_decided = False
        self.error: Exception | None = None


class Batch:
    """Runs that are written together, by the caller that asked for the first of them.

    :ivar is_over: set when all are decided, or when the caller that was to write them was killed
    """

    __slots__ = ("asked", "is_over")

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.is_over = threading.Event()


class Asking:
    """Stores the runs that one process asks for.

    A call returns when its run is written. Up to `WRITERS` batches are written at the same time; calls that come
    meanwhile gather in the next batch. So a few calls do not wait for each other, and thousands of calls are a few
    writes.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._begin()

    def _begin(self) -> None:
        self._next = Batch()
        self._joining = threading.Lock()
        self._turns = threading.Semaphore(WRITERS)
        self._room: dict[str, int] = {}  # how many more runs a job may have waiting; then they are counted again
        self._made_in = os.getpid()

    def ask(self, job: Job, request: str, overlap: str | None = None) -> None:
        """Store that the run waits.

        :raises JobNotFoundError: if the job does not exist
        :raises TooManyWaitingError: if `MOST_WAITING` runs of the job wait already
        :raises PyMongoError: if the write fails
        """
        if self._made_in != os.getpid():  # a fork: threads of the parent may hold the locks
            self._begin()
        asked = Asked(job, request, overlap)
        while not asked.is_decided:  # again if the caller that was to write it was killed
            self._ask_together(asked)
        if asked.error is not None:
            raise asked.error

    def _ask_together(self, asked: Asked) -> None:
        with self._joining:
            batch = self._next
            batch.asked.append(asked)
            is_first = len(batch.asked) == 1
            if len(batch.asked) == AT_ONCE:
                self._next = Batch()
        if is_first:
            self._write_batch(batch)
            return
        try:
            batch.is_over.wait()
        except BaseException:  # this caller was killed
            batch.asked.remove(asked)
            raise

    def _write_batch(self, batch: Batch) -> None:
        try:
            with self._turns:
                self._close(batch)
                self._write_some([*batch.asked])
        finally:
            self._close(batch)
            batch.is_over.set()

    def _close(self, batch: Batch) -> None:
        with self._joining:
            if self._next is batch:
                self._next = Batch()

    def _write_some(self, some: list[Asked]) -> None:
        try:
            self._write(some)
        except driver.PyMongoError as error:
            self._refuse(some, error)
        for each in some:
            each.is_decided = True

    def _write(self, some: list[Asked]) -> None:
        """Store the runs first and change their jobs second: a job that ends meanwhile is found by the change."""
        jobs = self._connection.jobs()
        taken = self._with_room(jobs, some)
        if not taken:
            return
        upserts = [
            UpdateOne({"_id": each.key, "state": {"$exists": False}}, [{"$set": _waiting(each)}], upsert=True)
            for each in taken
        ]
        for refusal in write_all(jobs.runs, upserts).refused:
            if refusal.code != DUPLICATE:  # otherwise there is a run of this name: it is the same one
                taken[refusal.number].error = as_error(refusal)
        self._notify_owners(jobs, [each for each in taken if each.error is None])

    def _notify_owners(self, jobs: Jobs, waiting: list[Asked]) -> None:
        ids = [*dict.fromkeys(each.job_id for each in waiting)]
        if not ids:
            return
        noticed = notify_owners(jobs, ids)
        for job_id, error in noticed.refused.items():
            self._refuse([each for each in waiting if each.job_id == job_id], error)
        if gone := [each for each in waiting if each.job_id in noticed.gone]:
            jobs.runs.delete_many({"_id": {"$in": [each.key for each in gone]}, "state": WAITING})
            for each in gone:
                each.error = JobNotFoundError(each.job_id)

    def _with_room(self, jobs: Jobs, some: list[Asked]) -> list[Asked]:
        """The requests that fit. Those of jobs with too many waiting runs get an error."""
        wanted = Counter(each.job_id for each in some)
        self._make_room(jobs, {job_id: n for job_id, n in wanted.items() if self._room.get(job_id, 0) < n})
        taken: list[Asked] = []
        for each in some:
            if self._room[each.job_id] > 0:
                self._room[each.job_id] -= 1
                taken.append(each)
            else:
                each.error = TooManyWaitingError(
                    f"job {each.job_id!r}: {MOST_WAITING} runs that were asked for wait already"
                )
        return taken

    def _make_room(self, jobs: Jobs, wanted: dict[str, int]) -> None:
        """Count the waiting runs of these jobs, and make room for several more: counting for each request is slow."""
        if not wanted:
            return
        waiting = {"$match": {"job_id": {"$in": [*wanted]}, "state": WAITING}}
        counted = jobs.runs.aggregate([waiting, {"$group": {"_id": "$job_id", "count": {"$sum": 1}}}])
        count = {each["_id"]: each["count"] for each in counted}
        for job_id, n in wanted.items():
            room = max(MOST_WAITING - count.get(job_id, 0), 0)
            self._room[job_id] = max(min(n, room), room // 10)

    @staticmethod
    def _refuse(some: Iterable[Asked], error: Exception) -> None:
        for each in some:
            each.error = error


def _waiting(asked: Asked) -> Document:
    """The document of a run that is due now, by the server's time."""
    job_id = asked.job_id
    fields = {"job_id": job_id, "slot": asked.slot, "request": asked.request, "cause": "request", "state": WAITING}
    fields |= {} if asked.overlap is None else {"overlap": asked.overlap}
    return {**{key: {"$literal": value} for key, value in fields.items()}, "attempt": 1, "scheduled_at": "$$NOW",
            "due_at": "$$NOW"}  # fmt: skip
