"""The memory store: jobs live as long as the process."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice

from gsched.errors import JobIdConflictError, JobNotFoundError
from gsched.events import EVENT_JOB_REMOVED, JobEvent
from gsched.job import Job, replacement
from gsched.stores.base import (
    ALWAYS,
    Admitted,
    BaseJobStore,
    Changed,
    Claimed,
    Dropped,
    HubSide,
    JobQuery,
    Message,
    RunRequested,
    reschedules,
)


class MemoryJobStore(BaseJobStore):
    """Keeps jobs in a dict. Everything is always claimed: nobody else can run them."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._hub: HubSide | None = None

    def start(self, hub: HubSide, paused: bool) -> None:
        self._hub = hub
        self._paused = True
        if not paused:
            self.resume()
        for job in self._jobs.values():
            self._announce(job)

    def pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._tell(Claimed(self.clock.now_ms()))

    def resume(self) -> None:
        self._paused = False
        self._tell(Claimed(ALWAYS))

    def stop(self) -> None:
        self.pause()

    def close(self) -> None:
        self._hub = None

    def add(self, jobs: Sequence[Job], replace: bool, timed: Collection[str] = ()) -> list[Job]:
        now = self.clock.now_ms()
        if not replace:
            seen: set[str] = set()
            for job in jobs:
                old = self._jobs.get(job.id)
                if job.id in seen or (old is not None and not old.has_ended(now)):
                    raise JobIdConflictError(job.id)
                seen.add(job.id)
        return [self._put(job, job.id not in timed) for job in jobs]

    def _put(self, job: Job, keep_schedule: bool) -> Job:
        old = self._jobs.get(job.id)
        if old is not None:
            job = replacement(old, job, keep_schedule=keep_schedule)
        self._jobs[job.id] = job
        if old is None or reschedules(old, job):
            self._announce(job)
        else:
            self._tell(Changed(job))
        return job

    def get(self, job_id: str) -> Job:
        try:
            return self._jobs[job_id]
        except KeyError:
            raise JobNotFoundError(job_id) from None

    def find(self, query: JobQuery) -> Iterable[Job]:
        now = self.clock.now_ms()
        found = [job for job in self._jobs.values() if query.matches(job)]
        due = {job.id: job.next_due_ms(now) or ALWAYS for job in found}
        found.sort(key=lambda job: (due[job.id], job.id))
        end = None if query.limit is None else query.skip + query.limit
        return islice(found, query.skip, end)

    def change(self, job_id: str, change: Callable[[Job], Job]) -> Job:
        old = self.get(job_id)
        new = change(old).evolve(rev=old.rev + 1)
        self._jobs[job_id] = new
        if reschedules(old, new):
            self._announce(new)
        else:
            self._tell(Changed(new))
        return new

    def remove(self, job_id: str) -> Job:
        job = self.get(job_id)
        del self._jobs[job_id]
        self._tell(Dropped(job_id))
        return job

    def remove_all(self) -> int:
        removed, self._jobs = self._jobs, {}
        for job_id in removed:
            self._tell(Dropped(job_id))
        return len(removed)

    def request_run(self, job: Job, request: str) -> None:
        self._tell(RunRequested(job, request, self.clock.now_ms()))

    def end(self, job: Job) -> None:
        stored = self._jobs.get(job.id)
        if stored is not None and stored.rev == job.rev:
            del self._jobs[job.id]
            if self._hub is not None:
                self._hub.emit(JobEvent(EVENT_JOB_REMOVED, job, reason="trigger_ended"))

    def park(self, job: Job, reason: str | None) -> None:
        stored = self._jobs.get(job.id)
        if stored is not None and stored.rev == job.rev:
            self._jobs[job.id] = stored.evolve(parked=reason)

    def _announce(self, job: Job) -> None:
        self._tell(Dropped(job.id) if job.paused else Admitted(job, job.next_run_ms))

    def _tell(self, message: Message) -> None:
        if self._hub is not None:
            self._hub.post(message)
