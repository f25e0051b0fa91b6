"""The operations that the claim protocol needs from a database. Each is atomic.

The package comment (`gsched.stores.claims`) explains the protocol and its terms. All times are milliseconds since the
epoch, in the database server's time. `tests/claims/test_cluster_contract.py` holds every database to this contract.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from gsched.errors import GschedError, StoreError
from gsched.jobs.job import Job
from gsched.jobs.limits import GroupLimits
from gsched.jobs.outcomes import Outcome
from gsched.jobs.tally import Tally

PROTOCOL: Final = 3  # nodes whose documents have another number do not share a database


class FencedError(GschedError):
    """This node is dead by its document: other nodes declared it dead, and own what it owned."""


class RefusedError(StoreError):
    """The database refuses to change a document, because it would be too large or breaks a validator. It is unchanged.
    """


class NodeRecord(NamedTuple):
    """One node, alive or dead.

    :ivar beat: changes with each advance
    :ivar draining: the node gives its slots away
    :ivar drain_requested: another process asked the node to drain; the program that started the node decides
    :ivar left: the node ended by itself
    :ivar settled: the node is dead and owns nothing any more
    :ivar ended: the document says alive, and this machine knows that the process has ended: it never advances again
    :ivar protocol: the number of the protocol that the node speaks; 1 if its document has none
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
    protocol: int = PROTOCOL


class SlotRecord(NamedTuple):
    """One slot as its taker finds it.

    :ivar fence: how often the slot has changed hands
    :ivar watermark: instants up to this time were claimed
    :ivar acked: instants up to this time have ended
    """

    number: int
    fence: int
    watermark: int
    acked: int


class JobRecord(NamedTuple):
    """A job, and what the protocol records about it.

    :ivar job: the job; `job.parked` says why it cannot be run here, as just found out
    :ivar admitted: a watermark covers the job
    :ivar late_until: the instants from the stored next run time to this time were late when the job was admitted, and
        are not known to have ended
    :ivar was_parked: why it cannot be run, as the database has it
    :ivar schedule: the number of the job's schedule: each write that concerns when the job is due begins another
    :ivar begins: the first instant of that schedule; None if that is not known
    :ivar tally: what is counted of the job; None if its policy counts nothing
    """

    job: Job
    slot: int
    admitted: bool
    late_until: int = -1
    was_parked: str | None = None
    schedule: int = 0
    begins: int | None = None
    tally: Tally | None = None

    @property
    def is_late(self) -> bool:
        """True if instants were late at the admission, and are not known to have ended."""
        return self.job.next_run_ms is not None and self.job.next_run_ms <= self.late_until

    def is_due_at(self, instant: int) -> bool:
        """True if the instant is one of the job's, by the schedule that it has."""
        if self.begins is None or instant < self.begins or self.job.paused:
            return False
        return instant == self.begins or self.job.next_ms(instant - 1) == instant

    def first_after(self, watermark: int) -> int | None:
        """The first instant after `watermark`, once the job is admitted. The stored next run time is a lower bound."""
        stored = self.job.next_run_ms
        return stored if stored is None or stored > watermark else self.job.next_ms(watermark)


class FormerSchedule(NamedTuple):
    """A schedule that a user's write has ended, or was about to end, while a watermark covered it.

    :ivar id: names this document
    :ivar record: the job as it was due then, without its function and arguments
    :ivar until: no instant of the schedule after this time has begun; None if that is not known
    """

    id: str
    record: JobRecord
    until: int | None = None


class RunRecord(NamedTuple):
    """An attempt at a run that has a document of its own.

    :ivar tries: how many attempts before this one failed, of those that count against the job's `retries`
    :ivar recoveries: how many attempts before this one were lost
    :ivar is_retry: the attempt before this one failed, and the job's policy retries it. Otherwise it was lost, somebody
        asked for this one, or this one is the first
    """

    job_id: str
    slot: int
    scheduled: int
    attempt: int = 1
    request: str | None = None
    tries: int = 0
    recoveries: int = 0
    is_retry: bool = False

    @property
    def of(self) -> tuple[str, int, str | None]:
        """The run of this attempt: the job, the instant, and the name of a run on request."""
        return self.job_id, self.scheduled, self.request


class WaitingRun(NamedTuple):
    """An attempt at a run that has not begun, and begins at a time that no trigger gives.

    :ivar due: when it is to begin, ms
    :ivar schedule: the number of the job's schedule; a job with another schedule does not run it. None: any does
    :ivar overlap: of a request: what becomes of it while max_instances runs are in progress; None: as the job says
    :ivar cancelled: somebody wants that it never begins
    """

    run: RunRecord
    due: int
    schedule: int | None = None
    overlap: str | None = None
    cancelled: bool = False


class Backlog(NamedTuple):
    """Instants of a job from `first` to `until` that wait for a free instance, and the job's revision."""

    rev: int
    first: int
    until: int


class Outcomes(Protocol):
    """Outcomes of instants and counts of jobs that are not written yet."""

    def first_unwritten(self) -> int:
        """The earliest instant (ms) whose outcome, or whose count, may still be to be written."""

    def unwritten(self) -> Iterator[tuple[str, int]]:
        """Job id and first instant (ms) of each outcome and count that is still to be written. Runs on request are left
        out: they are recorded from the beginning."""

    def tallies(self, job_ids: Collection[str]) -> Mapping[str, Tally]:
        """The tallies of these jobs, by id, that are not written yet."""

    def has_counts(self) -> bool:
        """True if counts of any job are not written yet."""


class ClaimDatabase(Protocol):
    """The database as the protocol sees it.

    Each method is one atomic step, or a sequence in which each document changes atomically. Each may raise StoreError;
    the write may have happened all the same. A call that raised may be repeated: the effect happens once.
    """

    exclusive: bool
    """True if only one node at a time may own slots, because this database has no transactions."""

    def prepare(self) -> None:
        """Make collections, indexes and slots that are missing."""

    def time(self) -> int:
        """The database server's time, ms."""

    def limits(self, now: int) -> GroupLimits:
        """The limits of groups, and the pauses of groups that hold at `now`. Malformed ones are left out."""

    def join(self, node: str, watermark: int) -> None:
        """Enter a new node, alive, with the number of this protocol."""

    def advance(self, node: str, watermark: int, acked: int, draining: bool) -> bool:
        """If the node is alive, beat and raise its watermark and acked to these. Neither is ever lowered.

        :return: False if the node is dead
        """

    def leave(self, node: str, acked: int) -> None:
        """The node ends by itself: it is dead from now on, and everything up to `acked` has ended."""

    def nodes(self, also: Collection[str] = ()) -> Sequence[NodeRecord]:
        """The nodes that are not settled, and those named in `also`, as far as they are known. The watermark of a dead
        node, as given here, is final."""

    def count_dead(self) -> int:
        """How many of the known nodes are dead and did not end by themselves."""

    def bury(self, node: str, beat: int) -> bool:
        """Declare a node dead if it is alive and its beat is still this one.

        :return: whether this call declared it dead
        """

    def note_settled(self, nodes: Collection[str]) -> None:
        """Note that these dead nodes own nothing any more. Their documents may be deleted after a while."""

    def owners(self) -> Collection[str]:
        """The ids of the nodes that own slots, attached or not. Some may have no document."""

    def free_slots_of(self, dead: NodeRecord) -> None:
        """Take its slots from a dead node, leaving its final watermark and acked in those that were attached.

        In a slot that is open from an earlier time, acked is that time; in others it is at least the slot's own
        watermark, up to which the node had nothing to do.
        """

    def free_slots(self, node: str) -> Collection[int]:
        """The numbers of the slots without an owner, and of those that the node owns and has not attached."""

    def take_slots(self, node: str, numbers: Collection[int]) -> Sequence[SlotRecord]:
        """Make the node the owner of those slots that have none; their fences rise.

        :return: the slots among these numbers that the node owns and has not attached
        """

    def attach_slots(self, node: str, numbers: Collection[int], watermark: int) -> Collection[int]:
        """Let the slots that the node owns follow its watermark, from at least `watermark` on.

        An attached slot is open from its own acked until `close_slots`: runs in progress since then run again or are
        lost, and instants due since its watermark run late.

        :return: the numbers among these that the node owns and has attached
        """

    def close_slots(self, node: str, numbers: Collection[int]) -> None:
        """Note that the runs in progress and the late instants of the time when the slots were attached have ended."""

    def release_slots(self, node: str, fences: Mapping[int, int], watermark: int) -> None:
        """Give up the slots that the node owns with these fences; instants up to `watermark` are claimed in them."""

    def give_back_slots(self, node: str, numbers: Collection[int]) -> None:
        """Give up the slots that the node owns and has not attached. They stay as they were before it took them."""

    def jobs_in(self, numbers: Collection[int], until: int) -> Iterator[Sequence[JobRecord]]:
        """The jobs of these slots that are not paused and whose stored next run time is not after `until`: batches."""

    def waiting_in(self, numbers: Collection[int], after: int, until: int) -> Mapping[str, int]:
        """The jobs in these slots with runs that wait and are due in (after, until]: the earliest such time of each, by
        the job's id. The jobs may have been removed."""

    def due_between(self, numbers: Collection[int], after: int, until: int) -> Iterable[str]:
        """The ids of jobs in these slots whose stored next run time lies in (after, until]."""

    def revisions(self, numbers: Collection[int], until: int) -> Mapping[str, int]:
        """Id and revision of the jobs that `jobs_in` gives."""

    def read_jobs(self, ids: Collection[str]) -> Mapping[str, JobRecord]:
        """The jobs with these ids as they are now, by id. Ids without a job are left out."""

    def admit(self, node: str, jobs: Sequence[JobRecord], claimed: int) -> bool:
        """Mark jobs as covered by the node's watermark `claimed`, and those that are due by then as late.

        :return: True if all are marked; False, and none is, if one has another revision by now or is admitted already
        :raises FencedError: if the node is dead; no job is marked
        :raises RefusedError: if the database refuses one of the documents; no job is marked
        """

    def begin_later(self, jobs: Sequence[JobRecord], announce: bool = False) -> None:
        """Store later next run times of jobs that have still this revision and are not admitted, also as the first
        instants of their schedules. A job without a next run time is never due.

        :param announce: raise their revisions, so that a node that has read them does not admit them as they were
        """

    def formers_in(self, numbers: Collection[int]) -> Sequence[FormerSchedule]:
        """The schedules of jobs in these slots that users' writes have ended, or were about to end."""

    def formers_of(self, job_ids: Collection[str]) -> Sequence[FormerSchedule]:
        """The former schedules of these jobs."""

    def bound_formers(self, until: Mapping[str, int]) -> None:
        """Note that no instant of these former schedules, by their ids, has begun after this time (ms). The first note
        stays."""

    def forget_formers(self, ids: Collection[str]) -> None:
        """Delete these former schedules: all instants that began by them have ended, and that is written."""

    def waiting_of(self, job_ids: Collection[str], most: int) -> Sequence[WaitingRun]:
        """The runs of these jobs that wait, the earliest first, at most so many."""

    def add_waiting(
        self, node: str, runs: Sequence[WaitingRun], announce: Collection[str]
    ) -> Collection[RunRecord]:
        """Let these runs wait, unless there is such an attempt already.

        Only a live node may do so: its successor decides about the attempts before these.

        :param announce: the ids of those of their jobs whose revisions rise in the same step, so that other nodes look
            at them
        :return: those of these attempts that there are now; the others are refused by the database
        :raises FencedError: if the node is dead; none waits
        """

    def begin_waiting(self, node: str, runs: Sequence[RunRecord]) -> Collection[RunRecord]:
        """Record those of these runs that still wait as in progress on the node.

        :return: which of these runs are in progress there now, also by an earlier attempt of this call
        :raises FencedError: if the node is dead; none is recorded
        """

    def record_runs(self, node: str, runs: Sequence[RunRecord]) -> None:
        """Record runs that are in progress on the node. Runs that the database refuses are left out.

        Only a live node may record runs: a record written after the takeover would be rescued a second time. Recording
        an existing run moves it to this node; a run that waits goes on waiting, and one that has ended stays ended.

        :raises FencedError: if the node is dead; none is recorded
        """

    def put_back(self, node: str, runs: Collection[RunRecord]) -> None:
        """Let these runs wait again, which are recorded on this node and have not begun here. A run that has not waited
        before is due at its instant.

        Only a live node may do so: its successor decides about the runs that are recorded on it.

        :raises FencedError: if the node is dead; none waits
        """

    def runs_of(self, nodes: Collection[str], numbers: Collection[int]) -> Sequence[RunRecord]:
        """The recorded runs of these nodes in these slots."""

    def runs_of_others(self, nodes: Collection[str], numbers: Collection[int]) -> Sequence[RunRecord]:
        """The recorded runs in these slots of all nodes but these."""

    def later_attempts(self, numbers: Collection[int], since: int) -> Collection[RunRecord]:
        """The attempts after the first at runs in these slots that were due since then: those that wait, are in
        progress or have ended."""

    def ended_runs(self, job_ids: Collection[str], since: int) -> Iterable[RunRecord]:
        """The attempts at runs of these jobs, due since then, that have a record of how they ended."""

    def is_running(self, job_id: str, slot: int) -> bool:
        """True if a run of the job, which is in this slot, waits or is recorded as in progress on any node."""

    def end_runs(self, runs: Sequence[RunRecord], outcome: Outcome) -> None:
        """Mark recorded runs that are in progress as ended. Those that the database refuses stay as they are."""

    def write_back(self, due: Mapping[str, tuple[int, int]]) -> Collection[str]:
        """Store later next run times of admitted jobs that have this revision still. A stored time is never lowered.

        :param due: revision and time, by the id of the job
        :return: the ids of the jobs that had this revision, without those that the database refuses to change
        """

    def note_backlogs(self, node: str, jobs: Mapping[str, Backlog]) -> Collection[str]:
        """Note that instants of admitted jobs that have this revision still are late, and all before them have ended.

        :return: the ids of the jobs of which that is noted now, also by an earlier attempt at an earlier revision
        :raises FencedError: if the node is dead: what its successor closed would be late again
        """

    def close_late(self, ids: Collection[str], until: int) -> None:
        """Note that the late instants of these jobs have ended, if their `late_until` is still `until`: a job that was
        admitted again has another one. A job that the database refuses to change stays as it is."""

    def set_down(self, node: str, jobs: Sequence[Job]) -> bool:
        """Let no watermark cover these parked jobs any more. When they are admitted again, they are due from their next
        run time on. Their revisions rise, so that of several attempts only one takes effect.

        :return: True if all are set down; False, and none is, if one has another revision by now or is not admitted
        :raises FencedError: if the node is dead: what its successor has run would be due again
        :raises RefusedError: if the database refuses one of the documents; no job is set down
        """

    def park(self, jobs: Sequence[Job]) -> Mapping[str, str]:
        """Note why jobs that have this revision still cannot be run, or that they can be run again.

        :return: why the database refuses to change a document, by the id of the job
        """
