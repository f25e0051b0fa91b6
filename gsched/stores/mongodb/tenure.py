"""What one incarnation of this node owns: it grows and shrinks while the node lives, and dies with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from gsched.job import Job
from gsched.stores.mongodb.cluster import JobRecord
from gsched.stores.mongodb.partition import slot_of


class Held(NamedTuple):
    """An attached slot: its fence, and the watermark with which it was taken."""

    fence: int
    taken_at: int


class Known(NamedTuple):
    """A job that the hub has: the revision with which it was admitted there, and the latest that it was told."""

    admitted: int
    rev: int


class Dormant(NamedTuple):
    """A job that the hub gave back. Until it is written back, or deleted, what the database has is out of date."""

    rev: int
    due: int | None  # None: never again


class Tenure:
    """A node from its joining to its end.

    :ivar watermark: everything due up to then, in attached slots, is claimed
    :ivar horizon: jobs due after then are not looked at yet
    :ivar loaded: all jobs due up to then have been looked at
    :ivar slots: the attached slots
    :ivar late: jobs that were late when they were admitted, and until when
    :ivar dormant: jobs that the hub gave back
    :ivar awaited: those of them that the watermark may cover, and when they are due: of what it covers they are not
        known to have ended before the hub has them again, or it covers them no more
    :ivar parked: jobs that cannot be run here, of those that have been looked at
    :ivar drain_requested: whether it was said that somebody asked this node to drain
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

    def hold(self, number: int, held: Held) -> None:
        """A slot is attached."""
        self.slots[number] = held
        self._known[number] = {}

    def let_go(self, numbers: Collection[int]) -> list[str]:
        """These slots are not ours any more; the jobs of them that the hub knows."""
        self.late = {job_id: until for job_id, until in self.late.items() if slot_of(job_id) not in numbers}
        self.dormant = {job_id: each for job_id, each in self.dormant.items() if slot_of(job_id) not in numbers}
        self.awaited = {job_id: due for job_id, due in self.awaited.items() if slot_of(job_id) not in numbers}
        self.parked = {job_id for job_id in self.parked if slot_of(job_id) not in numbers}
        for number in numbers:
            del self.slots[number]
        return [job_id for number in numbers for job_id in self._known.pop(number)]

    def know(self, record: JobRecord) -> None:
        """The hub is given the job, with this revision."""
        self._wake(record.job.id)
        self._known[record.slot][record.job.id] = Known(record.job.rev, record.job.rev)

    def know_change(self, record: JobRecord) -> None:
        """The hub has the job, and is told of this revision."""
        jobs = self._known[record.slot]
        jobs[record.job.id] = jobs[record.job.id]._replace(rev=record.job.rev)

    def give_back(self, job_id: str, rev: int, due: int | None) -> None:
        """The hub has the job no more, which is due next at `due`; nothing, if it was admitted anew meanwhile."""
        jobs = self._known.get(slot_of(job_id), {})
        known = jobs.get(job_id)
        if known is not None and rev >= known.admitted:
            del jobs[job_id]
            self.dormant[job_id] = Dormant(known.rev, due)
            if due is not None and due <= self.horizon:
                self.awaited[job_id] = due

    def keep_back(self, job: Job, due: int | None) -> None:
        """The hub does not have the job, which is due next at `due`. Unless it is paused, the watermark waits until the
        hub has it, or it is stored that the watermark covers it no more."""
        self.dormant[job.id] = Dormant(job.rev, due)
        self.awaited.pop(job.id, None)
        if due is not None and not job.paused:
            self.awaited[job.id] = due

    @property
    def awaits_claimed(self) -> bool:
        """Whether instants are claimed of jobs that the hub gave back too early, and has not again yet."""
        return any(due <= self.watermark for due in self.awaited.values())

    def sleeps(self, job_id: str, rev: int) -> bool:
        """Whether the hub gave the job back, which is due beyond the horizon and has not been changed since."""
        dormant = self.dormant.get(job_id)
        return dormant is not None and dormant.rev == rev and dormant.due is not None and dormant.due > self.horizon

    def _wake(self, job_id: str) -> None:
        self.dormant.pop(job_id, None)
        self.awaited.pop(job_id, None)

    def forget(self, job_id: str) -> bool:
        """The job is over, as it was; whether the hub had it."""
        self.late.pop(job_id, None)
        self._wake(job_id)
        return self._known.get(slot_of(job_id), {}).pop(job_id, None) is not None

    def revision(self, job_id: str) -> int | None:
        """Which revision of the job the hub has."""
        known = self._known.get(slot_of(job_id), {}).get(job_id)
        return None if known is None else known.rev

    def known(self, numbers: Iterable[int] | None = None) -> dict[str, int]:
        """All that the hub has of these slots, or of all: id and revision."""
        slots = self._known.values() if numbers is None else [self._known[number] for number in numbers]
        return {job_id: known.rev for jobs in slots for job_id, known in jobs.items()}
