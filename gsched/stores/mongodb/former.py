"""Former schedules: what a job was due by before a user's write ended that schedule.

Until its owner has seen to it, only the job's document tells by which schedule the instants were due that the owner's
watermark covers. A user's write that ends the schedule, or removes the job, would take that away: if the owner dies,
nobody would know what was in progress. So the schedule is copied to `jobs.former` first, and the write that ends it is
conditional on the document being as it was copied. A process that is killed between the two leaves the copy of a
schedule that goes on, which whoever reads it recognises by the schedule's number.

A document is {_id, job_id, schedule, slot, name, tags, trigger, begins, next_run_time, late_until, until}; `_id` is
the job's id, "@" and the schedule's number, `until` the owner's, and the rest is the job's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pymongo import ReplaceOne

from gsched.batches import batches
from gsched.stores.mongodb.cluster_documents import is_named, schedule_of
from gsched.stores.mongodb.connection import Document, Jobs

COPIED: Final = ("slot", "name", "tags", "trigger", "begins", "next_run_time", "late_until")
NEEDED: Final = (*COPIED, "rev", "admitted", "schedule")  # of a document that is given here
_AT_ONCE: Final = 1000


def keep_former(jobs: Jobs, documents: Iterable[Document]) -> None:
    """Copy the schedules of these jobs, as read, which a write is about to end."""
    covered = [each for each in documents if each.get("admitted") is True and is_named(each)]
    for some in batches(covered, _AT_ONCE):
        jobs.former.bulk_write([_copy(each) for each in some], ordered=False)


def as_copied(document: Document) -> Document:
    """What finds the job's document if all that concerns its schedule is as it was read, and copied."""
    return {key: {"$eq": document.get(key)} for key in ("_id", "rev", "admitted", "next_run_time", "late_until")}


def _copy(document: Document) -> ReplaceOne[Document]:
    schedule = schedule_of(document)
    copied = {"job_id": document["_id"], "schedule": schedule, **{key: document.get(key) for key in COPIED}}
    return ReplaceOne({"_id": f"{document['_id']}@{schedule}"}, {**copied, "until": None}, upsert=True)
