"""Between the claim protocol's records and MongoDB's documents: what finds them, what they say, what is written."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Final

from bson.datetime_ms import DatetimeMS
from pymongo import UpdateOne

from gsched.document import DocumentReader, as_revision
from gsched.instants import from_ms, to_ms
from gsched.run import run_id
from gsched.stores.mongodb.cluster import FormerSchedule, JobRecord, NodeRecord, RunRecord, SlotRecord
from gsched.stores.mongodb.connection import Document
from gsched.stores.mongodb.history import run_key
from gsched.stores.mongodb.partition import SLOTS, slot_of
from gsched.stores.mongodb.process_marks import Place, has_ended, read_mark

# -- nodes and slots --------------------------------------------------------------------------------------------------


def alive(node: str) -> Document:
    """What finds the node, if it is alive."""
    return {"_id": node, "state": "alive"}


def node_record(document: Document, here: Place | None) -> NodeRecord:
    """What a document says of a node, and this machine of its process.

    :param here: the place of this process, None if that is not known
    """
    mark = read_mark(document.get("process")) if document["state"] == "alive" else None
    return NodeRecord(
        document["_id"],
        document["state"] == "alive",
        to_ms(document["watermark"]),
        to_ms(document["acked"]),
        document["beat"],
        document.get("draining", False),
        document.get("drain_requested") is not None,
        document.get("left", False),
        document.get("settled_at") is not None,
        here is not None and mark is not None and has_ended(mark, here),
    )


def freeing(watermark: datetime, acked: Any) -> Document:
    """The update that takes a slot from its owner. One that was not attached is as it was before it was taken."""
    return {
        "$set": {
            "owner": None,
            "attached": False,
            "open_from": None,
            "watermark": {"$cond": ["$attached", {"$max": ["$watermark", watermark]}, "$watermark"]},
            "acked": {"$cond": ["$attached", acked, "$acked"]},
        }
    }


def slot_record(document: Document) -> SlotRecord:
    """What a document says of a slot."""
    watermark, acked = to_ms(document["watermark"]), to_ms(document["acked"])
    return SlotRecord(int(document["_id"]), document["epoch"], watermark, acked)


# -- jobs -------------------------------------------------------------------------------------------------------------


def in_slots(numbers: Collection[int], until: int) -> Document:
    """What finds the jobs of these slots, and those in none, that are due up to `until` (ms)."""
    # Not "$lte": what has no time, or a strange one, is to be looked at too.
    return {
        "slot": not_of_others(numbers),
        "paused": {"$ne": True},
        "next_run_time": {"$not": {"$gt": from_ms(until)}},
    }


def not_of_others(numbers: Collection[int]) -> Document:
    """The slot is one of these, or none at all: missing, or whatever people have written. The index serves that."""
    return {"$nin": sorted(set(range(SLOTS)).difference(numbers))}


def is_named(document: Document) -> bool:
    """Whether its id is a text; others are no jobs of ours, and parked."""
    return isinstance(document["_id"], str)


def own_fields(document: Document) -> Document:
    """What the fields that are ours have to be, given what there is."""
    rev = document.get("rev")
    return {
        "slot": slot_of(document["_id"]),
        "rev": 1 if as_revision(rev) is None else rev,  # else no write that is conditional on it would ever match
        "admitted": document.get("admitted") is True,
    }


def job_record(document: Document, reader: DocumentReader) -> JobRecord:
    """What a document says of a job."""
    parked = document.get("parked")
    return JobRecord(
        reader.read(document),
        slot_of(document["_id"]),
        document.get("admitted") is True,
        _ms(document.get("late_until"), -1),
        None if parked is None else str(parked),
        schedule_of(document),
        _begins(document),
    )


def _begins(document: Document) -> int | None:
    """The first instant of the job's schedule, if it is known."""
    begins = document.get("begins")
    return None if begins is None else _ms(begins, 0)


def schedule_of(document: Document) -> int:
    """The number of the schedule that the job is due by; documents that people have inserted lack it."""
    schedule = document.get("schedule")
    return schedule if isinstance(schedule, int) else 0


def former_schedule(document: Document, reader: DocumentReader) -> FormerSchedule:
    """What a document says of a former schedule."""
    job = reader.read({**document, "_id": document["job_id"]})
    late_until, until = _ms(document.get("late_until"), -1), document.get("until")
    schedule, begins = schedule_of(document), _begins(document)
    record = JobRecord(job, slot_of(job.id), True, late_until, schedule=schedule, begins=begins)
    return FormerSchedule(document["_id"], record, None if until is None else _ms(until, 0))


def is_former(document: Document) -> bool:
    """Whether it is of a former schedule: people may have written anything."""
    return isinstance(document["_id"], str) and isinstance(document.get("job_id"), str)


def _ms(value: Any, otherwise: int) -> int:
    """The ms of a date from a document that anybody may have written."""
    if isinstance(value, datetime):
        return to_ms(value if value.tzinfo else value.replace(tzinfo=UTC))
    return int(value) if isinstance(value, DatetimeMS) else otherwise


# -- runs in progress -------------------------------------------------------------------------------------------------


def key_of(run: RunRecord) -> str:
    """The id of the document of a run in progress."""
    return run_key(run_id(run.job_id, run.scheduled, run.request), run.attempt)


def recording_of(node: str, run: RunRecord) -> UpdateOne:
    """The write that notes a run in progress on the node: also one that a dead node had noted, but none that ended."""
    fields = {
        "state": "running",
        "node": node,
        "slot": run.slot,
        "job_id": run.job_id,
        "scheduled_at": from_ms(run.scheduled),
        "attempt": run.attempt,
        "request": run.request,
    }
    new, ours = {"$literal": fields}, {"node": {"$literal": node}}
    noted = {"$mergeObjects": [new, "$$ROOT", {"$cond": [{"$eq": ["$state", "running"]}, ours, {}]}]}
    return UpdateOne({"_id": key_of(run)}, [{"$replaceWith": noted}], upsert=True)


RUN_FIELDS: Final = ("job_id", "slot", "scheduled_at", "attempt", "request")  # what is read of a run


def run_record(document: Document) -> RunRecord:
    """What a document says of a run in progress."""
    return RunRecord(
        document["job_id"],
        document.get("slot", slot_of(document["job_id"])),
        to_ms(document["scheduled_at"]),
        document.get("attempt", 1),
        document.get("request"),
    )
