"""Housekeeping: making collections and indexes, measuring them, and removing old history."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from gsched.batches import batches
from gsched.instants import from_ms
from gsched.stores.base import STATES
from gsched.stores.mongodb.connection import Connection, Document, Jobs, translate_errors
from gsched.stores.mongodb.mongo_cluster import MongoCluster
from gsched.stores.statistics import StoreStatistics

_STATE: Final[Document] = {  # missing and null are less than any text
    "$switch": {
        "branches": [
            {"case": {"$gt": ["$parked", None]}, "then": "parked"},
            {"case": {"$eq": ["$paused", True]}, "then": "paused"},
        ],
        "default": "scheduled",
    }
}


class MongoHousekeeping:
    """The part of the store that keeps its database in order, in any process."""

    _connection: Connection
    _cluster: Callable[[], MongoCluster]

    def prepare(self) -> None:
        self._cluster().prepare()

    @translate_errors()
    def ping(self) -> None:
        self._connection.control().command("ping")

    @translate_errors()
    def statistics(self) -> StoreStatistics:
        jobs = self._connection.jobs()
        return StoreStatistics(
            jobs=dict.fromkeys(STATES, 0) | _counts(jobs, _STATE),
            records=_counts(jobs.runs, {"$ifNull": ["$outcome", "$state"]}),
            oldest=_oldest(jobs),
            nodes=_counts(jobs.nodes, "$state"),
            owned_slots=jobs.slots.count_documents({"owner": {"$ne": None}}),
            sizes={each.name: _size(each) for each in (jobs, jobs.runs, jobs.nodes, jobs.slots)},
        )

    @translate_errors()
    def count_records(self, before: int) -> int:
        count: int = self._connection.jobs().runs.count_documents(_ended_before(before))
        return count

    @translate_errors()
    def purge(self, before: int, progress: Callable[[int], object] | None = None) -> int:
        runs, purged = self._connection.jobs().runs, 0
        ids = (document["_id"] for document in runs.find(_ended_before(before), ["_id"], batch_size=1000))
        for batch in batches(ids):
            purged += runs.delete_many({"_id": {"$in": batch}}).deleted_count
            if progress is not None:
                progress(purged)
        return purged


def _ended_before(before: int) -> Document:
    """Records of what was due, all of it, before that; not of runs in progress."""
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
