"""Handles the messages of stores: jobs come, change and go, claims grow, runs are requested and recovered."""

from __future__ import annotations

from gsched import events
from gsched.hub.dispatch import Dispatch
from gsched.hub.lane import Lane, monotonic_ms
from gsched.hub.reporter import Reporter
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome, Reason, Span
from gsched.jobs.run import Run
from gsched.jobs.tally import Tally
from gsched.policies.planning import Hold
from gsched.stores.messages import (
    Admitted,
    BegunElsewhere,
    CancelRequested,
    Changed,
    Claimed,
    Disowned,
    Dropped,
    ExtraRun,
    LimitsChanged,
    Lost,
    Message,
    RunRequested,
    RunsElsewhere,
    SlotsTaken,
    StoreTime,
    SucceededByRetry,
)
from gsched.times.clock import Clock


class MessageReader:
    """Handles messages, in the hub greenlet."""

    def __init__(self, clock: Clock, dispatch: Dispatch, report: Reporter) -> None:
        self._clock = clock
        self._dispatch = dispatch
        self._report = report

    def read(self, lane: Lane, message: Message) -> None:
        """Handle a message of the lane's store."""
        if not isinstance(message, (Claimed, StoreTime)):
            lane.unread -= 1
        match message:
            case Admitted():
                self._admit(lane, message)
            case Changed(job, tally):
                entry = lane.change(job)
                lane.tallies.take(job, tally, begins_anew=False)
                if entry is not None and job.policy.max_runs is not None:
                    self._dispatch.end_or_go_on(entry)
                if entry is not None and entry.parked:  # its reason may be gone; otherwise it is parked again
                    self._dispatch.unpark(entry)
                elif entry is not None:  # max_instances may be larger now
                    self._dispatch.instance_ended(entry)
            case Dropped(job_id, until, reason):
                if until < 0:  # otherwise another node owns its later instants
                    self._give_up(lane, job_id, reason)
                lane.drop(job_id, until)
            case Disowned():
                self._dispatch.disown(lane)
                lane.drop_all()
                lane.gates.count_elsewhere({}, monotonic_ms(self._clock))
            case Lost(job, span, tally):
                if span.outcome is Outcome.LOST:
                    self._begun_elsewhere(lane, job, span, tally)
                self._dispatch.settle_span(lane, job, span)
            case BegunElsewhere(job, span, tally):
                self._begun_elsewhere(lane, job, span, tally)
            case ExtraRun():
                self._extra(lane, message)
            case SucceededByRetry(run, result, reason):
                self._dispatch.retry_is_stored(run, result, reason)
            case RunsElsewhere(counts, groups):
                fewer = [job_id for job_id, count in lane.elsewhere.items() if counts.get(job_id, 0) < count]
                lane.elsewhere = counts
                lane.gates.count_elsewhere(groups, monotonic_ms(self._clock))
                for entry in filter(None, map(lane.entries.get, fewer)):
                    self._dispatch.instance_ended(entry)
            case Claimed(until, horizon, expires):
                lane.claimed, lane.horizon, lane.expires = until, horizon, expires
                if lane.holds(self._clock):
                    self._dispatch.settle_unsure(lane)
                for entry in list(lane.owed):
                    self._dispatch.run_owed(entry)
            case CancelRequested(run):
                self._dispatch.cancel(run)
            case StoreTime(base):
                lane.follow(base, self._clock)
            case SlotsTaken(numbers, slot_of):
                lane.gates.take_slots(numbers, slot_of, monotonic_ms(self._clock))
            case LimitsChanged(limits):
                self._dispatch.limits_changed(lane, limits)
            case RunRequested(job, request, at, fence, overlap):
                run = Run(job, at, self._dispatch, lane.entry(job), fence, request=request)
                run.recorded = lane.store.shared
                self._dispatch.run_on_request(run, overlap or job.policy.overlap)

    def _give_up(self, lane: Lane, job_id: str, reason: Reason | None) -> None:
        if reason is None:
            self._dispatch.put_back(lane, job_id)
        else:
            self._dispatch.give_up(lane.entries.get(job_id), reason)
            self._dispatch.give_up_runs(lane, job_id, reason)

    def _begun_elsewhere(self, lane: Lane, job: Job, span: Span, tally: Tally | None) -> bool:
        """Count runs that had begun on a node that died, if they count for the job; False if they are too many."""
        if job.policy.max_runs is None or span.request is not None or tally is None:
            return True
        lane.tallies.take(job, tally, begins_anew=False)
        if not lane.tallies.may_begin(job, span.first):
            return False
        self._dispatch.count_begun_elsewhere(lane, job, span)
        return True

    def _extra(self, lane: Lane, extra: ExtraRun) -> None:
        """Let a run begin when it is due."""
        job, scheduled, due, fence, attempt, request, tries, recoveries, is_retry, verdict, tally, reported = extra
        span = Span(Outcome.LOST, scheduled, scheduled + 1, request=request)
        if not self._begun_elsewhere(lane, job, span, tally):
            verdict = Reason.MAX_RUNS
        run = Run(job, scheduled, self._dispatch, lane.entry(job), fence, attempt, request)
        run.due_ms, run.tries, run.recoveries, run.is_retry = due, tries, recoveries, is_retry
        run.recorded = lane.store.shared  # by the store, before it posted the message
        lane.deadlines.begin(run, reported)
        if is_retry:
            lane.note_retry(job.id, -1)
        if verdict is not None:
            self._dispatch.give_up_run(run, verdict)
            self._dispatch.end_if_over(run.entry)
        elif lane.finishing:
            self._dispatch.leave_run(run)
        elif due is None or due <= lane.now(self._clock):
            self._dispatch.run_later(run)
        else:
            lane.later.add(run, due)
            lane.forget_if_idle(run.entry)

    def _admit(self, lane: Lane, admitted: Admitted) -> None:
        """Let a job run here, from its due time on."""
        job, due, fence, is_new, tally = admitted
        known = lane.entries.get(job.id)
        if is_new and lane.later.by_job:
            self._dispatch.give_up_retries(lane, job.id)
        # Instants that still wait here from an earlier claim: another node has gone on after them, and so does the job.
        waited = Reason.LIMITED if known is not None and known.held_by is Hold.GATE else Reason.MAX_INSTANCES
        self._dispatch.give_up(known, Reason.RESCHEDULED if is_new else waited)
        if known is not None and known.parked:
            self._report.job(events.EVENT_JOB_HEALED, job)
        lane.tallies.take(job, tally, is_new)
        if lane.tallies.is_spent(job):
            due = None
        entry = lane.admit(job, due, fence)
        if due is None:
            self._dispatch.exhaust(entry)
