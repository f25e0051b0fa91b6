"""Writes outcomes: records of the history, figures of each job, and the removal of jobs that have ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from pymongo import DeleteOne, InsertOne, UpdateOne

from gsched.event_loop.slices import paced
from gsched.history.queries import RUNNING
from gsched.history.recent import CHARACTERS, KEPT, text_of
from gsched.history.records import LiveCounters, Record
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome
from gsched.jobs.tally import Tally
from gsched.stores.durable.answers import Removed
from gsched.stores.mongodb.documents.runs import WAITING, expiring_document, record_key
from gsched.stores.mongodb.driver.bulk import DUPLICATE, Written, write_all
from gsched.stores.mongodb.driver.codec import Document
from gsched.stores.mongodb.driver.connection import Connection, translate_errors
from gsched.times.clock import Clock
from gsched.times.instants import from_ms


class MongoRecords:
    """Writes outcomes into MongoDB: see `Records`.

    :param keep: how long the history is kept
    """

    def __init__(self, connection: Connection, clock: Clock, keep: timedelta) -> None:
        self._connection = connection
        self._clock = clock
        self._keep = keep

    @translate_errors()
    def write(self, records: Sequence[Record]) -> Mapping[str, str]:
        """See `Records`. Inserts first: they cost the server a tenth of an upsert, which only existing records need."""
        runs, documents = self._connection.jobs().runs, self._documents(records)
        inserted = write_all(runs, [InsertOne(dict(document)) for document in documents]).refused
        refused = {documents[each.number]["job_id"]: each.reason for each in inserted if each.code != DUPLICATE}
        there = [documents[each.number] for each in inserted if each.code == DUPLICATE]
        overwritten = write_all(runs, [*map(_overwrite, there)]).refused if there else ()
        # A duplicate here is a "lost" whose run has another outcome already.
        return refused | {there[each.number]["job_id"]: each.reason for each in overwritten if each.code != DUPLICATE}

    def _documents(self, records: Sequence[Record]) -> list[Document]:
        """The records' documents, one for each id: the last one, but "lost" only if there is no other."""
        expires_at = from_ms(self._clock.now_ms()) + self._keep
        documents: dict[str, Document] = {}
        for record in paced(records):
            key = record_key(record)
            if key not in documents or record.outcome != Outcome.LOST:
                documents[key] = expiring_document(record, expires_at)
        return list(documents.values())

    @translate_errors()
    def count(self, counters: Mapping[str, LiveCounters]) -> Mapping[str, str]:
        ids = list(counters)
        counting = [UpdateOne({"_id": job_id}, _counting(counters)) for job_id, counters in counters.items()]
        refused = write_all(self._connection.jobs(), counting).refused
        return {ids[each.number]: each.reason for each in refused}

    @translate_errors()
    def note_tallies(self, tallies: Mapping[str, Tally]) -> Mapping[str, str]:
        ids = list(tallies)
        noting = [
            UpdateOne({"_id": job_id, "created_at": from_ms(tally.since)}, _noting(tally))
            for job_id, tally in tallies.items()
        ]
        refused = write_all(self._connection.jobs(), noting).refused if noting else ()
        return {ids[each.number]: each.reason for each in refused}

    @translate_errors()
    def remove_ended(self, jobs: Sequence[Job]) -> Removed:
        collection, ids = self._connection.jobs(), [job.id for job in jobs]
        unended = {"outcome": None, "state": {"$in": [WAITING, RUNNING]}, "job_id": {"$in": ids}}
        awaited = set(collection.runs.distinct("job_id", unended))
        ended = [job for job in jobs if job.id not in awaited]
        deleting = [DeleteOne({"_id": job.id, "rev": job.rev}) for job in ended]
        written = write_all(collection, deleting) if deleting else Written(0, 0, [])
        kept = set()
        if written.deleted < len(jobs):
            kept = {document["_id"] for document in collection.find({"_id": {"$in": ids}}, ["_id"])}
        refused = {ended[each.number].id: each.reason for each in written.refused}
        return Removed({job_id for job_id in ids if job_id not in kept}, refused)


def _overwrite(document: Document) -> UpdateOne:
    """The update of an attempt's existing document. "lost" replaces no other outcome."""
    key = document["_id"]
    fields = {name: value for name, value in document.items() if name != "_id"}
    if document["outcome"] == Outcome.LOST:
        return UpdateOne({"_id": key, "outcome": {"$in": [None, Outcome.LOST.value]}}, {"$set": fields}, upsert=True)
    change: Document = {"$set": fields}
    if "until" not in fields:  # the document has one if the run was reported as lost
        change["$unset"] = {"until": ""}
    return UpdateOne({"_id": key}, change, upsert=True)


def _counting(new: LiveCounters) -> list[Document]:
    """The update that adds new figures to a job's. A pipeline, because it appends to a text that it reads."""
    figures: Document = {
        "runs": _added("runs", new.runs), "failures": _added("failures", new.failures),
        "last_duration": {"$ifNull": [new.duration, "$figures.last_duration"]},
    }  # fmt: skip
    if new.started_ms is not None:
        figures["last_run"] = from_ms(new.started_ms)
    if new.error is not None:
        figures["last_error"] = {"$literal": new.error}
    if new.failing_ms is not None:
        since: Any = from_ms(new.failing_ms)
        figures["failing_since"] = since if new.has_succeeded else {"$ifNull": ["$figures.failing_since", since]}
    elif new.has_succeeded:
        figures["failing_since"] = "$$REMOVE"
    if recent := text_of(new.last_outcomes()):
        figures["recent"] = _appended("$figures.recent", recent)
    return [{"$set": {f"figures.{name}": value for name, value in figures.items()}}]


def _noting(tally: Tally) -> list[Document]:
    """The update that keeps a tally. What a dead node writes late takes no run away."""
    until: Document = {"$ifNull": ["$tally.until", -1]}
    noted: Document = {
        "runs": {"$max": ["$tally.runs", tally.runs]},
        "until": {"$max": ["$tally.until", tally.until]},
        "failing": {"$cond": [{"$lte": [until, tally.until]}, tally.failing, "$tally.failing"]},
    }
    return [{"$set": {"tally": noted}}]


def _added(name: str, more: int) -> Document:
    """The sum. The database refuses it if the figures are no document, as it refuses an $inc; a pipeline without this
    would overwrite what somebody has written there."""
    is_document = {"$in": [{"$type": "$figures"}, ["missing", "object"]]}
    return {"$add": [{"$ifNull": [f"$figures.{name}", 0]}, more, {"$cond": [is_document, 0, "no document"]}]}


def _appended(field: str, more: str) -> Document:
    """The text in the field with `more` appended, cut from the left to the length of the last outcomes."""
    known = {"$cond": [{"$eq": [{"$type": field}, "string"]}, field, ""]}
    whole = {"$concat": [known, {"$literal": more}]}
    beyond = {"$max": [0, {"$subtract": [{"$strLenCP": "$$whole"}, KEPT * CHARACTERS]}]}
    return {"$let": {"vars": {"whole": whole}, "in": {"$substrCP": ["$$whole", beyond, KEPT * CHARACTERS]}}}
