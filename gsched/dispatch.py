"""What becomes of due instants: decided, handed to executors, and settled when they have ended.

Everything here happens in the hub greenlet, but for what executors and the scheduler's callers tell or ask.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Final

from gevent.event import Event

from gsched import events
from gsched.bus import EventBus
from gsched.callables import is_generator
from gsched.clock import Clock
from gsched.events import JobExecutionEvent, JobSubmissionEvent
from gsched.executors.collection import Executors
from gsched.figures import Figures
from gsched.interrupts import was_interrupt
from gsched.job import Job
from gsched.lane import Entry, Lane
from gsched.planning import Span, plan
from gsched.reporter import Reporter
from gsched.run import Outcome, Reason, Result, Run
from gsched.slices import Slice
from gsched.stores.base import ALWAYS

_SUCCEEDED: Final = Outcome.SUCCEEDED  # looked at for every run: an enumeration takes long to look it up


class Dispatch:
    """Decides, hands runs to executors, and settles what has ended: the store first, the event second.

    :param wake: has the hub greenlet look
    :ivar in_progress: runs that were submitted and have not been settled
    """

    def __init__(
        self,
        clock: Clock,
        bus: EventBus,
        executors: Executors,
        figures: Figures,
        report: Reporter,
        wake: Callable[[], object],
    ) -> None:
        self._clock = clock
        self._bus = bus
        self._executors = executors
        self._figures = figures
        self._report = report
        self._wake = wake
        self._ended: deque[tuple[Run, Result]] = deque()
        self.idle = Event()
        self.idle.set()
        self.in_progress = 0

    # -- due jobs -------------------------------------------------------------------------------------------------

    def decide(self, entry: Entry, due: int, until: int) -> None:
        """Settle what becomes of the instants of a job from `due` until `until`, which is now or what is claimed.

        :param due, until: in the lane's time, as the timetable has them
        """
        job, lane, ahead = entry.job, entry.lane, entry.ahead
        due, until = due + ahead, until + ahead
        if (obstacle := self.obstacle(job)) is not None:
            self._park(entry, due, obstacle)
            return
        try:
            starts, spans, next_due, waits = plan(job, due, min(until, entry.until), entry.instances)
        except BaseException as error:  # a user's trigger may raise anything
            if was_interrupt(error):
                lane.put(entry, due)
            else:
                self._park(entry, due, f"its trigger raised {error!r}")
            return
        try:
            for span in spans:
                self.settle_span(lane, job, span)
            for instant in starts:
                self._submit(entry, Run(job, instant, self, entry, entry.fence))
        finally:
            self._schedule_next(entry, next_due, waits)

    def _schedule_next(self, entry: Entry, next_due: int | None, waits: bool) -> None:
        lane = entry.lane
        if next_due is None:
            self.exhaust(entry)
        elif next_due > entry.until:
            lane.let_go(entry)
        elif waits:
            lane.hold(entry, next_due, parked=False)
        elif next_due > lane.horizon:
            self._tell_store(lane, lane.store.defer, entry.job, next_due)
            lane.let_go(entry)
        else:
            lane.timetable.add(entry, next_due - entry.ahead)

    def _submit(self, entry: Entry, run: Run) -> None:
        """Hand a run to its executor."""
        run.clock_offset = entry.lane.clock_offset + entry.ahead
        entry.running += 1
        self.in_progress += 1
        if self.in_progress == 1:
            self.idle.clear()
        if self._bus.mask & events.EVENT_JOB_SUBMITTED:
            span = Span(Outcome.SUCCEEDED, run.scheduled_ms, run.scheduled_ms + 1)
            self._bus.emit(JobSubmissionEvent(events.EVENT_JOB_SUBMITTED, run.job, span))
        try:
            self._executors[run.job.executor].submit(run)
        except BaseException as error:  # an executor of the user's own may raise anything
            was_interrupt(error)
            self.run_finished(run, Result(Outcome.FAILED, error=error))

    def obstacle(self, job: Job) -> str | None:
        """Why the job could not be run if it were due."""
        return None if job.executor in self._executors else f"unknown executor {job.executor!r}"

    def _park(self, entry: Entry, due: int, reason: str) -> None:
        """Keep a job that cannot be run; its store says so."""
        entry.lane.hold(entry, due, parked=True)
        self._tell_store(entry.lane, entry.lane.store.park, entry.job, reason)

    def heal(self, lane: Lane, executor: str) -> None:
        """The executor is there now: what was parked for want of it is due again, late."""
        for entry in lane.parked_for(executor):
            self.unpark(entry)

    def unpark(self, entry: Entry) -> None:
        """What parked the job may be gone: it is due again, late."""
        entry.lane.go_on(entry)
        self._tell_store(entry.lane, entry.lane.store.park, entry.job, None)

    def exhaust(self, entry: Entry) -> None:
        """The trigger has ended; the job goes when its last run is settled."""
        self._tell_store(entry.lane, entry.lane.store.exhaust, entry.job)
        if not entry.running:
            self._end(entry)

    def _end(self, entry: Entry) -> None:
        """The trigger has ended and the last run is settled."""
        entry.live = False
        entry.lane.forget_if_idle(entry)
        self._tell_store(entry.lane, entry.lane.store.end, entry.job)

    # -- runs outside the schedule --------------------------------------------------------------------------------

    def run_on_request(self, run: Run) -> None:
        """Run a job outside its schedule."""
        entry: Entry = run.entry
        lane = entry.lane
        if entry.instances >= run.job.max_instances:
            self._settle_all()  # one of them may have ended already
            entry = run.entry = lane.entry(run.job)  # for the lane may have let go of it then
        if lane.store.shared and not lane.holds(self._clock):
            self.run_later(run)
        elif entry.instances >= run.job.max_instances:
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

    def run_later(self, run: Run) -> None:
        """Run this as soon as it may be: others may take it over until then."""
        run.entry.lane.owed.setdefault(run.entry, deque()).append(run)
        self.run_owed(run.entry)

    def run_owed(self, entry: Entry) -> None:
        """Run what is owed of the job, while the claim holds. Beyond max_instances it waits: it was claimed before."""
        lane, owed = entry.lane, entry.lane.owed[entry]
        while owed and entry.instances < entry.job.max_instances and lane.holds(self._clock) and not lane.finishing:
            self._run_at_once(entry, owed.popleft())
        if not owed:
            del lane.owed[entry]
            lane.forget_if_idle(entry)

    def give_up_owed(self, entry: Entry | None, reason: Reason) -> None:
        """What is owed of the job will not be run."""
        if entry is not None:
            for run in entry.lane.owed.pop(entry, ()):
                self._skip(entry.lane, run, reason)

    def _skip(self, lane: Lane, run: Run, reason: Reason) -> None:
        """Settle a run that does not begin: as a run, for its store may have written it down as one."""
        span = Span(Outcome.SKIPPED, run.scheduled_ms, run.scheduled_ms + 1, reason, run.request)
        self._tell_store(lane, lane.store.settle, run, Result(span.outcome, reason=reason))
        self._report.span(run.job, span)

    # -- what is not run --------------------------------------------------------------------------------------------

    def give_up_what_waits(self, lane: Lane) -> None:
        """Instants that wait for a run of their job to end are not run here any more; has somebody else their jobs by
        now, then nowhere. Those of which that is not sure stay undecided."""
        is_sure = lane.store.shared and lane.holds(self._clock)
        for entry in lane.waiting() if is_sure else ():
            self.give_up(entry, Reason.SHUTDOWN)
            lane.let_go(entry)

    def give_up(self, entry: Entry | None, reason: Reason) -> None:
        """What of the job is due, and waits for a run of it to end or is left of an earlier claim, will not be run."""
        if entry is None or entry.parked:
            return
        lane, job = entry.lane, entry.job
        first = entry.next_instant if entry.held is None and entry.until < ALWAYS else entry.held
        until = min(lane.now(self._clock), lane.claimed, entry.until)
        if first is not None and first <= until:
            span = Span(Outcome.SKIPPED, first, until + 1, reason)
            if lane.holds(self._clock):
                self.settle_span(lane, job, span)
            else:
                lane.unsure.append((job, span))

    def settle_unsure(self, lane: Lane) -> None:
        """The claim holds again: nobody else has taken over what was given up meanwhile."""
        unsure, lane.unsure = lane.unsure, []
        for job, span in unsure:
            self.settle_span(lane, job, span)

    # -- what executors say ---------------------------------------------------------------------------------------

    def run_started(self, run: Run) -> None:
        self._figures.started += 1
        if self._bus.mask & events.EVENT_JOB_STARTED:
            self._bus.emit(JobExecutionEvent(events.EVENT_JOB_STARTED, run))

    def run_interrupted(self, run: Run, step: str) -> None:
        self._bus.emit(JobExecutionEvent(events.EVENT_JOB_INTERRUPTED, run, step=step))

    def run_finished(self, run: Run, result: Result) -> None:
        self._ended.append((run, result))
        if len(self._ended) == 1:  # the hub greenlet settles all of them before it sleeps
            self._wake()

    def unfinished(self) -> Iterator[Run]:
        """The runs that have been submitted and not settled."""
        executing = (run for executor in self._executors.working() for run in executor.runs())
        return chain(executing, (run for run, _ in self._ended))

    def is_in_progress(self, lane: Lane) -> bool:
        """Whether runs of its jobs have been submitted and not settled."""
        return any(run.entry.lane is lane for run in self.unfinished())

    # -- what became of it: the store first, the event second -----------------------------------------------------

    @property
    def has_ended(self) -> bool:
        """Whether there are runs that have ended and are not settled."""
        return bool(self._ended)

    def settle_ended(self, pace: Slice) -> None:
        """Settle the runs that have ended."""
        while self._ended:
            self._settle(*self._ended.popleft())
            pace.breathe()

    def _settle_all(self) -> None:
        while self._ended:
            self._settle(*self._ended.popleft())

    def _settle(self, run: Run, result: Result) -> None:
        """A run has ended: tell its store, count it, say so, and see whether its job goes on."""
        entry: Entry = run.entry
        lane = entry.lane
        entry.running -= 1
        self.in_progress -= 1
        try:  # not by _tell_store: this is done for every run
            lane.store.settle(run, result)
        except BaseException as error:
            self._store_failed(lane, error)
        self._figures.count(run, result)
        succeeded = result.outcome is _SUCCEEDED
        if result.value is not None and is_generator(result.value):
            self._report.returned_generator(run.job)
        code = events.EVENT_JOB_EXECUTED if succeeded else events.code_of(result.outcome, result.reason)
        if self._bus.mask & code:
            self._bus.emit(JobExecutionEvent(code, run, result))
        if entry.held is not None or lane.owed:
            self.instance_ended(entry)
        if entry.held is None and entry.due is None and not entry.running:
            self._end(entry) if entry.live else lane.forget_if_idle(entry)
        if lane.finishing and not self.is_in_progress(lane):
            lane.idle.set()
        if not self.in_progress:
            self.idle.set()

    def instance_ended(self, entry: Entry) -> None:
        """What waits for a run of the job to end may go on, if there is room: else it would be skipped."""
        if entry in entry.lane.owed:
            self.run_owed(entry)
        has_room = entry.instances < entry.job.max_instances
        if entry.held is not None and not entry.parked and has_room and not entry.lane.finishing:
            entry.lane.go_on(entry)

    def settle_span(self, lane: Lane, job: Job, span: Span) -> None:
        """Instants of a job have ended without a run."""
        self._tell_store(lane, lane.store.settle_span, job, span)
        self._report.span(job, span)

    def _tell_store(self, lane: Lane, tell: Callable[..., None], *said: Any) -> None:
        try:
            tell(*said)
        except BaseException as error:
            self._store_failed(lane, error)

    def _store_failed(self, lane: Lane, error: BaseException) -> None:
        if not was_interrupt(error):
            self._report.store_failed(lane.alias, error)
