"""The hub greenlet: it owns the timetables and makes every scheduling decision.

wake -> settle ended runs -> read the inbox -> take the due and claimed instants -> plan -> submit -> sleep
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
from gevent import GreenletExit
from gevent.event import Event

from gsched import events
from gsched.event_loop.helpers import spawn
from gsched.event_loop.keyboard_interrupt import was_interrupt
from gsched.event_loop.slices import Slice, give_way
from gsched.event_loop.threads import thread_ident
from gsched.event_loop.threadsafe_calls import threadsafe_calls
from gsched.events import SchedulerEvent
from gsched.events.bus import EventBus
from gsched.executors.collection import Executors
from gsched.hub.activity import activity_of, groups_of
from gsched.hub.dispatch import Dispatch
from gsched.hub.lane import Lane, count_jobs, monotonic_ms
from gsched.hub.loop_times import LoopTimes
from gsched.hub.message_reader import MessageReader
from gsched.hub.reporter import Reporter
from gsched.hub.store_port import LanePort
from gsched.monitoring.counters import Counters
from gsched.monitoring.groups import GroupActivity
from gsched.stores.base import BaseJobStore
from gsched.stores.messages import ALWAYS
from gsched.times.clock import Clock

RETRY_SECONDS = 0.1  # after a turn that failed


class Hub:
    """Runs the jobs of any number of stores on any number of executors, in one greenlet.

    Stores post messages and executors return runs. Both are queued, and the hub greenlet handles them: nothing else
    touches the timetables. The hub works in slices of milliseconds; between slices, other greenlets have a turn. No
    error from a trigger, a store, an executor or a listener ends the hub. If its greenlet is killed, the event
    `hub.died` reports it, and the hub is dead.
    """

    def __init__(self, clock: Clock, bus: EventBus, executors: Executors, summary_every: float | None) -> None:
        self._clock = clock
        self._bus = bus
        self._executors = executors  # the scheduler adds to it and removes from it
        self._lanes: dict[str, Lane] = {}
        self._leaving: list[Lane] = []  # lanes of removed stores, until the claimed instants have ended
        self._inbox: deque[Callable[[], None]] = deque()  # filled in any thread, read by the hub greenlet
        self._wakeup = Event()
        self._paused = False
        self._failed = False  # True after a turn that raised
        self._stopping = False
        self.asleep = False  # waiting for the clock or a wake-up
        self.dead = False  # its greenlet was killed
        self.counters = Counters()
        self._report = Reporter(clock, bus, self.counters, summary_every)
        self.dispatch = Dispatch(clock, bus, executors, self.counters, self._report, self._wakeup.set)
        self._reader = MessageReader(clock, self.dispatch, self._report)
        self.loop_times = LoopTimes()
        self.ticked = 0.0  # monotonic time at the end of the last slice, for health checks

    @property
    def in_progress(self) -> int:
        """How many runs are submitted and not settled."""
        return self.dispatch.in_progress

    # -- called in the scheduler's thread -----------------------------------------------------------------------

    def start(self, paused: bool) -> gevent.Greenlet:
        """Start the hub greenlet and return it."""
        self._thread = thread_ident()
        self._calls = threadsafe_calls()
        self._paused = paused
        self.ticked = self._clock.monotonic()
        greenlet = spawn(self._run)
        greenlet.name = "gsched-hub"
        greenlet.link(self._on_end)
        return greenlet

    def _on_end(self, greenlet: gevent.Greenlet) -> None:
        if not self._stopping:  # it was killed: end all waits for it
            self.dead = True
            for lane in self._served():
                self._abandon(lane)
            self.dispatch.idle.set()
            self.dispatch.retries_stored.set()
            self._bus.emit(SchedulerEvent(events.EVENT_HUB_DIED))

    def _abandon(self, lane: Lane) -> None:
        lane.finished.set()
        lane.idle.set()
        try:
            lane.store.abandon()
        except BaseException as error:
            self._report.store_failed(lane.alias, error)

    def executor_added(self, alias: str) -> None:
        """An executor was added: heal the jobs that were parked because it was missing."""
        self._do(self._heal, alias)
        for lane in self._lanes.values():
            lane.store.executor_added()

    def add_store(self, alias: str, store: BaseJobStore) -> None:
        """Run the jobs of `store`."""
        lane = self._lanes[alias] = Lane(alias, store)
        post = partial(self._do, self._reader.read)
        side = LanePort(lane, post, self._bus.emit, self.dispatch.unfinished, self.activity, self.dispatch.obstacle)
        store.started = True
        try:
            store.start(side, self._paused)
        except BaseException:
            del self._lanes[alias]
            store.started = False
            raise

    def remove_store(self, alias: str) -> Lane:
        """Take the store `alias` out. `see_off` waits until its claimed instants and its runs have ended."""
        lane = self._lanes.pop(alias)
        self._leaving.append(lane)
        return lane

    def see_off(self, lane: Lane) -> None:
        """Stop claiming in a store that is removed, and wait until its claimed instants and its runs have ended."""
        try:
            self._stop_store(lane)
            self._wait_until_finished(lane)
            # A hub that is dead or stopping settles no runs.
            while self.dispatch.is_in_progress(lane) and not self.dead and not self._stopping:
                lane.idle.clear()
                lane.idle.wait()
        finally:
            self._leaving.remove(lane)

    def pause(self) -> None:
        """Claim nothing until `resume`. Instants that fall due meanwhile are late then."""
        self._paused = True
        for lane in self._lanes.values():
            lane.store.pause()

    def resume(self) -> None:
        """Claim again."""
        self._paused = False
        for lane in self._lanes.values():
            lane.store.resume()

    def stop_serving(self) -> None:
        """Stop claiming, and wait until the claimed instants are submitted. Runs in progress go on."""
        for lane in list(self._lanes.values()):
            self._stop_store(lane)
        for lane in self._served():
            self._wait_until_finished(lane)

    def _stop_store(self, lane: Lane) -> None:
        try:
            lane.store.stop()
        finally:
            lane.finishing = True  # only now: `stop` has posted the end of the claim
            self.wake()

    def _wait_until_finished(self, lane: Lane) -> None:
        if not self.dead:
            lane.finished.wait()

    def activity(self) -> dict[str, Any]:
        """What the scheduler did since its start and is doing, in plain values: see `activity_of`."""
        lanes, working = self._lanes.values(), self._executors.working()
        return activity_of(self.counters, self.in_progress, working, lanes, self.loop_times.shares(), self._clock)

    def groups(self) -> list[GroupActivity]:
        """What the groups with a limit or a pause are doing. Call it in any thread."""
        return [GroupActivity.of(each) for each in groups_of(self._lanes.values(), self._clock)]

    def at_rest(self) -> bool:
        """True if nothing more can happen now, except the end of runs in progress."""
        return self.asleep and not self._wakeup.is_set() and not any(e.starting for e in self._executors.working())

    def join_runs(self, timeout_seconds: float | None) -> bool:
        """Wait until no run is in progress, at most so long; True if none is."""
        return bool(self.dispatch.idle.wait(timeout_seconds))

    def join_retries(self, timeout_seconds: float) -> None:
        """Wait until the stores keep what is to follow failed attempts, at most so long."""
        self.dispatch.retries_stored.wait(timeout_seconds)

    def join(self, runs_seconds: float | None, retries_seconds: float) -> bool:
        """Wait until no run is in progress, and until the stores keep what is to follow failed attempts, each at most
        so long; True if no run is in progress.

        A store that was away may come back meanwhile. Then the instants that it had claimed begin, late, and may fail.
        """
        for _ in range(2):
            if not self.join_runs(runs_seconds):
                return False
            self.join_retries(retries_seconds)
        return self.join_runs(runs_seconds)

    def stop(self) -> None:
        """End the hub greenlet."""
        self._stopping = True
        self.wake()
        for lane in self._leaving:
            lane.idle.set()

    def forked(self) -> None:
        """This is a forked copy of the process: end the hub in it, without touching stores or runs."""
        self.loop_times.stop()
        self._stopping = True
        for lane in self._lanes.values():  # not the lanes of removed stores, which the parent closes
            lane.finished.set()
        for executor in self._executors.working():
            executor.forked()

    def stuck_seconds(self) -> float:
        """For how many seconds the hub greenlet has been overdue for a turn; infinity if it was killed."""
        if self.dead:
            return float("inf")
        asleep = self._clock.longest_sleep if self.asleep else 0.0
        return max(0.0, self._clock.monotonic() - self.ticked - asleep)

    def jobs(self) -> dict[str, int]:
        """How many of its jobs are scheduled, wait for a free instance, or are parked."""
        return count_jobs(list(self._lanes.values()))

    def running_count(self, job_id: str, alias: str) -> int:
        """How many runs of a job are in progress or wait for a worker."""
        lane = self._lanes.get(alias)
        entry = lane.entries.get(job_id) if lane else None
        return entry.running if entry else 0

    def wake(self) -> None:
        """Wake the hub greenlet. May be called in any thread."""
        if thread_ident() == self._thread:
            self._wakeup.set()
        else:
            self._calls.put(self._wakeup.set)

    def _do(self, step: Callable[..., None], *args: Any) -> None:
        self._inbox.append(lambda: step(*args))
        self.wake()

    def _heal(self, executor: str) -> None:
        for lane in self._lanes.values():
            self.dispatch.heal(lane, executor)

    # -- the hub greenlet ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Take turns until `stop`."""
        while not self._stopping:
            try:
                self._turn()
            except GreenletExit:
                return
            except BaseException as error:  # a fault of ours, or a gevent.Timeout that user code left behind
                self._failed = not was_interrupt(error)
                if self._failed:
                    self._report.turn_failed(error)

    def _turn(self) -> None:
        if self._failed:
            gevent.sleep(RETRY_SECONDS)
            self._failed = False
        self._wakeup.clear()  # before looking, so that a wake-up while we look is kept
        pace = Slice(self._tick)
        if jump := self._report.look_at_clock():
            self._read_inbox(pace)  # messages from before the jump have times of the clock as it was
            self._follow_clock(jump, pace)
        self.dispatch.settle_ended(pace)
        self._read_inbox(pace)  # last, so that no job is decided after its store has taken it back
        self._serve(pace)
        self._report.summarize(self.in_progress)
        pace.end()
        self._sleep()

    def _tick(self, seconds: float) -> None:
        """Note that a slice of work took so long."""
        self.ticked = self._clock.monotonic()
        self.counters.slices.count(seconds * 1000)

    def _sleep(self) -> None:
        """Wait for a wake-up or the next due time. If more work is waiting, only give other greenlets a turn."""
        if self.dispatch.has_ended or self._inbox or self._stopping:
            give_way()
            return
        seconds = min([self._clock.longest_sleep, *map(self._seconds_to_go, self._served())])
        if seconds <= 0:
            give_way()
            return
        timer = self._clock.call_later(seconds, self._wakeup.set)
        self.asleep = True
        try:
            self._wakeup.wait()
        finally:
            self.asleep = False
            timer.cancel()

    def _seconds_to_go(self, lane: Lane) -> float:
        due = lane.next_wakeup(self._clock)
        if due is None and lane.finishing and not lane.finished.is_set() and lane.claimed < ALWAYS:
            due = lane.claimed
        # Times are rounded down, so that the hub wakes in the millisecond of the due time and not before it.
        return self._clock.longest_sleep if due is None else (due - lane.now(self._clock)) / 1000

    def _follow_clock(self, jump: int, pace: Slice) -> None:
        for lane in self._served():
            for _ in lane.clock_was_set(jump):
                pace.breathe()
            lane.gates.time_is(monotonic_ms(self._clock), lane.now(self._clock))

    def _read_inbox(self, pace: Slice) -> None:
        while self._inbox:
            self._inbox.popleft()()
            pace.breathe()

    def _serve(self, pace: Slice) -> None:
        """Decide about the instants that are due and claimed."""
        for lane in self._served():
            if lane.gates:
                lane.gates.wake(monotonic_ms(self._clock))
            if lane.later.by_job:  # first: a run that was told to come back later goes before those that wait
                self._begin_later_runs(lane, pace)
            until, open_gates = lane.may_run_until(self._clock), lane.gates.open
            while not self._stopping:
                if open_gates and until >= 0 and not lane.finishing:
                    self.dispatch.pass_gate(lane, until)
                elif (taken := lane.timetable.pop(until)) is not None:
                    self.dispatch.decide(*taken, until)
                else:
                    break
                if pace.breathe():
                    self.dispatch.settle_ended(pace)
                    self._read_inbox(pace)
                    until = lane.may_run_until(self._clock)
            if lane.deadlines.of_runs or lane.deadlines.of_waiting:
                self._report_slow_runs(lane, pace)
            if lane.finishing and not lane.finished.is_set() and not self._inbox and lane.has_served(self._clock):
                self.dispatch.give_up_waiting(lane)
                lane.finished.set()

    def _begin_later_runs(self, lane: Lane, pace: Slice) -> None:
        while not self._stopping and (run := lane.later.pop(lane.later_until(self._clock))) is not None:
            self.dispatch.run_later(run)
            if pace.breathe():
                self.dispatch.settle_ended(pace)
                self._read_inbox(pace)

    def _report_slow_runs(self, lane: Lane, pace: Slice) -> None:
        while (deadline := lane.deadlines.pop(lane.now(self._clock))) is not None:
            self._report.slow(deadline)
            pace.breathe()

    def _served(self) -> list[Lane]:
        """The lanes in which instants may be due."""
        return [*self._lanes.values(), *self._leaving]
