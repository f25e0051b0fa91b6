"""What one node owns, from joining to its end."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from gsched.jobs.job import Job
from gsched.stores.claims.database import JobRecord
from gsched.stores.claims.partition import slot_of


class Held(NamedTuple):
    """An attached slot: its fence, and the watermark with which it was taken."""

    fence: int
    taken_at: int


class Known(NamedTuple):
    """A job that the hub has: the revision with which the hub got it, and the latest that the hub got."""

    admitted: int
    rev: int


class Dormant(NamedTuple):
    """A job that the hub gave back. Until it is written back or deleted, its next run time in the database is early."""

    rev: int
    due: int | None  # None: never again


class Holdings:
    """What a node owns and knows of its jobs. Times are milliseconds.

    :ivar watermark: all instants up to then, in attached slots, are claimed
    :ivar horizon: jobs that are due later stay in the database
    :ivar loaded: all jobs that are due up to then have been looked at
    :ivar slots: the attached slots
    :ivar late: jobs that were late when they were admitted, and until when
    :ivar dormant: jobs that the hub gave back
    :ivar awaited: dormant jobs that the watermark may cover, and when they are due. Their instants do not count as
        ended before the hub has the jobs again, or the watermark covers them no more
    :ivar parked: jobs that cannot be run here, of those that have been looked at
    :ivar drain_requested: whether the event that asks this node to drain was emitted
    """

    def __init__(self, node: str, watermark: int, horizon: int) -> None:
        self.node = node
        self.watermark = watermark
        self.horizon = self.loaded = horizon
        self.slots: dict[int, Held] = {}
        self.late: dict[str, int] = {}
        self.dormant: dict[str, Dormant] = {}
        self.awaited: dict[str, int] = {}
        self.parked: set[str] = set()
        self.drain_requested = False
        self._known: dict[int, dict[str, Known]] = {}
        self._placed: dict[str, int] = {}  # the slots of jobs that their groups give, not their ids

    def hold(self, number: int, held: Held) -> None:
        """A slot is attached."""
        self.slots[number] = held
        self._known[number] = {}

    def place(self, job_id: str, number: int) -> None:
        """The job is in this slot."""
        if number != slot_of(job_id):
            self._placed[job_id] = number
        elif self._placed:
            self._placed.pop(job_id, None)

    def slot_of(self, job_id: str) -> int:
        """The slot in which the job is, as far as this node knows: of jobs in groups it knows those in its slots."""
        return self._placed[job_id] if job_id in self._placed else slot_of(job_id)

    def owns(self, job_id: str) -> bool:
        """True if the job is in one of this node's slots, as far as this node knows."""
        return self.slot_of(job_id) in self.slots

    def let_go(self, numbers: Collection[int]) -> list[str]:
        """Forget these slots, and give the jobs in them that the hub has."""
        self.late = {job_id: until for job_id, until in self.late.items() if self.slot_of(job_id) not in numbers}
        self.dormant = {job_id: each for job_id, each in self.dormant.items() if self.slot_of(job_id) not in numbers}
        self.awaited = {job_id: due for job_id, due in self.awaited.items() if self.slot_of(job_id) not in numbers}
        self.parked = {job_id for job_id in self.parked if self.slot_of(job_id) not in numbers}
        self._placed = {job_id: number for job_id, number in self._placed.items() if number not in numbers}
        for number in numbers:
            del self.slots[number]
        return [job_id for number in numbers for job_id in self._known.pop(number)]

    def know(self, record: JobRecord) -> None:
        """The hub gets the job, with this revision."""
        self._wake(record.job.id)
        self._known[record.slot][record.job.id] = Known(record.job.rev, record.job.rev)

    def know_change(self, record: JobRecord) -> None:
        """The hub has the job, and gets this revision of it."""
        jobs = self._known[record.slot]
        jobs[record.job.id] = jobs[record.job.id]._replace(rev=record.job.rev)

    def give_back(self, job_id: str, rev: int, due: int | None) -> None:
        """The hub gives the job back; it is due next at `due`. Nothing happens if the hub got it again meanwhile."""
        jobs = self._known.get(self.slot_of(job_id), {})
        known = jobs.get(job_id)
        if known is not None and rev >= known.admitted:
            del jobs[job_id]
            self.dormant[job_id] = Dormant(known.rev, due)
            if due is not None and due <= self.horizon:
                self.awaited[job_id] = due

    def keep_back(self, job: Job, due: int | None) -> None:
        """The hub does not get the job, which is due next at `due`. Unless the job is paused, its instants do not count
        as ended until the hub has the job, or it is stored that no watermark covers it."""
        self.dormant[job.id] = Dormant(job.rev, due)
        self.awaited.pop(job.id, None)
        if due is not None and not job.paused:
            self.awaited[job.id] = due

    @property
    def awaits_claimed(self) -> bool:
        """True if the watermark covers instants of jobs that the hub does not have."""
        return any(due <= self.watermark for due in self.awaited.values())

    def sleeps(self, job_id: str, rev: int) -> bool:
        """True if the job is dormant at this revision, and due beyond the horizon."""
        dormant = self.dormant.get(job_id)
        return dormant is not None and dormant.rev == rev and dormant.due is not None and dormant.due > self.horizon

    def _wake(self, job_id: str) -> None:
        self.dormant.pop(job_id, None)
        self.awaited.pop(job_id, None)

    def forget(self, job_id: str) -> bool:
        """Forget the job. Gives whether the hub had it."""
        self.late.pop(job_id, None)
        self._wake(job_id)
        return self._known.get(self.slot_of(job_id), {}).pop(job_id, None) is not None

    def lose(self, job_id: str) -> None:
        """The job, which is forgotten, is in none of this node's slots any more."""
        self._placed.pop(job_id, None)

    def revision(self, job_id: str) -> int | None:
        """The revision of the job that the hub has; None if the hub does not have the job."""
        known = self._known.get(self.slot_of(job_id), {}).get(job_id)
        return None if known is None else known.rev

    def known(self, numbers: Iterable[int] | None = None) -> dict[str, int]:
        """Id and revision of the jobs that the hub has, in these slots or in all."""
        slots = self._known.values() if numbers is None else [self._known[number] for number in numbers]
        return {job_id: known.rev for jobs in slots for job_id, known in jobs.items()}
