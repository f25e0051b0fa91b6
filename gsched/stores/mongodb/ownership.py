"""Ownership: which jobs this node may run, and until when. The claim protocol.

Everything happens in one greenlet, in sequence:

    settle what an error left open -> advance the watermark -> admit what changed -> see who lives, take and release

What it achieved reaches the hub as messages in that order. The hub runs what is due up to the smaller of now and the
watermark, so that no database call is ever in the way of a run.

Advancing the node's watermark, in one small write conditional on the node being alive, claims every occurrence in its
attached slots up to that time. The same write is the heartbeat and the fence. It runs ahead of the clock, so that
nothing has to wait for it.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from gevent.event import Event

from gsched.clock import Clock
from gsched.errors import StoreError
from gsched.events import (
    EVENT_NODE_DIED,
    EVENT_NODE_DRAIN_REQUESTED,
    EVENT_NODE_FENCED,
    EVENT_NODE_JOINED,
    EVENT_NODE_LEFT,
    EVENT_STORE_CONNECTED,
    EVENT_STORE_DISCONNECTED,
    EVENT_STORE_FAILED,
    SchedulerEvent,
    error_fields,
)
from gsched.stores.base import ALWAYS, Claimed, Disowned, HubSide
from gsched.stores.mongodb.admission import Admission
from gsched.stores.mongodb.cluster import Cluster, FencedError, NodeRecord, Outcomes
from gsched.stores.mongodb.lookout import WRITTEN_BACK_AT_ONCE, Lookout, portions_of
from gsched.stores.mongodb.membership import Membership, wanted_slots
from gsched.stores.mongodb.partition import slot_of
from gsched.stores.mongodb.server_time import ServerTime
from gsched.stores.mongodb.slots import Slots
from gsched.stores.mongodb.streams import backoff
from gsched.stores.mongodb.tenure import Tenure
from gsched.stores.mongodb.written_runs import WrittenRuns
from gsched.stores.report import StoreReport
from gsched.wording import without_noise

T = TypeVar("T")

LONGEST_HOLD_MS = 250  # for so long nothing is claimed while what is claimed in slots that leave waits to begin
LONGEST_WRITING_MS = 2000  # the same while what became of it waits to be written
LATE_AT_ONCE = 500  # jobs whose late instants are looked after at once
STOP_SECONDS = 3.0  # how long stopping waits for a database that is away
MOST_SAID = 200  # characters of an error, to which the driver adds all that it knows


@dataclass(frozen=True)
class Pace:
    """How often, how far ahead, how long: all in seconds."""

    tick: float = 0.1  # between two advances of the watermark
    ahead: float = 0.25  # how far the watermark runs before the clock
    membership: float = 0.5  # between two looks at the other nodes
    ttl: float = 10.0  # a node that is silent for so long is dead
    horizon: float = 300.0  # jobs due later stay in the database
    rescan: float = 20.0  # between two polls for changes that the feed may have missed
    long_run: float = 3.0  # a run in progress for so long is written down
    clock: float = 10.0  # between two looks at the server's clock
    longest_retry: float = 2.0  # between two attempts while the database does not answer


class Ownership:
    """One node's part in the protocol, over all of its incarnations.

    :param outcomes: what is not written yet of what became of instants
    :param name: makes the id of a new incarnation from the time, ms; ids must differ, and grow with time
    """

    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        hub: HubSide,
        outcomes: Outcomes,
        name: Callable[[int], str],
        pace: Pace,
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._hub = hub
        self._outcomes = outcomes
        self._name = name
        self._pace = pace
        self.time = ServerTime(cluster, clock, hub)
        self._wakeup = Event()
        self._told_all = Event()
        self._tenure: Tenure | None = None
        self._early: dict[str, None] = {}  # ids that changed before there was a tenure
        self.written = WrittenRuns(cluster, hub, outcomes)
        self._leaving: set[int] = set()  # slots to give away as soon as what is claimed in them has begun
        self._rescan_wanted = False
        self._paused = False
        self._stopping = False  # hand over
        self._give_up_at = 0.0  # when stopping waits no more for a database that is away
        self._ended = False
        self._connected = True
        self._error: str | None = None  # the last one
        self._failed: Counter[tuple[str, str]] = Counter()  # turns, by error
        self._answered: float | None = None  # when an advance was confirmed last, monotonic
        self._is_idle = False  # nobody owns anything, as far as it can be seen
        self._census: dict[str, int] = {}  # how many nodes are in which state
        self._failures = 0
        self._next = dict.fromkeys(("tick", "membership", "rescan", "horizon", "clock", "closing"), 0.0)

    # -- called by the store, from any greenlet -------------------------------------------------------------------

    @property
    def tenure(self) -> Tenure | None:
        """What this node owns now."""
        return self._tenure

    def report(self) -> StoreReport:
        """How things are, from memory."""
        tenure, now = self._tenure, self._clock.monotonic()
        answered = None if self._answered is None else now - self._answered
        idle = "this node is alone and owns no slots: nothing is run" if self._is_idle else None
        return StoreReport(
            connected=self._connected and answered is not None and answered < self._pace.ttl / 2 and idle is None,
            error=idle or self._error,
            answered=answered,
            slots=0 if tenure is None else len(tenure.slots),
            watermark_age=None if tenure is None else max(0, self.time.at(now) - tenure.watermark) / 1000,
            nodes=self._census,
            errors=dict(self._failed),
        )

    @property
    def away(self) -> bool:
        """Whether the last turn failed."""
        return self._failures > 0

    def look_at(self, job_ids: Iterable[str]) -> None:
        """These jobs may have changed."""
        if self._tenure is None:
            self._early.update(dict.fromkeys(job_ids))
        else:
            self._admission.look_at(job_ids)
        self._wakeup.set()

    def rescan(self) -> None:
        """Any job may have changed."""
        self._rescan_wanted = True
        self._wakeup.set()

    def pause(self, paused: bool) -> None:
        """Claim nothing while paused."""
        self._paused = paused
        self._wakeup.set()

    def stop(self) -> None:
        """Claim nothing any more and give the slots away; go on beating until `end`.

        Waits until the hub has been told the last, at most until what it may run expires; a few seconds where the
        database is away.
        """
        self._stopping = True
        self._give_up_at = self._clock.monotonic() + STOP_SECONDS
        self._wakeup.set()
        timer = self._clock.call_later(self._pace.ttl, self._told_all.set)
        self._told_all.wait()
        timer.cancel()

    def end(self) -> None:
        """All runs have ended: leave."""
        self._ended = True
        self._wakeup.set()

    def defer(self, job_id: str, rev: int, due: int) -> None:
        """The hub gave a job back that is due next beyond the horizon."""
        if self._tenure is not None:
            self._tenure.give_back(job_id, rev, due)
            if job_id in self._tenure.awaited:  # the hub does not know how far the horizon has moved
                self.look_at([job_id])

    def forget(self, job_id: str, rev: int) -> None:
        """The hub has the job no more, because its trigger has ended."""
        if self._tenure is not None:
            self._tenure.give_back(job_id, rev, None)

    # -- the ownership greenlet ------------------------------------------------------------------------------------

    def run(self) -> None:
        """Take part until `end`."""
        while not self._ended:
            self._wakeup.clear()
            try:
                self._turn()
                self._report_success()
            except FencedError:
                self._start_over()
            except StoreError as error:
                self._report_failure(error)
            except BaseException as error:  # a trigger that raises or exits, a document beyond belief: on with others
                self._report_failure(error)
                self._hub.emit(SchedulerEvent(EVENT_STORE_FAILED, traceback=traceback.format_exc()))
            self._wait()
        self._told_all.set()
        self._leave()

    def _turn(self) -> None:
        if not self.time.is_known or self._is_time("clock", self._pace.clock):
            self.time.measure()
        if self._tenure is None:
            self._join()
        self._slots.settle()
        while self._admission.unsure:
            self._admission.work()
            self._advance_if_due()
        if self._is_time("closing", self._pace.membership):
            self._close_what_was_late()  # before an advance, whose message the hub has not read right after it
        self._advance_if_due()
        if self._stopping:
            self._hand_over()
            return
        self._admission.work()
        if not self._admission.pending and self._tenure is not None:
            self._tenure.loaded = self._tenure.horizon
        if self._is_time("membership", self._pace.membership):
            self._tend_membership()
        if self._leaving:
            self._release_what_leaves()
        if self._is_time("horizon", self._pace.horizon / 3):
            self._lookout.move_horizon(self.time.now() + round(self._pace.horizon * 1000))
        if self._rescan_wanted or self._is_time("rescan", self._pace.rescan):
            self._rescan_wanted = False
            self._cluster.prepare()  # somebody may have dropped collections or indexes
            self._lookout.look_for_changes()

    def _hand_over(self) -> None:
        """Give everything away, once the hub knows all that it has to run."""
        self._told_all.set()
        tenure = self._tenure
        assert tenure is not None
        self._cluster.give_back_slots(tenure.node, self._cluster.free_slots(tenure.node))
        if self._admission.taking:
            self._admission.work()
        if tenure.slots and self._has_begun_all(tenure) and self._may_release(tenure):
            self._release(tenure, list(tenure.slots))

    def _wait(self) -> None:
        more = self._tenure is not None and self._admission.pending and not self._stopping
        if self._ended or (more and not self._failures):
            return
        seconds = self._next["tick"] - self._clock.monotonic()
        if self._leaving and self._tenure is not None:  # right when what is claimed has begun
            seconds = min(seconds, max(self._tenure.watermark + 1 - self.time.now(), 5) / 1000)
        if self._failures:
            seconds = backoff(self._pace.tick, self._failures, self._pace.longest_retry)
        timer = self._clock.call_later(seconds, self._wakeup.set)
        self._wakeup.wait()
        timer.cancel()

    def _is_time(self, what: str, every: float) -> bool:
        now = self._clock.monotonic()
        if now < self._next[what]:
            return False
        self._next[what] = now + every
        return True

    # -- one incarnation ---------------------------------------------------------------------------------------------

    def _join(self) -> None:
        now = self.time.now()
        tenure = Tenure(self._name(now), now, now + round(self._pace.horizon * 1000))
        self._cluster.prepare()
        self._cluster.join(tenure.node, tenure.watermark)
        self._tenure = tenure
        self._membership = Membership(self._clock, self._pace.ttl)
        self._admission = Admission(self._cluster, tenure, self._hub)
        self._slots = Slots(self._cluster, tenure, self._hub, self._advance_if_due, self._admission.look_at)
        self._lookout = Lookout(self._cluster, tenure, self.written, self._advance_if_due, self._admission.look_at)
        self._admission.look_at(self._early)
        self._early, self._leaving = {}, set()
        self._dead: set[str] = set()
        self._acked = tenure.watermark
        self._next = dict.fromkeys(self._next, 0.0)
        self._next["horizon"] = self._clock.monotonic() + self._pace.horizon / 3
        self._next["rescan"] = self._clock.monotonic() + self._pace.rescan
        self._hub.emit(SchedulerEvent(EVENT_NODE_JOINED, node=tenure.node))

    def _start_over(self) -> None:
        """Others took us for dead: whatever we owned is theirs. Join as a new node."""
        tenure, self._tenure = self._tenure, None
        if tenure is not None:
            self._hub.emit(SchedulerEvent(EVENT_NODE_FENCED, node=tenure.node))
            self.written.forget_ahead()
            self._hub.post(Disowned())

    def _leave(self) -> None:
        if self._tenure is None:
            return
        try:
            self._slots.settle()
            ended_until = self._ended_until(self._tenure)
            if ended_until >= self._tenure.watermark:
                self._hand_over()
            self._cluster.leave(self._tenure.node, ended_until)
        except BaseException:  # whatever it is
            return  # then the others will find out by themselves
        self._hub.emit(SchedulerEvent(EVENT_NODE_LEFT, node=self._tenure.node))

    # -- the claim -----------------------------------------------------------------------------------------------------

    def _advance_if_due(self) -> None:
        if not self._is_time("tick", self._pace.tick):
            return
        tenure = self._tenure
        assert tenure is not None
        self.written.write_long_ones(tenure, self.time.now() - round(self._pace.long_run * 1000))
        target = tenure.watermark
        if not (self._paused or self._stopping or self._leaving or self._admission.unsure):
            # Never beyond that: jobs that are not looked at would count as claimed.
            target = max(target, min(self.time.now() + round(self._pace.ahead * 1000), tenure.loaded))
        acked = self._ended_until(tenure)
        # From before the write: nobody can have found us silent for the TTL earlier than that.
        expires = self._clock.monotonic() + self._pace.ttl
        if not self._cluster.advance(tenure.node, target, acked, self._stopping):
            raise FencedError
        self._answered = self._clock.monotonic()
        tenure.watermark, self._acked = target, acked
        self._hub.post(Claimed(target, tenure.horizon, expires))

    def _ended_until(self, tenure: Tenure) -> int:
        """Up to when everything has ended, but for the runs that are written down."""
        if self._hub.unread() or self._admission.unsure or self._slots.unsettled:
            return self._acked
        # Instants before acked were late when they were claimed; their jobs or slots remember that.
        return min([tenure.watermark, *(instant - 1 for instant in self._open_instants(self._acked))])

    def _open_instants(self, after: int) -> list[int]:
        """Instants after `after` that have not ended, or whose end is not written, the earliest among them; but for
        runs that are written down."""
        running = [run.scheduled_ms for run in self.written.missing() if run.scheduled_ms > after]
        next_due = self._hub.next_due(after)
        assert self._tenure is not None
        awaited = (max(due, after + 1) for due in self._tenure.awaited.values())
        unwritten = max(self._outcomes.first_unwritten(), after + 1)
        return [*running, *awaited, unwritten, *(() if next_due is None else (next_due,))]

    def _close_what_was_late(self) -> None:
        """Note in the database that instants which were late when they were claimed have ended."""
        tenure = self._tenure
        assert tenure is not None
        if self._hub.unread():
            return
        self._slots.close(min(self._open_instants(-1)) - 1)
        if not tenure.late:
            return
        running = {run.job.id for run in self.written.missing()}
        some = islice(tenure.late.items(), LATE_AT_ONCE)
        ended = {i: until for i, until in some if i not in running and (self._hub.due(i) or ALWAYS) > until}
        unwritten = {job_id for job_id, instant in self._outcomes.unwritten() if instant <= ended.get(job_id, -1)}
        self._close_late(tenure, ended.keys() - unwritten)

    def _close_late(self, tenure: Tenure, job_ids: Iterable[str]) -> None:
        """These jobs' instants that were late are over, or not to be looked after any more."""
        busy = self.written.busy_jobs()  # of these, later instants have not ended
        dues = {job_id: 0 if job_id in busy else self._hub.due(job_id) or 0 for job_id in sorted(job_ids)}
        late = {job_id: (tenure.late[job_id], due) for job_id, due in dues.items()}
        for some in portions_of(late, WRITTEN_BACK_AT_ONCE):
            self._advance_if_due()
            self._cluster.close_late(some)
            for job_id in some:
                tenure.late.pop(job_id, None)

    # -- who owns what ------------------------------------------------------------------------------------------------

    def _tend_membership(self) -> None:
        tenure = self._tenure
        assert tenure is not None
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
        nodes = self._cluster.nodes()
        self._census = _census(nodes)
        dead = [node for node in nodes if not node.alive]
        for node in dead:
            self._advance_if_due()
            self._cluster.free_slots_of(node)
        self._slots.look_elsewhere(nodes)
        self._rebalance(tenure, [node for node in nodes if node.alive and not node.draining], dead)

    def _rebalance(self, tenure: Tenure, alive: list[NodeRecord], dead: list[NodeRecord]) -> None:
        names = {node.id for node in dead}
        others = {node.id for node in alive} - {tenure.node}
        wanted = wanted_slots(tenure.node, {*others, tenure.node}, self._cluster.exclusive)
        self._leaving = tenure.slots.keys() - wanted
        free = set(self._cluster.free_slots(tenure.node))
        if not free.isdisjoint(tenure.slots):  # they were dropped, and made anew: nobody may rely on what was
            self._cluster.leave(tenure.node, self._acked)
            raise FencedError
        if free - wanted:  # an attempt to take them may have succeeded, and they are not wanted any more
            self._cluster.give_back_slots(tenure.node, free - wanted)
        now = self.time.now()
        self._slots.take([number for number in free & wanted if self._slots.may_be_taken(number, now)])
        self._is_idle = not tenure.slots and not others
        if names - self._dead:
            self._slots.take_over_runs(list(tenure.slots), names - self._dead)
        self._dead = names

    def _release_what_leaves(self) -> None:
        """Give slots away when what was claimed in them has begun: a node that died before would have it unsaid what
        became of that. Where there is too much to do, it is not waited for."""
        tenure = self._tenure
        assert tenure is not None
        has_begun = self._has_begun_all(tenure) or self.time.now() > tenure.watermark + LONGEST_HOLD_MS
        if has_begun and self._may_release(tenure):
            self._release(tenure, self._leaving & tenure.slots.keys())
            self._leaving = set()  # now, for what is claimed meanwhile would not be in what is written down

    def _may_release(self, tenure: Tenure) -> bool:
        """Whether nothing that is known here alone would be unsaid if this node died after giving slots away."""
        is_written = self._outcomes.first_unwritten() > tenure.watermark
        waits_too_long = self.time.now() > tenure.watermark + LONGEST_WRITING_MS
        return (is_written or waits_too_long) and not self._admission.taking and not self._hub.unread()

    def _has_begun_all(self, tenure: Tenure) -> bool:
        """Whether the hub has handed on, or settled, all that is claimed."""
        undecided = self._hub.next_due(-1)
        is_decided = undecided is None or undecided > tenure.watermark
        return self.time.now() > tenure.watermark and is_decided and not self._hub.unread()

    def _release(self, tenure: Tenure, numbers: Collection[int]) -> None:
        """Give slots up. What is in progress in them goes on here, and is written down lest a crash lose it."""
        self.written.write_those_in(tenure, numbers)
        self._close_late(tenure, [job_id for job_id in tenure.late if slot_of(job_id) in numbers])
        self._slots.release(numbers)

    # -- what people hear ---------------------------------------------------------------------------------------------

    def _report_success(self) -> None:
        self._failures = 0
        if not self._connected:
            self._connected = True
            self._hub.emit(SchedulerEvent(EVENT_STORE_CONNECTED))

    def _report_failure(self, error: BaseException) -> None:
        self._failures = min(self._failures + 1, 10)
        if self._stopping and self._clock.monotonic() >= self._give_up_at:
            self._told_all.set()
        cause = error.__cause__ or error  # the driver's own words
        self._error = f"{type(cause).__name__}: {cause}"[:MOST_SAID]
        self._failed["claim", type(cause).__name__] += 1
        if self._connected:
            self._connected = False
            said = {**error_fields(error), "error_message": without_noise(str(cause))}
            self._hub.emit(SchedulerEvent(EVENT_STORE_DISCONNECTED, **said))


def _census(nodes: Iterable[NodeRecord]) -> dict[str, int]:
    present = (node for node in nodes if not node.left)
    states = ("dead" if not node.alive else "draining" if node.draining else "alive" for node in present)
    return {"alive": 0, "draining": 0, "dead": 0, **Counter(states)}
