"""The claim protocol's operations on runs in progress that are written down."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from typing import Final

from pymongo import UpdateOne, errors as driver
from pymongo.client_session import ClientSession

from gsched.instants import from_ms
from gsched.run import Outcome, Reason
from gsched.slices import paced
from gsched.stores.mongodb.bulk import DUPLICATE, Refusal, write_all
from gsched.stores.mongodb.cluster import RunRecord
from gsched.stores.mongodb.cluster_access import ClusterAccess
from gsched.stores.mongodb.cluster_documents import RUN_FIELDS, key_of, recording_of, run_record
from gsched.stores.mongodb.connection import Document, translate_errors
from gsched.stores.mongodb.history import WAITING, is_run
from gsched.stores.mongodb.partition import slot_of

_FETCH: Final = 1000  # documents per batch: decoding one must not hold up the hub


class ClusterRuns(ClusterAccess):
    """What is in progress, and what of it was lost."""

    @translate_errors()
    def record_runs(self, node: str, runs: Sequence[RunRecord]) -> None:
        if runs and self._record(node, runs):  # then each by itself: only the first that is refused is told
            for run in runs:
                for refusal in self._record(node, [run]):
                    self._say_run_refused(run, refusal)
            self._if_alive(node, lambda session: True)

    def _record(self, node: str, runs: Sequence[RunRecord]) -> list[Refusal]:
        """Write all of them down, or none where one is refused; which are."""
        recording = [recording_of(node, run) for run in runs]
        refused: list[Refusal] = []

        def write(session: ClientSession | None) -> bool:
            refused[:] = write_all(self._runs, recording, session).refused
            return not refused

        for is_last in (False, False, True):
            try:
                self._if_alive(node, write)
                if all(each.code != DUPLICATE for each in refused):
                    break
            except driver.OperationFailure as error:  # one of the runs may be ending at this moment
                if is_last or not error.has_error_label("TransientTransactionError"):
                    raise
        return refused

    def _say_run_refused(self, run: RunRecord, refusal: Refusal) -> None:
        """A rule of theirs keeps it out, and the node goes on: to claim, and to take over, matters more."""
        self._complain_once(
            f"runs of {run.job_id!r}",
            f"the database refuses to note in {self._runs.name} that runs of job {run.job_id!r} are in progress, or "
            f"lost: after a crash, nobody knows of them: {refusal.reason}",
        )

    @translate_errors()
    def awaited_in(self, numbers: Collection[int]) -> Iterable[str]:
        wanted = {"state": WAITING, "slot": {"$in": list(numbers)}}
        return [job_id for job_id in self._runs.distinct("job_id", wanted) if isinstance(job_id, str)]

    @translate_errors()
    def waiting_of(self, job_ids: Collection[str], most: int) -> Sequence[RunRecord]:
        wanted = {"state": WAITING, "job_id": {"$in": list(job_ids)}}
        found = self._runs.find(wanted, RUN_FIELDS, sort=[("due_at", 1)], limit=most)
        return [run_record(document) for document in self._sane("run", found, is_run)]

    @translate_errors()
    def begin_waiting(self, node: str, runs: Sequence[RunRecord]) -> Collection[RunRecord]:
        keys = {key_of(run): run for run in runs}
        these, begin = {"_id": {"$in": list(keys)}}, {"$set": {"state": "running", "node": node}}

        def write(session: ClientSession | None) -> bool:
            self._runs.update_many({**these, "state": WAITING}, begin, session=session)
            return True

        for is_last in (False, False, True):
            try:
                self._if_alive(node, write)
                break
            except driver.WriteError as error:  # a rule of theirs: then none of them begins
                for run in runs:
                    self._say_run_refused(run, Refusal(0, 0, str(error)))
                break
            except driver.OperationFailure as error:  # somebody withdraws one of the runs at this moment
                if is_last or not error.has_error_label("TransientTransactionError"):
                    raise
        begun = self._runs.find({**these, "state": "running", "node": node}, ["_id"])
        return [keys[document["_id"]] for document in begun]

    @translate_errors()
    def skip_waiting(self, node: str, runs: Collection[RunRecord]) -> None:
        if runs:
            not_begun = {"$or": [{"state": WAITING}, {"state": "running", "node": node}]}
            outcome = {"outcome": Outcome.SKIPPED.value, "reason": Reason.REMOVED_OR_PAUSED.value}
            ended = {"state": "ended", **outcome, "expires_at": self._expiry()}
            self._runs.update_many({"_id": {"$in": [*map(key_of, runs)]}, **not_begun}, [{"$set": ended}])

    def _expiry(self) -> Document:
        """When what ends now is to be removed, for a pipeline."""
        return {"$add": ["$$NOW", self._keep // timedelta(milliseconds=1)]}

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
    def ended_runs(self, job_ids: Collection[str], since: int) -> Iterable[RunRecord]:
        ended = {"job_id": {"$in": list(job_ids)}, "scheduled_at": {"$gte": from_ms(since)}, "state": "ended"}
        attempts = {**ended, "attempt": {"$gte": 1}}
        found = paced(self._runs.find(attempts, RUN_FIELDS, batch_size=_FETCH))  # without the tracebacks
        return [run_record(document) for document in self._sane("run", found, is_run)]

    @translate_errors()
    def is_running(self, job_id: str) -> bool:
        running = {"state": {"$in": ["running", WAITING]}, "slot": slot_of(job_id), "job_id": job_id}
        return self._runs.find_one(running, ["_id"]) is not None

    @translate_errors()
    def lose_runs(self, runs: Sequence[RunRecord]) -> None:
        if runs:
            lost = {"_id": {"$in": [key_of(run) for run in runs]}, "state": "running"}
            ended = [{"$set": {"state": "ended", "outcome": "lost", "expires_at": self._expiry()}}]
            try:
                self._runs.update_many(lost, ended)
            except driver.WriteError:  # those that come after the one that is refused are not changed either
                one_by_one = [UpdateOne({"_id": key_of(run), "state": "running"}, ended) for run in runs]
                for each in write_all(self._runs, one_by_one).refused:
                    self._say_run_refused(runs[each.number], each)
