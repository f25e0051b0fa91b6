"""Parking: jobs that cannot be run here are kept, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from gsched.events import parked_event
from gsched.jobs.job import Job
from gsched.stores.claims.database import JobRecord, RefusedError
from gsched.stores.claims.session import Session

AT_ONCE = 200  # jobs per turn and transaction; the watermark waits for it


class Parking:
    """Knows why jobs cannot be run, and stores the reasons and the first instants that wait.

    :param look_at: gets the ids of jobs to look at again
    """

    def __init__(self, session: Session, look_at: Callable[[Iterable[str]], None]) -> None:
        self._session = session
        self._look_at = look_at
        self._found: dict[str, Job] = {}  # jobs found to be parked or healed; still to be stored
        self._waiting: dict[str, Job] = {}  # parked jobs whose first waiting instant is still to be stored
        self._aside: dict[str, tuple[int, str]] = {}  # jobs whose documents show no reason: the revision and the reason

    # -- what is known ------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> bool:
        """There are reasons or instants to store."""
        return bool(self._waiting or self._found)

    @property
    def unsettled(self) -> bool:
        """A late write may still set jobs down. Slots must not be given away then: instants that the next owner has run
        would be due again."""
        return bool(self._waiting)

    def is_setting_down(self, job_id: str) -> bool:
        """True if the job is being set down. Leave such a job alone until that is stored."""
        return job_id in self._waiting

    def is_aside(self, job: Job) -> bool:
        """True if the job cannot be run at this revision, though its document does not show why."""
        return job.id in self._aside and self._aside[job.id][0] == job.rev

    def as_known(self, record: JobRecord) -> JobRecord:
        """The record with the reason why the job cannot be run here, also if its document does not show one."""
        job = record.job
        reason = self._aside[job.id][1] if self.is_aside(job) else self._session.hub.obstacle(job)
        return record if job.parked or reason is None else record._replace(job=job.evolve(parked=reason))

    # -- what is found ------------------------------------------------------------------------------------------------

    def compare(self, record: JobRecord) -> bool:
        """True if the database has the reason that was found. If not, `store` stores it and emits an event."""
        job = record.job
        note = self._session.holdings.parked.discard if job.parked is None else self._session.holdings.parked.add
        note(job.id)
        if job.parked != record.was_parked:
            self._found[job.id] = job
        return job.parked == record.was_parked

    def postpone(self, job_id: str) -> None:
        """Store nothing about the job before it is looked at again."""
        self._found.pop(job_id, None)

    def set_aside(self, job: Job, reason: str) -> None:
        """Park a job until somebody changes it."""
        if not self.is_aside(job):
            self._aside[job.id] = job.rev, reason
            self._found[job.id] = job.evolve(parked=reason)

    def hub_parks(self, job: Job, reason: str | None) -> None:
        """The hub cannot run the job, for this reason; None: it can again. Until that is stored, only the hub knows
        which instants of the job wait."""
        due = self._session.hub.due(job.id)
        if reason is None:
            self._aside.pop(job.id, None)
            if job.id not in self._waiting:
                self._session.holdings.awaited.pop(job.id, None)
        else:
            if self._session.hub.obstacle(job) is None:  # `as_known` would not find the reason again
                self._aside[job.id] = job.rev, reason
            if due is not None:
                self._session.holdings.awaited[job.id] = due
        self._look_at([job.id])

    def set_down(self, job: Job, due: int | None) -> None:
        """Note that the hub does not have the job, which is due next at `due`. If it is parked, store `due` later."""
        self._session.holdings.keep_back(job, due)
        if job.parked is not None and due is not None:
            self._waiting[job.id] = job

    # -- what is stored, after other jobs were admitted: a deployment may park or heal thousands ----------------------

    def store(self) -> None:
        """Store some reasons and instants, and emit events. A document that the database refuses stays as it is."""
        if self._waiting:
            self._session.beat()
            self._store_instants(list(islice(self._waiting.values(), AT_ONCE)))
        if self._found:
            self._session.beat()
            self._store_reasons(list(islice(self._found.values(), AT_ONCE)))

    def _store_instants(self, jobs: Sequence[Job]) -> None:
        """Store the first waiting instants of parked jobs. No watermark covers these jobs any more; when one is healed,
        its waiting instants are late."""
        due = self._session.holdings.awaited
        for job in jobs:
            if job.id not in due:
                del self._waiting[job.id]
        covered = [job.evolve(next_run_ms=due[job.id]) for job in jobs if job.id in due]
        # No watermark covers their runs in progress from here on.
        self._session.recorded.record_those_of(self._session.holdings, {job.id for job in covered})
        if covered:
            self._set_down(covered)

    def _set_down(self, jobs: Sequence[Job]) -> None:
        """Set down all in one transaction. If one of them changed or is refused, set them down one by one."""
        is_stored = is_refused = False
        try:
            is_stored = self._session.database.set_down(self._session.node, jobs)
        except RefusedError:
            is_refused = True
        if len(jobs) > 1 and not is_stored:
            for job in jobs:
                self._session.beat()
                self._set_down([job])
            return
        for job in jobs:
            del self._waiting[job.id]
            if is_stored:
                self._note_set_down(job)
        if is_refused:
            # If this node heals it, it goes on from here; another node starts from the watermark with which it took
            # the slot.
            self._session.holdings.awaited.pop(jobs[0].id, None)
        else:
            # A job may be healed by now. If it was not set down, somebody has changed it.
            self._look_at([job.id for job in jobs])

    def _note_set_down(self, job: Job) -> None:
        self._session.holdings.forget(job.id)
        if self.is_aside(job):
            self._aside[job.id] = job.rev + 1, self._aside[job.id][1]
        if self._found.pop(job.id, None) is not None:  # the reason is stored with it
            self._session.hub.emit(parked_event(job))

    def _store_reasons(self, jobs: Sequence[Job]) -> None:
        refused = self._session.database.park(jobs)
        for job in jobs:
            if job.id in refused:
                self._aside[job.id] = job.rev, job.parked or refused[job.id]
            del self._found[job.id]
            self._session.hub.emit(parked_event(job))
        self._look_at([job.id for job in jobs if job.parked is None])
