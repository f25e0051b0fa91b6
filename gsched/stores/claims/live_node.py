"""A node from joining to its end: the steps of one turn, and the holdings that they work on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from gsched.event_loop.batches import batches
from gsched.event_loop.slices import paced
from gsched.events import EVENT_NODE_DIED, EVENT_NODE_DRAIN_REQUESTED, SchedulerEvent
from gsched.jobs.job import Job
from gsched.stores.claims.admission import Admission
from gsched.stores.claims.backlogs import Backlogs
from gsched.stores.claims.beats import Beats
from gsched.stores.claims.database import ClaimDatabase, FencedError, NodeRecord, Outcomes
from gsched.stores.claims.elsewhere import Elsewhere
from gsched.stores.claims.holdings import Holdings
from gsched.stores.claims.intervals import Intervals, NextTimes
from gsched.stores.claims.membership import Membership, wanted_slots
from gsched.stores.claims.progress import Progress
from gsched.stores.claims.recorded_runs import RecordedRuns
from gsched.stores.claims.rescan import Rescan
from gsched.stores.claims.server_time import ServerTime
from gsched.stores.claims.session import Session
from gsched.stores.claims.slots import Slots
from gsched.stores.claims.status import StatusTracker
from gsched.stores.claims.succession import Succession
from gsched.stores.messages import Claimed, HubPort
from gsched.times.clock import Clock

# Nothing is claimed while slots wait to be released. A slot waits this long at most for its claimed instants to begin,
LONGEST_HOLD_MS = 250
LONGEST_WRITING_MS = 2000  # and this long for its outcomes to be written
CLOSED_AT_ONCE = 200  # jobs per write; the watermark waits for each write
CLAIMED_AHEAD_MS = 1000  # no node claims further ahead of its last beat


@dataclass
class DesiredState:
    """The state that the program wants its node to have. The program may change it at any moment.

    :ivar paused: the node claims nothing
    :ivar stopping: the node claims nothing and gives its slots away
    """

    paused: bool = False
    stopping: bool = False


@dataclass(frozen=True)
class Context:
    """The state that one node passes on to the next node of the same process.

    :ivar outcomes: the outcomes that are not written yet
    """

    database: ClaimDatabase
    clock: Clock
    hub: HubPort
    outcomes: Outcomes
    intervals: Intervals
    next_times: NextTimes
    time: ServerTime
    recorded: RecordedRuns
    status: StatusTracker
    desired: DesiredState


class LiveNode:
    """A node that has joined. The ownership greenlet calls its steps.

    Each step may raise StoreError. It raises FencedError if another node has declared this node dead.

    :ivar leaving: slots to give away as soon as the instants claimed in them have begun
    """

    def __init__(self, context: Context, holdings: Holdings) -> None:
        self._context = context
        self._database = context.database
        self._hub = context.hub
        self._time = context.time
        self._recorded = context.recorded
        self.holdings = holdings
        self.leaving: set[int] = set()
        self._acked = holdings.watermark
        self._dead: set[str] = set()
        self._beats = Beats(context.clock, context.intervals, self._calm_seconds)
        self._membership = Membership(context.clock, context.intervals.ttl)
        self._progress = Progress(holdings, context.hub, context.outcomes, context.recorded)
        session = Session(
            context.database, context.hub, holdings, context.recorded, self._progress, beat=self.advance_if_due
        )
        self._backlogs = Backlogs(session)
        self._succession = Succession(session)
        self._elsewhere = Elsewhere(session)
        self._admission = Admission(session, self._succession)
        admission = self._admission
        self._slots = Slots(session, self._succession, self._elsewhere, admission.look_at, admission.expect_runs)
        self._rescan = Rescan(session, self._admission, self._succession)

    # -- jobs that changed --------------------------------------------------------------------------------------------

    def look_at(self, job_ids: Iterable[str]) -> None:
        """Look again at these jobs, which may have changed."""
        self._admission.look_at(job_ids)

    def look_at_near(self, job_ids: Iterable[str]) -> None:
        """These jobs are due within the horizon, and the hub does not have them."""
        self._admission.look_at_near(job_ids)

    def hub_parks(self, job: Job, reason: str | None) -> None:
        """The hub cannot run the job, for this reason; None: it can again."""
        self._admission.hub_parks(job, reason)

    def until_waiting_run(self) -> float:
        """In how many seconds to look for the next waiting run; infinity if none waits within the horizon."""
        due = self._admission.next_waiting
        return float("inf") if due is None else max(due - self._time.now(), 0) / 1000

    @property
    def pending(self) -> bool:
        """Jobs wait to be looked at, or their changes to be stored."""
        return self._admission.pending

    def settle(self) -> None:
        """Finish the steps that an error interrupted."""
        self._slots.settle()
        self._backlogs.settle()
        self._succession.settle()
        if self._admission.unsure or self._admission.unsettled:
            # The jobs read next must be true. A primary that is cut off shows writes that will be rolled back. If a
            # majority confirms this beat, it has confirmed all writes before it.
            self._advance()
        while self._admission.unsure:
            self._admission.work(self._time.now(), self._begins_nothing)
            self.advance_if_due()

    def admit(self) -> None:
        """Admit some of the jobs that may have changed."""
        self._admission.work(self._time.now(), self._begins_nothing)
        if not self._admission.has_near:
            self.holdings.loaded = self.holdings.horizon

    @property
    def _begins_nothing(self) -> bool:
        desired = self._context.desired
        return desired.paused or desired.stopping

    def move_horizon(self) -> None:
        """Move the horizon on, and look at the jobs that it has reached."""
        self._rescan.move_horizon(self._time.now() + round(self._context.intervals.horizon * 1000))

    def look_for_changes(self) -> None:
        """Find the changes that the change feed has missed."""
        self._database.prepare()  # somebody may have dropped collections or indexes
        self._rescan.look_for_changes()

    # -- the claim ----------------------------------------------------------------------------------------------------

    def advance_if_due(self) -> None:
        """Advance the watermark, at most once per tick, and less often while this node rests."""
        if self._beats.is_due():
            self._advance()

    def until_advance(self) -> float:
        """In how many seconds the next `_advance` is due, as far as this node knows."""
        return self._beats.until_next()

    def _calm_seconds(self) -> float:
        """For how long this node has nothing to do, nothing to note as ended, and nothing to claim; 0 or less if it has
        something."""
        is_moving = self._context.desired.stopping or self.leaving or self._slots.is_open
        if is_moving or self.pending or self._hub.unread() or self.holdings.late:
            return 0.0
        first = self._progress.first_open(self._acked)
        return (first - self._time.now()) / 1000 - self._context.intervals.ahead

    def _advance(self) -> None:
        """Claim: raise the watermark and acked in the database, then pass the claim to the hub."""
        self._beats.note()
        intervals, holdings, desired = self._context.intervals, self.holdings, self._context.desired
        self._recorded.record_long_ones(holdings, self._time.now() - round(intervals.long_run * 1000))
        target, now = holdings.watermark, self._time.now()
        is_away = holdings.loaded < now  # the machine has slept: what fell due is decided at once, not in two steps
        if not (desired.paused or desired.stopping or self.leaving or self._admission.unsure or is_away):
            # Not beyond `loaded`: the watermark would cover jobs that nobody has looked at.
            target = max(target, min(now + round(intervals.ahead * 1000), holdings.loaded))
        acked = self._ended_until()
        # Counted from before the write: no other node can find this one silent for the TTL any earlier.
        expires = self._context.clock.monotonic() + intervals.ttl
        if not self._database.advance(holdings.node, target, acked, desired.stopping):
            raise FencedError
        self._context.status.note_answer()
        holdings.watermark, self._acked = target, acked
        self._hub.post(Claimed(target, holdings.horizon, expires))

    def _ended_until(self) -> int:
        """The time (ms) up to which every instant has ended or has a recorded run."""
        if self._hub.unread() or self._admission.unsure or self._slots.unsettled or self._succession.unsettled:
            return self._acked
        # An open instant before acked was late when it was claimed. Its job or its slot remembers that.
        return min(self.holdings.watermark, self._progress.first_open(self._acked) - 1)

    def close_ended(self) -> None:
        """Note in the database which late instants have ended, forget ended schedules, and note new backlogs."""
        if self._hub.unread():
            return
        self._slots.close(self._progress.first_open(-1) - 1)
        if self.holdings.late:
            self._close_late(self._progress.late_no_more())
        if not (self._slots.unsettled or self._hub.gives_up()):
            self._succession.forget()
        self._backlogs.note(self._time.now() - round(self._context.intervals.long_run * 1000))

    def _close_late(self, job_ids: Iterable[str]) -> None:
        """Note that the late instants of these jobs have ended, or that this node gives them away."""
        late: dict[int, list[str]] = {}
        for job_id in paced(job_ids):
            late.setdefault(self.holdings.late[job_id], []).append(job_id)
        for until, ids in late.items():
            for some in batches(ids, CLOSED_AT_ONCE):
                self.advance_if_due()
                self._database.close_late(some, until)
                for job_id in some:
                    self.holdings.late.pop(job_id, None)

    # -- who owns what ------------------------------------------------------------------------------------------------

    def tend_membership(self) -> None:
        """Bury silent nodes, free their slots, and take the slots that this node should own."""
        holdings = self.holdings
        nodes = self._database.nodes()
        me = next((node for node in nodes if node.id == holdings.node and node.alive), None)
        if me is None:
            raise FencedError
        if me.drain_requested and not holdings.drain_requested:
            holdings.drain_requested = True
            self._hub.emit(SchedulerEvent(EVENT_NODE_DRAIN_REQUESTED, node=holdings.node))
        for node in self._membership.silent(nodes, holdings.node):
            if self._database.bury(node.id, node.beat):
                self._hub.emit(SchedulerEvent(EVENT_NODE_DIED, node=node.id))
        nodes = self._database.nodes(self._slots.neighbours)
        self._context.status.note_nodes(nodes)
        self._beats.is_alone = not any(node.alive and node.id != holdings.node for node in nodes)
        if self._context.next_times.is_time("census", self._context.intervals.clock):
            self._context.status.note_dead(self._database.count_dead())
        dead = [node for node in nodes if not node.alive]
        self._free_slots_of_dead(nodes)
        self._elsewhere.look(nodes)
        self._rebalance([node for node in nodes if node.alive and not node.draining], dead)
        self._slots.neighbours |= {node.id for node in nodes if node.alive}
        self._slots.neighbours -= self._dead

    def _free_slots_of_dead(self, nodes: Sequence[NodeRecord]) -> None:
        """Free the slots of dead nodes, and of owners whose documents somebody has removed."""
        owners = set(self._database.owners())
        if owners.difference(node.id for node in nodes):  # a late write of a settled node may have taken a slot
            nodes = self._database.nodes(owners)
        dead = [node for node in nodes if not node.alive]
        strangers = map(self._as_found_dead, self._membership.strangers(owners, nodes))
        for owner in [*(node for node in dead if node.id in owners), *strangers]:
            self.advance_if_due()
            self._database.free_slots_of(owner)
        if settled := [node.id for node in dead if node.id not in owners and not node.settled]:
            self._database.note_settled(settled)

    def _as_found_dead(self, owner: str) -> NodeRecord:
        """A record for an owner whose document somebody has removed.

        The owner has claimed nothing since the removal, which is longer ago than the TTL. The instants that it claimed
        shortly before may not have ended.
        """
        now, ttl = self._time.now(), round(self._context.intervals.ttl * 1000)
        return NodeRecord(owner, False, now - max(ttl - CLAIMED_AHEAD_MS, 0), now - 2 * ttl, 0)

    def _rebalance(self, alive: list[NodeRecord], dead: list[NodeRecord]) -> None:
        holdings = self.holdings
        names = {node.id for node in dead}
        others = {node.id for node in alive} - {holdings.node}
        wanted = wanted_slots(holdings.node, frozenset([*others, holdings.node]), self._database.exclusive)
        self.leaving = holdings.slots.keys() - wanted
        free = set(self._database.free_slots(holdings.node))
        if not free.isdisjoint(holdings.slots):  # somebody dropped the slots, and they were made anew: start over
            self._database.leave(holdings.node, self._acked)
            raise FencedError
        if free - wanted:  # an earlier attempt may have taken slots that are not wanted any more
            self._database.give_back_slots(holdings.node, free - wanted)
        now = self._time.now()
        self._slots.take([number for number in free & wanted if self._slots.may_be_taken(number, now)])
        self._context.status.is_idle = not holdings.slots and not others
        if names - self._dead:
            self._slots.take_over_runs(list(holdings.slots), names - self._dead)
        self._dead = names

    def release_leaving(self) -> None:
        """Give the leaving slots away, once the instants claimed in them have begun. An overloaded node does not wait
        for all of them."""
        now, watermark = self._time.now(), self.holdings.watermark
        has_begun = self._progress.has_begun_all(now) or now > watermark + LONGEST_HOLD_MS
        if has_begun and self._may_release() and self._release(self.leaving & self.holdings.slots.keys()):
            self.leaving = set()  # not earlier: instants claimed meanwhile would have no record

    def _may_release(self) -> bool:
        """True if the next owner would find every outcome, count and open run of these slots in the database. Outcomes
        that the history does not take for long are left out; without a count, too many runs would begin."""
        waits_too_long = self._time.now() > self.holdings.watermark + LONGEST_WRITING_MS
        is_settled = self._progress.is_counted() and (self._progress.is_written() or waits_too_long)
        knows_all = not self._admission.unsettled and not self.holdings.awaits_claimed
        return is_settled and knows_all and not self._hub.unread()

    def _release(self, numbers: Collection[int]) -> bool:
        """Give slots up. Runs in progress in them go on here; each gets a record, so that a crash does not lose it.

        :return: False if a user's change came in between: try again
        """
        self._recorded.record_those_in(self.holdings, numbers)
        self._close_late(job_id for job_id in list(self.holdings.late) if self.holdings.slot_of(job_id) in numbers)
        if not self._succession.give_up(numbers):
            return False
        self._slots.release(numbers)
        return True

    # -- the end ------------------------------------------------------------------------------------------------------

    def hand_over(self) -> None:
        """Give all slots away, once the hub has begun the claimed instants."""
        holdings = self.holdings
        self._database.give_back_slots(holdings.node, self._database.free_slots(holdings.node))
        if self._admission.unsettled or holdings.awaits_claimed:
            self._admission.work(self._time.now(), self._begins_nothing)
        if holdings.slots and self._progress.has_begun_all(self._time.now()) and self._may_release():
            self._release(list(holdings.slots))

    def leave(self) -> None:
        """End this node in the database: all instants up to acked have ended, and no more are claimed."""
        self._slots.settle()
        self._backlogs.settle()  # else late instants that an earlier attempt noted would stay open
        ended_until = self._ended_until()
        if ended_until >= self.holdings.watermark:
            self.hand_over()
        if self._recorded.put_back:
            self._database.put_back(self.holdings.node, list(self._recorded.put_back))
        self._database.leave(self.holdings.node, ended_until)
