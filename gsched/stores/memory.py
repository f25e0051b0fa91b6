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
    same_instants,
)


class MemoryJobStore(BaseJobStore):
    """Keeps jobs in a dict. Everything is always claimed: nobody else can run them."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._exhausted: set[str] = set()  # ids of jobs whose last instant is decided
        self._undecided: dict[str, int] = {}  # how far jobs had come when they were last run here
        self._hub: HubSide | None = None

    def start(self, hub: HubSide, paused: bool) -> None:
        self._note_progress()
        self._hub = hub
        self._paused = True
        if not paused:
            self.resume()
        for job in self._jobs.values():
            self._announce(job)
        self._undecided.clear()

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
        self._note_progress()
        self._hub = None

    def _note_progress(self) -> None:
        """Nothing runs here any more: note what is decided, so that it is not repeated after the next start."""
        if self._hub is not None:
            due = {job_id: self._hub.due(job_id) for job_id in self._jobs}
            self._undecided |= {job_id: instant for job_id, instant in due.items() if instant is not None}
            self._jobs = {i: job if job.parked is None else job.evolve(parked=None) for i, job in self._jobs.items()}

    def add(self, jobs: Sequence[Job], replace: bool, timed: Collection[str] = ()) -> list[Job]:
        if not replace:
            seen: set[str] = set()
            for job in jobs:
                if job.id in seen or (job.id in self._jobs and job.id not in self._exhausted):
                    raise JobIdConflictError(job.id)
                seen.add(job.id)
        return [self._put(job, job.id not in timed) for job in jobs]

    def _put(self, job: Job, keep_schedule: bool) -> Job:
        old = self._jobs.get(job.id)
        if old is not None:
            job = replacement(old, job, keep_schedule=keep_schedule)
        return self._keep(old, job)

    def _keep(self, old: Job | None, new: Job) -> Job:
        """Store a job where `old` was, and tell the hub what that means."""
        self._jobs[new.id] = new
        if old is None or not same_instants(old, new):
            self._forget_progress(new.id)
            self._announce(new)
        elif old.paused != new.paused:
            self._announce(new)
        else:
            self._tell(Changed(new))
        return new

    def _forget_progress(self, job_id: str) -> None:
        self._exhausted.discard(job_id)
        self._undecided.pop(job_id, None)

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
        # Not parked: whatever was wrong may be mended.
        return self._keep(old, change(old).evolve(rev=old.rev + 1, parked=None))

    def remove(self, job_id: str) -> Job:
        job = self.get(job_id)
        del self._jobs[job_id]
        self._forget_progress(job_id)
        self._tell(Dropped(job_id))
        return job

    def remove_all(self) -> int:
        removed, self._jobs = self._jobs, {}
        self._exhausted, self._undecided = set(), {}
        for job_id in removed:
            self._tell(Dropped(job_id))
        return len(removed)

    def request_run(self, job: Job, request: str) -> None:
        self._tell(RunRequested(job, request, self.clock.now_ms()))

    def exhaust(self, job: Job) -> None:
        stored = self._jobs.get(job.id)
        if stored is not None and same_instants(stored, job):
            self._exhausted.add(job.id)

    def end(self, job: Job) -> None:
        stored = self._jobs.get(job.id)
        if stored is not None and same_instants(stored, job) and not stored.paused:
            del self._jobs[job.id]
            self._forget_progress(job.id)
            if self._hub is not None:
                self._hub.emit(JobEvent(EVENT_JOB_REMOVED, job, reason="trigger_ended"))

    def park(self, job: Job, reason: str | None) -> None:
        stored = self._jobs.get(job.id)
        if stored is not None and same_instants(stored, job):
            self._jobs[job.id] = stored.evolve(parked=reason)

    def _announce(self, job: Job) -> None:
        if job.paused:
            self._tell(Dropped(job.id))
        elif job.id in self._exhausted:
            self._tell(Admitted(job, None))
        else:
            self._tell(Admitted(job, self._undecided.get(job.id, job.next_run_ms)))

    def _tell(self, message: Message) -> None:
        if self._hub is not None:
            self._hub.post(message)
