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
from collections.abc import Callable, Iterable

from gevent.event import Event

from gsched.clock import Clock
from gsched.errors import StoreError
from gsched.events import (
    EVENT_NODE_FENCED,
    EVENT_NODE_JOINED,
    EVENT_NODE_LEFT,
    EVENT_STORE_FAILED,
    SchedulerEvent,
)
from gsched.interrupts import was_interrupt
from gsched.job import Job
from gsched.stores.base import Disowned, HubSide
from gsched.stores.mongodb.cluster import Cluster, FencedError, Outcomes
from gsched.stores.mongodb.incarnation import Incarnation, Surroundings, Wishes
from gsched.stores.mongodb.pace import Pace, Rhythm
from gsched.stores.mongodb.server_time import ServerTime
from gsched.stores.mongodb.standing import Standing
from gsched.stores.mongodb.streams import backoff
from gsched.stores.mongodb.tenure import Tenure
from gsched.stores.mongodb.written_runs import WrittenRuns
from gsched.stores.report import StoreReport

STOP_SECONDS = 3.0  # how long stopping waits for a database that is away


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
        self._name = name
        self._pace = pace
        self.time = ServerTime(cluster, clock, hub)
        self.written = WrittenRuns(cluster, hub, outcomes)
        self._rhythm = Rhythm(clock)
        self._standing = Standing(clock, hub, pace.ttl)
        self._wishes = Wishes()
        self._around = Surroundings(
            cluster, clock, hub, outcomes, pace, self._rhythm, self.time, self.written, self._standing, self._wishes
        )
        self._incarnation: Incarnation | None = None
        self._early: dict[str, None] = {}  # ids that changed while there was none
        self._wakeup = Event()
        self._told_all = Event()
        self._rescan_wanted = False
        self._give_up_at = 0.0  # when stopping waits no more for a database that is away
        self._ended = False
        self._abandoned = False

    # -- called by the store, from any greenlet -----------------------------------------------------------------------

    @property
    def tenure(self) -> Tenure | None:
        """What this node owns now."""
        return None if self._incarnation is None else self._incarnation.tenure

    def report(self) -> StoreReport:
        """How things are, from memory."""
        return self._standing.report(self.tenure, self.time)

    @property
    def away(self) -> bool:
        """Whether the last turn failed."""
        return self._standing.failures > 0

    def look_at(self, job_ids: Iterable[str]) -> None:
        """These jobs may have changed."""
        if self._incarnation is None:
            self._early.update(dict.fromkeys(job_ids))
        else:
            self._incarnation.look_at(job_ids)
        self._wakeup.set()

    def park(self, job: Job, reason: str | None) -> None:
        """The hub cannot run the job, for this reason, or can again."""
        if self._incarnation is not None:
            self._incarnation.hub_parks(job, reason)
            self._wakeup.set()

    def rescan(self) -> None:
        """Any job may have changed."""
        self._rescan_wanted = True
        self._wakeup.set()

    def pause(self, paused: bool) -> None:
        """Claim nothing while paused."""
        self._wishes.paused = paused
        self._wakeup.set()

    def stop(self) -> None:
        """Claim nothing any more and give the slots away; go on beating until `end`.

        Waits until the hub has been told the last, at most until what it may run expires; a few seconds where the
        database is away.
        """
        self._wishes.stopping = True
        self._give_up_at = self._clock.monotonic() + STOP_SECONDS
        self._wakeup.set()
        timer = self._clock.call_later(self._pace.ttl, self._told_all.set)
        self._told_all.wait()
        timer.cancel()

    def end(self) -> None:
        """All runs have ended: leave."""
        self._ended = True
        self._wakeup.set()

    def abandon(self) -> None:
        """Nothing is run here any more: fall silent, as in a crash, so that others take over."""
        self._abandoned = True
        self.end()

    def defer(self, job_id: str, rev: int, due: int) -> None:
        """The hub gave a job back that is due next beyond the horizon."""
        if (node := self._incarnation) is not None:
            node.tenure.give_back(job_id, rev, due)
            if job_id in node.tenure.awaited:
                # The hub does not know how far the horizon has moved: the watermark shall wait for the job.
                node.look_at_near([job_id])
                self._wakeup.set()

    def forget(self, job_id: str, rev: int) -> None:
        """The hub has the job no more, because its trigger has ended."""
        if (tenure := self.tenure) is not None:
            tenure.give_back(job_id, rev, None)

    # -- the ownership greenlet ---------------------------------------------------------------------------------------

    def run(self) -> None:
        """Take part until `end`."""
        while not self._ended:
            self._wakeup.clear()
            try:
                self._turn()
                self._standing.note_success()
            except FencedError:
                self._start_over()
            except StoreError as error:
                self._fail(error)
            except BaseException as error:  # a trigger that raises or exits, a document beyond belief: on with others
                if not was_interrupt(error):
                    self._fail(error)
                    self._hub.emit(SchedulerEvent(EVENT_STORE_FAILED, traceback=traceback.format_exc()))
            self._wait()
        self._told_all.set()
        if not self._abandoned:
            self._leave()

    def _turn(self) -> None:
        pace, is_time = self._pace, self._rhythm.is_time
        if not self.time.is_known or is_time("clock", pace.clock):
            self.time.measure()
        if self._incarnation is None and self._hub.unread():
            return
        node = self._incarnation or self._join()
        node.settle()
        if is_time("closing", pace.membership):
            node.close_what_was_late()  # before an advance, whose message the hub has not read right after it
        node.advance_if_due()
        if self._wishes.stopping:
            self._told_all.set()
            node.hand_over()
            return
        node.admit()
        if is_time("membership", pace.membership):
            node.tend_membership()
        if node.leaving:
            node.release_what_leaves()
        if is_time("horizon", pace.horizon / 3):
            node.move_horizon()
        if self._rescan_wanted or is_time("rescan", pace.rescan):
            self._rescan_wanted = False
            node.look_for_changes()

    def _fail(self, error: BaseException) -> None:
        if self._wishes.stopping and self._clock.monotonic() >= self._give_up_at:
            self._told_all.set()
        self._standing.note_failure(error)

    def _wait(self) -> None:
        node, failures = self._incarnation, self._standing.failures
        more = node is not None and node.pending and not self._wishes.stopping
        if self._ended or (more and not failures):
            return
        seconds = self._rhythm.until("tick")
        if node is not None and node.leaving:  # right when what is claimed has begun
            seconds = min(seconds, max(node.tenure.watermark + 1 - self.time.now(), 5) / 1000)
        if failures:
            seconds = backoff(self._pace.tick, failures, self._pace.longest_retry)
        timer = self._clock.call_later(seconds, self._wakeup.set)
        self._wakeup.wait()
        timer.cancel()

    # -- from one incarnation to the next -----------------------------------------------------------------------------

    def _join(self) -> Incarnation:
        """Begin a new incarnation. The hub has begun by now all that it was told before others took over."""
        self.written.disown()
        now = self.time.now()
        tenure = Tenure(self._name(now), now, now + round(self._pace.horizon * 1000))
        self._cluster.prepare()
        self._cluster.join(tenure.node, tenure.watermark)
        self._incarnation = Incarnation(self._around, tenure)
        self._incarnation.look_at(self._early)
        self._early = {}
        self._rhythm.begin_anew(horizon=self._pace.horizon / 3, rescan=self._pace.rescan)
        self._hub.emit(SchedulerEvent(EVENT_NODE_JOINED, node=tenure.node))
        return self._incarnation

    def _start_over(self) -> None:
        """Others took us for dead: whatever we owned is theirs. Join as a new node."""
        node, self._incarnation = self._incarnation, None
        if node is not None:
            self._hub.emit(SchedulerEvent(EVENT_NODE_FENCED, node=node.tenure.node))
            self._hub.post(Disowned())

    def _leave(self) -> None:
        """From here on nothing is ours, whether the others hear of it now or find out by themselves."""
        node, self._incarnation = self._incarnation, None
        if node is None:
            return
        try:
            node.leave()
        except BaseException as error:  # whatever it is
            was_interrupt(error)
            return
        self._hub.emit(SchedulerEvent(EVENT_NODE_LEFT, node=node.tenure.node))
