"""A lane: what the hub knows of one store's jobs."""

from __future__ import annotations

from gsched.job import Job
from gsched.stores.base import BaseJobStore
from gsched.timetable import Timetable

NOTHING_CLAIMED = -1


class Entry:
    """One job as the hub sees it.

    :ivar due: when it is due, None while it is not in the timetable (the timetable keeps this)
    :ivar held: an instant that is due already and waits, for a run to end or for the job to be healed
    :ivar parked: whether it is held because it cannot be run
    :ivar live: whether its store lets this scheduler run it
    :ivar running: its runs that are in progress or wait for a worker
    """

    __slots__ = ("due", "fence", "held", "job", "lane", "live", "parked", "running")

    def __init__(self, job: Job, lane: Lane) -> None:
        self.job = job
        self.lane = lane
        self.fence = 0
        self.due: int | None = None
        self.held: int | None = None
        self.parked = False
        self.live = False
        self.running = 0


class Lane:
    """The entries of one store, its timetable, and until when it is claimed. Touched by the hub greenlet only."""

    def __init__(self, alias: str, store: BaseJobStore) -> None:
        self.alias = alias
        self.store = store
        self.entries: dict[str, Entry] = {}
        self.timetable: Timetable[Entry] = Timetable()
        self.claimed = NOTHING_CLAIMED

    def admit(self, job: Job, due: int | None, fence: int) -> Entry:
        """From now on `job` is due at `due`, whatever was known of it before."""
        entry = self.entry(job)
        self.timetable.remove(entry)
        entry.job, entry.fence = job, fence
        entry.live, entry.held, entry.parked = True, None, False
        if due is not None:
            self.timetable.add(entry, due)
        return entry

    def entry(self, job: Job) -> Entry:
        """The job's entry, a new one if it has none."""
        entry = self.entries.get(job.id)
        if entry is None:
            entry = self.entries[job.id] = Entry(job, self)
        return entry

    def change(self, job: Job) -> None:
        """The job does something else, at the same times."""
        entry = self.entries.get(job.id)
        if entry is not None:
            entry.job = job

    def drop(self, job_id: str) -> None:
        """The job is not due here any more."""
        entry = self.entries.get(job_id)
        if entry is not None:
            self.timetable.remove(entry)
            entry.live, entry.held = False, None
            self.forget_if_idle(entry)

    def forget_if_idle(self, entry: Entry) -> None:
        """Let go of an entry that is neither due here nor in progress."""
        if not entry.live and not entry.running and self.entries.get(entry.job.id) is entry:
            del self.entries[entry.job.id]

    def next_due(self) -> int | None:
        """When something that is claimed is due next, or None."""
        due = self.timetable.next_due()
        return due if due is not None and due <= self.claimed else None
