"""Parking: jobs that cannot be run here, what is stored of them, and what is said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from gsched.events import parked_event
from gsched.job import Job
from gsched.stores.base import HubSide
from gsched.stores.mongodb.cluster import Cluster, JobRecord, RefusedError
from gsched.stores.mongodb.tenure import Tenure
from gsched.stores.mongodb.written_runs import WrittenRuns

AT_ONCE = 200  # jobs in one turn, and transaction: the watermark waits for it


class Parking:
    """Knows why jobs cannot be run, for one tenure, and stores that, and from when on they wait.

    :param keep_alive: called between steps that write, so that others do not take us for dead
    :param look_at: told of jobs that are to be looked at again
    """

    def __init__(
        self,
        cluster: Cluster,
        tenure: Tenure,
        hub: HubSide,
        written: WrittenRuns,
        keep_alive: Callable[[], None],
        look_at: Callable[[Iterable[str]], None],
    ) -> None:
        self._cluster = cluster
        self._tenure = tenure
        self._hub = hub
        self._written = written
        self._keep_alive = keep_alive
        self._look_at = look_at
        self._found: dict[str, Job] = {}  # jobs that were found to be parked, or healed, which is not stored yet
        self._waiting: dict[str, Job] = {}  # parked jobs of which it is not stored yet from when on they wait
        self._aside: dict[str, tuple[int, str]] = {}  # jobs that only look well: at which revision, and why

    # -- what is known ------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> bool:
        """Whether there is something to store."""
        return bool(self._waiting or self._found)

    @property
    def unsettled(self) -> bool:
        """Whether jobs may have been set down: an attempt that arrives when another node owns them would have what that
        has run be due again."""
        return bool(self._waiting)

    def is_setting_down(self, job_id: str) -> bool:
        """Whether the job is not to be touched before that is stored."""
        return job_id in self._waiting

    def is_aside(self, job: Job) -> bool:
        """Whether the job only looks well."""
        return job.id in self._aside and self._aside[job.id][0] == job.rev

    def as_known(self, record: JobRecord) -> JobRecord:
        """With what keeps the job from being run here, also where its document does not show it."""
        job = record.job
        reason = self._aside[job.id][1] if self.is_aside(job) else self._hub.obstacle(job)
        return record if job.parked or reason is None else record._replace(job=job.evolve(parked=reason))

    # -- what is found ------------------------------------------------------------------------------------------------

    def compare(self, record: JobRecord) -> bool:
        """Whether the database has what there is to know of the job; else that is stored, and said."""
        job = record.job
        note = self._tenure.parked.discard if job.parked is None else self._tenure.parked.add
        note(job.id)
        if job.parked != record.was_parked:
            self._found[job.id] = job
        return job.parked == record.was_parked

    def postpone(self, job_id: str) -> None:
        """The job is to be looked at again before anything is stored."""
        self._found.pop(job_id, None)

    def set_aside(self, job: Job, reason: str) -> None:
        """Park a job until somebody changes it."""
        if not self.is_aside(job):
            self._aside[job.id] = job.rev, reason
            self._found[job.id] = job.evolve(parked=reason)

    def hub_parks(self, job: Job, reason: str | None) -> None:
        """The hub cannot run the job, for this reason, or can again. What waits of it is known there alone, until it is
        stored."""
        due = self._hub.due(job.id)
        if reason is None:
            self._aside.pop(job.id, None)
            if job.id not in self._waiting:
                self._tenure.awaited.pop(job.id, None)
        else:
            if self._hub.obstacle(job) is None:  # which comes and goes
                self._aside[job.id] = job.rev, reason
            if due is not None:
                self._tenure.awaited[job.id] = due
        self._look_at([job.id])

    def set_down(self, job: Job, due: int | None) -> None:
        """The hub does not have the job, which is due next at `due`. If it is parked, that is to be stored."""
        self._tenure.keep_back(job, due)
        if job.parked is not None and due is not None:
            self._waiting[job.id] = job

    # -- what is stored, when the other jobs have been seen to: a deployment may park all, or heal them ---------------

    def store(self) -> None:
        """Store some of what was found, as far as the database takes it, and say it."""
        if self._waiting:
            self._keep_alive()
            self._store_from_when(list(islice(self._waiting.values(), AT_ONCE)))
        if self._found:
            self._keep_alive()
            self._store_reasons(list(islice(self._found.values(), AT_ONCE)))

    def _store_from_when(self, jobs: Sequence[Job]) -> None:
        """What falls due meanwhile is late when a job is healed, whoever owns it then, and not covered by the
        watermarks of those who could not run it."""
        due = self._tenure.awaited
        for job in jobs:
            if job.id not in due:
                del self._waiting[job.id]
        covered = [job.evolve(next_run_ms=due[job.id]) for job in jobs if job.id in due]
        self._written.write_those_of(self._tenure, {job.id for job in covered})  # the watermark tells of them no more
        if covered:
            self._set_down(covered)

    def _set_down(self, jobs: Sequence[Job]) -> None:
        """All in one transaction; where one of them is not as it was, or refused, one by one."""
        is_stored = is_refused = False
        try:
            is_stored = self._cluster.set_down(self._tenure.node, jobs)
        except RefusedError:
            is_refused = True
        if len(jobs) > 1 and not is_stored:
            for job in jobs:
                self._keep_alive()
                self._set_down([job])
            return
        for job in jobs:
            del self._waiting[job.id]
            if is_stored:
                self._note_set_down(job)
        if is_refused:
            # It goes on from here where this node heals it, else from when another one took it up.
            self._tenure.awaited.pop(jobs[0].id, None)
        else:
            # They may be mended by now; or, where one was not there as it was, somebody has changed it.
            self._look_at([job.id for job in jobs])

    def _note_set_down(self, job: Job) -> None:
        self._tenure.forget(job.id)
        if self.is_aside(job):
            self._aside[job.id] = job.rev + 1, self._aside[job.id][1]
        if self._found.pop(job.id, None) is not None:  # the reason is stored with it
            self._hub.emit(parked_event(job))

    def _store_reasons(self, jobs: Sequence[Job]) -> None:
        refused = self._cluster.park(jobs)
        for job in jobs:
            if job.id in refused:
                self._aside[job.id] = job.rev, job.parked or refused[job.id]
            del self._found[job.id]
            self._hub.emit(parked_event(job))
        self._look_at([job.id for job in jobs if job.parked is None])
