"""The hub greenlet: it owns what is due and makes every scheduling decision.

wake -> read the inbox -> settle what has ended -> take what is due and claimed -> plan -> submit -> sleep
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import gevent
from gevent import get_hub
from gevent.event import Event

from gsched import events
from gsched.activity import MOST_DUE
from gsched.bus import EventBus
from gsched.clock import Clock
from gsched.events import JobEvent, JobExecutionEvent, JobSubmissionEvent, SchedulerEvent
from gsched.executors import BaseExecutor
from gsched.figures import Figures
from gsched.job import Job
from gsched.lane import Entry, Lane
from gsched.planning import Span, plan
from gsched.run import Outcome, Result, Run
from gsched.slices import Slice, give_way
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
    StoreTime,
)
from gsched.threads import thread_ident

CLOCK_JUMP_MS = 500
_SOON_MS = 60_000


class Hub:
    """Runs the jobs of any number of stores on any number of executors, in one greenlet.

    Stores post messages, executors return runs; both are queued and handled here, so that nothing else touches the
    timetables. It works in slices of milliseconds and lets everybody else have a turn in between. No error in a
    trigger, a store, an executor or a listener ends it.
    """

    def __init__(self, clock: Clock, bus: EventBus, summary_every: float | None) -> None:
        self._clock = clock
        self._bus = bus
        self._summary_every = float("inf") if summary_every is None else summary_every
        self._lanes: dict[str, Lane] = {}
        self._executors: dict[str, BaseExecutor] = {}
        self._leaving: list[BaseExecutor] = []  # removed, with runs in progress
        self._inbox: deque[Callable[[], None]] = deque()  # filled by anybody, read by the hub greenlet
        self._ended: deque[tuple[Run, Result]] = deque()
        self._wakeup = Event()
        self._idle = Event()
        self._idle.set()
        self._served = Event()
        self._paused = False
        self._finishing = False  # nothing more is claimed
        self._stopping = False
        self.in_progress = 0  # runs that were submitted and have not been settled
        self.asleep = False  # waiting for the clock or a wake-up
        self.figures = Figures()
        self.ticked = 0.0  # monotonic time at the end of the last slice, for health checks

    # -- called by others, in the scheduler's thread ------------------------------------------------------------

    def start(self, paused: bool) -> gevent.Greenlet:
        """Start the hub greenlet and give it."""
        self._thread = thread_ident()
        self._loop = get_hub().loop
        self._paused = paused
        self._offset = self._clock_offset()
        self._next_summary = self._clock.monotonic() + self._summary_every
        self.ticked = self._clock.monotonic()
        greenlet = gevent.spawn(self._run)
        greenlet.name = "gsched-hub"
        return greenlet

    def add_executor(self, alias: str, executor: BaseExecutor) -> None:
        """Let jobs run on `executor`; those parked for want of it are healed."""
        self._executors[alias] = executor
        self._do(self._heal, alias)

    def remove_executor(self, alias: str) -> None:
        self._leaving.append(self._executors.pop(alias))

    def _working(self) -> list[BaseExecutor]:
        self._leaving = [executor for executor in self._leaving if executor.runs()]
        return [*self._executors.values(), *self._leaving]

    def add_store(self, alias: str, store: BaseJobStore) -> None:
        """Run the jobs of `store`."""
        lane = self._lanes[alias] = Lane(alias, store)
        store.start(_StoreSide(self, lane), self._paused)

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
        """What was done since the start (outcomes, by_tag, lateness, duration), and is going on (running, waiting,
        pool_size, due_soon), in plain values."""
        figures, executors = self.figures, self._working()
        until = [(lane, lane.now(self._clock) + _SOON_MS) for lane in self._lanes.values()]
        return {
            "outcomes": {str(outcome): count for outcome, count in figures.outcomes.items()},
            "by_tag": {tag: {str(o): n for o, n in counts.items() if n} for tag, counts in figures.by_tag.items()},
            "lateness": list(figures.lateness.counts),
            "duration": list(figures.duration.counts),
            "running": self.in_progress,
            "waiting": sum(executor.waiting for executor in executors),
            "pool_size": sum(executor.size for executor in executors),
            "due_soon": min(sum(lane.timetable.count_until(end, MOST_DUE) for lane, end in until), MOST_DUE),
        }

    def at_rest(self) -> bool:
        """Whether everything that can happen now has happened, but for what runs in progress wait for."""
        return self.asleep and not self._wakeup.is_set() and not any(e.starting for e in self._working())

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
        for executor in self._working():
            executor.forked()

    def stuck_seconds(self) -> float:
        """For how long the hub greenlet should have had a turn, and has not."""
        asleep = self._clock.longest_sleep if self.asleep else 0.0
        return max(0.0, self._clock.monotonic() - self.ticked - asleep)

    def jobs(self) -> dict[str, int]:
        """How many jobs it looks after: scheduled, waiting for a run of theirs to end, parked."""
        lanes = [lane.jobs() for lane in list(self._lanes.values())]
        return {state: sum(jobs[state] for jobs in lanes) for state in ("scheduled", "waiting", "parked")}

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

    # -- the hub greenlet ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            self._wakeup.clear()  # before looking, so that a wake-up while we look is kept
            pace = Slice(self._tick)
            self._read_inbox(pace)
            self._settle_ended(pace)
            self._check_clock()
            self._serve(pace)
            self._summarize()
            pace.end()
            self._sleep()

    def _tick(self, seconds: float) -> None:
        """A slice of work took so long."""
        self.ticked = self._clock.monotonic()
        self.figures.slices.count(seconds * 1000)

    def _sleep(self) -> None:
        if self._ended or self._inbox or self._stopping:
            give_way()
            return
        seconds = min([self._clock.longest_sleep, *map(self._seconds_to_go, self._lanes.values())])
        if seconds <= 0:
            give_way()
            return
        timer = self._clock.call_later(seconds, self._wakeup.set)
        self.asleep = True
        self._wakeup.wait()
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
            is_sure = lane.store.shared and self._clock.monotonic() < lane.expires
            for entry in lane.waiting() if is_sure else ():
                self._give_up(entry, "shutdown")
                lane.let_go(entry)

    def _give_up(self, entry: Entry | None, reason: str) -> None:
        """What of the job is due, and waits for a run of it to end or is left of an earlier claim, will not be run."""
        if entry is None or entry.parked:
            return
        first = entry.due if entry.held is None and entry.until < ALWAYS else entry.held
        until = min(entry.lane.may_run_until(self._clock), entry.until)
        if first is not None and first <= until:
            self._settle_span(entry.lane, entry.job, Span(Outcome.SKIPPED, first, until + 1, reason))

    # -- messages -------------------------------------------------------------------------------------------------

    def _handle(self, lane: Lane, message: Message) -> None:
        if not isinstance(message, (Claimed, StoreTime)):
            lane.unread -= 1
        match message:
            case Admitted(job, due, fence):
                self._admit(lane, job, due, fence)
            case Changed(job):
                lane.change(job)
                self._try_again(lane, job.id)
            case Dropped(job_id, until):
                if until < 0:  # else it is another node's from then on
                    self._give_up(lane.entries.get(job_id), "removed or paused")
                lane.drop(job_id, until)
            case Disowned():
                lane.drop_all()
            case Lost(job, span):
                self._settle_span(lane, job, span)
            case Recovered(job, scheduled, attempt, fence, request):
                self._run_once(lane, job, scheduled, attempt=attempt, fence=fence, request=request)
            case Claimed(until, horizon, expires):
                lane.claimed, lane.horizon, lane.expires = until, horizon, expires
            case StoreTime(base):
                lane.follow(base, self._clock)
            case RunRequested(job, request, at):
                self._run_once(lane, job, at, request=request)

    def _admit(self, lane: Lane, job: Job, due: int | None, fence: int) -> None:
        known = lane.entries.get(job.id)
        self._give_up(known, "rescheduled")
        if known is not None and known.parked:
            self._bus.emit(JobEvent(events.EVENT_JOB_HEALED, job))
        entry = lane.admit(job, due, fence)
        if due is None:
            self._exhaust(entry)

    def _try_again(self, lane: Lane, job_id: str) -> None:
        """The job was changed: what parked it may be gone, else it is parked again."""
        entry = lane.entries.get(job_id)
        if entry is not None and entry.parked:
            self._unpark(entry)

    def _run_once(self, lane: Lane, job: Job, instant: int, **options: Any) -> None:
        """Run a job outside its schedule."""
        entry = lane.entry(job)
        problem = "max_instances" if entry.running >= job.max_instances else None
        if job.executor not in self._executors:
            problem = f"unknown executor {job.executor!r}"
        run = Run(job, instant, self, entry, **{"fence": entry.fence, **options})
        if problem is None:
            self._submit(entry, run)
        else:
            self._skip(lane, run, problem)
            lane.forget_if_idle(entry)

    def _skip(self, lane: Lane, run: Run, reason: str) -> None:
        """Settle a run that does not begin: as a run, for its store may have written it down as one."""
        span = Span(Outcome.SKIPPED, run.scheduled_ms, run.scheduled_ms + 1, reason, run.request)
        self._tell_store(lane.store.settle, run, Result(span.outcome, reason=reason))
        self._report_span(run.job, span)

    # -- due jobs -------------------------------------------------------------------------------------------------

    def _decide(self, entry: Entry, due: int, until: int) -> None:
        """Settle what becomes of the instants of a job from `due` until `until`, which is now or what is claimed."""
        job, lane = entry.job, entry.lane
        if job.executor not in self._executors:
            self._park(entry, due, f"unknown executor {job.executor!r}")
            return
        try:
            starts, spans, next_due, waits = plan(job, due, min(until, entry.until), entry.running)
        except Exception as error:  # a user's trigger may raise anything
            self._park(entry, due, f"its trigger raised {error!r}")
            return
        for span in spans:
            self._settle_span(lane, job, span)
        for instant in starts:
            self._submit(entry, Run(job, instant, self, entry, entry.fence))
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
            self._tell_store(lane.store.defer, entry.job, next_due)
            lane.let_go(entry)
        else:
            lane.timetable.add(entry, next_due)

    def _submit(self, entry: Entry, run: Run) -> None:
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
        except Exception as error:  # an executor of the user's own may raise anything
            self.run_finished(run, Result(Outcome.FAILED, error=error))

    def _park(self, entry: Entry, due: int, reason: str) -> None:
        """Keep a job that cannot be run, and say so."""
        entry.lane.hold(entry, due, parked=True)
        self._tell_store(entry.lane.store.park, entry.job, reason)
        self._bus.emit(JobEvent(events.EVENT_JOB_PARKED, entry.job, reason=reason))

    def _heal(self, executor: str) -> None:
        """The executor is there now: what was parked for want of it is due again, late."""
        for lane in self._lanes.values():
            for entry in lane.parked_for(executor):
                self._unpark(entry)

    def _unpark(self, entry: Entry) -> None:
        entry.lane.go_on(entry)
        self._tell_store(entry.lane.store.park, entry.job, None)
        self._bus.emit(JobEvent(events.EVENT_JOB_HEALED, entry.job))

    def _exhaust(self, entry: Entry) -> None:
        """The trigger has ended; the job goes when its last run is settled."""
        self._tell_store(entry.lane.store.exhaust, entry.job)
        if not entry.running:
            self._end(entry)

    def _end(self, entry: Entry) -> None:
        """The trigger has ended and the last run is settled."""
        entry.live = False
        entry.lane.forget_if_idle(entry)
        self._tell_store(entry.lane.store.end, entry.job)

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
        entry: Entry = run.entry
        entry.running -= 1
        self.in_progress -= 1
        try:  # not by _tell_store: this is done for every run
            entry.lane.store.settle(run, result)
        except Exception as error:
            self._report_store(error)
        self.figures.count(run, result)
        succeeded = result.outcome is Outcome.SUCCEEDED
        code = events.EVENT_JOB_EXECUTED if succeeded else events.code_of(result.outcome, result.reason)
        if self._bus.mask & code:
            self._bus.emit(JobExecutionEvent(code, run, result))
        if entry.held is not None:
            if not entry.parked and not self._finishing:
                entry.lane.go_on(entry)
        elif entry.due is None and not entry.running:
            self._end(entry) if entry.live else entry.lane.forget_if_idle(entry)
        if not self.in_progress:
            self._idle.set()

    def _settle_span(self, lane: Lane, job: Job, span: Span) -> None:
        self._tell_store(lane.store.settle_span, job, span)
        self._report_span(job, span)

    def _report_span(self, job: Job, span: Span) -> None:
        self.figures.count_span(job, span)
        code = events.code_of(span.outcome, span.reason)
        if self._bus.mask & code:
            self._bus.emit(JobSubmissionEvent(code, job, span))

    def _tell_store(self, tell: Callable[..., None], *said: Any) -> None:
        try:
            tell(*said)
        except Exception as error:
            self._report_store(error)

    def _report_store(self, error: Exception) -> None:
        said = {"error_type": type(error).__name__, "error_message": str(error)}
        self._bus.emit(SchedulerEvent(events.EVENT_STORE_FAILED, **said))

    # -- now and then ---------------------------------------------------------------------------------------------

    def _clock_offset(self) -> float:
        return self._clock.now_ms() - self._clock.monotonic() * 1000

    def _check_clock(self) -> None:
        """Report a wall clock that jumped; what that makes late is late like anything else."""
        offset = self._clock_offset()
        jump, self._offset = offset - self._offset, offset
        if abs(jump) > CLOCK_JUMP_MS:
            self._bus.emit(SchedulerEvent(events.EVENT_CLOCK_SKEWED, seconds=round(jump / 1000, 3)))

    def _summarize(self) -> None:
        now = self._clock.monotonic()
        if now >= self._next_summary:
            self._next_summary = now + self._summary_every
            said = self.figures.summary()
            self._bus.emit(SchedulerEvent(events.EVENT_SUMMARY, running=self.in_progress, **said))


class _StoreSide:
    """What a store sees of the hub."""

    def __init__(self, hub: Hub, lane: Lane) -> None:
        self._hub = hub
        self._lane = lane

    def post(self, message: Message) -> None:
        if not isinstance(message, (Claimed, StoreTime)):
            self._lane.unread += 1
        self._hub._do(self._hub._handle, self._lane, message)

    def emit(self, event: SchedulerEvent) -> None:
        self._hub._bus.emit(event)

    def unfinished(self) -> Iterator[Run]:
        executing = (run for executor in self._hub._working() for run in executor.runs())
        ended = (run for run, _ in self._hub._ended)
        return (run for run in chain(executing, ended) if run.job.jobstore == self._lane.alias)

    def next_due(self, after: int) -> int | None:
        return self._lane.first_undecided(after)

    def due(self, job_id: str) -> int | None:
        entry = self._lane.entries.get(job_id)
        return None if entry is None else entry.due if entry.held is None else entry.held

    def unread(self) -> bool:
        return self._lane.unread > 0

    def activity(self) -> dict[str, Any]:
        return self._hub.activity()
