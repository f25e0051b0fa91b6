"""The claim protocol's operations on runs that wait, and on those in progress."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final

from pymongo import UpdateMany, UpdateOne, errors as driver
from pymongo.client_session import ClientSession

from gsched.event_loop.slices import paced
from gsched.jobs.outcomes import Outcome
from gsched.stores.claims.database import RunRecord, WaitingRun
from gsched.stores.mongodb.claims.access import ClaimAccess
from gsched.stores.mongodb.documents.claims import (
    RUN_FIELDS,
    WAITING_FIELDS,
    addition_of,
    key_of,
    recording_of,
    run_record,
    waiting_run,
)
from gsched.stores.mongodb.documents.runs import WAITING, is_run
from gsched.stores.mongodb.driver.bulk import DUPLICATE, Refusal, write_all
from gsched.stores.mongodb.driver.codec import Document
from gsched.stores.mongodb.driver.connection import translate_errors
from gsched.times.instants import from_ms, to_ms

_FETCH: Final = 1000  # documents per batch: decoding a batch must not hold up the hub

# Writes these runs, in a transaction if there is a session. Gives what the database refuses.
_Write = Callable[[Sequence[RunRecord], ClientSession | None], list[Refusal]]


class RunClaims(ClaimAccess):
    """Reads and writes waiting runs and recorded runs."""

    # -- writes of a live node ----------------------------------------------------------------------------------------

    @translate_errors()
    def record_runs(self, node: str, runs: Sequence[RunRecord]) -> None:
        def record(some: Sequence[RunRecord], session: ClientSession | None) -> list[Refusal]:
            return write_all(self._runs, [recording_of(node, run) for run in some], session).refused

        self._write_together(node, runs, record)

    @translate_errors()
    def add_waiting(
        self, node: str, runs: Sequence[WaitingRun], announce: Collection[str]
    ) -> Collection[RunRecord]:
        waiting = {each.run: each for each in runs}

        def add(some: Sequence[RunRecord], session: ClientSession | None) -> list[Refusal]:
            refused = write_all(self._runs, [addition_of(waiting[run]) for run in some], session).refused
            return refused or self._announce({run.job_id for run in some}.intersection(announce), session)

        self._write_together(node, list(waiting), add)
        keys = {key_of(run): run for run in waiting}
        return [keys[document["_id"]] for document in self._runs.find({"_id": {"$in": list(keys)}}, ["_id"])]

    def _announce(self, job_ids: Collection[str], session: ClientSession | None) -> list[Refusal]:
        """Raise the revisions of these jobs: other processes see that in the change stream."""
        if not job_ids:
            return []
        countable = {"_id": {"$in": list(job_ids)}, "rev": {"$type": "number"}}  # $inc fails on a malformed revision
        return write_all(self._jobs, [UpdateMany(countable, {"$inc": {"rev": 1}})], session).refused

    @translate_errors()
    def begin_waiting(self, node: str, runs: Sequence[RunRecord]) -> Collection[RunRecord]:
        def begin(some: Sequence[RunRecord], session: ClientSession | None) -> list[Refusal]:
            waiting = {**_these(some), "state": WAITING}
            change = {"$set": {"state": "running", "node": node}}
            return write_all(self._runs, [UpdateMany(waiting, change)], session).refused

        self._write_together(node, runs, begin)
        keys = {key_of(run): run for run in runs}
        begun = self._runs.find({**_these(runs), "state": "running", "node": node}, ["_id"])
        return [keys[document["_id"]] for document in begun]

    @translate_errors()
    def put_back(self, node: str, runs: Collection[RunRecord]) -> None:
        waits = {"state": WAITING, "due_at": {"$ifNull": ["$due_at", "$scheduled_at"]}}

        def put(some: Sequence[RunRecord], session: ClientSession | None) -> list[Refusal]:
            begun = {**_these(some), "state": "running", "node": node}
            return write_all(self._runs, [UpdateMany(begun, [{"$set": waits}, {"$unset": "node"}])], session).refused

        self._write_together(node, list(runs), put)

    def _write_together(self, node: str, runs: Sequence[RunRecord], write: _Write) -> None:
        """Write these runs in one transaction. If the database refuses one, write each by itself: the others are
        written, and the reasons are reported.

        :raises FencedError: if the node is dead; none is written
        """
        if runs and self._attempt(node, runs, write):
            for run in runs:
                for refusal in self._attempt(node, [run], write):
                    self._report_run_refused(run, refusal)
            self._if_alive(node, lambda session: True)

    def _attempt(self, node: str, runs: Sequence[RunRecord], write: _Write) -> list[Refusal]:
        """Write all runs, or none if the database refuses one. Gives the first refusal."""
        refused: list[Refusal] = []

        def transaction(session: ClientSession | None) -> bool:
            refused[:] = write(runs, session)
            return not refused

        for is_last in (False, False, True):
            try:
                self._if_alive(node, transaction)
                if all(each.code != DUPLICATE for each in refused):
                    break
            except driver.OperationFailure as error:  # somebody is changing one of these documents at this moment
                if is_last or not error.has_error_label("TransientTransactionError"):
                    raise
        return refused

    def _report_run_refused(self, run: RunRecord, refusal: Refusal) -> None:
        """Report that a rule of the database's users keeps a run out. The node goes on claiming and taking over."""
        self._complain_once(
            f"runs of {run.job_id!r}",
            f"the database refuses to record in {self._runs.name} that runs of job {run.job_id!r} wait, are in progress"
            f" or have ended: they are not retried, and after a crash they have no outcome: {refusal.reason}",
        )

    # -- runs that wait -----------------------------------------------------------------------------------------------

    @translate_errors()
    def waiting_in(self, numbers: Collection[int], after: int, until: int) -> Mapping[str, int]:
        due = {"$gt": from_ms(after), "$lte": from_ms(until)}
        wanted = {"state": WAITING, "slot": {"$in": list(numbers)}, "due_at": due}
        earliest = {"$group": {"_id": "$job_id", "due_at": {"$min": "$due_at"}}}
        found = paced(self._runs.aggregate([{"$match": wanted}, earliest], batchSize=_FETCH))
        return {each["_id"]: to_ms(each["due_at"]) for each in found if isinstance(each["_id"], str)}

    @translate_errors()
    def waiting_of(self, job_ids: Collection[str], most: int) -> Sequence[WaitingRun]:
        wanted = {"state": WAITING, "job_id": {"$in": list(job_ids)}}
        found = self._runs.find(wanted, WAITING_FIELDS, sort=[("due_at", 1)], limit=most)
        return [waiting_run(document) for document in self._sane("run", found, is_run)]

    # -- runs in progress, and attempts that there are ----------------------------------------------------------------

    @translate_errors()
    def runs_of(self, nodes: Collection[str], numbers: Collection[int]) -> Sequence[RunRecord]:
        return self._running(numbers, {"$in": list(nodes)})

    @translate_errors()
    def runs_of_others(self, nodes: Collection[str], numbers: Collection[int]) -> Sequence[RunRecord]:
        return self._running(numbers, {"$nin": list(nodes)})

    def _running(self, numbers: Collection[int], node: Document) -> Sequence[RunRecord]:
        running = {"state": "running", "slot": {"$in": list(numbers)}, "node": node}
        return [run_record(document) for document in self._sane("run", self._runs.find(running), is_run)]

    @translate_errors()
    def later_attempts(self, numbers: Collection[int], since: int) -> Collection[RunRecord]:
        later = {"slot": {"$in": list(numbers)}, "scheduled_at": {"$gte": from_ms(since)}, "attempt": {"$gt": 1}}
        return self._read_attempts(later)

    @translate_errors()
    def ended_runs(self, job_ids: Collection[str], since: int) -> Iterable[RunRecord]:
        ended = {"job_id": {"$in": list(job_ids)}, "scheduled_at": {"$gte": from_ms(since)}, "state": "ended"}
        return self._read_attempts({**ended, "attempt": {"$gte": 1}})

    def _read_attempts(self, wanted: Document) -> Sequence[RunRecord]:
        found = paced(self._runs.find(wanted, RUN_FIELDS, batch_size=_FETCH))  # without the tracebacks
        return [run_record(document) for document in self._sane("run", found, is_run)]

    @translate_errors()
    def is_running(self, job_id: str, slot: int) -> bool:
        running = {"state": {"$in": ["running", WAITING]}, "slot": slot, "job_id": job_id}
        return self._runs.find_one(running, ["_id"]) is not None

    @translate_errors()
    def end_runs(self, runs: Sequence[RunRecord], outcome: Outcome) -> None:
        if runs:
            expires_at = {"$add": ["$$NOW", self._keep // timedelta(milliseconds=1)]}
            ended = [{"$set": {"state": "ended", "outcome": outcome.value, "expires_at": expires_at}}]
            try:
                self._runs.update_many({**_these(runs), "state": "running"}, ended)
            except driver.WriteError:  # it stops at the first document that the database refuses to change
                one_by_one = [UpdateOne({"_id": key_of(run), "state": "running"}, ended) for run in runs]
                for each in write_all(self._runs, one_by_one).refused:
                    self._report_run_refused(runs[each.number], each)


def _these(runs: Iterable[RunRecord]) -> Document:
    """The filter for the documents of these attempts."""
    return {"_id": {"$in": [key_of(run) for run in runs]}}
