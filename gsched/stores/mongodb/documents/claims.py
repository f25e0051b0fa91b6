"""Conversions between the claim protocol's records and MongoDB's documents, with the filters that find them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from bson.datetime_ms import DatetimeMS
from pymongo import UpdateOne

from gsched.checks import is_whole
from gsched.jobs.document import DocumentReader, as_revision
from gsched.jobs.policy import OVERLAPS
from gsched.jobs.run import run_id
from gsched.jobs.tally import Tally
from gsched.stores.claims.database import FormerSchedule, JobRecord, NodeRecord, RunRecord, SlotRecord, WaitingRun
from gsched.stores.claims.partition import SLOTS, slot_of, slot_of_job
from gsched.stores.claims.process_marks import Place, has_ended, read_mark
from gsched.stores.mongodb.documents.runs import WAITING, run_key
from gsched.stores.mongodb.driver.codec import Document
from gsched.times.instants import from_ms, to_ms

# -- nodes and slots --------------------------------------------------------------------------------------------------


def alive(node: str) -> Document:
    """The filter for the node, if it is alive."""
    return {"_id": node, "state": "alive"}


def node_record(document: Document, here: Place | None) -> NodeRecord:
    """The record of a node, with this machine's knowledge of the node's process.

    :param here: the place of this process; None if it is not known
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
        document.get("protocol", 1),
    )


def freeing(watermark: datetime, acked: Any) -> Document:
    """The update that frees a slot. A slot that was not attached keeps the times from before it was taken."""
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
    """The record of a slot."""
    watermark, acked = to_ms(document["watermark"]), to_ms(document["acked"])
    return SlotRecord(int(document["_id"]), document["epoch"], watermark, acked)


# -- jobs -------------------------------------------------------------------------------------------------------------


def in_slots(numbers: Collection[int], until: int) -> Document:
    """The filter for the jobs of these slots, and for jobs without a slot, that are due up to `until` (ms)."""
    # Not "$lte": a job without a time, or with a malformed one, must be looked at as well.
    return {
        "slot": not_of_others(numbers),
        "paused": {"$ne": True},
        "next_run_time": {"$not": {"$gt": from_ms(until)}},
    }


def not_of_others(numbers: Collection[int]) -> Document:
    """The filter for one of these slots, or for a field that is missing or malformed. It can use the index."""
    return {"$nin": sorted(set(range(SLOTS)).difference(numbers))}


def is_named(document: Document) -> bool:
    """True if the document's id is a text. Other documents are no jobs and are ignored."""
    return isinstance(document["_id"], str)


def own_fields(document: Document) -> Document:
    """The values that the protocol's fields in a job's document must have."""
    rev = document.get("rev")
    return {
        "slot": slot_in(document),
        "rev": 1 if as_revision(rev) is None else rev,  # else no write on condition of the revision would ever match
        "admitted": document.get("admitted") is True,
    }


def slot_in(document: Mapping[str, Any]) -> int:
    """The slot in which the job of the document belongs."""
    group = document.get("group")
    return slot_of(group if isinstance(group, str) and group else document["_id"])


def job_record(document: Document, reader: DocumentReader) -> JobRecord:
    """The record of a job."""
    parked, job = document.get("parked"), reader.read(document)
    return JobRecord(
        job,
        slot_in(document),
        document.get("admitted") is True,
        _ms(document.get("late_until"), -1),
        None if parked is None else str(parked),
        schedule_of(document),
        _begins(document),
        _tally(document) if job.policy.counts else None,
    )


def _tally(document: Document) -> Tally:
    """The counts of the job. A value that is no count, written by hand, is taken as none."""
    kept = document.get("tally")
    kept = kept if isinstance(kept, Mapping) else {}
    runs, until, failing = (kept.get(field) for field in ("runs", "until", "failing"))
    return Tally(
        _ms(document.get("created_at"), 0),
        runs if is_whole(runs) else 0,
        until if isinstance(until, int) else -1,
        failing if is_whole(failing) else 0,
    )


def _begins(document: Document) -> int | None:
    """The first instant of the job's schedule, if it is known."""
    begins = document.get("begins")
    return None if begins is None else _ms(begins, 0)


def schedule_of(document: Document) -> int:
    """The number of the job's schedule; 0 in a document that somebody has inserted."""
    schedule = document.get("schedule")
    return schedule if isinstance(schedule, int) else 0


def former_schedule(document: Document, reader: DocumentReader) -> FormerSchedule:
    """The former schedule in a document."""
    job = reader.read({**document, "_id": document["job_id"]})
    late_until, until = _ms(document.get("late_until"), -1), document.get("until")
    schedule, begins = schedule_of(document), _begins(document)
    slot = document.get("slot")
    record = JobRecord(
        job, slot if isinstance(slot, int) else slot_of_job(job), True, late_until, schedule=schedule, begins=begins
    )
    return FormerSchedule(document["_id"], record, None if until is None else _ms(until, 0))


def is_former(document: Document) -> bool:
    """True if the document is a well-formed former schedule."""
    return isinstance(document["_id"], str) and isinstance(document.get("job_id"), str)


def _ms(value: Any, otherwise: int) -> int:
    """A date in ms; `otherwise` if the value is no date."""
    if isinstance(value, datetime):
        return to_ms(value if value.tzinfo else value.replace(tzinfo=UTC))
    return int(value) if isinstance(value, DatetimeMS) else otherwise


# -- recorded and waiting runs ----------------------------------------------------------------------------------------


def key_of(run: RunRecord) -> str:
    """The id of the document of an attempt at a run."""
    return run_key(run_id(run.job_id, run.scheduled, run.request), run.attempt)


def recording_of(node: str, run: RunRecord) -> UpdateOne:
    """The write that records a run as in progress on the node. It moves a run of a dead node, but none that waits or
    has ended.
    """
    new, ours = {"$literal": {"state": "running", "node": node, **_fields(run)}}, {"node": {"$literal": node}}
    noted = {"$mergeObjects": [new, "$$ROOT", {"$cond": [{"$eq": ["$state", "running"]}, ours, {}]}]}
    return UpdateOne({"_id": key_of(run)}, [{"$replaceWith": noted}], upsert=True)


def addition_of(waiting: WaitingRun) -> UpdateOne:
    """The write that lets a run wait, unless there is a document of this attempt."""
    fields: Document = {
        "state": WAITING,
        "due_at": from_ms(waiting.due),
        "cause": "retry" if waiting.run.is_retry else "request",
        **_fields(waiting.run),
    }
    if waiting.schedule is not None:
        fields["schedule"] = waiting.schedule
    return UpdateOne({"_id": key_of(waiting.run)}, {"$setOnInsert": fields}, upsert=True)


def _fields(run: RunRecord) -> Document:
    """The fields of a document that are a RunRecord. The fields that only retries have are left out of others."""
    fields: Document = {
        "slot": run.slot,
        "job_id": run.job_id,
        "scheduled_at": from_ms(run.scheduled),
        "attempt": run.attempt,
        "request": run.request,
    }
    retry = {"tries": run.tries, "recoveries": run.recoveries, "is_retry": run.is_retry}
    return fields | {name: value for name, value in retry.items() if value}


# The fields of a RunRecord, and those of a WaitingRun.
RUN_FIELDS: Final = ("job_id", "slot", "scheduled_at", "attempt", "request", "tries", "recoveries", "is_retry")
WAITING_FIELDS: Final = (*RUN_FIELDS, "due_at", "schedule", "overlap", "cancel_requested")


def run_record(document: Document) -> RunRecord:
    """The recorded run in a document."""
    return RunRecord(
        document["job_id"],
        document.get("slot", slot_of(document["job_id"])),
        to_ms(document["scheduled_at"]),
        document.get("attempt", 1),
        document.get("request"),
        document.get("tries", 0),
        document.get("recoveries", 0),
        document.get("is_retry", False),
    )


def waiting_run(document: Document) -> WaitingRun:
    """The waiting run in a document."""
    overlap = document.get("overlap")
    known = overlap if overlap in OVERLAPS else None
    is_cancelled = document.get("cancel_requested") is not None
    return WaitingRun(run_record(document), to_ms(document["due_at"]), document.get("schedule"), known, is_cancelled)


# -- which documents are well-formed: people may write into them by hand ----------------------------------------------


def is_node(document: Document) -> bool:
    """True if the document is a well-formed node."""
    dates = all(isinstance(document.get(field), datetime) for field in ("watermark", "acked"))
    optional = all(isinstance(document.get(field), datetime | None) for field in ("beat_at", "started_at", "ended_at"))
    known = document.get("state") in ("alive", "dead")
    numbers = isinstance(document.get("beat"), int) and isinstance(document.get("protocol", 1), int)
    return isinstance(document["_id"], str) and dates and optional and known and numbers


def is_slot(document: Mapping[str, Any]) -> bool:
    """True if the document is a well-formed slot."""
    dates = all(isinstance(document.get(field), datetime) for field in ("watermark", "acked"))
    optional = isinstance(document.get("open_from"), datetime | None) and isinstance(document.get("owner"), str | None)
    return dates and optional and isinstance(document.get("attached"), bool) and is_epoch(document.get("epoch"))


def is_epoch(value: Any) -> bool:
    """True if the value can be an epoch: how often a slot has changed hands."""
    return is_whole(value)
