"""Writes outcomes: the records of the history, the figures of each job, and the removal of jobs that have ended.

No run waits for this: the hub's calls only fill buffers, and a greenlet writes them in bulk. The claim protocol does
not count an instant as ended before its record is written. So if a crash takes the record with it, the instant is
rescued.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Final, NamedTuple

import gevent
from gevent.event import Event

from gsched.errors import StoreError
from gsched.event_loop.batches import batches
from gsched.event_loop.keyboard_interrupt import was_interrupt
from gsched.events import (
    EVENT_JOB_ON_TIME_AGAIN,
    EVENT_JOB_REMOVED,
    EVENT_STORE_FAILED,
    JobEvent,
    SchedulerEvent,
    paused_event,
)
from gsched.history.recent import HALF, LAST, SHIFT, SHORT_MS, packed
from gsched.history.records import LiveCounters, Record
from gsched.history.retention import RetentionPolicy
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome, Result, Span
from gsched.jobs.pause import Pause
from gsched.jobs.run import Run
from gsched.jobs.tally import Tally
from gsched.policies.counting import why_over
from gsched.policies.pauses import paused_for_failures
from gsched.stores.durable.answers import Records
from gsched.stores.durable.record_buffer import BATCH, RecordBuffer
from gsched.stores.expectations import Expectations
from gsched.times.clock import Clock

ChangeMany = Callable[[Sequence[str], Callable[[Job], Job | None]], Sequence[Job]]

FLUSH_SECONDS: Final = 2.0  # between two writes of figures; records wait at most this long
FIGURES_AT_ONCE: Final = 500  # jobs whose figures one flush writes, at about 0.3 ms each for the server
LAST_FLUSH_SECONDS: Final = 3.0  # writing goes on this long after `stop`
_PAUSE_SECONDS: Final = 0.05  # at least, between two flushes
_MAY_BE_RECORDED_MS: Final = 2500  # from this long after its instant, the claim protocol may record a run in progress
_MOST_NAMED: Final = 5  # jobs in one report
_SUCCEEDED: Final = Outcome.SUCCEEDED  # looked up for every run


class Success(NamedTuple):
    """The last success of a job that expects some: the job, and when (ms)."""

    job: Job
    at: int


class OutcomeWriter:
    """Writes outcomes in bulk, in a greenlet of its own.

    :param retention: which successes the history has
    :param recent: keep each job's last outcomes with its figures
    :param change_many: changes jobs: see `BaseJobStore.change_many`
    :ivar buffer: the records and tallies that wait to be written
    """

    def __init__(
        self,
        records: Records,
        expectations: Expectations,
        clock: Clock,
        emit: Callable[[SchedulerEvent], None],
        *,
        retention: RetentionPolicy,
        recent: bool = True,
        change_many: ChangeMany,
    ) -> None:
        self._records = records
        self._expectations = expectations
        self._change_many = change_many
        self._clock = clock
        self._emit = emit
        self._retention = retention
        self._keeps_recent = recent
        self._counts_successes = retention.every > 0
        self.buffer = RecordBuffer()
        self._counters: dict[str, LiveCounters] = {}
        self._over: dict[str, Job] = {}
        self._successes: dict[str, Success] = {}  # that are not written yet
        self._failing: dict[str, Pause] = {}  # jobs that are to be paused, because they have failed too often
        self._node: str | None = None
        self._refused: set[tuple[str, str]] = set()  # refusals that were reported: the kind of write, the job's id
        self._wakeup = Event()
        self._stopped = Event()

    # -- called by the hub: no waiting --------------------------------------------------------------------------------

    def settle_briefly(self, run: Run, result: Result) -> bool:
        """Count a run that has ended, if it needs no more than to be counted in its job's figures.

        That is so for most runs, and costs a third of `settle`, which would come to the same.

        :return: whether the run was counted
        """
        counters = self._counters.get(run.job.id)
        if counters is None or result.outcome is not _SUCCEEDED or self._counts_successes or _is_rare(run):
            return False
        started = run.started_ms
        took = run.finished_ms - started  # type: ignore[operator]
        if (recent := counters.recent) is not None:
            scheduled = run.scheduled_ms
            late = started - scheduled  # type: ignore[operator]
            if 0 <= late | took < SHORT_MS:
                recent[counters.noted & LAST] = scheduled << SHIFT | (late << HALF | took)
            else:
                recent[counters.noted & LAST] = packed(scheduled, late, took, _SUCCEEDED)
        counters.noted += 1
        counters.started_ms, counters.took_ms = started, took
        return True

    def settle(self, run: Run, result: Result, node: str | None) -> None:
        """Count a run that has ended, and keep its record until it is written."""
        if run.started_ms is not None:
            self._counters_of(run.job.id).count(run, result)
        if self._retention.keeps(run, result) or _may_be_recorded(run):
            self._note(Record.of_run(run, result, self._name(node)), closes=_is_rare(run))

    def settle_span(self, job: Job, span: Span, node: str | None, ahead: Iterable[int] = ()) -> None:
        """Keep the record of instants that have ended without a run.

        :param ahead: the instants among these that were recorded as runs in progress
        """
        for instant in ahead:
            self._note(Record(job, instant, str(span.outcome), span.reason, 1, self._name(node)), closes=True)
        if self._retention.keeps_span(span):
            # Lost instants were in progress on another node.
            by = None if span.outcome is Outcome.LOST else self._name(node)
            self._note(Record.of_span(job, span, by))
            if self._keeps_recent:
                self._counters_of(job.id).count_span(span)

    def _counters_of(self, job_id: str) -> LiveCounters:
        counters = self._counters.get(job_id)
        if counters is None:
            counters = self._counters[job_id] = LiveCounters(self._keeps_recent)
        return counters

    def end(self, job: Job) -> None:
        """Remove the job, whose trigger has ended."""
        self._over[job.id] = job
        self._wakeup.set()

    def note_tally(self, job_id: str, tally: Tally, instant: int) -> None:
        """Write the counts of a job soon."""
        self.buffer.note_tally(job_id, tally, instant)
        self._wakeup.set()

    def note_success(self, job: Job, at: int) -> None:
        """Write with the figures that the job, which expects successes, has succeeded at this time (ms)."""
        self._successes[job.id] = Success(job, at)

    def pause(self, job: Job, pause: Pause) -> None:
        """Pause the job, which has failed too often."""
        self._failing[job.id] = pause
        self._wakeup.set()

    def _name(self, node: str | None) -> str | None:
        """The node to name in a record; while this process has no node, the last one it was."""
        self._node = node or self._node
        return self._node

    def _note(self, record: Record, closes: bool = False) -> None:
        if not self.buffer:  # write soon, for followers; if the database fails, the timer tries again
            self._wakeup.set()
        self.buffer.add(record, closes)

    # -- the writing greenlet -----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Write until `stop`, then write the rest, for a few seconds at most."""
        figures_due = self._clock.monotonic() + FLUSH_SECONDS
        while not self._stopped.is_set():
            timer = self._clock.call_later(figures_due - self._clock.monotonic(), self._wakeup.set)
            self._wakeup.wait()
            timer.cancel()
            self._wakeup.clear()
            with_figures = self._clock.monotonic() >= figures_due
            self._try_to_flush(with_figures)
            if with_figures:
                figures_due = self._clock.monotonic() + FLUSH_SECONDS
            self._stopped.wait(_PAUSE_SECONDS)
        give_up = self._clock.monotonic() + LAST_FLUSH_SECONDS
        while self._try_to_flush() and (self._counters or self._successes) and self._clock.monotonic() < give_up:
            gevent.sleep(0)

    def stop(self) -> None:
        """Write what is left, then end."""
        self._stopped.set()
        self._wakeup.set()

    def _try_to_flush(self, with_figures: bool = True) -> bool:
        """Write what is buffered. Gives whether the database took it; the rest is kept for the next time."""
        try:
            self.flush(with_figures)
        except StoreError:
            return False  # the ownership greenlet reports that the database does not answer
        except BaseException as error:  # whatever it is, the other outcomes must still be written
            if not was_interrupt(error):
                self._report(type(error).__name__, str(error))
            return False
        finally:
            if count := self.buffer.take_dropped():
                self._report("HistoryOverflow", f"the history lacks {count} records that the database did not take")
        return True

    def _report_refused(self, what: str, reasons: Mapping[str, str]) -> None:
        """Report which writes the database refuses, once for each job. These writes are lost."""
        new = [job_id for job_id in reasons if (what, job_id) not in self._refused]
        if new:
            self._refused.update((what, job_id) for job_id in new)
            named = ", ".join(new[:_MOST_NAMED]) + (", ..." if len(new) > _MOST_NAMED else "")
            count = f"{len(new)} job{'s' * (len(new) > 1)}"
            self._report("WriteError", f"the database refuses {what} of {count} ({named}): {reasons[new[0]]}")

    def _report(self, error_type: str, message: str) -> None:
        self._emit(SchedulerEvent(EVENT_STORE_FAILED, error_type=error_type, error_message=message))

    def flush(self, with_figures: bool = True) -> None:
        """Write what is buffered: first the records, then the removal of the jobs that they belong to.

        :raises StoreError: if a part failed; that part stays buffered
        """
        failure = None
        over = list(self._over.values())  # the records of these jobs are all in the buffer by now
        writes: list[Callable[[], None]] = [
            self._write_records,
            partial(self._remove_ended, over),
            self._pause_failing,
        ]
        if with_figures:
            writes += [self._write_figures, self._write_successes]
        for write in writes:
            try:
                write()
            except StoreError as error:
                failure = error
                if write == self._write_records:
                    break  # no job may be removed before its records are written
        if failure is not None:
            raise failure

    def _write_records(self) -> None:
        self.buffer.write(self._write_batch, self._write_tallies)

    def _write_batch(self, records: Sequence[Record]) -> None:
        self._report_refused("records of the history", self._records.write(records))

    def _write_tallies(self, tallies: Mapping[str, Tally]) -> None:
        self._report_refused("the counts", self._records.note_tallies(tallies))

    def _pause_failing(self) -> None:
        """Pause the jobs that have failed too often."""
        for some in batches(list(self._failing), BATCH):
            wanted = {job_id: self._failing[job_id] for job_id in some}
            for job in self._change_many(some, partial(_paused, wanted)):
                self._emit(paused_event(job))
            for job_id in some:
                if self._failing.get(job_id) is wanted[job_id]:
                    del self._failing[job_id]

    def _write_figures(self) -> None:
        """Write the figures that have waited longest; the others add up. With 10^5 jobs a second, writing all figures
        would keep the database busy with nothing else."""
        for _ in range(FIGURES_AT_ONCE // BATCH):
            batch = {job_id: self._counters.pop(job_id) for job_id in list(islice(self._counters, BATCH))}
            if not batch:
                return
            try:
                refused = self._records.count(batch)
            except BaseException:
                for job_id, counters in batch.items():
                    self._counters_of(job_id).add_earlier(counters)
                raise
            self._report_refused("the figures", refused)

    def _write_successes(self) -> None:
        """Write the successes that have waited longest, as many as figures."""
        self.write_successes_of(list(islice(self._successes, FIGURES_AT_ONCE)))

    def write_successes_of(self, job_ids: Collection[str]) -> bool:
        """Write the successes of these jobs that are not written yet. Gives whether there were any."""
        unwritten = [job_id for job_id in job_ids if job_id in self._successes]
        for some in batches(unwritten, BATCH):
            written = {job_id: self._successes[job_id] for job_id in some if job_id in self._successes}
            recovered = self._expectations.succeeded({job_id: each.at for job_id, each in written.items()})
            for job_id, each in written.items():
                if self._successes.get(job_id) is each:
                    del self._successes[job_id]
            for job_id in recovered:
                self._emit(JobEvent(EVENT_JOB_ON_TIME_AGAIN, written[job_id].job))
        return bool(unwritten)

    def _remove_ended(self, over: Sequence[Job]) -> None:
        """Remove jobs whose trigger has ended, unless somebody has changed them meanwhile."""
        for some in batches(over, BATCH):
            removed = self._records.remove_ended(some)
            self._report_refused("the removal", removed.refused)
            for job in some:
                if self._over.get(job.id) is job:
                    del self._over[job.id]
                if job.id in removed.gone:
                    self._counters.pop(job.id, None)
                    self._emit(JobEvent(EVENT_JOB_REMOVED, job, reason=why_over(job, self._clock.now_ms())))


def _paused(wanted: Mapping[str, Pause], job: Job) -> Job | None:
    pause = wanted[job.id]
    return paused_for_failures(job, pause, pause.at_ms or 0)


def _is_rare(run: Run) -> bool:
    """True if a run that succeeded has a record, or may have a document that must be closed."""
    return (
        run.request is not None
        or run.attempt > 1
        or run.recorded
        or run.output is not None
        or _may_be_recorded(run)
    )


def _may_be_recorded(run: Run) -> bool:
    """True if the claim protocol may be recording the run as in progress at this moment."""
    return run.finished_ms is not None and run.finished_ms - run.scheduled_ms >= _MAY_BE_RECORDED_MS
