"""Slots: taking them with the jobs in them, and giving them up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable

from gsched.batches import batches
from gsched.slices import paced
from gsched.stores.base import Admitted, Dropped, HubSide, RunsElsewhere
from gsched.stores.mongodb.cluster import Cluster, JobRecord, NodeRecord, RunRecord, SlotRecord
from gsched.stores.mongodb.rescue import Rescues
from gsched.stores.mongodb.succession import Succession
from gsched.stores.mongodb.tenure import Held, Tenure
from gsched.stores.mongodb.uncertain import JobInSlot
from gsched.triggers.base import TRIGGER_ERRORS

AT_ONCE = 32  # slots taken together: few round trips, and the heartbeat in between


class Slots:
    """Takes and releases slots for one tenure.

    :param keep_alive: called between steps, so that the watermark advances meanwhile
    :param look_at: told the ids of jobs that are still to be admitted, have requests, or have ended
    :ivar neighbours: nodes that lived when we looked last, and may have runs in our slots that they wrote down
    """

    def __init__(
        self,
        cluster: Cluster,
        tenure: Tenure,
        hub: HubSide,
        keep_alive: Callable[[], None],
        look_at: Callable[[Iterable[str]], None],
        succession: Succession,
    ) -> None:
        self._cluster = cluster
        self._tenure = tenure
        self._hub = hub
        self._keep_alive = keep_alive
        self._look_at = look_at
        self._succession = succession
        self._attaching: list[SlotRecord] = []  # an attempt to attach these may or may not have happened
        self._releasing: dict[int, int] = {}  # the same of releasing; with their fences
        self._released: dict[int, int] = {}  # until when the hub runs what is due in slots that were ours
        self._open: dict[int, int] = {}  # slots where instants up to then were late when we attached them
        self._rescues = Rescues(cluster, tenure, hub, keep_alive)
        self._arrivals: list[tuple[JobRecord, SlotRecord]] = []  # jobs of attached slots that the hub does not know yet
        self._elsewhere: set[RunRecord] = set()  # in progress where our jobs were before they were ours
        self.neighbours: set[str] = set()

    def take(self, numbers: Collection[int]) -> None:
        """Take those of the slots that are free, with what was in progress in them on dead nodes."""
        for some in batches(sorted(numbers), AT_ONCE):
            self._keep_alive()
            taken = self._cluster.take_slots(self._tenure.node, some)
            if taken:
                self._load({slot.number: slot for slot in taken})

    @property
    def unsettled(self) -> bool:
        """Whether the hub does not know yet all that is due, or in progress, in the slots that are attached."""
        return bool(self._rescues or self._arrivals)

    def may_be_taken(self, number: int, now: int) -> bool:
        """Whether the hub has run all that was claimed in the slot when it was ours before, if it was."""
        if self._released.get(number, now) < now:
            del self._released[number]
        return number not in self._released

    def settle(self) -> None:
        """Bring to an end what an error left open. The watermark must not advance before: it would cover, or not
        cover, slots about which we do not know whether they are attached."""
        if self._releasing:
            self._release_in_database()
        if self._attaching:
            self._load({slot.number: slot for slot in self._attaching})
        self._tell_hub()

    def release(self, numbers: Collection[int]) -> None:
        """Give slots up; what is due in them up to the watermark is still run here."""
        self._releasing.update((number, self._tenure.slots[number].fence) for number in numbers)
        for number in numbers:
            self._open.pop(number, None)
            self._released[number] = self._tenure.watermark
        for job_id in paced(self._tenure.let_go(numbers)):
            self._hub.post(Dropped(job_id, self._tenure.watermark))
        self._release_in_database()

    def close(self, ended_until: int) -> None:
        """Everything up to this time has ended."""
        closed = [number for number, until in self._open.items() if until <= ended_until]
        if closed:
            self._cluster.close_slots(self._tenure.node, closed)
            for number in closed:
                del self._open[number]

    def _release_in_database(self) -> None:
        self._cluster.release_slots(self._tenure.node, self._releasing, self._tenure.watermark)
        self._releasing.clear()

    def _load(self, slots: dict[int, SlotRecord]) -> None:
        """Read the jobs of slots that we own, then attach the slots, then run the jobs."""
        found: list[JobRecord] = []
        for batch in self._cluster.jobs_in(slots.keys(), self._tenure.horizon):
            found += batch
            if not self._attaching:
                self._keep_alive()
        nodes = self._cluster.nodes()
        alive = {node.id for node in nodes if node.alive}  # by now
        self.neighbours |= alive
        # Of those that died long ago nobody may have looked after these slots since then.
        written = self._rescues.written(self._cluster.runs_of_others(alive, slots.keys()))
        admitted = [JobInSlot(record, slots[record.slot]) for record in found if record.admitted]
        former = self._succession.inherit(slots, found)
        uncertain = self._rescues.uncertain([*admitted, *former], written)
        self._note_elsewhere(self._elsewhere | self._runs_elsewhere(nodes, slots.keys()))
        awaited = self._cluster.awaited_in(slots.keys())
        self._attaching = list(slots.values())
        attached = self._cluster.attach_slots(self._tenure.node, slots.keys(), self._tenure.watermark)
        self._attaching = []
        self._open.update(dict.fromkeys(attached, self._tenure.watermark))
        for number in attached:
            self._tenure.hold(number, Held(slots[number].fence, slots[number].watermark))
        self._look_at(awaited)
        self._rescues.take(rescue for rescue in [*uncertain, *written] if rescue.record.slot in attached)
        self._arrivals += ((record, slots[record.slot]) for record in found if record.slot in attached)
        self._tell_hub()

    def _tell_hub(self) -> None:
        """Of a job that runs again, what was in progress before what is due: else that would take its place among the
        job's instances. Others do not wait until it is written down what runs again."""
        again = self._rescues.recovering()
        arrivals, self._arrivals = self._arrivals, [each for each in self._arrivals if each[0].job.id in again]
        self._announce(each for each in arrivals if each[0].job.id not in again)
        self._rescues.settle()
        arrivals, self._arrivals = self._arrivals, []
        self._announce(arrivals)

    def _announce(self, arrivals: Iterable[tuple[JobRecord, SlotRecord]]) -> None:
        for record, slot in paced(arrivals):
            if record.slot in self._tenure.slots:
                try:
                    self._run(record, slot)
                except TRIGGER_ERRORS:  # of a user's trigger: the job will be parked
                    self._look_at([record.job.id])

    def _run(self, record: JobRecord, slot: SlotRecord) -> None:
        job, due = record.job, record.first_after(slot.watermark)
        if record.admitted and record.is_late:
            self._tenure.late[job.id] = record.late_until
        is_fit = job.parked is None and record.was_parked is None and self._hub.obstacle(job) is None
        if not record.admitted or not is_fit or due is None:
            # A job whose trigger has ended is removed as soon as the hub has it: after what is rescued of it. One that
            # was parked is noted as healed before the hub has it: what the hub then finds of it, such as an executor
            # that is missing here too, has the last word.
            if record.admitted:
                self._tenure.keep_back(job, due)
            self._look_at([job.id])
        else:
            self._tenure.know(record)
            self._hub.post(Admitted(job, due, slot.fence, is_new=False))

    # -- what is still in progress on nodes that live ---------------------------------------------------------------

    def look_elsewhere(self, nodes: Collection[NodeRecord]) -> None:
        """See which of the runs have ended that were in progress where our jobs were before.

        What others have begun since then does not count: two nodes could wait for each other.
        """
        if self._elsewhere:
            numbers = {run.slot for run in self._elsewhere}
            self._note_elsewhere(self._elsewhere & self._runs_elsewhere(nodes, numbers))

    def _runs_elsewhere(self, nodes: Collection[NodeRecord], numbers: Collection[int]) -> set[RunRecord]:
        # A node writes down what is in progress in a slot before it gives the slot away.
        others = [node.id for node in nodes if node.alive and node.id != self._tenure.node]
        return set(self._cluster.runs_of(others, numbers)) if others else set()

    def _note_elsewhere(self, runs: set[RunRecord]) -> None:
        if runs != self._elsewhere:
            self._elsewhere = runs
            self._hub.post(RunsElsewhere(Counter(run.job_id for run in runs)))

    # -- what was in progress on nodes that are dead --------------------------------------------------------------

    def take_over_runs(self, numbers: Collection[int], dead: Collection[str]) -> None:
        """Runs that dead nodes wrote down are run again, or lost, as their jobs say."""
        ours = [number for number in numbers if number in self._tenure.slots]
        if ours:
            self._rescues.take(self._rescues.written(self._cluster.runs_of(dead, ours)))
            self._rescues.settle()
