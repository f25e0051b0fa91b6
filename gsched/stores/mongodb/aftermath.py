"""What became of runs, written down: outcomes, figures of each job, and jobs whose triggers have ended.

Nothing here is in the way of a run: the hub's calls only fill buffers, which a greenlet of its own writes in bulk. What a
crash takes with it is what the claim protocol finds uncertain anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import islice
from typing import Final

from gevent.event import Event
from pymongo import DeleteOne, UpdateOne
from pymongo.errors import PyMongoError

from gsched.clock import Clock
from gsched.errors import StoreError
from gsched.events import EVENT_JOB_REMOVED, JobEvent, SchedulerEvent
from gsched.instants import from_ms
from gsched.job import Job
from gsched.planning import Span
from gsched.run import Outcome, Result, Run, run_id
from gsched.stores.mongodb.connection import Connection, Document, Jobs, translate_errors
from gsched.stores.mongodb.mongo_cluster import run_key
from gsched.stores.mongodb.tenure import slot_of

FLUSH_SECONDS: Final = 2.0
FIGURES_AT_ONCE: Final = 500  # jobs whose figures one flush writes, at about 0.3 ms each for the server
_BATCH: Final = 1000
_MOST_BUFFERED: Final = 100_000  # while the database does not answer; beyond that the oldest are dropped
_LONGEST_TRACEBACK: Final = 8000


class Aftermath:
    """Writes what became of runs.

    :param keep: how long the history is kept
    :param successes: write every n-th success of a job; 0: none, 1: all
    """

    def __init__(
        self,
        connection: Connection,
        clock: Clock,
        emit: Callable[[SchedulerEvent], None],
        *,
        keep: timedelta,
        successes: int,
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._emit = emit
        self._keep = keep
        self._successes = successes
        self._runs: list[UpdateOne] = []
        self._figures: dict[str, _Figures] = {}
        self._over: dict[str, Job] = {}
        self._parked: dict[str, tuple[Job, str | None]] = {}
        self._dropped = 0
        self._seen_successes = 0
        self._wakeup = Event()
        self._ended = False

    # -- called by the hub: no waiting --------------------------------------------------------------------------------

    def settle(self, run: Run, result: Result, node: str | None) -> None:
        """A run has ended."""
        if run.started_ms is not None:
            self._figures_of(run.job.id).count(run, result)
        if run.recorded or run.request is not None or self._is_told(result.outcome):
            self._tell(run_key(run.id, run.attempt), _run_fields(run, result, node), result.outcome)

    def settle_span(self, job: Job, span: Span, node: str | None) -> None:
        """Due instants have ended without a run."""
        if span.outcome is not Outcome.COALESCED or self._successes == 1:
            self._tell(run_key(run_id(job.id, span.first), 0), _span_fields(job, span, node), span.outcome)

    def end(self, job: Job) -> None:
        """The job's trigger has ended."""
        self._over[job.id] = job
        self._wakeup.set()

    def park(self, job: Job, reason: str | None) -> None:
        """The job cannot be run, or can be again."""
        self._parked[job.id] = (job, reason)
        self._wakeup.set()

    def _is_told(self, outcome: Outcome) -> bool:
        if outcome is not Outcome.SUCCEEDED:
            return True
        self._seen_successes += 1
        return self._successes > 0 and self._seen_successes % self._successes == 0

    def _tell(self, key: str, fields: Document, outcome: Outcome) -> None:
        if len(self._runs) >= _MOST_BUFFERED:
            self._runs.pop(0)
            self._dropped += 1
        fields["expires_at"] = from_ms(self._clock.now_ms()) + self._keep
        self._runs.append(UpdateOne({"_id": key}, {"$set": fields}, upsert=True))

    def _figures_of(self, job_id: str) -> _Figures:
        figures = self._figures.get(job_id)
        if figures is None:
            figures = self._figures[job_id] = _Figures()
        return figures

    # -- the writing greenlet -----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Write until `stop`, and then what is left."""
        while not self._ended:
            timer = self._clock.call_later(FLUSH_SECONDS, self._wakeup.set)
            self._wakeup.wait()
            timer.cancel()
            self._wakeup.clear()
            self._try_to_flush()
        self._try_to_flush()

    def stop(self) -> None:
        """Write what is left, then end."""
        self._ended = True
        self._wakeup.set()

    def _try_to_flush(self) -> None:
        try:
            self.flush()
        except StoreError:
            pass  # kept, for the next time; that the database is away, ownership reports

    @translate_errors()
    def flush(self) -> None:
        """Write everything that is buffered. What could not be written stays buffered."""
        jobs = self._connection.jobs()
        self._write_runs(jobs)
        self._write_figures(jobs)
        for job, reason in list(self._parked.values()):
            jobs.update_one({"_id": job.id, "rev": job.rev}, {"$set": {"parked": reason}})
            self._parked.pop(job.id)
        while self._over:
            self._remove_ended(jobs)

    def _write_runs(self, jobs: Jobs) -> None:
        while self._runs:
            batch, self._runs = self._runs[:_BATCH], self._runs[_BATCH:]
            try:
                jobs.runs.bulk_write(batch, ordered=False)
            except PyMongoError:
                self._runs = batch + self._runs
                raise

    def _write_figures(self, jobs: Jobs) -> None:
        """Of those jobs whose figures have waited longest: with 10^5 jobs a second, to write them all would keep the
        database busy with nothing else. Meanwhile they add up."""
        batch = {job_id: self._figures.pop(job_id) for job_id in list(islice(self._figures, FIGURES_AT_ONCE))}
        if batch:
            try:
                jobs.bulk_write([UpdateOne({"_id": i}, new.update()) for i, new in batch.items()], ordered=False)
            except PyMongoError:
                for job_id, figures in batch.items():
                    self._figures_of(job_id).add(figures)
                raise

    def _remove_ended(self, jobs: Jobs) -> None:
        """Remove jobs that are over, unless somebody has changed them meanwhile."""
        over = dict(islice(self._over.items(), _BATCH))
        deleted = jobs.bulk_write([DeleteOne({"_id": job.id, "rev": job.rev}) for job in over.values()], ordered=False)
        kept = set()
        if deleted.deleted_count < len(over):
            kept = {document["_id"] for document in jobs.find({"_id": {"$in": list(over)}}, ["_id"])}
        for job_id, job in over.items():
            if self._over.get(job_id) is job:
                del self._over[job_id]
            if job_id not in kept:
                self._emit(JobEvent(EVENT_JOB_REMOVED, job, reason="trigger_ended"))


class _Figures:
    """What is new of one job's figures."""

    __slots__ = ("failures", "last", "last_error", "runs")

    def __init__(self) -> None:
        self.runs = self.failures = 0
        self.last: Run | None = None
        self.last_error: str | None = None

    def count(self, run: Run, result: Result) -> None:
        self.runs += 1
        self.last = run
        if result.outcome is not Outcome.SUCCEEDED:
            self.failures += 1
            self.last_error = f"{result.outcome}: {result.error!r}"[:500]

    def add(self, earlier: _Figures) -> None:
        """Count in what could not be written earlier."""
        self.runs += earlier.runs
        self.failures += earlier.failures
        self.last = self.last or earlier.last
        self.last_error = self.last_error or earlier.last_error

    def update(self) -> Document:
        assert self.last is not None
        last: Document = {"figures.last_run": self.last.started_at, "figures.last_duration": self.last.duration}
        if self.last_error is not None:
            last["figures.last_error"] = self.last_error
        return {"$inc": {"figures.runs": self.runs, "figures.failures": self.failures}, "$set": last}


def _common(job: Job, node: str | None, outcome: Outcome, reason: str | None) -> Document:
    return {
        "state": "ended",
        "job_id": job.id,
        "job_name": job.name,
        "tags": list(job.tags),
        "slot": slot_of(job.id),
        "node": node,
        "outcome": str(outcome),
        "reason": reason,
    }


def _run_fields(run: Run, result: Result, node: str | None) -> Document:
    error = result.error
    fields = _common(run.job, node, result.outcome, result.reason) | {
        "scheduled_at": run.scheduled_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "attempt": run.attempt,
        "request": run.request,
    }
    if error is not None:
        fields["error_type"], fields["error_message"] = type(error).__name__, str(error)[:_LONGEST_TRACEBACK]
        fields["traceback"] = (result.traceback or "")[-_LONGEST_TRACEBACK:]
    return fields


def _span_fields(job: Job, span: Span, node: str | None) -> Document:
    return _common(job, node, span.outcome, span.reason) | {
        "scheduled_at": from_ms(span.first),
        "until": from_ms(span.end),
        "attempt": 0,
    }
