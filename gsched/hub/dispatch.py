"""Dispatch: decides about due instants, hands runs to executors, and settles the runs that have ended.

Everything here runs in the hub greenlet, except the methods that executors and the scheduler's callers call.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from math import inf
from typing import Any, Final

from gevent.event import Event

from gsched import events
from gsched.errors import RateLimited
from gsched.event_loop.keyboard_interrupt import was_interrupt
from gsched.event_loop.slices import Slice
from gsched.events import JobExecutionEvent, JobSubmissionEvent
from gsched.events.bus import EventBus
from gsched.executors.collection import Executors
from gsched.hub.gates import Gate
from gsched.hub.lane import Entry, Lane, monotonic_ms
from gsched.hub.reporter import Reporter
from gsched.jobs.callables import is_generator, why_nothing_runs
from gsched.jobs.job import Job
from gsched.jobs.limits import GroupLimits
from gsched.jobs.outcomes import Outcome, Reason, Result, Retried, RetryAt, Span
from gsched.jobs.policy import CANCEL, NO_POLICY, SKIP
from gsched.jobs.run import Run
from gsched.monitoring.counters import Counters
from gsched.policies.counting import counted, first_left_out, limited, pause_after
from gsched.policies.pauses import first_after_pause
from gsched.policies.planning import Hold, Plan, plan
from gsched.policies.retries import retry_after
from gsched.stores.messages import ALWAYS
from gsched.times.clock import Clock
from gsched.triggers.base import TRIGGER_ERRORS

MOST_RETRYING: Final = 10_000  # attempts of one job that are to follow others

# Used for every run: looking them up in an enumeration or a module takes longer.
_SUCCEEDED: Final = Outcome.SUCCEEDED
_RETRIED: Final = Outcome.RETRIED
_SUBMITTED: Final = events.EVENT_JOB_SUBMITTED
_STARTED: Final = events.EVENT_JOB_STARTED
_EXECUTED: Final = events.EVENT_JOB_EXECUTED


class Dispatch:
    """Decides about due instants, hands runs to executors, and settles them: the store first, the event second.

    :param wake: wakes the hub greenlet
    :ivar in_progress: how many runs are submitted and not settled
    """

    def __init__(
        self,
        clock: Clock,
        bus: EventBus,
        executors: Executors,
        counters: Counters,
        report: Reporter,
        wake: Callable[[], object],
    ) -> None:
        self._clock = clock
        self._bus = bus
        self._executors = executors
        self._counters = counters
        self._report = report
        self._wake = wake
        self._ended: deque[tuple[Run, Result]] = deque()
        self.idle = Event()
        self.idle.set()
        self.in_progress = 0
        self._unstored: set[Run] = set()  # failed attempts whose followers are not stored yet
        self.retries_stored = Event()
        self.retries_stored.set()

    # -- due jobs -------------------------------------------------------------------------------------------------

    def decide(self, entry: Entry, due: int, until: int, is_its_turn: bool = False) -> None:
        """Decide about the instants of a job from `due` to `until`, submit the runs, and schedule the next instant.

        :param due: the first undecided instant, in the lane's time, as the timetable has it
        :param until: now, or the end of the claim if that is earlier, in the lane's time
        :param is_its_turn: the job has waited at its group's gate, and is the next to pass
        """
        job, lane = entry.job, entry.lane
        if ahead := entry.ahead:
            due, until = due + ahead, until + ahead
        if job.pause is not None:
            job = entry.job = self._without_pause(job, due)
        if job.executor not in self._executors:
            self._park(entry, due, _without_executor(job))
            return
        tallies = lane.tallies
        if tallies and job.id in tallies.pausing:
            lane.hold(entry, due, Hold.FAILED)
            return
        running = entry.instances if lane.elsewhere else entry.running  # without a call for every run
        try:
            decided = plan(job, due, until if until < entry.until else entry.until, running)
        except BaseException as error:  # a user's trigger may raise anything
            if was_interrupt(error):
                lane.put(entry, due)
            else:
                self._park(entry, due, f"its trigger raised {error!r}")
            return
        gate = lane.gates.get(job.policy.group) if lane.gates else None
        if gate is not None and (is_its_turn or not gate.lets_pass(len(decided.starts))):
            decided = self._gated(gate, due, decided, is_its_turn)
        if tallies:
            decided = self._limited(entry, decided)
        starts, spans, next_due, waits = decided
        if is_its_turn:
            spans = _missed_for(spans, Reason.LIMITED)
        elif lane.released and lane.released.get(entry) == due:
            spans = _missed_for(spans, Reason.WAITED)
        try:
            for span in spans:
                self.settle_span(lane, job, span)
            for instant in starts:
                self._submit(entry, Run(job, instant, self, entry, entry.fence))
        finally:
            self._schedule_next(entry, next_due, waits)

    def _gated(self, gate: Gate[Entry], due: int, decided: Plan, is_its_turn: bool) -> Plan:
        """The plan as far as the gate of the job's group has room. The rest waits there, and is decided anew in its
        turn. A job that replaces its own run needs no room."""
        now = self._clock.monotonic() * 1000 if gate.is_timed else 0.0
        if decided.waits is Hold.REPLACING and not gate.is_closed(now):
            return decided
        room = 0 if (gate.waiting or gate.owed) and not is_its_turn else gate.room(now)
        if room <= 0:
            return Plan((), (), due, Hold.GATE)
        if len(decided.starts) <= room:
            return decided
        return Plan(decided.starts[:room], decided.spans, decided.starts[room], Hold.GATE)

    def _limited(self, entry: Entry, decided: Plan) -> Plan:
        """The plan without the runs that the job's `max_runs` forbids. The runs that begin are counted."""
        lane, job = entry.lane, entry.job
        left = lane.tallies.left(job)
        if left is None:
            return decided
        plan = limited(decided, left)
        if plan.starts:
            lane.tallies.begin(job, plan.starts)
            self._note_tally(lane, job, plan.starts[0])
        if plan is not decided and entry.until < ALWAYS:
            self._skip_claimed(entry, first_left_out(decided, left))
        return plan

    def _skip_claimed(self, entry: Entry, first: int | None) -> None:
        """Skip the instants from `first` on of a job that has had all its runs. Another node owns the job by now, and
        the store may count these instants, which are claimed here, as in progress."""
        if first is not None and first <= entry.until:
            self.settle_span(entry.lane, entry.job, Span(Outcome.SKIPPED, first, entry.until + 1, Reason.MAX_RUNS))

    def _without_pause(self, job: Job, due: int) -> Job:
        """The job without its pause, which has ended by itself. That is an event at the first instant afterwards."""
        try:
            is_first = due == first_after_pause(job)
        except TRIGGER_ERRORS:  # then the plan parks the job
            is_first = False
        if is_first:
            self._report.pause_ended(job)
        return job.evolve(pause=None)

    def _schedule_next(self, entry: Entry, next_due: int | None, waits: Hold | None) -> None:
        lane = entry.lane
        if next_due is None:
            self.exhaust(entry)
        elif next_due > entry.until:
            lane.let_go(entry)
        elif waits is not None:
            lane.hold(entry, next_due, waits)
            if entry.job.policy.finish_within_ms is not None:
                lane.deadlines.hold(entry, next_due)
            if waits is Hold.REPLACING and not self._replace_oldest(entry):
                entry.held_by = Hold.INSTANCES
        elif next_due > lane.horizon:
            self._tell_store(lane, lane.store.defer, entry.job, next_due)
            lane.let_go(entry)
        else:
            lane.timetable.add(entry, next_due - entry.ahead)

    def _submit(self, entry: Entry, run: Run) -> None:
        """Hand a run to its executor. If the executor raises, the run fails with that error."""
        run.clock_offset = entry.lane.clock_offset + entry.ahead
        entry.running += 1
        self.in_progress += 1
        if self.in_progress == 1:
            self.idle.clear()
        policy = run.job.policy
        if policy is not NO_POLICY:
            gates = entry.lane.gates
            if gates and (gate := gates.get(policy.group)) is not None:
                gate.begin()
            if policy.acts_on_begin:  # jobs in a group often have no such option
                self._act_on_begin(entry, run)
        if self._bus.mask & _SUBMITTED:
            span = Span(Outcome.SUCCEEDED, run.scheduled_ms, run.scheduled_ms + 1)
            self._bus.emit(JobSubmissionEvent(_SUBMITTED, run.job, span))
        try:
            self._executors[run.job.executor].submit(run)
        except BaseException as error:  # a user's executor may raise anything
            was_interrupt(error)
            self.run_finished(run, Result(Outcome.FAILED, error=error))

    def _act_on_begin(self, entry: Entry, run: Run) -> None:
        policy = run.job.policy
        if policy.overlap == CANCEL:
            entry.lane.replaceable.setdefault(entry, []).append(run)
        if policy.is_timed:
            run.is_timed = True
            entry.lane.deadlines.begin(run)
        if policy.keep_output_bytes is not None:
            self._tell_store(entry.lane, entry.lane.store.keep_output, run)

    def _replace_oldest(self, entry: Entry) -> bool:
        """Stop the oldest runs of a job, so that one instance is free when they have ended; False if none is stopped.

        Runs on the job's former node are older, and cannot be stopped from here.
        """
        if entry.instances > entry.running:
            return False
        executors, runs = self._executors.working(), entry.lane.replaceable.get(entry, [])
        if len(runs) < entry.running:  # some began before the job was one that replaces its runs
            runs = [run for executor in executors for run in executor.runs() if run.entry is entry]
            runs.sort(key=_age)
        oldest = runs[: entry.running - entry.job.max_instances + 1]
        return bool([run for run in oldest if any(executor.cancel(run, Reason.REPLACED) for executor in executors)])

    def obstacle(self, job: Job) -> str | None:
        """Why the job could not run if it were due; None if it could."""
        executor = self._executors.get(job.executor)
        if executor is None:
            return _without_executor(job)
        return None if job.func is None or executor.awaits else why_nothing_runs(job.func)

    def _park(self, entry: Entry, due: int, reason: str) -> None:
        """Hold a job that cannot run, and record the reason in its store."""
        entry.lane.hold(entry, due, Hold.PARKED)
        self._tell_store(entry.lane, entry.lane.store.park, entry.job, reason)

    def heal(self, lane: Lane, executor: str) -> None:
        """An executor was added: jobs that were parked because it was missing are due again, late."""
        for entry in lane.parked_for(executor):
            self.unpark(entry)

    def unpark(self, entry: Entry) -> None:
        """The reason why the job was parked may be gone: make it due again, late."""
        entry.lane.go_on(entry)
        self._tell_store(entry.lane, entry.lane.store.park, entry.job, None)

    def exhaust(self, entry: Entry) -> None:
        """The job's trigger has ended: remove the job as soon as its last run is settled."""
        entry.lane.deadlines.release(entry)
        self._tell_store(entry.lane, entry.lane.store.exhaust, entry.job)
        if not entry.running and not entry.lane.awaits_runs(entry):
            self._end(entry)

    def _end(self, entry: Entry) -> None:
        """The job's trigger has ended and its last run is settled: the store removes the job."""
        entry.live = False
        entry.lane.forget_if_idle(entry)
        self._tell_store(entry.lane, entry.lane.store.end, entry.job)

    # -- counting: max_runs, max_consecutive_failures ------------------------------------------------------------------

    def _note_tally(self, lane: Lane, job: Job, instant: int) -> None:
        """Store the counts of the job before the instant counts as ended."""
        self._tell_store(lane, lane.store.note_tally, job.id, lane.tallies[job.id], instant)

    def count_begun_elsewhere(self, lane: Lane, job: Job, span: Span) -> None:
        """Count runs of these instants, which were in progress on a node that died, unless they are counted."""
        try:
            is_counted = lane.tallies.begun_elsewhere(job, span)
        except TRIGGER_ERRORS:  # then the next decision parks the job
            return
        if is_counted:
            self._note_tally(lane, job, span.first)

    def end_or_go_on(self, entry: Entry) -> None:
        """The job's `max_runs` may have changed: all runs may have begun, or more may begin again."""
        lane, job = entry.lane, entry.job
        if not entry.live or entry.parked:
            return
        has_ended = entry.held is None and entry.due is None
        if lane.tallies.is_spent(job) and not has_ended:
            lane.withdraw(entry)
            self.exhaust(entry)
        elif has_ended and not lane.tallies.is_spent(job):
            due = job.next_ms(max(lane.now(self._clock), lane.tallies[job.id].until))
            if due is not None:
                lane.put(entry, due)

    def _count_end(self, entry: Entry, run: Run, result: Result) -> None:
        """Count how a run has ended. Too many failures in a row pause the job."""
        lane, job = entry.lane, entry.job
        known = lane.tallies.get(job.id)
        if known is None:
            return
        now = lane.now(self._clock)
        if result.outcome is not _SUCCEEDED and (job.id in lane.tallies.pausing or job.pause_at(now) is not None):
            return  # a run that had begun before the pause
        tally = counted(known, run, result.outcome)
        if tally == known:
            return
        lane.tallies[job.id] = tally
        self._note_tally(lane, job, run.scheduled_ms)
        pause = pause_after(job.policy, tally.failing, result, now) if tally.failing > known.failing else None
        if pause is not None:
            lane.tallies.pausing.add(job.id)
            self._tell_store(lane, lane.store.pause_failing, job, pause)

    # -- groups with limits -----------------------------------------------------------------------------------------

    def pass_gate(self, lane: Lane, until: int) -> None:
        """Let the first that waits at an open gate take its turn. If nobody may pass, the gate is not open any more.

        :param until: now, or the end of the claim if that is earlier, in the lane's time
        """
        gate, now = next(iter(lane.gates.open)), monotonic_ms(self._clock)
        if not gate.is_awaited or gate.room(now) <= 0:
            lane.gates.rest(gate, now)
            return
        entry, is_owed = gate.take()
        if is_owed:
            self.run_owed(entry, is_its_turn=True)
            return
        due = entry.held
        assert due is not None, "it waits with a due instant"
        lane.release(entry)
        if due - entry.ahead > until:  # the clock was set back
            lane.put(entry, due)
        else:
            self.decide(entry, due - entry.ahead, until, is_its_turn=True)

    def limits_changed(self, lane: Lane, limits: GroupLimits) -> None:
        """The limits and pauses of the lane's groups are these from now on."""
        jobs = Counter(group for entry in lane.entries.values() if (group := entry.job.policy.group) is not None)
        groups = (run.job.policy.group for run in self.unfinished() if run.entry.lane is lane)
        running = Counter(group for group in groups if group is not None)
        lane.gates.set_limits(limits, jobs, running, monotonic_ms(self._clock), lane.now(self._clock))

    # -- runs outside the schedule --------------------------------------------------------------------------------

    def cancel(self, run: Run) -> None:
        """Cancel a run that executes or waits for a worker; nothing happens if it has ended."""
        for executor in self._executors.working():
            executor.cancel(run)

    def run_on_request(self, run: Run, overlap: str) -> None:
        """Run a job outside its schedule.

        :param overlap: what becomes of the run while max_instances runs are in progress
        """
        entry: Entry = run.entry
        lane = entry.lane
        if entry.instances >= run.job.max_instances:
            self._settle_all()  # a run of the job may have ended already
            entry = run.entry = lane.entry(run.job)  # settling may have dropped the entry
        is_full = entry.instances >= run.job.max_instances
        if lane.store.shared and not lane.holds(self._clock):
            self.run_later(run)
        elif is_full and overlap == SKIP:
            self._skip(lane, run, Reason.MAX_INSTANCES)
            lane.forget_if_idle(entry)
        elif is_full or run.job.policy.group in lane.gates:
            if is_full and overlap == CANCEL:
                self._replace_oldest(entry)
            self.run_later(run)
        else:
            self._run_at_once(entry, run)

    def _run_at_once(self, entry: Entry, run: Run) -> None:
        if run.job.executor in self._executors:
            self._submit(entry, run)
        else:
            self._skip(entry.lane, run, Reason.UNKNOWN_EXECUTOR)
            entry.lane.forget_if_idle(entry)

    def run_later(self, run: Run) -> None:
        """Run this as soon as the claim and max_instances allow. Until then another node may take it over."""
        lane: Lane = run.entry.lane
        run.entry = lane.entry(run.job)  # the job may have left the hub since the run was made
        lane.deadlines.begin(run)
        lane.owed.setdefault(run.entry, deque()).append(run)
        self.run_owed(run.entry)

    def run_owed(self, entry: Entry, is_its_turn: bool = False) -> None:
        """Start the owed runs of a job while the claim holds. Those beyond max_instances, or beyond the limit of the
        job's group, wait: they are claimed.

        :param is_its_turn: the job has waited at its group's gate, and one run may pass
        """
        lane, owed = entry.lane, entry.lane.owed[entry]
        gate = lane.gates.get(entry.job.policy.group) if lane.gates else None
        while owed and entry.instances < entry.job.max_instances and lane.holds(self._clock) and not lane.finishing:
            if gate is not None and not is_its_turn and (gate.is_awaited or gate.room(monotonic_ms(self._clock)) <= 0):
                lane.gates.owe(gate, entry)
                return
            is_its_turn = False
            run = owed.popleft()
            if run.is_retry and _is_missed(run, lane.now(self._clock)):
                self.give_up_run(run, Reason.RETRY_MISSED)
            else:
                self._run_at_once(entry, run)
        if not owed:
            del lane.owed[entry]
            self.end_if_over(entry)

    def give_up_runs(self, lane: Lane, job_id: str, reason: Reason) -> None:
        """Give up the runs of a job outside its schedule that have not begun."""
        for run in lane.take_unbegun(job_id):
            self.give_up_run(run, reason)

    def put_back(self, lane: Lane, job_id: str) -> None:
        """Give the runs of a job outside its schedule that have not begun back to the store: they wait there."""
        for run in lane.take_unbegun(job_id):
            self._put_back(run)

    def _put_back(self, run: Run) -> None:
        lane: Lane = run.entry.lane
        lane.deadlines.end(run)
        self._tell_store(lane, lane.store.put_back, run)

    def give_up_retries(self, lane: Lane, job_id: str) -> None:
        """The job has another trigger: its retries that have not begun have failed."""
        for run in lane.later.take_of(job_id):
            if run.is_retry:
                self.give_up_run(run, Reason.RESCHEDULED)
            else:
                lane.later.add(run, run.due_ms or run.scheduled_ms)

    def give_up_run(self, run: Run, reason: Reason) -> None:
        """End a run outside the schedule that does not begin: a retry has failed, another run is skipped."""
        lane: Lane = run.entry.lane
        if not run.is_retry:
            self._skip(lane, run, reason)
            return
        result = Result(Outcome.FAILED, reason=reason)
        self._tell_store(lane, lane.store.settle, run, result)
        self._publish_end(run, result)

    def _skip(self, lane: Lane, run: Run, reason: Reason) -> None:
        """Settle a run that does not begin. The store settles it as a run, because it may have recorded it as one."""
        lane.deadlines.end(run)
        span = Span(Outcome.SKIPPED, run.scheduled_ms, run.scheduled_ms + 1, reason, run.request)
        self._tell_store(lane, lane.store.settle, run, Result(span.outcome, reason=reason))
        self._report.span(run.job, span)

    # -- instants that are given up ---------------------------------------------------------------------------------

    def give_up_waiting(self, lane: Lane) -> None:
        """Give up instants that wait for a free instance. If another node may own the job by now, leave them undecided:
        that node decides. Runs outside the schedule that have not begun go back to a store that others share."""
        for run in lane.take_unbegun():
            self.leave_run(run)
        is_sure = lane.store.shared and lane.holds(self._clock)
        for entry in lane.waiting() if is_sure else ():
            self.give_up(entry, Reason.SHUTDOWN)
            lane.let_go(entry)

    def leave_run(self, run: Run) -> None:
        """The scheduler stops before this run outside the schedule begins: others run it, if others share the store."""
        lane: Lane = run.entry.lane
        if lane.store.shared:
            self._put_back(run)
        else:
            self.give_up_run(run, Reason.SHUTDOWN)

    def give_up(self, entry: Entry | None, reason: Reason) -> None:
        """Skip the due instants of a job that wait for a free instance, or are left from an earlier claim.

        If the claim does not hold, the decision waits until it holds again, or another node has decided.
        """
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
        """The claim holds again, so no other node has taken over what was given up meanwhile: settle it."""
        unsure, lane.unsure = lane.unsure, []
        for job, span in unsure:
            self.settle_span(lane, job, span)

    # -- called by executors --------------------------------------------------------------------------------------

    def run_started(self, run: Run) -> None:
        self._counters.started += 1
        if self._bus.mask & _STARTED:
            self._bus.emit(JobExecutionEvent(_STARTED, run))

    def run_interrupted(self, run: Run, step: str) -> None:
        self._bus.emit(JobExecutionEvent(events.EVENT_JOB_INTERRUPTED, run, step=step))

    def run_finished(self, run: Run, result: Result) -> None:
        self._ended.append((run, result))
        if len(self._ended) == 1:  # the hub greenlet settles all of them before it sleeps
            self._wake()

    def unfinished(self) -> Iterator[Run]:
        """The runs that are submitted and not settled."""
        executing = (run for executor in self._executors.working() for run in executor.runs())
        return chain(executing, (run for run, _ in self._ended))

    def is_in_progress(self, lane: Lane) -> bool:
        """True while runs of this lane's jobs are submitted and not settled."""
        return any(run.entry.lane is lane for run in self.unfinished())

    # -- settling: the store first, the event second --------------------------------------------------------------

    @property
    def has_ended(self) -> bool:
        """True if runs have ended and are not settled."""
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
        """Settle a run that has ended: in its store, in the counters, as an event. Then let its job go on."""
        entry: Entry = run.entry
        lane = entry.lane
        entry.running -= 1
        self.in_progress -= 1
        succeeded = result.outcome is _SUCCEEDED
        if not succeeded:
            result = self._judged(run, result)
        if succeeded or result.outcome is not _RETRIED:
            try:  # without _tell_store, whose call would cost every run
                lane.store.settle(run, result)
            except BaseException as error:
                self._store_failed(lane, error)
        self._counters.count(run, result)
        if result.value is not None and is_generator(result.value):
            self._report.returned_generator(run.job)
        code = _EXECUTED if succeeded else events.code_of(result.outcome, result.reason)
        if self._bus.mask & code:
            self._bus.emit(JobExecutionEvent(code, run, result))
        if lane.tallies:
            self._count_end(entry, run, result)
        if lane.replaceable:
            _forget_replaceable(run)
        if run.is_timed:
            self._end_timed(run, result)
        if lane.gates and (gate := lane.gates.get(run.job.policy.group)) is not None:
            gate.running -= 1
            if gate.waiting or gate.owed or not gate.jobs:
                lane.gates.has_room(gate)
        if entry.held is not None or lane.owed:
            self.instance_ended(entry)
        if entry.held is None and entry.due is None and not entry.running:
            self.end_if_over(entry)
        if lane.finishing and not self.is_in_progress(lane):
            lane.idle.set()
        if not self.in_progress:
            self.idle.set()

    def _end_timed(self, run: Run, result: Result) -> None:
        """A run has ended whose job has a time by which a run is to succeed."""
        lane: Lane = run.entry.lane
        if result.outcome is _RETRIED:
            lane.deadlines.let_wait(run)
        else:
            lane.deadlines.end(run)
        if result.outcome is _SUCCEEDED and run.job.policy.expect_success_every_ms is not None:
            self._tell_store(lane, lane.store.note_success, run.job, run.finished_ms)

    def end_if_over(self, entry: Entry) -> None:
        """End the job if its trigger has ended, nothing of it is in progress, and no run is to come."""
        if not entry.live:
            entry.lane.forget_if_idle(entry)
        elif entry.held is None and entry.due is None and not entry.running and not entry.lane.awaits_runs(entry):
            self._end(entry)

    # -- attempts that failed -----------------------------------------------------------------------------------------

    def _judged(self, run: Run, result: Result) -> Result:
        """The result of an attempt that did not succeed. If the job's policy retries it, another attempt is to follow,
        and the outcome of this one is `retried`."""
        entry: Entry = run.entry
        lane = entry.lane
        is_limited = isinstance(result.error, RateLimited) and self._close_gate(run, result.error)
        now, waits = lane.now(self._clock), entry.held is not None
        verdict = None if run.disowned else retry_after(entry.job, run, result, now, waits, is_limited)
        if not isinstance(verdict, RetryAt):
            return result if verdict is None else Result(result.outcome, error=result.error, reason=verdict)
        if lane.retrying.get(run.job.id, 0) >= MOST_RETRYING:
            return Result(result.outcome, error=result.error, reason=Reason.TOO_MANY_WAITING)
        retried = Retried(result, verdict, Reason.LIMITED if is_limited else None)
        try:
            lane.store.retry(run, retried)
        except BaseException as error:
            self._store_failed(lane, error)
            return retried.failure(Reason.STORE_REFUSED)
        lane.note_retry(run.job.id, 1)
        self._unstored.add(run)
        self.retries_stored.clear()
        return retried

    def _close_gate(self, run: Run, error: RateLimited) -> bool:
        """Let no run of the group begin for as long as the error says; False if the group has no limit."""
        lane: Lane = run.entry.lane
        gate = lane.gates.get(run.job.policy.group)
        if gate is None or gate.limit is None:
            return False
        gate.close(monotonic_ms(self._clock) + error.seconds * 1000, run.entry)
        return True

    def retry_is_stored(self, run: Run, retried: Retried, reason: Reason | None) -> None:
        """Another attempt waits in the store; or none does, for this reason, and the run has failed."""
        lane: Lane = run.entry.lane
        self._forget_unstored([run])
        if reason is None:
            self._tell_store(lane, lane.store.settle, run, retried)
            return
        lane.note_retry(run.job.id, -1)
        failed = retried.failure(reason)
        self._tell_store(lane, lane.store.settle, run, failed)
        self._publish_end(run, failed)
        self.end_if_over(run.entry)

    def disown(self, lane: Lane) -> None:
        """Other nodes decide what becomes of the runs in progress: none of them is retried here."""
        for run in self.unfinished():
            if run.entry.lane is lane:
                run.disowned = True
        self._forget_unstored([run for run in self._unstored if run.entry.lane is lane])

    def _forget_unstored(self, runs: list[Run]) -> None:
        self._unstored.difference_update(runs)
        if not self._unstored:
            self.retries_stored.set()

    def _publish_end(self, run: Run, result: Result) -> None:
        """Count and publish how a run has ended that does not come back from an executor."""
        run.entry.lane.deadlines.end(run)
        self._counters.count(run, result)
        code = events.code_of(result.outcome, result.reason)
        if self._bus.mask & code:
            self._bus.emit(JobExecutionEvent(code, run, result))
        if run.entry.lane.tallies:
            self._count_end(run.entry, run, result)

    def instance_ended(self, entry: Entry) -> None:
        """A run of the job has ended: start what waits for a free instance."""
        if entry in entry.lane.owed:
            self.run_owed(entry)
        has_room = entry.instances < entry.job.max_instances
        waits = entry.held is not None and not entry.parked and entry.held_by is not Hold.GATE
        if waits and has_room and not entry.lane.finishing:
            entry.lane.go_on(entry)

    def settle_span(self, lane: Lane, job: Job, span: Span) -> None:
        """Settle instants of a job that end without a run."""
        self._tell_store(lane, lane.store.settle_span, job, span)
        self._report.span(job, span)

    def _tell_store(self, lane: Lane, call: Callable[..., None], *args: Any) -> None:
        try:
            call(*args)
        except BaseException as error:
            self._store_failed(lane, error)

    def _store_failed(self, lane: Lane, error: BaseException) -> None:
        if not was_interrupt(error):
            self._report.store_failed(lane.alias, error)


def _is_missed(run: Run, now: int) -> bool:
    """True if a retry comes later than the job allows, counted from the time at which it was due."""
    grace = run.job.misfire_grace_ms
    return grace is not None and run.due_ms is not None and now - run.due_ms > grace


def _missed_for(spans: Iterable[Span], reason: Reason) -> tuple[Span, ...]:
    """The spans of instants that have waited: what is too late now is missed for this reason."""
    return tuple(span._replace(reason=reason) if _is_too_late(span) else span for span in spans)


def _is_too_late(span: Span) -> bool:
    return span.outcome is Outcome.MISSED and span.reason is None


def _age(run: Run) -> tuple[float, int]:
    """Orders runs from the oldest on. Those that wait for a worker are the youngest."""
    return inf if run.started_ms is None else run.started_ms, run.scheduled_ms


def _forget_replaceable(run: Run) -> None:
    """The run has ended."""
    entry: Entry = run.entry
    runs = entry.lane.replaceable.get(entry, [])
    if run in runs:
        runs.remove(run)
        if not runs:
            del entry.lane.replaceable[entry]


def _without_executor(job: Job) -> str:
    return f"unknown executor {job.executor!r}"
