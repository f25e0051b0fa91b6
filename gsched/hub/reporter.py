"""The reporter: counts instants that end without a run, and publishes the hub's events."""

from __future__ import annotations

import traceback

from gsched import events
from gsched.events import JobEvent, JobPauseEvent, JobSubmissionEvent, SchedulerEvent, SlowRunEvent
from gsched.events.bus import EventBus
from gsched.hub.deadlines import RunDeadline
from gsched.jobs.callables import GENERATOR_REMEDY
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Span
from gsched.monitoring.counters import Counters
from gsched.times.clock import Clock, JumpWatch

_MOST_REMEMBERED = 10_000


class Reporter:
    """Emits the events that are not per run, and counts spans.

    :param summary_every: seconds between two summaries; None: there are none
    """

    def __init__(self, clock: Clock, bus: EventBus, counters: Counters, summary_every: float | None) -> None:
        self._clock = clock
        self._bus = bus
        self._counters = counters
        self._summary_every = float("inf") if summary_every is None else summary_every
        self._next_summary = clock.monotonic() + self._summary_every
        self._jumps = JumpWatch(clock)
        self._reported_generators: set[str] = set()  # ids of jobs for which that was reported

    def job(self, code: int, job: Job, reason: str | None = None) -> None:
        """Publish an event about a job."""
        self._bus.emit(JobEvent(code, job, **({"reason": reason} if reason else {})))

    def pause_ended(self, job: Job) -> None:
        """Report that the pause of a job has ended by itself."""
        if self._bus.mask & events.EVENT_JOB_RESUMED and job.pause is not None:
            self._bus.emit(JobPauseEvent(events.EVENT_JOB_RESUMED, job, job.pause, None, "until"))

    def returned_generator(self, job: Job) -> None:
        """Report that a job's function returned a generator, once for each job."""
        if job.id not in self._reported_generators:
            if len(self._reported_generators) >= _MOST_REMEMBERED:
                self._reported_generators.clear()
            self._reported_generators.add(job.id)
            self.job(events.EVENT_JOB_RETURNED_GENERATOR, job, "the function returned a generator; " + GENERATOR_REMEDY)

    def slow(self, deadline: RunDeadline) -> None:
        """Report that a run has not succeeded by its deadline."""
        job = deadline.entry.job if deadline.run is None else deadline.run.job
        if self._bus.mask & events.EVENT_JOB_SLOW:
            about = deadline.scheduled, deadline.request, deadline.state
            self._bus.emit(SlowRunEvent(events.EVENT_JOB_SLOW, job, *about))

    def span(self, job: Job, span: Span) -> None:
        """Count and publish instants of a job that ended without a run."""
        self._counters.count_span(job, span)
        code = events.code_of(span.outcome, span.reason)
        if self._bus.mask & code:
            self._bus.emit(JobSubmissionEvent(code, job, span))

    def store_failed(self, alias: str, error: BaseException) -> None:
        """Report that a method of the store `alias` raised."""
        self._bus.emit(SchedulerEvent(events.EVENT_STORE_FAILED, alias, **events.error_fields(error)))

    def turn_failed(self, error: BaseException) -> None:
        """Report that a turn of the hub greenlet raised."""
        trace = traceback.format_exc()
        self._bus.emit(SchedulerEvent(events.EVENT_HUB_FAILED, **events.error_fields(error), traceback=trace))

    def look_at_clock(self) -> int:
        """Report a jump of the wall clock; by how many ms, 0 for none."""
        if not (jump := self._jumps.look()):
            return 0
        self._bus.emit(SchedulerEvent(events.EVENT_CLOCK_SKEWED, seconds=jump))
        return round(jump * 1000)

    def summarize(self, in_progress: int) -> None:
        """Publish a summary of what happened since the last one, if it is time."""
        now = self._clock.monotonic()
        if now >= self._next_summary:
            self._next_summary = now + self._summary_every
            self._bus.emit(SchedulerEvent(events.EVENT_SUMMARY, running=in_progress, **self._counters.summary()))
