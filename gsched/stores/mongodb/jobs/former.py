"""Former schedules: copies of the schedules that users' writes end.

A user's write may reschedule or remove a job whose instants the owner's watermark covers. If the owner dies before it
has seen the change, its successor needs the schedule to find the instants that were in progress. So the schedule is
copied to `jobs.former` first, and the write is conditional on the document still being as it was copied. If a process
is killed between the two writes, it leaves the copy of a schedule that goes on; readers recognise it by its number.

A document is {_id, job_id, schedule, slot, name, tags, trigger, begins, next_run_time, pause, late_until, until}. `_id`
is the job's id, "@" and the schedule's number; the owner writes `until`; the other fields are copied from the job.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pymongo import ReplaceOne

from gsched.event_loop.batches import batches
from gsched.stores.mongodb.documents.claims import is_named, schedule_of
from gsched.stores.mongodb.driver.codec import Document, Jobs

COPIED: Final = ("slot", "name", "tags", "trigger", "begins", "next_run_time", "pause", "late_until")
NEEDED: Final = (*COPIED, "rev", "admitted", "schedule")  # fields that `keep_former` and `as_copied` read
_AT_ONCE: Final = 1000


def keep_former(jobs: Jobs, documents: Iterable[Document]) -> None:
    """Copy the schedules of these jobs, which a write is about to end."""
    covered = [each for each in documents if each.get("admitted") is True and is_named(each)]
    for some in batches(covered, _AT_ONCE):
        jobs.former.bulk_write([_copy(each) for each in some], ordered=False)


def as_copied(document: Document) -> Document:
    """The filter for the job's document, if its schedule is still as it was copied."""
    return {key: {"$eq": document.get(key)} for key in ("_id", "rev", "admitted", "next_run_time", "late_until")}


def _copy(document: Document) -> ReplaceOne[Document]:
    schedule = schedule_of(document)
    copied = {"job_id": document["_id"], "schedule": schedule, **{key: document.get(key) for key in COPIED}}
    return ReplaceOne({"_id": f"{document['_id']}@{schedule}"}, {**copied, "until": None}, upsert=True)
