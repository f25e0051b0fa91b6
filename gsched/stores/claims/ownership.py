"""Ownership: the greenlet that decides which jobs this scheduler may run, and until when.

It takes one turn after the other:

    settle -> advance the watermark -> admit changed jobs -> tend the membership: take and release slots

Its results reach the hub as messages in that order. The hub runs the instants up to the smaller of now and the
watermark, so no run waits for a database call.

One small write advances the watermark, on condition that the node is alive. It claims every instant in the node's
attached slots up to that time. It is the heartbeat and the fence as well. The watermark runs ahead of the clock, so
that no instant waits for the write.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable

from gevent.event import Event

from gsched.errors import StoreError
from gsched.event_loop.backoff import backoff
from gsched.event_loop.keyboard_interrupt import was_interrupt
from gsched.events import (
    EVENT_NODE_FENCED,
    EVENT_NODE_JOINED,
    EVENT_NODE_LEFT,
    EVENT_STORE_FAILED,
    SchedulerEvent,
)
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Retried
from gsched.jobs.run import Run
from gsched.monitoring.store_report import StoreReport
from gsched.stores.claims.database import PROTOCOL, ClaimDatabase, FencedError, Outcomes
from gsched.stores.claims.group_limits import GroupLimitsReader
from gsched.stores.claims.holdings import Holdings
from gsched.stores.claims.intervals import Intervals, NextTimes
from gsched.stores.claims.live_node import Context, DesiredState, LiveNode
from gsched.stores.claims.membership import Membership
from gsched.stores.claims.recorded_runs import RecordedRuns, record_of
from gsched.stores.claims.server_time import ServerTime
from gsched.stores.claims.status import StatusTracker
from gsched.stores.messages import Disowned, HubPort
from gsched.times.clock import Clock

STOP_SECONDS = 3.0  # stopping waits this long for a database that does not answer


class Ownership:
    """One process's part in the protocol: the node that it is now, and the next one if that is fenced.

    :param outcomes: the outcomes that are not written yet
    :param name: makes the id of a new node from the time (ms); ids must differ, and grow with time
    """

    def __init__(
        self,
        database: ClaimDatabase,
        clock: Clock,
        hub: HubPort,
        outcomes: Outcomes,
        name: Callable[[int], str],
        intervals: Intervals,
    ) -> None:
        self._database = database
        self._clock = clock
        self._hub = hub
        self._name = name
        self._intervals = intervals
        self.time = ServerTime(database, clock, hub)
        self.recorded = RecordedRuns(database, hub, outcomes)
        self._limits = GroupLimitsReader(database, hub)
        self._next_times = NextTimes(clock)
        self._status = StatusTracker(clock, hub, intervals.ttl)
        self._desired = DesiredState()
        self._context = Context(
            database,
            clock,
            hub,
            outcomes,
            intervals,
            self._next_times,
            self.time,
            self.recorded,
            self._status,
            self._desired,
        )
        self._foreigners = Membership(clock, intervals.ttl)
        self._node: LiveNode | None = None
        self._early: dict[str, None] = {}  # ids of jobs that changed while there was no node
        self._wakeup = Event()
        self._claims_are_final = Event()  # the hub has the last claim
        self._rescan_wanted = False
        self._give_up_at = 0.0  # monotonic time until which stopping waits for the database
        self._ended = False
        self._abandoned = False

    # -- called by the store, from any greenlet -----------------------------------------------------------------------

    @property
    def holdings(self) -> Holdings | None:
        """What this node owns now."""
        return None if self._node is None else self._node.holdings

    def report(self) -> StoreReport:
        """The state of the store, from memory."""
        return self._status.report(self.holdings, self.time)

    @property
    def away(self) -> bool:
        """The last turn failed."""
        return self._status.failures > 0

    def look_at(self, job_ids: Iterable[str]) -> None:
        """Look again at these jobs, which may have changed."""
        if self._node is None:
            self._early.update(dict.fromkeys(job_ids))
        else:
            self._node.look_at(job_ids)
        self._wakeup.set()

    def park(self, job: Job, reason: str | None) -> None:
        """The hub cannot run the job, for this reason; None: it can again."""
        if self._node is not None:
            self._node.hub_parks(job, reason)
            self._wakeup.set()

    def retry(self, run: Run, retried: Retried) -> None:
        """The attempt failed, and another is to follow: let that wait in the database."""
        self.recorded.retrying[run] = retried
        self._wakeup.set()

    def put_back(self, run: Run) -> None:
        """The run, which was to begin here, does not: let it wait again."""
        self.recorded.put_back.add(record_of(run))
        self._wakeup.set()

    def look_at_limits(self) -> None:
        """Look again at the limits of groups, which may have changed."""
        self._limits.want()
        self._wakeup.set()

    def rescan(self) -> None:
        """Look again at all jobs and limits: any of them may have changed."""
        self._rescan_wanted = True
        self._limits.want()
        self._wakeup.set()

    def pause(self, paused: bool) -> None:
        """Claim nothing while paused."""
        self._desired.paused = paused
        self._wakeup.set()

    def stop(self) -> None:
        """Stop claiming, give the slots away, and go on beating until `end`.

        Returns when the hub has the last claim, or after one TTL, when every claim has expired. If the database does
        not answer, returns after `STOP_SECONDS`.
        """
        self._desired.stopping = True
        self._give_up_at = self._clock.monotonic() + STOP_SECONDS
        self._wakeup.set()
        timer = self._clock.call_later(self._intervals.ttl, self._claims_are_final.set)
        self._claims_are_final.wait()
        timer.cancel()

    def end(self) -> None:
        """All runs have ended: leave the cluster."""
        self._ended = True
        self._wakeup.set()

    def abandon(self) -> None:
        """Stop beating without leaving, as in a crash: other nodes take over after the TTL."""
        self._abandoned = True
        self.end()

    def defer(self, job_id: str, rev: int, due: int) -> None:
        """The hub gave a job back, whose next instant lies beyond the horizon that the hub knows."""
        if (node := self._node) is not None:
            node.holdings.give_back(job_id, rev, due)
            if job_id in node.holdings.awaited:
                # The horizon has moved past the instant meanwhile: the watermark must wait for the job.
                node.look_at_near([job_id])
                self._wakeup.set()

    def forget(self, job_id: str, rev: int) -> None:
        """The hub gave the job back, because its trigger has ended."""
        if (holdings := self.holdings) is not None:
            holdings.give_back(job_id, rev, None)

    # -- the ownership greenlet ---------------------------------------------------------------------------------------

    def run(self) -> None:
        """Take turns until `end`, then leave."""
        while not self._ended:
            self._wakeup.clear()
            try:
                self._turn()
                self._status.note_success()
            except FencedError:
                self._start_over()
            except StoreError as error:
                self._fail(error)
            except BaseException as error:  # e.g. a user's trigger exits; the other jobs must go on
                if not was_interrupt(error):
                    self._fail(error)
                    self._hub.emit(SchedulerEvent(EVENT_STORE_FAILED, traceback=traceback.format_exc()))
            self._wait()
        self._claims_are_final.set()
        if not self._abandoned:
            self._leave()

    def _turn(self) -> None:
        intervals, is_time = self._intervals, self._next_times.is_time
        if not self.time.is_known or is_time("clock", intervals.clock):
            self.time.measure()
        if self._node is None and self._hub.unread():
            return
        self._limits.read_if_wanted(self.time.now())  # before the hub gets its first job
        node = self._node or self._join()
        node.settle()
        if is_time("closing", intervals.membership):
            node.close_ended()  # before the advance: this step does nothing while the hub has unread messages
        node.advance_if_due()
        if self._desired.stopping:
            self._claims_are_final.set()
            node.hand_over()
            return
        node.admit()
        if is_time("membership", intervals.membership):
            node.tend_membership()
        if node.leaving:
            node.release_leaving()
        if is_time("horizon", intervals.horizon / 3):
            node.move_horizon()
        if self._rescan_wanted or is_time("rescan", intervals.rescan):
            self._rescan_wanted = False
            self._limits.want()
            node.look_for_changes()

    def _fail(self, error: BaseException) -> None:
        if self._desired.stopping and self._clock.monotonic() >= self._give_up_at:
            self._claims_are_final.set()
        self._status.note_failure(error)

    def _wait(self) -> None:
        node, failures = self._node, self._status.failures
        more = node is not None and node.pending and not self._desired.stopping
        if self._ended or (more and not failures):
            return
        seconds = self._intervals.tick if node is None else node.until_advance()
        if node is not None and node.leaving:  # the slots can go as soon as the claimed instants have begun
            seconds = min(seconds, max(node.holdings.watermark + 1 - self.time.now(), 5) / 1000)
        if node is not None and not self._desired.stopping:
            seconds = min(seconds, node.until_waiting_run())
        if failures:
            seconds = backoff(self._intervals.tick, failures, self._intervals.longest_retry)
        timer = self._clock.call_later(seconds, self._wakeup.set)
        self._wakeup.wait()
        timer.cancel()

    # -- from one node to the next ------------------------------------------------------------------------------------

    def _join(self) -> LiveNode:
        """Join as a new node. The hub has handled all messages of the node before."""
        self.recorded.disown()
        now = self.time.now()
        holdings = Holdings(self._name(now), now, now + round(self._intervals.horizon * 1000))
        self._database.prepare()
        self._wait_for_other_versions()
        self._database.join(holdings.node, holdings.watermark)
        self._node = LiveNode(self._context, holdings)
        self._node.look_at(self._early)
        self._early = {}
        self._next_times.begin_anew(horizon=self._intervals.horizon / 3, rescan=self._intervals.rescan)
        self._hub.emit(SchedulerEvent(EVENT_NODE_JOINED, node=holdings.node))
        return self._node

    def _wait_for_other_versions(self) -> None:
        """Bury the nodes of another protocol that are silent. Raises StoreError while others of them live."""
        others = [node for node in self._database.nodes() if node.alive and node.protocol != PROTOCOL]
        for node in self._foreigners.silent(others, me=""):
            self._database.bury(node.id, node.beat)
            others.remove(node)
        if others:
            raise StoreError(
                f"schedulers of another gsched version run this store's jobs (their protocol is {others[0].protocol}, "
                f"ours is {PROTOCOL}); this scheduler waits until they have ended"
            )

    def _start_over(self) -> None:
        """Another node has declared this one dead, and owns its slots. The next turn joins as a new node."""
        node, self._node = self._node, None
        if node is not None:
            self._hub.emit(SchedulerEvent(EVENT_NODE_FENCED, node=node.holdings.node))
            self._hub.post(Disowned())

    def _leave(self) -> None:
        """Leave the cluster. If the database does not answer, the other nodes take over after the TTL."""
        node, self._node = self._node, None
        if node is None:
            return
        try:
            node.leave()
        except BaseException as error:  # stopping must go on
            was_interrupt(error)
            return
        self._hub.emit(SchedulerEvent(EVENT_NODE_LEFT, node=node.holdings.node))
