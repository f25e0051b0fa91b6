"""One incarnation of this node: what is its own from joining to its end, and the steps of a turn upon that."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from gsched.batches import batches
from gsched.clock import Clock
from gsched.events import EVENT_NODE_DIED, EVENT_NODE_DRAIN_REQUESTED, SchedulerEvent, parked_event
from gsched.job import Job
from gsched.slices import paced
from gsched.stores.base import Claimed, HubSide
from gsched.stores.mongodb.admission import Admission
from gsched.stores.mongodb.backlogs import Backlogs
from gsched.stores.mongodb.cluster import Cluster, FencedError, NodeRecord, Outcomes
from gsched.stores.mongodb.lookout import Lookout
from gsched.stores.mongodb.membership import Membership, wanted_slots
from gsched.stores.mongodb.pace import Pace, Rhythm
from gsched.stores.mongodb.partition import slot_of
from gsched.stores.mongodb.progress import Progress
from gsched.stores.mongodb.server_time import ServerTime
from gsched.stores.mongodb.slots import Slots
from gsched.stores.mongodb.standing import Standing
from gsched.stores.mongodb.succession import Succession
from gsched.stores.mongodb.tenure import Tenure
from gsched.stores.mongodb.written_runs import WrittenRuns

LONGEST_HOLD_MS = 250  # for so long nothing is claimed while what is claimed in slots that leave waits to begin
LONGEST_WRITING_MS = 2000  # the same while what became of it waits to be written
CLOSED_AT_ONCE = 200  # jobs whose late instants have ended, per write: the watermark waits for it
CLAIMED_AHEAD_MS = 1000  # more than a node can have claimed beyond its last beat


@dataclass
class Wishes:
    """What is wanted of a node; it may change at any moment."""

    paused: bool = False  # claim nothing
    stopping: bool = False  # hand over


@dataclass(frozen=True)
class Surroundings:
    """What outlives an incarnation.

    :ivar outcomes: what is not written yet of what became of instants
    """

    cluster: Cluster
    clock: Clock
    hub: HubSide
    outcomes: Outcomes
    pace: Pace
    rhythm: Rhythm
    time: ServerTime
    written: WrittenRuns
    standing: Standing
    wishes: Wishes


class Incarnation:
    """A node that has joined, as its ownership greenlet drives it.

    Each step raises StoreError, and FencedError where others took the node for dead.

    :ivar leaving: slots to give away as soon as what is claimed in them has begun
    """

    def __init__(self, around: Surroundings, tenure: Tenure) -> None:
        self._around = around
        self._cluster = around.cluster
        self._hub = around.hub
        self._time = around.time
        self._written = around.written
        self.tenure = tenure
        self.leaving: set[int] = set()
        self._acked = tenure.watermark
        self._dead: set[str] = set()
        self._membership = Membership(around.clock, around.pace.ttl)
        self._progress = Progress(tenure, around.hub, around.outcomes, around.written)
        self._backlogs = Backlogs(around.cluster, tenure, self._progress, self.advance_if_due)
        self._succession = Succession(around.cluster, tenure, self._progress)
        self._admission = Admission(
            around.cluster, tenure, around.hub, around.written, self.advance_if_due, self._succession
        )
        look_at = self._admission.look_at
        self._slots = Slots(around.cluster, tenure, around.hub, self.advance_if_due, look_at, self._succession)
        self._lookout = Lookout(
            around.cluster, tenure, around.written, self.advance_if_due, self._admission, self._succession
        )

    # -- jobs that changed --------------------------------------------------------------------------------------------

    def look_at(self, job_ids: Iterable[str]) -> None:
        """These jobs may have changed."""
        self._admission.look_at(job_ids)

    def look_at_near(self, job_ids: Iterable[str]) -> None:
        """These jobs are due soon, and the hub does not have them."""
        self._admission.look_at_near(job_ids)

    def hub_parks(self, job: Job, reason: str | None) -> None:
        """The hub cannot run the job, for this reason, or can again."""
        self._admission.hub_parks(job, reason)

    @property
    def pending(self) -> bool:
        """Whether there are such jobs."""
        return self._admission.pending

    def settle(self) -> None:
        """Bring to an end what an error left open."""
        self._slots.settle()
        self._backlogs.settle()
        self._succession.settle()
        if self._admission.unsure or self._admission.unsettled:
            # What is read now is believed. A primary that is cut off shows writes that will be rolled back; one that
            # has this beat confirmed by a majority has had all before it confirmed.
            self._advance()
        while self._admission.unsure:
            self._admission.work()
            self.advance_if_due()

    def admit(self) -> None:
        """Look at some of the jobs that may have changed."""
        self._admission.work()
        if not self._admission.has_near:
            self.tenure.loaded = self.tenure.horizon

    def move_horizon(self) -> None:
        """Look at the jobs that are near by now."""
        self._lookout.move_horizon(self._time.now() + round(self._around.pace.horizon * 1000))

    def look_for_changes(self) -> None:
        """Find what nobody told."""
        self._cluster.prepare()  # somebody may have dropped collections or indexes
        for job in self._cluster.park_unnamed():
            self._hub.emit(parked_event(job))
        self._lookout.look_for_changes()

    # -- the claim ----------------------------------------------------------------------------------------------------

    def advance_if_due(self) -> None:
        """Once per tick: `_advance`."""
        if self._around.rhythm.is_time("tick", self._around.pace.tick):
            self._advance()

    def _advance(self) -> None:
        """Raise the watermark, say how far everything has ended, and tell the hub."""
        pace, tenure, wishes = self._around.pace, self.tenure, self._around.wishes
        self._written.write_long_ones(tenure, self._time.now() - round(pace.long_run * 1000))
        target = tenure.watermark
        if not (wishes.paused or wishes.stopping or self.leaving or self._admission.unsure):
            # Never beyond that: jobs that are not looked at would count as claimed.
            target = max(target, min(self._time.now() + round(pace.ahead * 1000), tenure.loaded))
        acked = self._ended_until()
        # From before the write: nobody can have found us silent for the TTL earlier than that.
        expires = self._around.clock.monotonic() + pace.ttl
        if not self._cluster.advance(tenure.node, target, acked, wishes.stopping):
            raise FencedError
        self._around.standing.note_answer()
        tenure.watermark, self._acked = target, acked
        self._hub.post(Claimed(target, tenure.horizon, expires))

    def _ended_until(self) -> int:
        """Up to when everything has ended, but for the runs that are written down."""
        if self._hub.unread() or self._admission.unsure or self._slots.unsettled:
            return self._acked
        # Instants before acked were late when they were claimed; their jobs or slots remember that.
        return min(self.tenure.watermark, self._progress.first_open(self._acked) - 1)

    def close_what_was_late(self) -> None:
        """Note in the database that instants which were late when they were claimed have ended."""
        if self._hub.unread():
            return
        self._slots.close(self._progress.first_open(-1) - 1)
        if self.tenure.late:
            self._close_late(self._progress.late_no_more())
        if not (self._slots.unsettled or self._hub.gives_up()):
            self._succession.forget()
        self._backlogs.note(self._time.now() - round(self._around.pace.long_run * 1000))

    def _close_late(self, job_ids: Iterable[str]) -> None:
        """These jobs' instants that were late are over, or not to be looked after any more."""
        late: dict[int, list[str]] = {}
        for job_id in paced(job_ids):
            late.setdefault(self.tenure.late[job_id], []).append(job_id)
        for until, ids in late.items():
            for some in batches(ids, CLOSED_AT_ONCE):
                self.advance_if_due()
                self._cluster.close_late(some, until)
                for job_id in some:
                    self.tenure.late.pop(job_id, None)

    # -- who owns what ------------------------------------------------------------------------------------------------

    def tend_membership(self) -> None:
        """See who lives, and take the slots that are ours by now."""
        tenure = self.tenure
        nodes = self._cluster.nodes()
        me = next((node for node in nodes if node.id == tenure.node and node.alive), None)
        if me is None:
            raise FencedError
        if me.drain_requested and not tenure.drain_requested:
            tenure.drain_requested = True
            self._hub.emit(SchedulerEvent(EVENT_NODE_DRAIN_REQUESTED, node=tenure.node))
        for node in self._membership.silent(nodes, tenure.node):
            if self._cluster.bury(node.id, node.beat):
                self._hub.emit(SchedulerEvent(EVENT_NODE_DIED, node=node.id))
        nodes = self._cluster.nodes(self._slots.neighbours)
        self._around.standing.note_nodes(nodes)
        if self._around.rhythm.is_time("census", self._around.pace.clock):
            self._around.standing.note_dead(self._cluster.count_dead())
        dead = [node for node in nodes if not node.alive]
        self._free_slots_of_dead(nodes)
        self._slots.look_elsewhere(nodes)
        self._rebalance([node for node in nodes if node.alive and not node.draining], dead)
        self._slots.neighbours |= {node.id for node in nodes if node.alive}
        self._slots.neighbours -= self._dead

    def _free_slots_of_dead(self, nodes: Sequence[NodeRecord]) -> None:
        """Take their slots from the dead, and from those whose documents somebody has removed."""
        owners = set(self._cluster.owners())
        if owners.difference(node.id for node in nodes):  # what one that is settled had asked for may arrive late
            nodes = self._cluster.nodes(owners)
        dead = [node for node in nodes if not node.alive]
        strangers = map(self._as_found_dead, self._membership.strangers(owners, nodes))
        for owner in [*(node for node in dead if node.id in owners), *strangers]:
            self.advance_if_due()
            self._cluster.free_slots_of(owner)
        if settled := [node.id for node in dead if node.id not in owners and not node.settled]:
            self._cluster.note_settled(settled)

    def _as_found_dead(self, owner: str) -> NodeRecord:
        """A node whose document somebody has removed, as far as that can be told: it has claimed nothing since then,
        and that is longer ago than the TTL; of what it had claimed shortly before, not all may have ended."""
        now, ttl = self._time.now(), round(self._around.pace.ttl * 1000)
        return NodeRecord(owner, False, now - max(ttl - CLAIMED_AHEAD_MS, 0), now - 2 * ttl, 0)

    def _rebalance(self, alive: list[NodeRecord], dead: list[NodeRecord]) -> None:
        tenure = self.tenure
        names = {node.id for node in dead}
        others = {node.id for node in alive} - {tenure.node}
        wanted = wanted_slots(tenure.node, frozenset([*others, tenure.node]), self._cluster.exclusive)
        self.leaving = tenure.slots.keys() - wanted
        free = set(self._cluster.free_slots(tenure.node))
        if not free.isdisjoint(tenure.slots):  # they were dropped, and made anew: nobody may rely on what was
            self._cluster.leave(tenure.node, self._acked)
            raise FencedError
        if free - wanted:  # an attempt to take them may have succeeded, and they are not wanted any more
            self._cluster.give_back_slots(tenure.node, free - wanted)
        now = self._time.now()
        self._slots.take([number for number in free & wanted if self._slots.may_be_taken(number, now)])
        self._around.standing.is_idle = not tenure.slots and not others
        if names - self._dead:
            self._slots.take_over_runs(list(tenure.slots), names - self._dead)
        self._dead = names

    def release_what_leaves(self) -> None:
        """Give slots away when what was claimed in them has begun: a node that died before would have it unsaid what
        became of that. Where there is too much to do, it is not waited for."""
        now, watermark = self._time.now(), self.tenure.watermark
        has_begun = self._progress.has_begun_all(now) or now > watermark + LONGEST_HOLD_MS
        if has_begun and self._may_release():
            self._release(self.leaving & self.tenure.slots.keys())
            self.leaving = set()  # now, for what is claimed meanwhile would not be in what is written down

    def _may_release(self) -> bool:
        """Whether nothing that is known here alone would be unsaid if this node died after giving slots away."""
        waits_too_long = self._time.now() > self.tenure.watermark + LONGEST_WRITING_MS
        is_settled = self._progress.is_written() or waits_too_long
        knows_all = not self._admission.unsettled and not self.tenure.awaits_claimed
        return is_settled and knows_all and not self._hub.unread()

    def _release(self, numbers: Collection[int]) -> None:
        """Give slots up. What is in progress in them goes on here, and is written down lest a crash lose it."""
        self._written.write_those_in(self.tenure, numbers)
        self._close_late(job_id for job_id in list(self.tenure.late) if slot_of(job_id) in numbers)
        self._succession.give_up(numbers)
        self._slots.release(numbers)

    # -- the end ------------------------------------------------------------------------------------------------------

    def hand_over(self) -> None:
        """Give everything away, once the hub has begun all that it has to run."""
        tenure = self.tenure
        self._cluster.give_back_slots(tenure.node, self._cluster.free_slots(tenure.node))
        if self._admission.unsettled or tenure.awaits_claimed:
            self._admission.work()
        if tenure.slots and self._progress.has_begun_all(self._time.now()) and self._may_release():
            self._release(list(tenure.slots))

    def leave(self) -> None:
        """Say how far everything has ended, and that there is no more to come."""
        self._slots.settle()
        self._backlogs.settle()  # what may be noted as late would not be closed
        ended_until = self._ended_until()
        if ended_until >= self.tenure.watermark:
            self.hand_over()
        self._cluster.leave(self.tenure.node, ended_until)
