"""The definitions of jobs. Any process may add, find, change and remove jobs, by conditional writes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from gsched.errors import JobNotFoundError, StoreConflictError
from gsched.event_loop.batches import batches
from gsched.event_loop.slices import paced
from gsched.history.reruns import NextAttempt, Obstacle
from gsched.jobs.audit import Act
from gsched.jobs.funcref import AllowedFunctions
from gsched.jobs.job import Job
from gsched.jobs.query import JobQuery
from gsched.monitoring.job_pages import StoredPage, StoredRow
from gsched.monitoring.load import JobSample
from gsched.policies.spreading import Numbers, Series
from gsched.stores.base import reschedules
from gsched.stores.mongodb.documents.audit import audit_document
from gsched.stores.mongodb.documents.jobs import JobReader, change_between
from gsched.stores.mongodb.driver.codec import Document
from gsched.stores.mongodb.driver.connection import Connection, translate_errors
from gsched.stores.mongodb.jobs.add import Adding
from gsched.stores.mongodb.jobs.ask import Asking
from gsched.stores.mongodb.jobs.former import keep_former
from gsched.stores.mongodb.jobs.list import list_jobs
from gsched.stores.mongodb.jobs.page import MongoPages
from gsched.stores.mongodb.jobs.remove import Removing
from gsched.stores.mongodb.jobs.retry import AT_ONCE as RETRIED_AT_ONCE, retry_some
from gsched.stores.mongodb.jobs.series import take_numbers
from gsched.stores.mongodb.jobs.write import Rewriting, write_change, write_changes
from gsched.times.clock import Clock

ATTEMPTS: Final = 50  # an attempt fails if another process's write came first


class MongoDefinitions:
    """Jobs in MongoDB: see `Definitions`. Works in any process, whether its scheduler runs or not."""

    def __init__(self, connection: Connection, clock: Clock, allowed: AllowedFunctions, alias: str) -> None:
        self._connection = connection
        self._clock = clock
        self._allowed = allowed
        self._alias = alias
        self._asking = Asking(connection)

    @translate_errors()
    def add(self, jobs: Sequence[Job], replace: bool, timed: Collection[str] = ()) -> list[Job]:
        """See BaseJobStore.

        Arguments that cannot be stored and ids that are taken are found before the first write. If another process adds
        one of the ids at the same moment, the jobs that this call has added are removed again; others may have seen
        them. If the connection fails, or other processes keep changing the replaced jobs, a part may be stored.
        """
        if not jobs:  # a scheduler that is not started yet adds none, and must not connect
            return []
        self._connection.prepare()
        return self._adding(replace, timed).add(jobs)

    @translate_errors()
    def check_addable(self, jobs: Sequence[Job], replace: bool) -> None:
        self._adding(replace).check(jobs)

    def _adding(self, replace: bool, timed: Collection[str] = ()) -> Adding:
        return Adding(self._connection.jobs(), self._reader, self._clock.now_ms(), replace, timed)

    def get(self, job_id: str) -> Job:
        return self._reader().read(self._document(job_id))

    def find(self, query: JobQuery) -> Iterable[Job]:
        """See BaseJobStore. More than `list.EXACT` jobs come in the order of the stored times, which may be past."""
        return list_jobs(self._connection.jobs(), self._reader(), query, self._clock.now_ms())

    @translate_errors()
    def page(self, query: JobQuery) -> StoredPage:
        return self._pages().page(query)

    @translate_errors()
    def rows(self, job_ids: Sequence[str]) -> dict[str, StoredRow]:
        return self._pages().rows(job_ids)

    @translate_errors()
    def count(self, query: JobQuery, most: int) -> int:
        return self._pages().count(query, most)

    @translate_errors()
    def tags(self, most: int) -> dict[str, int]:
        return self._pages().tags(most)

    @translate_errors()
    def sample(self, most: int) -> JobSample:
        return self._pages().sample(most)

    def _pages(self) -> MongoPages:
        return MongoPages(self._connection.jobs(), self._clock, self._reader())

    @translate_errors()
    def change(self, job_id: str, change: Callable[[Job], Job], act: Act | None = None) -> Job:
        for _ in range(ATTEMPTS):
            document = self._document(job_id)
            old = self._reader().read(document)
            new = change(old) if act is None else act.stamped(change(old))
            made, jobs = self._made(document, old, new), self._connection.jobs()
            if made.rescheduled:
                keep_former(jobs, [document])
            entry = None if act is None else audit_document(act.entry(job_id, 1, old, new))
            if write_change(jobs, made, entry):
                return self._stored(made)
        raise StoreConflictError(f"job {job_id!r}: other processes kept changing it; try again")

    @translate_errors()
    def change_many(self, job_ids: Sequence[str], change: Callable[[Job], Job | None]) -> list[Job]:
        jobs, left, changed = self._connection.jobs(), dict.fromkeys(job_ids), list[Job]()
        for _ in range(ATTEMPTS):
            reader, changes = self._reader(), list[Rewriting]()
            for document in paced(jobs.find({"_id": {"$in": list(left)}})):
                old = reader.read(document)
                if (new := change(old)) is not None:
                    changes.append(self._made(document, old, new))
            made = write_changes(jobs, changes)
            changed += map(self._stored, made)
            left = dict.fromkeys(each.job.id for each in changes)
            for each in made:
                del left[each.job.id]
            if not left:
                return changed
        raise StoreConflictError(f"{len(left)} jobs: other processes kept changing them; try again")

    def _made(self, document: Document, old: Job, new: Job) -> Rewriting:
        heals = old.parked is not None
        new = new.evolve(rev=old.rev + 1, parked=None if heals else new.parked)
        if new.func is not None and new.func_ref is not None:
            self._allowed.register(new.func_ref, new.func, new.args, new.kwargs)
        rescheduled = reschedules(old, new)
        made = change_between(document, old, new, self._clock.now_ms(), rescheduled)
        return Rewriting(document, new, made, rescheduled, heals)

    def _stored(self, made: Rewriting) -> Job:
        """The job as it is stored. If it was parked, it is read again, because the change may have healed it."""
        return made.job if not made.heals else self._reader().read(made.change.of(made.found))

    @translate_errors()
    def remove(self, job_id: str, act: Act | None = None) -> Job:
        removed = self._removing().remove(job_id)
        if act is not None:
            self._connection.jobs().audit.insert_one(audit_document(act.entry(job_id)))
        return removed

    @translate_errors()
    def remove_all(self) -> int:
        """See BaseJobStore. Jobs that are added meanwhile stay; after an error, a part of the jobs is left."""
        return self._removing().remove_all()

    def _removing(self) -> Removing:
        return Removing(self._connection.jobs(), self._reader())

    @translate_errors()
    def take_numbers(self, wanted: Mapping[Series, int]) -> Mapping[Series, Numbers]:
        return take_numbers(self._connection.jobs(), wanted)

    @translate_errors()
    def request_run(self, job: Job, request: str, overlap: str | None = None) -> None:
        self._asking.ask(job, request, overlap)

    @translate_errors()
    def retry_runs(self, attempts: Sequence[NextAttempt], dry_run: bool) -> Mapping[NextAttempt, Obstacle]:
        found: dict[NextAttempt, Obstacle] = {}
        for some in batches(attempts, RETRIED_AT_ONCE):
            found |= retry_some(self._connection.jobs(), some, dry_run)
        return found

    @translate_errors()
    def _document(self, job_id: str) -> Document:
        document = self._connection.jobs().find_one({"_id": job_id})
        if document is None:
            raise JobNotFoundError(job_id)
        return document

    def _reader(self) -> JobReader:
        return JobReader(self._allowed, self._alias)
