"""What the ownership protocol asks of a database: few operations, each atomic.

MongoDB answers them in production, an in-memory stand-in with seeded faults in the simulation. All times are
milliseconds since the epoch, in the database server's time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from gsched.errors import GschedError, StoreError
from gsched.job import Job


class FencedError(GschedError):
    """Others declared this node dead: whatever it owned belongs to them now."""


class RefusedError(StoreError):
    """The database refused to change a document, and has not changed it: it is too large, or breaks a rule."""


class NodeRecord(NamedTuple):
    """One node, alive or dead. `beat` changes while it lives; `draining` nodes give their slots away.

    `drain_requested`: somebody asked it to, which is for whoever started the node to follow. `left`: it ended itself.
    `settled`: it is dead, and nothing is its own any more. `ended`: it is alive by its record, and the reader knows for
    certain that its process has ended; so it will never advance again.
    """

    id: str
    alive: bool
    watermark: int
    acked: int
    beat: int
    draining: bool = False
    drain_requested: bool = False
    left: bool = False
    settled: bool = False
    ended: bool = False


class SlotRecord(NamedTuple):
    """One slot as its taker finds it: what fell due up to `watermark` was claimed, and up to `acked` has ended."""

    number: int
    fence: int
    watermark: int
    acked: int


class JobRecord(NamedTuple):
    """A job with what the protocol keeps of it.

    :ivar job: the job; `job.parked` says why it cannot be run, as found out just now
    :ivar late_until: its instants from the stored next run time to then were late when it was admitted, and are not
        known to have ended
    :ivar was_parked: the reason that the database has
    :ivar schedule: numbers the schedule that the job is due by: each write that concerns when it is due begins another
    :ivar begins: the first instant of that schedule; None if that is not known
    """

    job: Job
    slot: int
    admitted: bool
    late_until: int = -1
    was_parked: str | None = None
    schedule: int = 0
    begins: int | None = None

    @property
    def is_late(self) -> bool:
        """Whether there are such instants."""
        return self.job.next_run_ms is not None and self.job.next_run_ms <= self.late_until

    def is_due_at(self, instant: int) -> bool:
        """Whether the instant is one of the job's, by the schedule that it has."""
        began = self.begins is not None and instant >= self.begins
        return began and not self.job.paused and self.job.next_ms(instant - 1) == instant

    def first_after(self, watermark: int) -> int | None:
        """The first instant that `watermark` does not cover, once it is admitted: the stored time is a lower bound."""
        stored = self.job.next_run_ms
        return stored if stored is None or stored > watermark else self.job.next_ms(watermark)


class FormerSchedule(NamedTuple):
    """A schedule that a user's write has ended, or was about to end, while a watermark covered it.

    :ivar id: names this document
    :ivar record: the job as it was due then; its function and arguments are not kept
    :ivar until: nothing of it has begun that was due later (ms); None if that is not known
    """

    id: str
    record: JobRecord
    until: int | None = None


class RunRecord(NamedTuple):
    """A run that is written down while it is in progress."""

    job_id: str
    slot: int
    scheduled: int
    attempt: int = 1
    request: str | None = None


class Backlog(NamedTuple):
    """Instants of a job from `first` to `until` that wait, and its revision."""

    rev: int
    first: int
    until: int


class Outcomes(Protocol):
    """What became of instants, on its way into the database."""

    def first_unwritten(self) -> int:
        """No outcome of an instant (ms) before this one is still to be written."""

    def unwritten(self) -> Iterator[tuple[str, int]]:
        """What is still to be written of instants that triggers gave: ids of jobs, and the first of their instants (ms)
        that each outcome is about. Runs on request are written down from the beginning."""


class Cluster(Protocol):
    """The database as the protocol sees it.

    Each method is one atomic step, or a sequence in which each document changes atomically. Any may raise StoreError; a
    write may have happened all the same. The methods are safe to call again then: what they do, they do once.
    """

    exclusive: bool
    """Whether only one node may own anything, because this database has no transactions."""

    def prepare(self) -> None:
        """Make what the protocol needs, unless it is there."""

    def time(self) -> int:
        """The database server's time, ms."""

    def join(self, node: str, watermark: int) -> None:
        """Enter a new node, alive."""

    def advance(self, node: str, watermark: int, acked: int, draining: bool) -> bool:
        """Beat, and raise the node's watermark and acked to these, if it is alive; False if it is not."""

    def leave(self, node: str, acked: int) -> None:
        """The node has finished: dead, with everything up to `acked` ended."""

    def nodes(self, also: Collection[str] = ()) -> Sequence[NodeRecord]:
        """The nodes that are not settled, and of these as many as are known. The others can be very many."""

    def count_dead(self) -> int:
        """How many of all nodes that are known are dead and did not end by themselves."""

    def bury(self, node: str, beat: int) -> bool:
        """Declare a node dead if it is alive and its beat is still this one; whether it is dead now."""

    def note_settled(self, nodes: Collection[str]) -> None:
        """Nothing is these dead nodes' own any more: their documents may go after a while."""

    def owners(self) -> Collection[str]:
        """The nodes that own slots, attached or not, whether they are known or not."""

    def free_slots_of(self, dead: NodeRecord) -> None:
        """Take its slots from a dead node, leaving its final watermark and acked in those that were attached.

        In a slot that is open from an earlier time, acked is that time; in others it is at least the slot's own
        watermark, up to which the node had nothing to do.
        """

    def free_slots(self, node: str) -> Collection[int]:
        """The slots without an owner, and those that the node owns and has not attached."""

    def take_slots(self, node: str, numbers: Collection[int]) -> Sequence[SlotRecord]:
        """Make the node the owner of those that are free; all of these numbers that it owns and has not attached."""

    def attach_slots(self, node: str, numbers: Collection[int], watermark: int) -> Collection[int]:
        """Let the slots follow the node's watermark, from at least `watermark` on; those that the node owns so.

        They are open from their own acked until `close_slots`: what was in progress since then is run again or lost,
        and what fell due since their watermark is run late.
        """

    def close_slots(self, node: str, numbers: Collection[int]) -> None:
        """What was in progress, or late, when the slots were attached has ended."""

    def release_slots(self, node: str, fences: Mapping[int, int], watermark: int) -> None:
        """Give slots up that the node owns with these fences; everything in them up to `watermark` was claimed."""

    def give_back_slots(self, node: str, numbers: Collection[int]) -> None:
        """Give slots up that the node owns and has not attached."""

    def jobs_in(self, numbers: Collection[int], until: int) -> Iterator[Sequence[JobRecord]]:
        """The jobs of these slots that are not paused and whose stored next run time is not after `until`: batches."""

    def awaited_in(self, numbers: Collection[int]) -> Iterable[str]:
        """The ids of all jobs in these slots, also of those that are gone, with runs that wait."""

    def due_between(self, numbers: Collection[int], after: int, until: int) -> Iterable[str]:
        """The ids of jobs in these slots whose stored next run time lies in (after, until]."""

    def revisions(self, numbers: Collection[int], until: int) -> Mapping[str, int]:
        """Of the jobs that `jobs_in` gives, id and revision."""

    def read_jobs(self, ids: Collection[str]) -> Mapping[str, JobRecord]:
        """These jobs as they are now; those that do not exist are left out."""

    def admit(self, node: str, jobs: Sequence[JobRecord], claimed: int) -> bool:
        """Mark jobs as covered by the node's watermark `claimed`, and those that are due by then as late: all of them,
        if the node is alive and all have still this revision and are not admitted; else none, and False.

        :raises FencedError: if the node is dead
        :raises RefusedError: if the database will not take it of one of them
        """

    def formers_in(self, numbers: Collection[int]) -> Sequence[FormerSchedule]:
        """The schedules of jobs in these slots that users' writes have ended, or were about to end."""

    def formers_of(self, job_ids: Collection[str]) -> Sequence[FormerSchedule]:
        """The same of these jobs."""

    def bound_formers(self, until: Mapping[str, int]) -> None:
        """Note of former schedules, by their ids, that nothing of them has begun that was due later (ms); the first
        such note stays."""

    def forget_formers(self, ids: Collection[str]) -> None:
        """All that began by these former schedules has ended, and is written."""

    def waiting_of(self, job_ids: Collection[str], most: int) -> Sequence[RunRecord]:
        """The runs of these jobs that wait, the earliest so many: they were asked for, and nobody has taken them."""

    def begin_waiting(self, node: str, runs: Sequence[RunRecord]) -> Collection[RunRecord]:
        """Write down that these runs are in progress on the node, as far as they wait still: all of them, if it is
        alive, else none. Which of them are in progress there now, be it by an earlier attempt.

        :raises FencedError: if the node is dead
        """

    def record_runs(self, node: str, runs: Sequence[RunRecord]) -> None:
        """Write down runs that are in progress on the node: all of them, if it is alive, else none. What a dead node
        wrote down after others took over would be taken over once more; so would what it wrote down before and its
        successor runs, if that were not the successor's from now on. Those that the database refuses are left out.

        :raises FencedError: if the node is dead
        """

    def skip_waiting(self, node: str, runs: Collection[RunRecord]) -> None:
        """The jobs of these runs were removed: note that they were skipped, as far as they wait still, or are written
        down as in progress on this node, which has not begun them."""

    def runs_of(self, nodes: Collection[str], numbers: Collection[int]) -> Sequence[RunRecord]:
        """The runs of jobs in these slots that these nodes wrote down as in progress."""

    def runs_of_others(self, nodes: Collection[str], numbers: Collection[int]) -> Sequence[RunRecord]:
        """The runs of jobs in these slots that whoever else wrote down as in progress, known or not."""

    def ended_runs(self, job_ids: Collection[str], since: int) -> Iterable[RunRecord]:
        """The attempts at runs of these jobs, due since then, of which it is written down how they have ended."""

    def is_running(self, job_id: str) -> bool:
        """Whether a run of the job waits, or is written down as in progress, on whatever node."""

    def lose_runs(self, runs: Sequence[RunRecord]) -> None:
        """Mark runs that were written down as lost, but for those of which the database refuses it."""

    def write_back(self, due: Mapping[str, tuple[int, int]]) -> Collection[str]:
        """Store next run times: id -> (revision, time), where the revision is still this one and the job is admitted,
        if they are later than what is stored.

        :return: of which jobs the revision was still this one, but for those that the database refuses to change
        """

    def note_backlogs(self, node: str, jobs: Mapping[str, Backlog]) -> Collection[str]:
        """Note that instants of these jobs are late, and not known to have ended, where the revision is still this one
        and the job is admitted; all before them has ended. Of which that is noted now, be it by an earlier attempt, at
        an earlier revision: none that the database refuses to change. Raises FencedError if the node is not alive:
        what its successor closed would be late again."""

    def close_late(self, ids: Collection[str], until: int) -> None:
        """The instants of these jobs that were late when they were admitted have ended; their `late_until` was set to
        `until` then. Nothing happens to jobs that were admitted anew since then, and to those that the database refuses
        to change: of what was late there, a crash would leave it open whether it has ended."""

    def set_down(self, node: str, jobs: Sequence[Job]) -> bool:
        """Let parked jobs be covered by no watermark any more, and be due from their next run time on when they are
        admitted again: all of them, if the node is alive and all have still this revision and are admitted; else none,
        and False. Revisions rise, so that of several attempts one takes effect, and none after it.

        :raises FencedError: if the node is dead: what its successor has run would be due again
        :raises RefusedError: if the database will not take it of one of them
        """

    def park_unnamed(self) -> Iterable[Job]:
        """Note in the documents whose id is no text why they are no jobs; those in which nobody had, and in which the
        database takes it. Nobody owns them, so that any node may."""

    def park(self, jobs: Sequence[Job]) -> Mapping[str, str]:
        """Note of jobs that have still this revision why they cannot be run, or that they can. Of which the database
        will not take it, by id, and why."""
