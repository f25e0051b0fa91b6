"""What became of runs, written down: the history, figures of each job, and jobs whose triggers have ended.

Nothing here is in the way of a run: the hub's calls only fill buffers, which a greenlet of its own writes in bulk. The
claim protocol does not say of an instant that it has ended before its record is written: a crash that takes the record
with it leaves the instant uncertain, and not silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Final

import gevent
from gevent.event import Event
from pymongo import DeleteOne, UpdateOne

from gsched.batches import batches
from gsched.clock import Clock
from gsched.errors import StoreError
from gsched.events import EVENT_JOB_REMOVED, EVENT_STORE_FAILED, JobEvent, SchedulerEvent
from gsched.instants import from_ms
from gsched.interrupts import was_interrupt
from gsched.job import Job
from gsched.planning import Span
from gsched.recent import CHARACTERS, HALF, KEPT, LAST, SHIFT, SHORT_MS, packed, text_of
from gsched.records import Keeping, Record, Tally
from gsched.run import Outcome, Reason, Result, Run
from gsched.stores.mongodb.bulk import DUPLICATE, Refusal, Written, write_all
from gsched.stores.mongodb.connection import Connection, Document, Jobs, translate_errors
from gsched.stores.mongodb.history import WAITING
from gsched.stores.mongodb.history_writer import BATCH, HistoryWriter

FLUSH_SECONDS: Final = 2.0  # between two writes of figures, and at most until anything else is written
FIGURES_AT_ONCE: Final = 500  # jobs whose figures one flush writes, at about 0.3 ms each for the server
LAST_FLUSH_SECONDS: Final = 3.0  # how long is written at the end
_PAUSE_SECONDS: Final = 0.05  # at least, between two flushes
_MAY_BE_WRITTEN_MS: Final = 2500  # after it was due, a run in progress may be written down by the claim protocol
_MOST_NAMED: Final = 5  # jobs in one report
_SUCCEEDED: Final = Outcome.SUCCEEDED  # looked up for every run


class Aftermath:
    """Writes what became of runs.

    :param keep: how long the history is kept
    :param keeping: which successes it has
    :param recent: whether each job's last outcomes are kept
    :ivar history: what of it waits to be written
    """

    def __init__(
        self,
        connection: Connection,
        clock: Clock,
        emit: Callable[[SchedulerEvent], None],
        *,
        keep: timedelta,
        keeping: Keeping,
        recent: bool = True,
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._emit = emit
        self._keeping = keeping
        self._keeps_recent = recent
        self._counts_successes = keeping.every > 0
        self.history = HistoryWriter(clock, keep, self._say_refused)
        self._tallies: dict[str, Tally] = {}
        self._over: dict[str, Job] = {}
        self._node: str | None = None
        self._refused: set[tuple[str, str]] = set()  # what of which jobs it was said of that the database refuses it
        self._wakeup = Event()
        self._stopped = Event()

    # -- called by the hub: no waiting --------------------------------------------------------------------------------

    def settle_briefly(self, run: Run, result: Result) -> bool:
        """Count a run that has ended, if nothing is to be said of it beyond its job's figures; whether that was so.

        It is so of most runs, and costs a third of `settle`, which finds the same.
        """
        tally = self._tallies.get(run.job.id)
        if tally is None or result.outcome is not _SUCCEEDED or self._counts_successes or _is_rare(run):
            return False
        started, finished = run.started_ms, run.finished_ms
        if (recent := tally.recent) is not None:
            scheduled = run.scheduled_ms
            late, took = started - scheduled, finished - started  # type: ignore[operator]
            if 0 <= late | took < SHORT_MS:
                recent[tally.noted & LAST] = scheduled << SHIFT | (late << HALF | took)
            else:
                recent[tally.noted & LAST] = packed(scheduled, late, took, _SUCCEEDED)
        tally.noted += 1
        tally.started_ms, tally.finished_ms = started, finished
        return True

    def settle(self, run: Run, result: Result, node: str | None) -> None:
        """A run has ended."""
        if run.started_ms is not None:
            self._tally_of(run.job.id).count(run, result)
        if self._keeping.keeps(run, result) or _may_be_written_down(run):
            self._note(Record.of_run(run, result, self._name(node)), closes=_is_rare(run))

    def settle_span(self, job: Job, span: Span, node: str | None, ahead: Iterable[int] = ()) -> None:
        """Due instants have ended without a run; `ahead`: those of them that were written down as runs in progress."""
        for instant in ahead:
            self._note(Record(job, instant, str(span.outcome), span.reason, 1, self._name(node)), closes=True)
        if self._keeping.keeps_span(span):
            # Whatever was lost, was lost by another node.
            by = None if span.outcome is Outcome.LOST else self._name(node)
            self._note(Record.of_span(job, span, by))
            if self._keeps_recent:
                self._tally_of(job.id).count_span(span)

    def _tally_of(self, job_id: str) -> Tally:
        tally = self._tallies.get(job_id)
        if tally is None:
            tally = self._tallies[job_id] = Tally(self._keeps_recent)
        return tally

    def end(self, job: Job) -> None:
        """The job's trigger has ended."""
        self._over[job.id] = job
        self._wakeup.set()

    def _name(self, node: str | None) -> str | None:
        """The node that answers; between two incarnations, the former."""
        self._node = node or self._node
        return self._node

    def _note(self, record: Record, closes: bool = False) -> None:
        if not self.history:  # somebody may be following; while the database is away, the timer tries again
            self._wakeup.set()
        self.history.add(record, closes)

    # -- the writing greenlet -----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Write until `stop`, and then what is left, as far as it is done in a few seconds."""
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
        # Not killed: no greenlet of ours is, inside the driver.
        give_up = self._clock.monotonic() + LAST_FLUSH_SECONDS
        while self._try_to_flush() and self._tallies and self._clock.monotonic() < give_up:
            gevent.sleep(0)

    def stop(self) -> None:
        """Write what is left, then end."""
        self._stopped.set()
        self._wakeup.set()

    def _try_to_flush(self, with_figures: bool = True) -> bool:
        """Write what there is; whether the database took it. What it did not take is kept for the next time."""
        try:
            self.flush(with_figures)
        except StoreError:
            return False  # that the database is away, ownership reports
        except BaseException as error:  # whatever it is, the others' outcomes must still be written
            if not was_interrupt(error):
                self._report(type(error).__name__, str(error))
            return False
        finally:
            if count := self.history.take_dropped():
                self._report("HistoryOverflow", f"the history lacks {count} records that the database did not take")
        return True

    def _say_refused(self, what: str, job_ids: Sequence[str], refused: Iterable[Refusal]) -> None:
        """Report what the database does not take, once of each job: it is lost, and so may be what follows."""
        reasons = {job_ids[each.number]: each.reason for each in refused if each.code != DUPLICATE}
        new = [job_id for job_id in reasons if (what, job_id) not in self._refused]
        if new:
            self._refused.update((what, job_id) for job_id in new)
            named = ", ".join(new[:_MOST_NAMED]) + (", ..." if len(new) > _MOST_NAMED else "")
            count = f"{len(new)} job{'s' * (len(new) > 1)}"
            self._report("WriteError", f"the database refuses {what} of {count} ({named}): {reasons[new[0]]}")

    def _report(self, error_type: str, message: str) -> None:
        self._emit(SchedulerEvent(EVENT_STORE_FAILED, error_type=error_type, error_message=message))

    def flush(self, with_figures: bool = True) -> None:
        """Write what is buffered: the history before the jobs that it is about are removed.

        Each part is tried, whatever becomes of the others. Raises StoreError; what was not written stays buffered.
        """
        jobs, failure = self._connection.jobs(), None
        over = list(self._over.values())  # all that is to be written of these is in the buffers by now
        writes: list[Callable[[Jobs], None]] = [self.history.write, partial(self._remove_ended, over)]
        if with_figures:
            writes.append(self._write_figures)
        for write in writes:
            try:
                translate_errors()(write)(jobs)
            except StoreError as error:
                failure = error
                if write == self.history.write:
                    break  # nothing is removed before it is written down, and the rest can wait
        if failure is not None:
            raise failure

    # -- figures ------------------------------------------------------------------------------------------------------

    def _write_figures(self, jobs: Jobs) -> None:
        """Of those jobs whose figures have waited longest: with 10^5 jobs a second, to write them all would keep the
        database busy with nothing else. Meanwhile they add up."""
        for _ in range(FIGURES_AT_ONCE // BATCH):
            batch = {job_id: self._tallies.pop(job_id) for job_id in list(islice(self._tallies, BATCH))}
            if not batch:
                return
            try:
                written = write_all(jobs, [UpdateOne({"_id": i}, _counting(new)) for i, new in batch.items()])
            except BaseException:
                for job_id, tally in batch.items():
                    self._tally_of(job_id).add_earlier(tally)
                raise
            self._say_refused("the figures", list(batch), written.refused)

    # -- jobs ---------------------------------------------------------------------------------------------------------

    def _remove_ended(self, over: Sequence[Job], jobs: Jobs) -> None:
        """Remove jobs that are over, unless somebody has changed them meanwhile."""
        for some in batches(over, BATCH):
            ids = [job.id for job in some]
            asked_for = set(jobs.runs.distinct("job_id", {"job_id": {"$in": ids}, "state": WAITING}))  # they are to run
            gone = [DeleteOne({"_id": job.id, "rev": job.rev}) for job in some if job.id not in asked_for]
            written = write_all(jobs, gone) if gone else Written(0, 0, [])
            self._say_refused("the removal", ids, written.refused)
            kept = set()
            if written.deleted < len(some):
                kept = {document["_id"] for document in jobs.find({"_id": {"$in": ids}}, ["_id"])}
            for job in some:
                if self._over.get(job.id) is job:
                    del self._over[job.id]
                if job.id not in kept:
                    self._tallies.pop(job.id, None)
                    self._emit(JobEvent(EVENT_JOB_REMOVED, job, reason=Reason.TRIGGER_ENDED))


def _is_rare(run: Run) -> bool:
    """Whether there may be more to a run that succeeded than its job's figures."""
    return run.request is not None or run.attempt > 1 or run.recorded or _may_be_written_down(run)


def _may_be_written_down(run: Run) -> bool:
    """Whether the claim protocol may be writing the run down as in progress, which is to be put right then."""
    return run.finished_ms is not None and run.finished_ms - run.scheduled_ms >= _MAY_BE_WRITTEN_MS


def _counting(new: Tally) -> list[Document]:
    """The update that counts in what is new of a job's figures, as a pipeline: it appends to a text that it reads."""
    figures: Document = {
        "runs": _added("runs", new.runs), "failures": _added("failures", new.failures),
        "last_duration": {"$ifNull": [new.duration, "$figures.last_duration"]},
    }  # fmt: skip
    if new.started_ms is not None:
        figures["last_run"] = from_ms(new.started_ms)
    if new.error is not None:
        figures["last_error"] = {"$literal": new.error}
    if recent := text_of(new.last_outcomes()):
        figures["recent"] = _appended("$figures.recent", recent)
    return [{"$set": {f"figures.{name}": value for name, value in figures.items()}}]


def _added(name: str, more: int) -> Document:
    """The sum. The database refuses it, as it does an $inc, if the figures are no document: a pipeline alone would put
    one in place of what people have written."""
    is_document = {"$in": [{"$type": "$figures"}, ["missing", "object"]]}
    return {"$add": [{"$ifNull": [f"$figures.{name}", 0]}, more, {"$cond": [is_document, 0, "no document"]}]}


def _appended(field: str, more: str) -> Document:
    """The text in the field, and `more`; of all this the end, as long as the last outcomes are."""
    known = {"$cond": [{"$eq": [{"$type": field}, "string"]}, field, ""]}
    whole = {"$concat": [known, {"$literal": more}]}
    beyond = {"$max": [0, {"$subtract": [{"$strLenCP": "$$whole"}, KEPT * CHARACTERS]}]}
    return {"$let": {"vars": {"whole": whole}, "in": {"$substrCP": ["$$whole", beyond, KEPT * CHARACTERS]}}}
