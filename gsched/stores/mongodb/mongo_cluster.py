"""The claim protocol's operations on MongoDB.

Beside the jobs collection, say `jobs`, there are `jobs.nodes` (one document for each incarnation of a scheduler),
`jobs.slots` (256 documents) and `jobs.runs` (runs in progress that are written down, and the history).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pymongo import UpdateOne
from pymongo.operations import IndexModel

from gsched.instants import from_ms, to_ms
from gsched.stores.mongodb.cluster_jobs import ClusterJobs
from gsched.stores.mongodb.cluster_nodes import ClusterNodes
from gsched.stores.mongodb.cluster_runs import ClusterRuns
from gsched.stores.mongodb.connection import translate_errors
from gsched.stores.mongodb.history import INDEXES as HISTORY_INDEXES
from gsched.stores.mongodb.partition import SLOTS

_KEEP_DEAD_SECONDS: Final = 86_400
_KEEP_ACTIVITY_SECONDS: Final = 600
_NEVER: Final = from_ms(0)

# Of the collections beside that of the jobs, by the last part of their names.
INDEXES: Final = {
    "nodes": (IndexModel([("settled_at", 1)], expireAfterSeconds=_KEEP_DEAD_SECONDS, name="settled_at"),),
    "runs": (IndexModel([("state", 1), ("slot", 1)], name="in_progress"), *HISTORY_INDEXES),
    "activity": (IndexModel([("at", 1)], expireAfterSeconds=_KEEP_ACTIVITY_SECONDS, name="at"),),
}


class MongoCluster(ClusterNodes, ClusterJobs, ClusterRuns):
    """One process's access to the shared documents, as the claim protocol needs it: see `Cluster`."""

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

    @translate_errors()
    def time(self) -> int:
        return to_ms(self._connection.server_time())
