"""What stores say, done: jobs come, change and go, what is claimed grows, runs are asked for and taken over."""

from __future__ import annotations

from gsched import events
from gsched.clock import Clock
from gsched.dispatch import Dispatch
from gsched.lane import Entry, Lane
from gsched.reporter import Reporter
from gsched.run import Reason, Run
from gsched.stores.base import (
    Admitted,
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


class MessageReader:
    """Does what messages say, in the hub greenlet."""

    def __init__(self, clock: Clock, dispatch: Dispatch, report: Reporter) -> None:
        self._clock = clock
        self._dispatch = dispatch
        self._report = report

    def read(self, lane: Lane, message: Message) -> None:
        """Do what the lane's store says."""
        if not isinstance(message, (Claimed, StoreTime)):
            lane.unread -= 1
        match message:
            case Admitted():
                self._admit(lane, message)
            case Changed(job):
                entry = lane.change(job)
                if entry is not None and entry.parked:  # what parked it may be gone, else it is parked again
                    self._dispatch.unpark(entry)
                elif entry is not None:  # more of its runs may be allowed at once
                    self._dispatch.instance_ended(entry)
            case Dropped(job_id, until, reason):
                if until < 0:  # else it is another node's from then on
                    self._give_up(lane.entries.get(job_id), reason)
                lane.drop(job_id, until)
            case Disowned():
                lane.drop_all()
            case Lost(job, span):
                self._dispatch.settle_span(lane, job, span)
            case Recovered(job, scheduled, attempt, fence, request):
                self._dispatch.run_later(Run(job, scheduled, self._dispatch, lane.entry(job), fence, attempt, request))
            case RunsElsewhere(counts):
                fewer = [job_id for job_id, count in lane.elsewhere.items() if counts.get(job_id, 0) < count]
                lane.elsewhere = counts
                for entry in filter(None, map(lane.entries.get, fewer)):
                    self._dispatch.instance_ended(entry)
            case Claimed(until, horizon, expires):
                lane.claimed, lane.horizon, lane.expires = until, horizon, expires
                if lane.holds(self._clock):
                    self._dispatch.settle_unsure(lane)
                for entry in list(lane.owed):
                    self._dispatch.run_owed(entry)
            case StoreTime(base):
                lane.follow(base, self._clock)
            case RunRequested(job, request, at, fence):
                self._dispatch.run_on_request(Run(job, at, self._dispatch, lane.entry(job), fence, request=request))

    def _give_up(self, entry: Entry | None, reason: Reason | None) -> None:
        if reason is not None:
            self._dispatch.give_up(entry, reason)
        self._dispatch.give_up_owed(entry, reason or Reason.REMOVED_OR_PAUSED)

    def _admit(self, lane: Lane, admitted: Admitted) -> None:
        """The store lets a job run here, from its due time on."""
        job, due, fence, is_new = admitted
        known = lane.entries.get(job.id)
        # A backlog that waits here, while others had the job: they went on after it, and so does the job.
        self._dispatch.give_up(known, Reason.RESCHEDULED if is_new else Reason.MAX_INSTANCES)
        if known is not None and known.parked:
            self._report.job(events.EVENT_JOB_HEALED, job)
        entry = lane.admit(job, due, fence)
        if due is None:
            self._dispatch.exhaust(entry)
