"""The reporter: counts what the hub decided without a run, and says so."""

from __future__ import annotations

import traceback

from gsched import events
from gsched.bus import EventBus
from gsched.callables import GENERATOR_REMEDY
from gsched.clock import Clock, JumpWatch
from gsched.events import JobEvent, JobSubmissionEvent, SchedulerEvent
from gsched.figures import Figures
from gsched.job import Job
from gsched.planning import Span

_MOST_REMEMBERED = 10_000


class Reporter:
    """Emits the events that are not per run, and counts spans.

    :param summary_every: seconds between two summaries; None: there are none
    """

    def __init__(self, clock: Clock, bus: EventBus, figures: Figures, summary_every: float | None) -> None:
        self._clock = clock
        self._bus = bus
        self._figures = figures
        self._summary_every = float("inf") if summary_every is None else summary_every
        self._next_summary = clock.monotonic() + self._summary_every
        self._jumps = JumpWatch(clock)
        self._reported_generators: set[str] = set()  # ids of jobs that this was reported of

    def job(self, code: int, job: Job, reason: str | None = None) -> None:
        """Something happened to a job."""
        self._bus.emit(JobEvent(code, job, **({"reason": reason} if reason else {})))

    def returned_generator(self, job: Job) -> None:
        """The function of a job returned a generator. That is reported once for each job."""
        if job.id not in self._reported_generators:
            if len(self._reported_generators) >= _MOST_REMEMBERED:
                self._reported_generators.clear()
            self._reported_generators.add(job.id)
            self.job(events.EVENT_JOB_RETURNED_GENERATOR, job, "the function returned a generator; " + GENERATOR_REMEDY)

    def span(self, job: Job, span: Span) -> None:
        """Instants of a job ended without a run."""
        self._figures.count_span(job, span)
        code = events.code_of(span.outcome, span.reason)
        if self._bus.mask & code:
            self._bus.emit(JobSubmissionEvent(code, job, span))

    def store_failed(self, alias: str, error: BaseException) -> None:
        """The store `alias` raised when it was told something."""
        self._bus.emit(SchedulerEvent(events.EVENT_STORE_FAILED, alias, **events.error_fields(error)))

    def turn_failed(self, error: BaseException) -> None:
        """A turn of the hub greenlet failed."""
        trace = traceback.format_exc()
        self._bus.emit(SchedulerEvent(events.EVENT_HUB_FAILED, **events.error_fields(error), traceback=trace))

    def look_at_clock(self) -> int:
        """Report a wall clock that jumped, and by how many ms; what that makes late is late like anything else."""
        if jump := self._jumps.look():
            self._bus.emit(SchedulerEvent(events.EVENT_CLOCK_SKEWED, seconds=jump))
        return round(jump * 1000)

    def summarize(self, in_progress: int) -> None:
        """Report what happened since the last summary, if it is time."""
        now = self._clock.monotonic()
        if now >= self._next_summary:
            self._next_summary = now + self._summary_every
            self._bus.emit(SchedulerEvent(events.EVENT_SUMMARY, running=in_progress, **self._figures.summary()))
