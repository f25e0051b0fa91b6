"""What one incarnation of this node owns: it grows and shrinks while the node lives, and dies with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from zlib import crc32

from gsched.stores.mongodb.cluster import SLOTS, JobRecord


class Held(NamedTuple):
    """An attached slot: its fence, and the watermark with which it was taken."""

    fence: int
    taken_at: int


class Tenure:
    """A node from its joining to its end.

    :ivar watermark: everything due up to then, in attached slots, is claimed
    :ivar horizon: jobs due after then are not looked at yet
    :ivar slots: the attached slots
    """

    def __init__(self, node: str, watermark: int, horizon: int) -> None:
        self.node = node
        self.watermark = watermark
        self.horizon = horizon
        self.slots: dict[int, Held] = {}
        self.late: dict[str, tuple[int, int]] = {}  # jobs admitted late: revision, and until when they were
        self._known: dict[int, dict[str, int]] = {}

    def hold(self, number: int, held: Held) -> None:
        """A slot is attached."""
        self.slots[number] = held
        self._known[number] = {}

    def let_go(self, number: int) -> dict[str, int]:
        """A slot is not ours any more; the jobs of it that the hub knows."""
        del self.slots[number]
        return self._known.pop(number)

    def know(self, record: JobRecord) -> None:
        """The hub has this revision of the job."""
        self._known[record.slot][record.job.id] = record.job.rev

    def forget(self, job_id: str) -> bool:
        """The hub has the job no more; whether it had."""
        return self._known.get(slot_of(job_id), {}).pop(job_id, None) is not None

    def revision(self, job_id: str) -> int | None:
        """Which revision of the job the hub has."""
        return self._known.get(slot_of(job_id), {}).get(job_id)

    def known(self, numbers: Iterable[int] | None = None) -> dict[str, int]:
        """All that the hub has of these slots, or of all: id and revision."""
        slots = self._known.values() if numbers is None else [self._known[number] for number in numbers]
        return {job_id: rev for jobs in slots for job_id, rev in jobs.items()}


def slot_of(job_id: str) -> int:
    """The slot of a job: a hash, the same in every process and version."""
    return crc32(job_id.encode()) % SLOTS
