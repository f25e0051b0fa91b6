"""The claim protocol's operations on runs in progress that are written down."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from typing import Final

from pymongo import UpdateOne, errors as driver
from pymongo.client_session import ClientSession

from gsched.instants import from_ms
from gsched.slices import paced
from gsched.stores.mongodb.cluster import RunRecord
from gsched.stores.mongodb.cluster_access import ClusterAccess
from gsched.stores.mongodb.cluster_documents import RUN_FIELDS, key_of, recording_of, run_record
from gsched.stores.mongodb.connection import Document, translate_errors
from gsched.stores.mongodb.history import is_run
from gsched.stores.mongodb.partition import slot_of

_FETCH: Final = 1000  # documents per batch: decoding one must not hold up the hub


class ClusterRuns(ClusterAccess):
    """What is in progress, and what of it was lost."""

    @translate_errors()
    def record_runs(self, node: str, runs: Sequence[RunRecord]) -> None:
        if not runs:
            return
        recording = [recording_of(node, run) for run in runs]
        for is_last in (False, False, True):
            try:
                self._if_alive(node, lambda session: self._write_runs(recording, session))
                return
            except driver.OperationFailure as error:  # one of the runs may be ending at this moment
                if is_last or not error.has_error_label("TransientTransactionError"):
                    raise

    def _write_runs(self, recording: list[UpdateOne], session: ClientSession | None) -> bool:
        return bool(self._runs.bulk_write(recording, ordered=False, session=session).acknowledged)

    @translate_errors()
    def strike_out(self, node: str, run: RunRecord) -> bool:
        noted = {"_id": key_of(run), "state": "running", "node": node}
        return bool(self._runs.delete_one(noted).deleted_count)

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
        running = {"state": "running", "slot": slot_of(job_id), "job_id": job_id}
        return self._runs.find_one(running, ["_id"]) is not None

    @translate_errors()
    def lose_runs(self, runs: Sequence[RunRecord]) -> None:
        if runs:
            lost = {"_id": {"$in": [key_of(run) for run in runs]}, "state": "running"}
            expires = {"$add": ["$$NOW", self._keep // timedelta(milliseconds=1)]}
            self._runs.update_many(lost, [{"$set": {"state": "ended", "outcome": "lost", "expires_at": expires}}])
