"""The definitions of jobs: added, found, changed and removed, each by conditional writes that any process may make."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from gsched.clock import Clock
from gsched.errors import JobNotFoundError, StoreConflictError, TooManyWaitingError
from gsched.funcref import AllowedFunctions
from gsched.job import Job
from gsched.run import run_id
from gsched.stores.base import JobQuery, reschedules
from gsched.stores.mongodb.adding import Adding
from gsched.stores.mongodb.connection import Connection, Document, Jobs, translate_errors
from gsched.stores.mongodb.documents import JobReader, changing_fields, decoded
from gsched.stores.mongodb.former import as_copied, keep_former
from gsched.stores.mongodb.history import MOST_WAITING, WAITING, run_key
from gsched.stores.mongodb.listing import list_jobs
from gsched.stores.mongodb.lookup import find_document
from gsched.stores.mongodb.partition import slot_of
from gsched.stores.mongodb.removing import Removing

ATTEMPTS: Final = 50  # each that fails means that somebody else's write came first


class MongoDefinitions:
    """The part of the store that works in any process, whether its scheduler runs or not."""

    alias: str
    clock: Clock
    allowed: AllowedFunctions
    _connection: Connection
    _room: dict[str, int]  # how many runs of a job this process may ask for before it counts those that wait

    @translate_errors()
    def add(self, jobs: Sequence[Job], replace: bool, timed: Collection[str] = ()) -> list[Job]:
        """See BaseJobStore.

        Arguments that cannot be stored and ids that are taken are found before anything is written. If others add the
        same ids at the same moment, what this call has added is removed again; they may have seen it. If the
        connection breaks for good, or others change the jobs that are being replaced, a part may be stored.
        """
        if not jobs:  # a scheduler that is being made adds none, and must not connect yet
            return []
        self._connection.prepare()
        return self._adding(replace, timed).add(jobs)

    @translate_errors()
    def check_addable(self, jobs: Sequence[Job], replace: bool) -> None:
        self._adding(replace).check(jobs)

    def _adding(self, replace: bool, timed: Collection[str] = ()) -> Adding:
        return Adding(self._connection.jobs(), self._reader, self.clock.now_ms(), replace, timed)

    def get(self, job_id: str) -> Job:
        return self._reader().read(self._document(job_id))

    def find(self, query: JobQuery) -> Iterable[Job]:
        """See BaseJobStore; of more than `listing.EXACT` jobs the order is that of stored times, which may be past."""
        return list_jobs(self._connection.jobs(), self._reader(), query, self.clock.now_ms())

    @translate_errors()
    def change(self, job_id: str, change: Callable[[Job], Job]) -> Job:
        for _ in range(ATTEMPTS):
            document = self._document(job_id)
            old = self._reader().read(document)
            new = change(old).evolve(rev=old.rev + 1)
            if old.parked is not None:  # it is read again below: whatever was wrong may be mended
                new = new.evolve(parked=None)
            if new.func is not None and new.func_ref is not None:
                self.allowed.register(new.func_ref, new.func, new.args, new.kwargs)
            jobs, rescheduled = self._connection.jobs(), reschedules(old, new)
            fields = changing_fields(old, new, self.clock.now_ms(), rescheduled)
            as_read = {"_id": document["_id"], "rev": document.get("rev")}
            if rescheduled:
                keep_former(jobs, [document])
                as_read = as_copied(document)
            if jobs.update_one(as_read, {"$set": fields}).matched_count:
                return new if old.parked is None else self._reader().read({**document, **decoded(fields)})
        raise StoreConflictError(f"job {job_id!r}: others kept changing it; try again")

    @translate_errors()
    def remove(self, job_id: str) -> Job:
        return self._removing().remove(job_id)

    @translate_errors()
    def remove_all(self) -> int:
        """See BaseJobStore. What others add meanwhile stays; an error leaves a part of the jobs."""
        return self._removing().remove_all()

    def _removing(self) -> Removing:
        return Removing(self._connection.jobs(), self._reader())

    @translate_errors()
    def request_run(self, job: Job, request: str) -> None:
        """See BaseJobStore. The run waits before its owner is told of it: a job that ends meanwhile is told apart."""
        jobs, key = self._connection.jobs(), {"_id": run_key(run_id(job.id, 0, request), 1)}
        self._take_room(jobs, job.id)
        jobs.runs.update_one(key, [{"$set": _waiting(job.id, request)}], upsert=True)
        told = {"$inc": {"rev": 1}, "$currentDate": {"requested_at": True}}
        if not jobs.update_one({"_id": job.id}, told).matched_count:
            jobs.runs.delete_one({**key, "state": WAITING})
            raise JobNotFoundError(job.id)

    def _take_room(self, jobs: Jobs, job_id: str) -> None:
        """Raise TooManyWaitingError if too many wait. To count them for each request would cost more with each."""
        if not self._room.get(job_id):
            waiting = jobs.runs.count_documents({"job_id": job_id, "state": WAITING}, limit=MOST_WAITING)
            if waiting >= MOST_WAITING:
                raise TooManyWaitingError(f"job {job_id!r}: {MOST_WAITING} runs that were asked for wait already")
            self._room[job_id] = 1 + (MOST_WAITING - waiting) // 10
        self._room[job_id] -= 1

    @translate_errors()
    def _document(self, job_id: str) -> Document:
        document = find_document(self._connection.jobs(), job_id)
        if document is None:
            raise JobNotFoundError(job_id)
        return document

    def _reader(self) -> JobReader:
        return JobReader(self.allowed, self.alias)


def _waiting(job_id: str, request: str) -> Document:
    """A run that is to begin now, by the server's time, as everything that is due."""
    of_it = {"job_id": job_id, "slot": slot_of(job_id), "request": request, "cause": "request", "state": WAITING}
    return {**{key: {"$literal": value} for key, value in of_it.items()}, "attempt": 1, "scheduled_at": "$$NOW",
            "due_at": "$$NOW"}  # fmt: skip
