"""The claim protocol's operations on MongoDB.

Beside the jobs collection, say `jobs`, there are `jobs.nodes` (one document for each incarnation of a scheduler),
`jobs.slots` (256 documents), `jobs.runs` (runs in progress that are written down, and the history) and `jobs.former`
(schedules that users' writes have ended).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from pymongo import UpdateOne
from pymongo.operations import IndexModel

from gsched.instants import from_ms, to_ms
from gsched.stores.mongodb.cluster_jobs import ClusterJobs
from gsched.stores.mongodb.cluster_nodes import ClusterNodes
from gsched.stores.mongodb.cluster_runs import ClusterRuns
from gsched.stores.mongodb.connection import Document, translate_errors
from gsched.stores.mongodb.history import INDEXES as HISTORY_INDEXES
from gsched.stores.mongodb.indexes import make_indexes
from gsched.stores.mongodb.partition import SLOTS, is_epoch, is_slot

_KEEP_DEAD_SECONDS: Final = 86_400
_KEEP_ACTIVITY_SECONDS: Final = 600
_NEVER: Final = from_ms(0)

# Of the collections beside that of the jobs, by the last part of their names.
INDEXES: Final = {
    "nodes": (IndexModel([("settled_at", 1)], expireAfterSeconds=_KEEP_DEAD_SECONDS, name="settled_at"),),
    "runs": (IndexModel([("state", 1), ("slot", 1)], name="in_progress"), *HISTORY_INDEXES),
    "former": (IndexModel([("slot", 1)], name="slot"), IndexModel([("job_id", 1)], name="job_id")),
    "activity": (IndexModel([("at", 1)], expireAfterSeconds=_KEEP_ACTIVITY_SECONDS, name="at"),),
}


class MongoCluster(ClusterNodes, ClusterJobs, ClusterRuns):
    """One process's access to the shared documents, as the claim protocol needs it: see `Cluster`."""

    @translate_errors()
    def prepare(self) -> None:
        self._make_indexes()
        self.exclusive = self._connection.is_standalone()
        found = {slot["_id"]: slot for slot in self._find_slots({"_id": {"$in": [*range(SLOTS)]}})}
        if wrong := [number for number in range(SLOTS) if not is_slot(found.get(number, {}))]:
            self._make_slots({number: found.get(number) for number in wrong})

    def _make_indexes(self) -> None:
        differing = [f"{self._jobs.name}.{index}" for index in self._connection.prepare(anew=True)]
        for name, indexes in INDEXES.items():
            collection = self._jobs[name]
            differing += (f"{collection.name}.{index}" for index in make_indexes(collection, indexes))
        for name in differing:
            self._complain_once(f"index {name}", f"in place of index {name} there is another, which is used and stays")

    def _make_slots(self, as_found: Mapping[int, Document | None]) -> None:
        """Those that never were there, or were dropped: what nodes have claimed is claimed. So too, as far as they do
        not tell better, those that are not understood any more."""
        until = max((from_ms(node.watermark) for node in self._read_nodes({})), default=_NEVER)
        new = {"owner": None, "epoch": 0, "watermark": until, "acked": until, "attached": False, "open_from": None}
        making = []
        for number, slot in as_found.items():
            if slot is None:
                making.append(UpdateOne({"_id": number}, {"$setOnInsert": new}, upsert=True))
            else:
                self._complain_once(f"slot {number}", f"slot {number} is not understood, and made anew: {slot!r}")
                as_read = {field: {"$eq": slot.get(field)} for field in {**slot, **new}}
                making.append(UpdateOne(as_read, {"$set": {**new, **_kept(slot)}}))
        self._slots.bulk_write(making, ordered=False)

    @translate_errors()
    def time(self) -> int:
        return to_ms(self._connection.server_time())


def _kept(slot: Document) -> Document:
    """What stays of a slot that is not understood: how often it has changed hands; and how far it is claimed, unless
    it has an owner, who may have claimed more."""
    kept = {"epoch": slot["epoch"]} if is_epoch(slot.get("epoch")) else {}
    claimed = {field: slot.get(field) for field in ("watermark", "acked")}
    is_known = slot.get("owner") is None and all(isinstance(each, datetime) for each in claimed.values())
    return {**kept, **claimed} if is_known else kept
