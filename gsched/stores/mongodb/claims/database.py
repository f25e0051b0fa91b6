"""The claim protocol's operations on MongoDB.

Beside the jobs collection, say `jobs`, there are `jobs.nodes` (one document for each node), `jobs.slots` (256
documents), `jobs.runs` (recorded runs and the history), `jobs.former` (former schedules), and `jobs.limits` and
`jobs.pauses` (of groups).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pymongo import UpdateOne

from gsched.jobs.limits import GroupLimits
from gsched.stores.claims.partition import SLOTS
from gsched.stores.mongodb.claims.jobs import JobClaims
from gsched.stores.mongodb.claims.nodes import NodeClaims
from gsched.stores.mongodb.claims.runs import RunClaims
from gsched.stores.mongodb.documents.claims import is_slot
from gsched.stores.mongodb.driver.codec import Document
from gsched.stores.mongodb.driver.connection import translate_errors
from gsched.stores.mongodb.driver.indexes import INDEXES_BESIDE, make_indexes
from gsched.stores.mongodb.jobs.limits import stored_limits
from gsched.times.instants import from_ms, to_ms

_NEVER: Final = from_ms(0)


class MongoClaimDatabase(NodeClaims, JobClaims, RunClaims):
    """One process's access to the shared documents, as the claim protocol needs it: see `ClaimDatabase`."""

    @translate_errors()
    def prepare(self) -> None:
        self._connection.prepare(anew=True)
        for name, indexes in INDEXES_BESIDE.items():
            make_indexes(self._jobs[name], indexes)
        self.exclusive = self._connection.is_standalone()
        found = {slot["_id"]: slot for slot in self._find_slots({"_id": {"$in": [*range(SLOTS)]}})}
        self._make_slots([number for number in range(SLOTS) if number not in found])
        for number, slot in found.items():
            if not is_slot(slot):
                self._complain_once(f"slot {number}", _repair(self._slots.name, slot))

    def _make_slots(self, missing: Sequence[int]) -> None:
        """Make missing slots. Somebody may have dropped them, so they begin at the highest watermark of all nodes."""
        if not missing:
            return
        until = max((from_ms(node.watermark) for node in self._read_nodes({})), default=_NEVER)
        new = {"owner": None, "epoch": 0, "watermark": until, "acked": until, "attached": False, "open_from": None}
        making = [UpdateOne({"_id": number}, {"$setOnInsert": new}, upsert=True) for number in missing]
        self._slots.bulk_write(making, ordered=False)

    @translate_errors()
    def time(self) -> int:
        return to_ms(self._connection.server_time())

    @translate_errors()
    def limits(self, now: int) -> GroupLimits:
        return stored_limits(self._jobs, now, lambda message: self._complain_once(message, message))


def _repair(collection: str, slot: Document) -> str:
    """What is wrong with a malformed slot, and the command that repairs it."""
    number = slot["_id"]
    return (
        f"jobs in slot {number} are not run, because its document in {collection} is malformed: in mongosh: "
        f"db[{collection!r}].deleteOne({{_id: {number}}}); a node makes it anew within half a minute: {slot!r}"
    )
