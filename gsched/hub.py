"""The hub greenlet: it owns what is due and makes every scheduling decision.

wake -> read the inbox -> settle what has ended -> take what is due and claimed -> plan -> submit -> sleep
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

import gevent
from gevent import GreenletExit, get_hub
from gevent.event import Event

from gsched import events
from gsched.bus import EventBus
from gsched.clock import Clock
from gsched.events import JobExecutionEvent, JobSubmissionEvent, SchedulerEvent
from gsched.executors.collection import Executors
from gsched.figures import Figures, activity_of
from gsched.job import Job
from gsched.lane import Entry, Lane, count_jobs
from gsched.planning import Span, plan
from gsched.reporter import Reporter
from gsched.run import Outcome, Reason, Result, Run
from gsched.slices import Slice, give_way
from gsched.store_side import StoreSide
from gsched.stores.base import (
    ALWAYS,
    Admitted,
    BaseJobStore,
    Changed,
    Claimed,
    Disowned,
    Dropped,
    Lost,
    Message,
    Recovered,
    RunRequested,
    RunsElsewhere,
    StoreTime,
)
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
        self._inbox: deque[Callable[[], None]] = deque()  # filled by anybody, read by the hub greenlet
        self._ended: deque[tuple[Run, Result]] = deque()
        self._wakeup = Event()
        self._idle = Event()
        self._idle.set()
        self._served = Event()
        self._paused = False
        self._finishing = False  # nothing more is claimed
        self._failed = False  # the last turn did
        self._stopping = False
        self.in_progress = 0  # runs that were submitted and have not been settled
        self.asleep = False  # waiting for the clock or a wake-up
        self.dead = False  # killed by somebody
        self.figures = Figures()
        self._report = Reporter(clock, bus, self.figures, summary_every)
        self.ticked = 0.0  # monotonic time at the end of the last slice, for health checks

    # -- called by others, in the scheduler's thread ------------------------------------------------------------

    def start(self, paused: bool) -> gevent.Greenlet:
        """Start the hub greenlet and give it."""
        self._thread = thread_ident()
        self._loop = get_hub().loop
        self._paused = paused
        self.ticked = self._clock.monotonic()
        greenlet = gevent.spawn(self._run)
        greenlet.name = "gsched-hub"
        greenlet.link(self._on_end)
        return greenlet

    def _on_end(self, greenlet: gevent.Greenlet) -> None:
        if not self._stopping:  # somebody has killed it: nobody shall wait for what it will not do
            self.dead = True
            self._served.set()
            self._idle.set()
            self._bus.emit(SchedulerEvent(events.EVENT_HUB_DIED))

    def executor_added(self, alias: str) -> None:
        """There is a new executor: what was parked for want of it is healed."""
        self._do(self._heal, alias)

    def add_store(self, alias: str, store: BaseJobStore) -> None:
        """Run the jobs of `store`."""
        lane = self._lanes[alias] = Lane(alias, store)
        side = StoreSide(lane, partial(self._do, self._handle), self._bus.emit, self._unfinished, self.activity)
        store.start(side, self._paused)

    def remove_store(self, alias: str) -> None:
        """Run nothing more of the store `alias`."""
        lane = self._lanes.pop(alias)
        lane.store.stop()

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
        for lane in self._lanes.values():
            lane.store.stop()
        self._finishing = True
        self.wake()
        self._served.wait()

    def activity(self) -> dict[str, Any]:
        """What was done since the start, and is going on, in plain values: see `activity_of`."""
        lanes, working = self._lanes.values(), self._executors.working()
        return activity_of(self.figures, self.in_progress, working, lanes, self._clock)

    def at_rest(self) -> bool:
        """Whether everything that can happen now has happened, but for what runs in progress wait for."""
        return self.asleep and not self._wakeup.is_set() and not any(e.starting for e in self._executors.working())

    def join_runs(self, timeout_seconds: float | None) -> bool:
        """Wait until nothing is in progress, at most so long; whether that is so."""
        return bool(self._idle.wait(timeout_seconds))

    def stop(self) -> None:
        """End the hub greenlet."""
        self._stopping = True
        self.wake()

    def forked(self) -> None:
        """This is a forked copy of the process: end here, touching nothing."""
        self._stopping = True
        self._served.set()
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

    def _unfinished(self) -> Iterator[Run]:
        """The runs that have been submitted and not settled."""
        executing = (run for executor in self._executors.working() for run in executor.runs())
        return chain(executing, (run for run, _ in self._ended))

    # -- the hub greenlet ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Take turns until `stop`."""
        while not self._stopping:
            try:
                self._turn()
            except GreenletExit:
                return
            except BaseException as error:  # a fault of ours, or a gevent.Timeout that somebody's code left here
                self._failed = not _was_interrupt(error)
                if self._failed:
                    self._report.turn_failed(error)

    def _turn(self) -> None:
        if self._failed:
            gevent.sleep(RETRY_SECONDS)
            self._failed = False
        self._wakeup.clear()  # before looking, so that a wake-up while we look is kept
        pace = Slice(self._tick)
        self._read_inbox(pace)
        self._settle_ended(pace)
        self._report.look_at_clock()
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
        if self._ended or self._inbox or self._stopping:
            give_way()
            return
        seconds = min([self._clock.longest_sleep, *map(self._seconds_to_go, self._lanes.values())])
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
        if due is None and self._finishing and not self._served.is_set() and lane.claimed < ALWAYS:
            due = lane.claimed
        # Times are rounded down, so that one wakes in the millisecond of the due time and not before it.
        return self._clock.longest_sleep if due is None else (due - lane.now(self._clock)) / 1000

    def _read_inbox(self, pace: Slice) -> None:
        while self._inbox:
            self._inbox.popleft()()
            pace.breathe()

    def _serve(self, pace: Slice) -> None:
        """Run what is due and claimed."""
        for lane in list(self._lanes.values()):
            until = lane.may_run_until(self._clock)
            while not self._stopping and (taken := lane.timetable.pop(until)) is not None:
                self._decide(*taken, until)
                if pace.breathe():
                    self._read_inbox(pace)
                    self._settle_ended(pace)
                    until = lane.may_run_until(self._clock)
        if self._finishing and all(lane.served(self._clock) for lane in self._lanes.values()):
            self._give_up_what_waits()
            self._served.set()

    def _give_up_what_waits(self) -> None:
        """Instants that wait for a run of their job to end are not run here any more; has somebody else their jobs by
        now, then nowhere. Those of which that is not sure stay undecided."""
        for lane in self._lanes.values():
            is_sure = lane.store.shared and lane.holds(self._clock)
            for entry in lane.waiting() if is_sure else ():
                self._give_up(entry, Reason.SHUTDOWN)
                lane.let_go(entry)

    def _give_up(self, entry: Entry | None, reason: Reason) -> None:
        """What of the job is due, and waits for a run of it to end or is left of an earlier claim, will not be run."""
        if entry is None or entry.parked:
            return
        first = entry.due if entry.held is None and entry.until < ALWAYS else entry.held
        until = min(entry.lane.may_run_until(self._clock), entry.until)
        if first is not None and first <= until:
            self._settle_span(entry.lane, entry.job, Span(Outcome.SKIPPED, first, until + 1, reason))

    # -- messages -------------------------------------------------------------------------------------------------

    def _handle(self, lane: Lane, message: Message) -> None:
        """Do what the lane's store says."""
        if not isinstance(message, (Claimed, StoreTime)):
            lane.unread -= 1
        match message:
            case Admitted(job, due, fence):
                self._admit(lane, job, due, fence)
            case Changed(job):
                entry = lane.change(job)
                if entry is not None and entry.parked:  # what parked it may be gone, else it is parked again
                    self._unpark(entry)
            case Dropped(job_id, until):
                if until < 0:  # else it is another node's from then on
                    self._give_up(lane.entries.get(job_id), Reason.REMOVED_OR_PAUSED)
                    self._give_up_owed(lane.entries.get(job_id), Reason.REMOVED_OR_PAUSED)
                lane.drop(job_id, until)
            case Disowned():
                lane.drop_all()
            case Lost(job, span):
                self._settle_span(lane, job, span)
            case Recovered(job, scheduled, attempt, fence, request):
                self._run_later(Run(job, scheduled, self, lane.entry(job), fence, attempt, request))
            case RunsElsewhere(counts):
                fewer = [job_id for job_id, count in lane.elsewhere.items() if counts.get(job_id, 0) < count]
                lane.elsewhere = counts
                for entry in filter(None, map(lane.entries.get, fewer)):
                    self._instance_ended(entry)
            case Claimed(until, horizon, expires):
                lane.claimed, lane.horizon, lane.expires = until, horizon, expires
                for entry in list(lane.owed):
                    self._run_owed(entry)
            case StoreTime(base):
                lane.follow(base, self._clock)
            case RunRequested(job, request, at):
                self._run_on_request(lane, job, at, request)

    def _admit(self, lane: Lane, job: Job, due: int | None, fence: int) -> None:
        """The store lets a job run here, from `due` on."""
        known = lane.entries.get(job.id)
        self._give_up(known, Reason.RESCHEDULED)
        if known is not None and known.parked:
            self._report.job(events.EVENT_JOB_HEALED, job)
        entry = lane.admit(job, due, fence)
        if due is None:
            self._exhaust(entry)

    def _run_on_request(self, lane: Lane, job: Job, at: int, request: str) -> None:
        """Run a job outside its schedule."""
        entry = lane.entry(job)
        run = Run(job, at, self, entry, entry.fence, request=request)
        if lane.store.shared and not lane.holds(self._clock):
            self._run_later(run)
        elif entry.instances >= job.max_instances:
            self._skip(lane, run, Reason.MAX_INSTANCES)
            lane.forget_if_idle(entry)
        else:
            self._run_at_once(entry, run)

    def _run_at_once(self, entry: Entry, run: Run) -> None:
        if run.job.executor in self._executors:
            self._submit(entry, run)
        else:
            self._skip(entry.lane, run, Reason.UNKNOWN_EXECUTOR)
            entry.lane.forget_if_idle(entry)

    def _run_later(self, run: Run) -> None:
        """Run this as soon as it may be: others may take it over until then."""
        run.entry.lane.owed.setdefault(run.entry, deque()).append(run)
        self._run_owed(run.entry)

    def _run_owed(self, entry: Entry) -> None:
        """Run what is owed of the job, while the claim holds. Beyond max_instances it waits: it was claimed before."""
        lane, owed = entry.lane, entry.lane.owed[entry]
        while owed and entry.instances < entry.job.max_instances and lane.holds(self._clock) and not self._finishing:
            self._run_at_once(entry, owed.popleft())
        if not owed:
            del lane.owed[entry]

    def _give_up_owed(self, entry: Entry | None, reason: Reason) -> None:
        """What is owed of the job will not be run."""
        if entry is not None:
            for run in entry.lane.owed.pop(entry, ()):
                self._skip(entry.lane, run, reason)

    def _skip(self, lane: Lane, run: Run, reason: Reason) -> None:
        """Settle a run that does not begin: as a run, for its store may have written it down as one."""
        span = Span(Outcome.SKIPPED, run.scheduled_ms, run.scheduled_ms + 1, reason, run.request)
        self._tell_store(lane, lane.store.settle, run, Result(span.outcome, reason=reason))
        self._report.span(run.job, span)

    # -- due jobs -------------------------------------------------------------------------------------------------

    def _decide(self, entry: Entry, due: int, until: int) -> None:
        """Settle what becomes of the instants of a job from `due` until `until`, which is now or what is claimed."""
        job, lane = entry.job, entry.lane
        if job.executor not in self._executors:
            self._park(entry, due, f"unknown executor {job.executor!r}")
            return
        try:
            starts, spans, next_due, waits = plan(job, due, min(until, entry.until), entry.instances)
        except BaseException as error:  # a user's trigger may raise anything
            if _was_interrupt(error):
                lane.timetable.add(entry, due)
            else:
                self._park(entry, due, f"its trigger raised {error!r}")
            return
        try:
            for span in spans:
                self._settle_span(lane, job, span)
            for instant in starts:
                self._submit(entry, Run(job, instant, self, entry, entry.fence))
        finally:
            self._schedule_next(entry, next_due, waits)

    def _schedule_next(self, entry: Entry, next_due: int | None, waits: bool) -> None:
        lane = entry.lane
        if next_due is None:
            self._exhaust(entry)
        elif next_due > entry.until:
            lane.let_go(entry)
        elif waits:
            lane.hold(entry, next_due, parked=False)
        elif next_due > lane.horizon:
            self._tell_store(lane, lane.store.defer, entry.job, next_due)
            lane.let_go(entry)
        else:
            lane.timetable.add(entry, next_due)

    def _submit(self, entry: Entry, run: Run) -> None:
        """Hand a run to its executor."""
        run.clock_offset = entry.lane.clock_offset
        entry.running += 1
        self.in_progress += 1
        if self.in_progress == 1:
            self._idle.clear()
        if self._bus.mask & events.EVENT_JOB_SUBMITTED:
            span = Span(Outcome.SUCCEEDED, run.scheduled_ms, run.scheduled_ms + 1)
            self._bus.emit(JobSubmissionEvent(events.EVENT_JOB_SUBMITTED, run.job, span))
        try:
            self._executors[run.job.executor].submit(run)
        except BaseException as error:  # an executor of the user's own may raise anything
            _was_interrupt(error)
            self.run_finished(run, Result(Outcome.FAILED, error=error))

    def _park(self, entry: Entry, due: int, reason: str) -> None:
        """Keep a job that cannot be run, and say so."""
        entry.lane.hold(entry, due, parked=True)
        self._tell_store(entry.lane, entry.lane.store.park, entry.job, reason)
        self._report.job(events.EVENT_JOB_PARKED, entry.job, reason)

    def _heal(self, executor: str) -> None:
        """The executor is there now: what was parked for want of it is due again, late."""
        for lane in self._lanes.values():
            for entry in lane.parked_for(executor):
                self._unpark(entry)

    def _unpark(self, entry: Entry) -> None:
        entry.lane.go_on(entry)
        self._tell_store(entry.lane, entry.lane.store.park, entry.job, None)
        self._report.job(events.EVENT_JOB_HEALED, entry.job)

    def _exhaust(self, entry: Entry) -> None:
        """The trigger has ended; the job goes when its last run is settled."""
        self._tell_store(entry.lane, entry.lane.store.exhaust, entry.job)
        if not entry.running:
            self._end(entry)

    def _end(self, entry: Entry) -> None:
        """The trigger has ended and the last run is settled."""
        entry.live = False
        entry.lane.forget_if_idle(entry)
        self._tell_store(entry.lane, entry.lane.store.end, entry.job)

    # -- what became of it: the store first, the event second -----------------------------------------------------

    def run_started(self, run: Run) -> None:
        self.figures.started += 1
        if self._bus.mask & events.EVENT_JOB_STARTED:
            self._bus.emit(JobExecutionEvent(events.EVENT_JOB_STARTED, run))

    def run_interrupted(self, run: Run, step: str) -> None:
        self._bus.emit(JobExecutionEvent(events.EVENT_JOB_INTERRUPTED, run, step=step))

    def run_finished(self, run: Run, result: Result) -> None:
        self._ended.append((run, result))
        if len(self._ended) == 1:  # the hub greenlet settles all of them before it sleeps
            self._wakeup.set()

    def _settle_ended(self, pace: Slice) -> None:
        while self._ended:
            self._settle(*self._ended.popleft())
            pace.breathe()

    def _settle(self, run: Run, result: Result) -> None:
        """A run has ended: tell its store, count it, say so, and see whether its job goes on."""
        entry: Entry = run.entry
        entry.running -= 1
        self.in_progress -= 1
        try:  # not by _tell_store: this is done for every run
            entry.lane.store.settle(run, result)
        except BaseException as error:
            self._store_failed(entry.lane, error)
        self.figures.count(run, result)
        succeeded = result.outcome is Outcome.SUCCEEDED
        code = events.EVENT_JOB_EXECUTED if succeeded else events.code_of(result.outcome, result.reason)
        if self._bus.mask & code:
            self._bus.emit(JobExecutionEvent(code, run, result))
        if entry.held is not None or entry.lane.owed:
            self._instance_ended(entry)
        if entry.held is None and entry.due is None and not entry.running:
            self._end(entry) if entry.live else entry.lane.forget_if_idle(entry)
        if not self.in_progress:
            self._idle.set()

    def _instance_ended(self, entry: Entry) -> None:
        """What waits for a run of the job to end may go on."""
        if entry in entry.lane.owed:
            self._run_owed(entry)
        if entry.held is not None and not entry.parked and not self._finishing:
            entry.lane.go_on(entry)

    def _settle_span(self, lane: Lane, job: Job, span: Span) -> None:
        self._tell_store(lane, lane.store.settle_span, job, span)
        self._report.span(job, span)

    def _tell_store(self, lane: Lane, tell: Callable[..., None], *said: Any) -> None:
        try:
            tell(*said)
        except BaseException as error:
            self._store_failed(lane, error)

    def _store_failed(self, lane: Lane, error: BaseException) -> None:
        if not _was_interrupt(error):
            self._report.store_failed(lane.alias, error)


def _was_interrupt(error: BaseException) -> bool:
    """Whether it is a Ctrl-C, which may find the program anywhere: then it is raised in the main greenlet."""
    if not isinstance(error, KeyboardInterrupt):
        return False
    get_hub().loop.run_callback(get_hub().handle_system_error, type(error), error)
    return True
