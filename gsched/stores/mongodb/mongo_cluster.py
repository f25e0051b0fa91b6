"""The claim protocol's operations on MongoDB.

Beside the jobs collection, say `jobs`, there are `jobs.nodes` (one document for each incarnation of a scheduler),
`jobs.slots` (256 documents) and `jobs.runs` (runs in progress that are written down, and the history).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from itertools import islice
from typing import Any, Final
from uuid import UUID

from bson.binary import Binary
from pymongo import UpdateOne, errors as driver
from pymongo.client_session import ClientSession
from pymongo.operations import IndexModel
from pymongo.read_concern import ReadConcern

from gsched.document import LONGEST_REASON, DocumentReader
from gsched.instants import from_ms, to_ms
from gsched.slices import Slice
from gsched.stores.mongodb.cluster import FencedError, JobRecord, NodeRecord, RefusedError, RunRecord, SlotRecord
from gsched.stores.mongodb.cluster_documents import (
    alive,
    freeing,
    in_slots,
    is_named,
    job_record,
    key_of,
    node_record,
    not_of_others,
    own_fields,
    recording_of,
    run_record,
    slot_record,
)
from gsched.stores.mongodb.connection import Connection, Document, translate_errors
from gsched.stores.mongodb.history import INDEXES as HISTORY_INDEXES, is_run
from gsched.stores.mongodb.nodes import is_node
from gsched.stores.mongodb.partition import SLOTS, slot_of

_FETCH: Final = 250  # documents per batch: decoding one must not hold up the hub
_FETCH_PARTS: Final = 1000  # the same of documents of which only a field or two are asked for
_KEEP_DEAD_SECONDS: Final = 86_400
_KEEP_ACTIVITY_SECONDS: Final = 600
_KEEP_LOST: Final = timedelta(days=14)
_NEVER: Final = from_ms(0)
_MOST_SAID: Final = 300  # characters of a document that is not understood

# Of the collections beside that of the jobs, by the last part of their names.
INDEXES: Final = {
    "nodes": (IndexModel([("ended_at", 1)], expireAfterSeconds=_KEEP_DEAD_SECONDS, name="ended_at"),),
    "runs": (IndexModel([("state", 1), ("slot", 1)], name="in_progress"), *HISTORY_INDEXES),
    "activity": (IndexModel([("at", 1)], expireAfterSeconds=_KEEP_ACTIVITY_SECONDS, name="at"),),
}


class MongoCluster:
    """One process's access to the shared documents, on the connections that are only for what must be on time.

    :param reader: makes a reader for a batch of job documents
    :param keep: how long it is kept that a run was lost
    :param complain: told of documents that are not understood
    """

    def __init__(
        self,
        connection: Connection,
        reader: Callable[[], DocumentReader],
        keep: timedelta = _KEEP_LOST,
        complain: Callable[[str], object] = lambda said: None,
    ) -> None:
        self._connection = connection
        self._keep = keep
        self._reader = reader
        self.exclusive = False
        self._complain = complain
        self._strange: set[Any] = set()  # what was complained of

    @cached_property
    def _session(self) -> ClientSession:
        """The one of all transactions, so that others can end what this process had begun when it was killed."""
        return self._connection.control().client.start_session()

    # -- preparation ------------------------------------------------------------------------------------------------

    @translate_errors()
    def prepare(self) -> None:
        self._connection.prepare(anew=True)
        self.exclusive = self._connection.is_standalone()
        for name, indexes in INDEXES.items():
            self._jobs[name].create_indexes(list(indexes))
        known = {slot["_id"] for slot in self._slots.find({}, ["_id"])}
        if missing := [number for number in range(SLOTS) if number not in known]:
            self._make_slots(missing)

    def _make_slots(self, numbers: Iterable[int]) -> None:
        """Those that never were there, or were dropped: what nodes have claimed is claimed."""
        until = max((from_ms(node.watermark) for node in self.nodes()), default=_NEVER)
        new = {"owner": None, "epoch": 0, "watermark": until, "acked": until, "attached": False, "open_from": None}
        made = [UpdateOne({"_id": number}, {"$setOnInsert": new}, upsert=True) for number in numbers]
        self._slots.bulk_write(made, ordered=False)

    def _sane(
        self, what: str, documents: Iterable[Document], is_sane: Callable[[Document], bool]
    ) -> Iterator[Document]:
        """Without those that people's hands have made; of each of them is complained once."""
        for document in documents:
            if is_sane(document):
                yield document
            elif (key := f"{what} {document['_id']!r}") not in self._strange:
                self._strange.add(key)
                self._complain(f"{key} is not understood, and left out: {document!r}"[:_MOST_SAID])

    @property
    def _jobs(self) -> Any:
        return self._connection.control()[self._connection.name]

    @property
    def _nodes(self) -> Any:
        return self._jobs.nodes

    @property
    def _slots(self) -> Any:
        return self._jobs.slots

    @property
    def _runs(self) -> Any:
        return self._jobs.runs

    @translate_errors()
    def time(self) -> int:
        return to_ms(self._connection.server_time())

    # -- nodes --------------------------------------------------------------------------------------------------------

    @translate_errors()
    def join(self, node: str, watermark: int) -> None:
        self._nodes.insert_one(
            {
                "_id": node,
                "state": "alive",
                "watermark": from_ms(watermark),
                "acked": from_ms(watermark),
                "beat": 0,
                "draining": False,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "started_at": from_ms(watermark),
                "session": self._session.session_id["id"],
            }
        )

    @translate_errors()
    def advance(self, node: str, watermark: int, acked: int, draining: bool) -> bool:
        # $max: an earlier attempt, given up by us, may reach the server later than this one.
        raised = {"watermark": from_ms(watermark), "acked": from_ms(acked)}
        beat = {"$max": raised, "$set": {"draining": draining}, "$inc": {"beat": 1}, "$currentDate": {"beat_at": True}}
        claim = self._nodes.update_one(alive(node), beat)
        return bool(claim.matched_count)

    @translate_errors()
    def leave(self, node: str, acked: int) -> None:
        left = {"state": "dead", "acked": from_ms(acked), "left": True}
        over = {"$set": left, "$currentDate": {"ended_at": True}}
        self._nodes.update_one(alive(node), over)

    @translate_errors()
    def nodes(self) -> Sequence[NodeRecord]:
        # What a majority has is final: a dead node's watermark read so can never be rolled back.
        confirmed = self._nodes.with_options(read_concern=ReadConcern("majority"))
        return [node_record(document) for document in self._sane("node", confirmed.find(), is_node)]

    @translate_errors()
    def bury(self, node: str, beat: int) -> bool:
        self._end_transaction_of(node)
        dead = {"$set": {"state": "dead"}, "$currentDate": {"ended_at": True}}
        return bool(self._nodes.update_one({**alive(node), "beat": beat}, dead).modified_count)

    def _end_transaction_of(self, node: str) -> None:
        """One that a node was killed in holds its document, and those of jobs, until the server gives it up: a minute.
        """
        session = (self._nodes.find_one(node, ["session"]) or {}).get("session")
        if isinstance(session, UUID):
            try:
                self._jobs.database.command({"killSessions": [{"id": Binary.from_uuid(session)}]})
            except driver.OperationFailure:
                pass  # another user's: then it is waited for

    # -- slots --------------------------------------------------------------------------------------------------------

    @translate_errors()
    def free_slots_of(self, dead: NodeRecord) -> None:
        if self._slots.find_one({"owner": dead.id}, ["_id"]) is None:
            return
        ended = {"$ifNull": ["$open_from", {"$max": ["$watermark", from_ms(dead.acked)]}]}
        self._slots.update_many({"owner": dead.id}, [freeing(from_ms(dead.watermark), ended)])

    @translate_errors()
    def free_slots(self, node: str) -> Collection[int]:
        ours = {"$or": [{"owner": None}, {"owner": node, "attached": False}]}
        return [slot["_id"] for slot in self._slots.find(ours, ["_id"])]

    @translate_errors()
    def take_slots(self, node: str, numbers: Collection[int]) -> Sequence[SlotRecord]:
        wanted = {"_id": {"$in": list(numbers)}}
        take = {"$set": {"owner": node, "attached": False}, "$inc": {"epoch": 1}}
        self._slots.update_many({**wanted, "owner": None}, take)
        return [slot_record(slot) for slot in self._slots.find({**wanted, "owner": node, "attached": False})]

    @translate_errors()
    def attach_slots(self, node: str, numbers: Collection[int], watermark: int) -> Collection[int]:
        ours = {"_id": {"$in": list(numbers)}, "owner": node}
        follow = {
            "attached": True,
            "open_from": "$acked",
            "watermark": {"$max": ["$watermark", from_ms(watermark)]},
        }
        self._slots.update_many({**ours, "attached": False}, [{"$set": follow}])
        return {slot["_id"] for slot in self._slots.find({**ours, "attached": True}, ["_id"])}

    @translate_errors()
    def close_slots(self, node: str, numbers: Collection[int]) -> None:
        self._slots.update_many({"_id": {"$in": list(numbers)}, "owner": node}, {"$set": {"open_from": None}})

    @translate_errors()
    def release_slots(self, node: str, fences: Mapping[int, int], watermark: int) -> None:
        until = from_ms(watermark)
        ours = [{"_id": number, "epoch": fence, "owner": node} for number, fence in fences.items()]
        if ours:
            self._slots.update_many({"$or": ours}, [freeing(until, {"$max": ["$watermark", until]})])

    @translate_errors()
    def give_back_slots(self, node: str, numbers: Collection[int]) -> None:
        unattached = {"_id": {"$in": list(numbers)}, "owner": node, "attached": False}
        self._slots.update_many(unattached, {"$set": {"owner": None}})

    # -- jobs ---------------------------------------------------------------------------------------------------------

    def jobs_in(self, numbers: Collection[int], until: int) -> Iterator[Sequence[JobRecord]]:
        with translate_errors():
            found = iter(self._jobs.find(in_slots(numbers, until), batch_size=_FETCH))
        reader, pace = self._reader(), Slice()
        while True:
            with translate_errors():
                batch = list(islice(found, _FETCH))
            if not batch:
                return
            records = []
            for document in filter(is_named, batch):
                records.append(job_record(document, reader))
                pace.breathe()
            yield records

    @translate_errors()
    def requested(self, numbers: Collection[int]) -> Iterable[str]:
        wanted = {"slot": {"$in": list(numbers)}, "requests.0": {"$exists": True}}
        return [job["_id"] for job in self._parts(wanted)]

    @translate_errors()
    def due_between(self, numbers: Collection[int], after: int, until: int) -> Iterable[str]:
        due = {"$gt": from_ms(after), "$lte": from_ms(until)}
        return [job["_id"] for job in self._parts({"slot": not_of_others(numbers), "next_run_time": due})]

    @translate_errors()
    def revisions(self, numbers: Collection[int], until: int) -> Mapping[str, int]:
        return {job["_id"]: job.get("rev") or 0 for job in self._parts(in_slots(numbers, until), "rev")}

    def _parts(self, wanted: Document, *fields: str) -> Iterator[Document]:
        """These jobs, with these fields only; others have their turn meanwhile."""
        pace = Slice()
        for document in filter(is_named, self._jobs.find(wanted, ["_id", *fields], batch_size=_FETCH_PARTS)):
            yield document
            pace.breathe()

    @translate_errors()
    def read_jobs(self, ids: Collection[str]) -> Mapping[str, JobRecord]:
        reader = self._reader()
        return {job["_id"]: self._adopted(job, reader) for job in self._jobs.find({"_id": {"$in": list(ids)}})}

    def _adopted(self, document: Document, reader: DocumentReader) -> JobRecord:
        """What people insert or copy by hand lacks what is ours in a document, or has that of another one."""
        wrong = {key: value for key, value in own_fields(document).items() if document.get(key) != value}
        record = job_record({**document, **wrong}, reader)
        if wrong:
            # Of a field that is missing, null is what there is.
            as_read = {key: {"$eq": document.get(key)} for key in wrong}
            try:
                self._jobs.update_one({"_id": document["_id"], **as_read}, {"$set": wrong})
            except driver.WriteError as error:
                return record._replace(job=record.job.evolve(parked=_refusal(error)))
        return record

    @translate_errors()
    def admit(self, node: str, jobs: Sequence[JobRecord], claimed: int) -> bool:
        try:
            if not self.exclusive:
                return self._in_transaction(node, lambda: self._mark_admitted(jobs, claimed, self._session))
            if self._nodes.find_one(alive(node), ["_id"]) is None:
                raise FencedError
            return self._mark_admitted(jobs, claimed, None)
        except driver.OperationFailure as error:
            if error.has_error_label("TransientTransactionError"):
                return False  # somebody changed one of these jobs at this moment: look at them one by one
            if isinstance(error, driver.WriteError):
                raise RefusedError(_refusal(error)) from error
            raise

    def _in_transaction(self, node: str, write: Callable[[], bool]) -> bool:
        """Do what `write` does if it returns True and the node is alive; raises FencedError if that is dead.

        Not by the driver's with_transaction: it tries for two minutes, in which nobody hears that the server is away.
        """
        with self._session.start_transaction(write_concern=self._jobs.write_concern):
            if not write():
                self._session.abort_transaction()
                return False
            # Last: from here to the end, nobody can bury the node.
            guard = {"$inc": {"transactions": 1}}
            if not self._nodes.update_one(alive(node), guard, session=self._session).matched_count:
                raise FencedError
        return True

    def _mark_admitted(self, jobs: Sequence[JobRecord], claimed: int, session: ClientSession | None) -> bool:
        """Mark those that are as given; whether all are. One update for each revision, late or not."""
        groups: dict[tuple[int, bool], list[str]] = {}
        for record in jobs:
            due = record.job.next_run_ms
            groups.setdefault((record.job.rev, due is not None and due <= claimed), []).append(record.job.id)
        marked = 0
        for (rev, late), ids in groups.items():
            fields = {"admitted": True, "late_until": from_ms(claimed) if late else None}
            # By what it is for us: people may have written anything.
            as_given = {"_id": {"$in": ids}, "rev": rev, "$expr": {"$ne": ["$admitted", True]}}
            marked += self._jobs.update_many(as_given, {"$set": fields}, session=session).matched_count
        return marked == len(jobs)

    @translate_errors()
    def take_request(self, job_id: str, request: str) -> bool:
        taken = self._jobs.update_one({"_id": job_id, "requests.id": request}, {"$pull": {"requests": {"id": request}}})
        return bool(taken.modified_count)

    @translate_errors()
    def write_back(self, due: Mapping[str, tuple[int, int]]) -> Collection[str]:
        if not due:
            return ()
        later = [
            UpdateOne(
                {"_id": job_id, "rev": rev, "admitted": True},
                {"$max": {"next_run_time": from_ms(instant)}},
            )
            for job_id, (rev, instant) in due.items()
        ]
        if self._jobs.bulk_write(later, ordered=False).matched_count == len(later):
            return due.keys()
        found = self._jobs.find({"_id": {"$in": list(due)}, "admitted": True}, ["rev"])
        return [job["_id"] for job in found if job.get("rev") == due[job["_id"]][0]]

    @translate_errors()
    def close_late(self, jobs: Mapping[str, tuple[int, int]]) -> None:
        ended = [
            UpdateOne(
                {"_id": job_id, "admitted": True, "late_until": from_ms(until)},
                {"$max": {"next_run_time": from_ms(instant)}, "$set": {"late_until": None}},
            )
            for job_id, (until, instant) in jobs.items()
        ]
        if ended:
            self._jobs.bulk_write(ended, ordered=False)

    @translate_errors()
    def park(self, job_id: str, rev: int, reason: str | None) -> None:
        try:
            self._jobs.update_one({"_id": job_id, "rev": rev}, {"$set": {"parked": reason}})
        except driver.WriteError as error:
            raise RefusedError(_refusal(error)) from error

    # -- runs in progress that are written down -----------------------------------------------------------------------

    @translate_errors()
    def record_runs(self, node: str, runs: Sequence[RunRecord]) -> None:
        if not runs:
            return
        recording = [recording_of(node, run) for run in runs]
        if self.exclusive:
            if self._nodes.find_one(alive(node), ["_id"]) is None:
                raise FencedError
            self._runs.bulk_write(recording, ordered=False)
            return
        for is_last in (False, False, True):
            try:
                self._in_transaction(node, lambda: self._write_runs(recording))
                return
            except driver.OperationFailure as error:  # one of the runs may be ending at this moment
                if is_last or not error.has_error_label("TransientTransactionError"):
                    raise

    def _write_runs(self, recording: list[UpdateOne]) -> bool:
        return bool(self._runs.bulk_write(recording, ordered=False, session=self._session).acknowledged)

    @translate_errors()
    def runs_of(self, nodes: Collection[str], numbers: Collection[int]) -> Sequence[RunRecord]:
        theirs = {"state": "running", "slot": {"$in": list(numbers)}, "node": {"$in": list(nodes)}}
        return [run_record(document) for document in self._sane("run", self._runs.find(theirs), is_run)]

    @translate_errors()
    def ended_runs(self, job_ids: Collection[str], since: int) -> Iterable[RunRecord]:
        ended = {"job_id": {"$in": list(job_ids)}, "scheduled_at": {"$gte": from_ms(since)}, "state": "ended"}
        attempts = {**ended, "attempt": {"$gte": 1}}
        return [run_record(document) for document in self._sane("run", self._runs.find(attempts), is_run)]

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


def _refusal(error: driver.WriteError) -> str:
    return f"the database refuses to change its document: {error}"[:LONGEST_REASON]
