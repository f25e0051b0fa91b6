"""Maintenance: counts and sizes of the collections, and the removal of old history."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from gsched.event_loop.batches import batches
from gsched.jobs.query import STATES
from gsched.monitoring.store_statistics import StoreStatistics
from gsched.stores.mongodb.driver.codec import Document, Jobs
from gsched.stores.mongodb.history.outputs import remove_outputs
from gsched.times.instants import from_ms


def _state_at(now: int) -> Document:
    """A job's state. "$gt" None is true for any text: missing and null are less; "$gt" a time is true for few others.
    """
    is_paused = {"$or": [{"$eq": ["$paused", True]}, {"$gt": ["$pause.until", from_ms(now)]}]}
    return {
        "$switch": {
            "branches": [
                {"case": {"$gt": ["$parked", None]}, "then": "parked"},
                {"case": is_paused, "then": "paused"},
            ],
            "default": "scheduled",
        }
    }


def statistics_of(jobs: Jobs, now: int) -> StoreStatistics:
    """How many jobs, records and nodes the store has at `now` (ms), and how large its collections are."""
    return StoreStatistics(
        jobs=dict.fromkeys(STATES, 0) | _counts(jobs, _state_at(now)),
        records=_counts(jobs.runs, {"$ifNull": ["$outcome", "$state"]}),
        oldest=_oldest(jobs),
        nodes=_counts(jobs.nodes, "$state"),
        owned_slots=jobs.slots.count_documents({"owner": {"$ne": None}}),
        sizes={each.name: _size(each) for each in (jobs, jobs.runs, jobs.nodes, jobs.slots)},
    )


def count_records(jobs: Jobs, before: int) -> int:
    """How many records have only instants before `before` (ms)."""
    count: int = jobs.runs.count_documents(_ended_before(before))
    return count


def purge_records(jobs: Jobs, before: int, progress: Callable[[int], object] | None) -> int:
    """Remove these records. Gives how many were removed.

    :param progress: called after each batch with the number removed so far
    """
    purged = 0
    ids = (document["_id"] for document in jobs.runs.find(_ended_before(before), ["_id"], batch_size=1000))
    for batch in batches(ids):
        remove_outputs(jobs, batch)
        purged += jobs.runs.delete_many({"_id": {"$in": batch}}).deleted_count
        if progress is not None:
            progress(purged)
    return purged


def _ended_before(before: int) -> Document:
    """The filter for records that have only instants before `before` (ms), without runs in progress."""
    at = from_ms(before)
    return {"state": "ended", "scheduled_at": {"$lt": at}, "$or": [{"until": None}, {"until": {"$lte": at}}]}


def _counts(collection: Jobs, key: Any) -> dict[str, int]:
    counted = collection.aggregate([{"$group": {"_id": key, "count": {"$sum": 1}}}, {"$sort": {"_id": 1}}])
    return {str(each["_id"]): each["count"] for each in counted}


def _oldest(jobs: Jobs) -> datetime | None:
    document = jobs.runs.find_one({"scheduled_at": {"$type": "date"}}, ["scheduled_at"], sort=[("scheduled_at", 1)])
    return None if document is None else document["scheduled_at"]


def _size(collection: Jobs) -> int:
    measured = collection.database.command("collStats", collection.name)
    return int(measured.get("storageSize", 0) + measured.get("totalIndexSize", 0))
