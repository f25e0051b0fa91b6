"""The hub greenlet: it owns what is due and makes every scheduling decision.

wake -> read the inbox -> settle what has ended -> take what is due and claimed -> plan -> submit -> sleep
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
from gevent import GreenletExit, get_hub
from gevent.event import Event

from gsched import events
from gsched.bus import EventBus
from gsched.clock import Clock
from gsched.dispatch import Dispatch
from gsched.events import SchedulerEvent
from gsched.executors.collection import Executors
from gsched.figures import Figures, activity_of
from gsched.helpers import spawn
from gsched.interrupts import was_interrupt
from gsched.lane import Lane, count_jobs
from gsched.message_reader import MessageReader
from gsched.reporter import Reporter
from gsched.slices import Slice, give_way
from gsched.store_side import StoreSide
from gsched.stores.base import ALWAYS, BaseJobStore
from gsched.threads import thread_ident

RETRY_SECONDS = 0.1  # after a turn that failed


class Hub:
    """Runs the jobs of any number of stores on any number of executors, in one greenlet.

    Stores post messages, executors return runs; both are queued and handled here, so that nothing else touches the
    timetables. It works in slices of milliseconds and lets everybody else have a turn in between. Nothing that a
    trigger, a store, an executor or a listener raises ends it; if somebody kills it, that is reported, and it is dead.
    """

    def __init__(self, clock: Clock, bus: EventBus, executors: Executors, summary_every: float | None) -> None:
        self._clock = clock
        self._bus = bus
        self._executors = executors  # others add to it and remove from it
        self._lanes: dict[str, Lane] = {}
        self._leaving: list[Lane] = []  # of stores that are removed, until what was claimed there has ended
        self._inbox: deque[Callable[[], None]] = deque()  # filled by anybody, read by the hub greenlet
        self._wakeup = Event()
        self._paused = False
        self._failed = False  # the last turn did
        self._stopping = False
        self.asleep = False  # waiting for the clock or a wake-up
        self.dead = False  # killed by somebody
        self.figures = Figures()
        self._report = Reporter(clock, bus, self.figures, summary_every)
        self.dispatch = Dispatch(clock, bus, executors, self.figures, self._report, self._wakeup.set)
        self._reader = MessageReader(clock, self.dispatch, self._report)
        self.ticked = 0.0  # monotonic time at the end of the last slice, for health checks

    @property
    def in_progress(self) -> int:
        """The runs that were submitted and have not been settled."""
        return self.dispatch.in_progress

    # -- called by others, in the scheduler's thread ------------------------------------------------------------

    def start(self, paused: bool) -> gevent.Greenlet:
        """Start the hub greenlet and give it."""
        self._thread = thread_ident()
        self._loop = get_hub().loop
        self._paused = paused
        self.ticked = self._clock.monotonic()
        greenlet = spawn(self._run)
        greenlet.name = "gsched-hub"
        greenlet.link(self._on_end)
        return greenlet

    def _on_end(self, greenlet: gevent.Greenlet) -> None:
        if not self._stopping:  # somebody has killed it: nobody shall wait for what it will not do
            self.dead = True
            for lane in self._served():
                self._abandon(lane)
            self.dispatch.idle.set()
            self._bus.emit(SchedulerEvent(events.EVENT_HUB_DIED))

    def _abandon(self, lane: Lane) -> None:
        lane.finished.set()
        lane.idle.set()
        try:
            lane.store.abandon()
        except BaseException as error:
            self._report.store_failed(lane.alias, error)

    def executor_added(self, alias: str) -> None:
        """There is a new executor: what was parked for want of it is healed."""
        self._do(self._heal, alias)
        for lane in self._lanes.values():
            lane.store.executor_added()

    def add_store(self, alias: str, store: BaseJobStore) -> None:
        """Run the jobs of `store`."""
        lane = self._lanes[alias] = Lane(alias, store)
        post = partial(self._do, self._reader.read)
        side = StoreSide(lane, post, self._bus.emit, self.dispatch.unfinished, self.activity, self.dispatch.obstacle)
        store.started = True
        try:
            store.start(side, self._paused)
        except BaseException:
            del self._lanes[alias]
            store.started = False
            raise

    def remove_store(self, alias: str) -> Lane:
        """Let the store `alias` leave: what is still to be done there, `see_off` waits for."""
        lane = self._lanes.pop(alias)
        self._leaving.append(lane)
        return lane

    def see_off(self, lane: Lane) -> None:
        """Claim nothing more of a store that leaves, and wait until all that was claimed has ended."""
        try:
            self._stop_store(lane)
            self._wait_until_finished(lane)
            # Of a hub that is dead, or stops, nobody would settle them.
            while self.dispatch.is_in_progress(lane) and not self.dead and not self._stopping:
                lane.idle.clear()
                lane.idle.wait()
        finally:
            self._leaving.remove(lane)

    def pause(self) -> None:
        """Claim nothing until `resume`; what falls due meanwhile is late then."""
        self._paused = True
        for lane in self._lanes.values():
            lane.store.pause()

    def resume(self) -> None:
        """Claim again."""
        self._paused = False
        for lane in self._lanes.values():
            lane.store.resume()

    def stop_serving(self) -> None:
        """Claim nothing any more, and wait until what was claimed is submitted; what is in progress goes on."""
        for lane in list(self._lanes.values()):
            self._stop_store(lane)
        for lane in self._served():
            self._wait_until_finished(lane)

    def _stop_store(self, lane: Lane) -> None:
        try:
            lane.store.stop()
        finally:
            lane.finishing = True  # not before it has said until when this scheduler answers
            self.wake()

    def _wait_until_finished(self, lane: Lane) -> None:
        if not self.dead:
            lane.finished.wait()

    def activity(self) -> dict[str, Any]:
        """What was done since the start, and is going on, in plain values: see `activity_of`."""
        lanes, working = self._lanes.values(), self._executors.working()
        return activity_of(self.figures, self.in_progress, working, lanes, self._clock)

    def at_rest(self) -> bool:
        """Whether everything that can happen now has happened, but for what runs in progress wait for."""
        return self.asleep and not self._wakeup.is_set() and not any(e.starting for e in self._executors.working())

    def join_runs(self, timeout_seconds: float | None) -> bool:
        """Wait until nothing is in progress, at most so long; whether that is so."""
        return bool(self.dispatch.idle.wait(timeout_seconds))

    def stop(self) -> None:
        """End the hub greenlet."""
        self._stopping = True
        self.wake()
        for lane in self._leaving:
            lane.idle.set()

    def forked(self) -> None:
        """This is a forked copy of the process: end here, touching nothing."""
        self._stopping = True
        for lane in self._lanes.values():  # not of stores that leave: what else is done with them, the parent does
            lane.finished.set()
        for executor in self._executors.working():
            executor.forked()

    def stuck_seconds(self) -> float:
        """For how long the hub greenlet should have had a turn, and has not; for ever if it was killed."""
        if self.dead:
            return float("inf")
        asleep = self._clock.longest_sleep if self.asleep else 0.0
        return max(0.0, self._clock.monotonic() - self.ticked - asleep)

    def jobs(self) -> dict[str, int]:
        """How many jobs it looks after: scheduled, waiting for a run of theirs to end, parked."""
        return count_jobs(list(self._lanes.values()))

    def running_count(self, job_id: str, alias: str) -> int:
        """How many runs of a job are in progress or wait for a worker."""
        lane = self._lanes.get(alias)
        entry = lane.entries.get(job_id) if lane else None
        return entry.running if entry else 0

    def wake(self) -> None:
        """Look now. May be called from any thread."""
        if thread_ident() == self._thread:
            self._wakeup.set()
        else:
            self._loop.run_callback_threadsafe(self._wakeup.set)

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
            except BaseException as error:  # a fault of ours, or a gevent.Timeout that somebody's code left here
                self._failed = not was_interrupt(error)
                if self._failed:
                    self._report.turn_failed(error)

    def _turn(self) -> None:
        if self._failed:
            gevent.sleep(RETRY_SECONDS)
            self._failed = False
        self._wakeup.clear()  # before looking, so that a wake-up while we look is kept
        pace = Slice(self._tick)
        self._read_inbox(pace)
        self.dispatch.settle_ended(pace)
        if jump := self._report.look_at_clock():
            self._follow_clock(jump, pace)
        self._serve(pace)
        self._report.summarize(self.in_progress)
        pace.end()
        self._sleep()

    def _tick(self, seconds: float) -> None:
        """A slice of work took so long."""
        self.ticked = self._clock.monotonic()
        self.figures.slices.count(seconds * 1000)

    def _sleep(self) -> None:
        """Wait for a wake-up or the next due time; only let others have a turn if there is more to do."""
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
        due = lane.next_due(self._clock)
        if due is None and lane.finishing and not lane.finished.is_set() and lane.claimed < ALWAYS:
            due = lane.claimed
        # Times are rounded down, so that one wakes in the millisecond of the due time and not before it.
        return self._clock.longest_sleep if due is None else (due - lane.now(self._clock)) / 1000

    def _follow_clock(self, jump: int, pace: Slice) -> None:
        for lane in self._served():
            for _ in lane.clock_was_set(jump):
                pace.breathe()

    def _read_inbox(self, pace: Slice) -> None:
        while self._inbox:
            self._inbox.popleft()()
            pace.breathe()

    def _serve(self, pace: Slice) -> None:
        """Run what is due and claimed."""
        for lane in self._served():
            until = lane.may_run_until(self._clock)
            while not self._stopping and (taken := lane.timetable.pop(until)) is not None:
                self.dispatch.decide(*taken, until)
                if pace.breathe():
                    self._read_inbox(pace)
                    self.dispatch.settle_ended(pace)
                    until = lane.may_run_until(self._clock)
        for lane in self._served():
            if lane.finishing and not lane.finished.is_set() and not self._inbox and lane.has_served(self._clock):
                self.dispatch.give_up_what_waits(lane)
                lane.finished.set()

    def _served(self) -> list[Lane]:
        """The lanes in which something may be due."""
        return [*self._lanes.values(), *self._leaving]
