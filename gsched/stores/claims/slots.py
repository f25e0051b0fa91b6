"""Slots: how a node takes slots with their jobs, and gives them up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from gsched.event_loop.batches import batches
from gsched.event_loop.slices import paced
from gsched.stores.claims.database import JobRecord, SlotRecord
from gsched.stores.claims.elsewhere import Elsewhere
from gsched.stores.claims.holdings import Held
from gsched.stores.claims.partition import slot_of
from gsched.stores.claims.rescue import JobInSlot, Rescues
from gsched.stores.claims.session import Session
from gsched.stores.claims.succession import Succession
from gsched.stores.messages import NEVER, Admitted, Dropped, SlotsTaken
from gsched.triggers.base import TRIGGER_ERRORS

AT_ONCE = 32  # slots taken together: few round trips, with a heartbeat between the groups


class Slots:
    """Takes and releases slots for one node.

    :param look_at: gets the ids of jobs that are still to be admitted, or have ended
    :param expect_runs: gets the jobs with waiting runs, and when the earliest of each is due
    :ivar neighbours: nodes that were alive at the last look, and may have recorded runs in the slots of this node
    """

    def __init__(
        self,
        session: Session,
        succession: Succession,
        elsewhere: Elsewhere,
        look_at: Callable[[Iterable[str]], None],
        expect_runs: Callable[[Mapping[str, int]], None],
    ) -> None:
        self._session = session
        self._succession = succession
        self._look_at = look_at
        self._expect_runs = expect_runs
        self._attaching: list[SlotRecord] = []  # slots that an attempt may have attached
        self._releasing: dict[int, int] = {}  # slots that an attempt may have released, with their fences
        self._released: dict[int, int] = {}  # slots of others in which the hub still runs instants, and up to which
        self._open: dict[int, int] = {}  # attached slots with late instants, and up to which
        self._rescues = Rescues(session)
        self._arrivals: list[tuple[JobRecord, SlotRecord]] = []  # jobs of attached slots that the hub does not have yet
        self._elsewhere = elsewhere
        self.neighbours: set[str] = set()

    def take(self, numbers: Collection[int]) -> None:
        """Take the slots among these that are free, and rescue what was in progress in them on dead nodes."""
        for some in batches(sorted(numbers), AT_ONCE):
            self._session.beat()
            taken = self._session.database.take_slots(self._session.node, some)
            if taken:
                self._load({slot.number: slot for slot in taken})

    @property
    def unsettled(self) -> bool:
        """Attached slots have due instants, or rescued runs, that the hub does not have yet."""
        return bool(self._rescues or self._arrivals)

    @property
    def is_open(self) -> bool:
        """True if what was in progress, or late, when slots were attached is still to be closed."""
        return bool(self._open)

    def may_be_taken(self, number: int, now: int) -> bool:
        """True if the hub has run all instants that this node claimed when it owned the slot before."""
        if self._released.get(number, now) < now:
            del self._released[number]
        return number not in self._released

    def settle(self) -> None:
        """Finish the steps that an error interrupted. The watermark must not advance before that: it would cover the
        slots that an attempt may have attached."""
        if self._releasing:
            self._release_in_database()
        if self._attaching:
            self._load({slot.number: slot for slot in self._attaching})
        self._pass_on()

    def release(self, numbers: Collection[int]) -> None:
        """Give slots up. Instants in them up to the watermark still run here."""
        self._releasing.update((number, self._session.holdings.slots[number].fence) for number in numbers)
        for number in numbers:
            self._open.pop(number, None)
            self._released[number] = self._session.holdings.watermark
        for job_id in paced(self._session.holdings.let_go(numbers)):
            self._session.hub.post(Dropped(job_id, self._session.holdings.watermark))
        self._release_in_database()

    def close(self, ended_until: int) -> None:
        """Close the slots whose late instants have ended: all instants up to `ended_until` (ms) have."""
        closed = [number for number, until in self._open.items() if until <= ended_until]
        if closed:
            self._session.database.close_slots(self._session.node, closed)
            for number in closed:
                del self._open[number]

    def _release_in_database(self) -> None:
        self._session.database.release_slots(self._session.node, self._releasing, self._session.holdings.watermark)
        self._releasing.clear()

    def _load(self, slots: dict[int, SlotRecord]) -> None:
        """Read the jobs of slots that this node owns, attach the slots, and hand the jobs to the hub."""
        found: list[JobRecord] = []
        for batch in self._session.database.jobs_in(slots.keys(), self._session.holdings.horizon):
            found += batch
            if not self._attaching:
                self._session.beat()
        nodes = self._session.database.nodes()
        alive = {node.id for node in nodes if node.alive}
        self.neighbours |= alive
        # Of all other nodes, however long ago they died: nobody may have rescued runs in these slots since then.
        recorded = self._rescues.recorded(self._session.database.runs_of_others(alive, slots.keys()))
        admitted = [JobInSlot(record, slots[record.slot]) for record in found if record.admitted]
        former = self._succession.inherit(slots, found)
        uncertain = self._rescues.uncertain([*admitted, *former], recorded)
        self._elsewhere.take_slots(nodes, slots.keys())
        waiting = self._session.database.waiting_in(slots.keys(), NEVER, self._session.holdings.horizon)
        self._attaching = list(slots.values())
        attached = self._session.database.attach_slots(
            self._session.node, slots.keys(), self._session.holdings.watermark
        )
        self._attaching = []
        self._session.hub.post(SlotsTaken(attached, slot_of))
        self._open.update(dict.fromkeys(attached, self._session.holdings.watermark))
        for number in attached:
            self._session.holdings.hold(number, Held(slots[number].fence, slots[number].watermark))
        self._look_at(job.record.job.id for job in former)
        self._expect_runs(waiting)
        self._rescues.take(rescue for rescue in [*uncertain, *recorded] if rescue.record.slot in attached)
        self._arrivals += ((record, slots[record.slot]) for record in found if record.slot in attached)
        self._pass_on()

    def _pass_on(self) -> None:
        """Hand the hub jobs and rescues. Jobs whose rescues do not come first do not wait until rescued runs are
        recorded."""
        after = self._rescues.come_first()
        arrivals, self._arrivals = self._arrivals, [each for each in self._arrivals if each[0].job.id in after]
        self._announce(each for each in arrivals if each[0].job.id not in after)
        self._rescues.settle()
        arrivals, self._arrivals = self._arrivals, []
        self._announce(arrivals)

    def _announce(self, arrivals: Iterable[tuple[JobRecord, SlotRecord]]) -> None:
        for record, slot in paced(arrivals):
            if record.slot in self._session.holdings.slots:
                if record.admitted:  # other jobs may still be known as in the slots of their former groups
                    self._session.holdings.place(record.job.id, record.slot)
                try:
                    self._run(record, slot)
                except TRIGGER_ERRORS:  # of a user's trigger: the job will be parked
                    self._look_at([record.job.id])

    def _run(self, record: JobRecord, slot: SlotRecord) -> None:
        job, due = record.job, record.first_after(slot.watermark)
        if record.admitted and record.is_late:
            self._session.holdings.late[job.id] = record.late_until
        is_fit = job.parked is None and record.was_parked is None and self._session.hub.obstacle(job) is None
        if not record.admitted or not is_fit or due is None:
            # The hub removes a job whose trigger has ended as soon as it has the job, so it gets the rescues first. A
            # parked job is stored as healed before the hub gets it: the hub may park it again for a reason of its own,
            # such as an executor that is missing here, too.
            if record.admitted:
                self._session.holdings.keep_back(job, due)
            self._look_at([job.id])
        else:
            self._session.holdings.know(record)
            self._session.hub.post(Admitted(job, due, slot.fence, is_new=False, tally=record.tally))

    # -- runs in progress on dead nodes -------------------------------------------------------------------------------

    def take_over_runs(self, numbers: Collection[int], dead: Collection[str]) -> None:
        """Rescue the runs in these slots that dead nodes recorded."""
        ours = [number for number in numbers if number in self._session.holdings.slots]
        if ours:
            self._rescues.take(self._rescues.recorded(self._session.database.runs_of(dead, ours)))
            self._rescues.settle()
