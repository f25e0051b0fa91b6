"""The claim protocol's operations on nodes, and on the slots that they own."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from bson.binary import Binary
from pymongo import errors as driver
from pymongo.read_concern import ReadConcern

from gsched.stores.claims.database import PROTOCOL, NodeRecord, SlotRecord
from gsched.stores.claims.partition import SLOTS
from gsched.stores.claims.process_marks import mark_document, own_mark
from gsched.stores.mongodb.claims.access import ClaimAccess
from gsched.stores.mongodb.documents.claims import alive, freeing, is_node, is_slot, node_record, slot_record
from gsched.stores.mongodb.driver.codec import Document
from gsched.stores.mongodb.driver.connection import translate_errors
from gsched.times.instants import from_ms


class NodeClaims(ClaimAccess):
    """Reads and writes the nodes with their watermarks, and the slots with their owners."""

    # -- nodes --------------------------------------------------------------------------------------------------------

    @translate_errors()
    def join(self, node: str, watermark: int) -> None:
        self._nodes.insert_one(
            {
                "_id": node,
                "state": "alive",
                "protocol": PROTOCOL,
                "watermark": from_ms(watermark),
                "acked": from_ms(watermark),
                "beat": 0,
                "draining": False,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "process": mark_document(own_mark()),
                "started_at": from_ms(watermark),
                "session": self._session.session_id["id"],
            }
        )

    @translate_errors()
    def advance(self, node: str, watermark: int, acked: int, draining: bool) -> bool:
        # $max: an earlier attempt, which this process gave up, may reach the server after this one.
        raised = {"watermark": from_ms(watermark), "acked": from_ms(acked)}
        fields = {"draining": draining, "session": self._session.session_id["id"]}
        beat = {"$max": raised, "$set": fields, "$inc": {"beat": 1}, "$currentDate": {"beat_at": True}}
        claim = self._nodes.update_one(alive(node), beat)
        return bool(claim.matched_count)

    @translate_errors()
    def leave(self, node: str, acked: int) -> None:
        left = {"state": "dead", "acked": from_ms(acked), "left": True}
        over = {"$set": left, "$currentDate": {"ended_at": True}}
        self._nodes.update_one(alive(node), over)

    @translate_errors()
    def nodes(self, also: Collection[str] = ()) -> Sequence[NodeRecord]:
        return self._read_nodes({"$or": [{"settled_at": None}, {"_id": {"$in": list(also)}}]})

    def _read_nodes(self, wanted: Document) -> Sequence[NodeRecord]:
        # A dead node's watermark that a majority has cannot be rolled back.
        confirmed = self._nodes.with_options(read_concern=ReadConcern("majority"))
        mark = own_mark()
        here = None if mark is None else mark.place
        return [node_record(document, here) for document in self._sane("node", confirmed.find(wanted), is_node)]

    @translate_errors()
    def count_dead(self) -> int:
        return int(self._nodes.count_documents({"state": "dead", "left": {"$ne": True}}))

    @translate_errors()
    def bury(self, node: str, beat: int) -> bool:
        self._end_transaction_of(node)
        dead = {"$set": {"state": "dead"}, "$currentDate": {"ended_at": True}}
        return bool(self._nodes.update_one({**alive(node), "beat": beat}, dead).modified_count)

    def _end_transaction_of(self, node: str) -> None:
        """End the transaction of a node that was killed inside it. Otherwise the documents in it stay locked until the
        server gives the transaction up, after a minute.
        """
        session = (self._nodes.find_one(node, ["session"]) or {}).get("session")
        if isinstance(session, UUID):
            try:
                self._jobs.database.command({"killSessions": [{"id": Binary.from_uuid(session)}]})
            except driver.OperationFailure:
                pass  # the session belongs to another user: the server will give the transaction up

    @translate_errors()
    def note_settled(self, nodes: Collection[str]) -> None:
        settled = {"_id": {"$in": list(nodes)}, "state": "dead"}
        self._nodes.update_many(settled, {"$currentDate": {"settled_at": True}})

    # -- slots --------------------------------------------------------------------------------------------------------

    @translate_errors()
    def owners(self) -> Collection[str]:
        owners = (slot["owner"] for slot in self._find_slots({"owner": {"$ne": None}}, ["owner"]))
        return {owner for owner in owners if isinstance(owner, str)}

    @translate_errors()
    def free_slots_of(self, dead: NodeRecord) -> None:
        ended = {"$ifNull": ["$open_from", {"$max": ["$watermark", from_ms(dead.acked)]}]}
        self._slots.update_many({"owner": dead.id}, [freeing(from_ms(dead.watermark), ended)])

    @translate_errors()
    def free_slots(self, node: str) -> Collection[int]:
        ours = {"$or": [{"owner": None}, {"owner": node, "attached": False}]}
        return [slot["_id"] for slot in self._find_slots({**ours, "_id": {"$gte": 0, "$lt": SLOTS}}, ["_id"])]

    @translate_errors()
    def take_slots(self, node: str, numbers: Collection[int]) -> Sequence[SlotRecord]:
        wanted = {"_id": {"$in": list(numbers)}}
        take = {"$set": {"owner": node, "attached": False}, "$inc": {"epoch": 1}}
        countable = {"$expr": {"$isNumber": "$epoch"}}  # a malformed epoch would make the whole update fail
        self._slots.update_many({**wanted, "owner": None, **countable}, take)
        taken = self._find_slots({**wanted, "owner": node, "attached": False})
        return [slot_record(slot) for slot in filter(is_slot, taken)]  # `prepare` reports the malformed ones

    @translate_errors()
    def attach_slots(self, node: str, numbers: Collection[int], watermark: int) -> Collection[int]:
        ours = {"_id": {"$in": list(numbers)}, "owner": node}
        follow = {
            "attached": True,
            "open_from": "$acked",
            "watermark": {"$max": ["$watermark", from_ms(watermark)]},
        }
        self._slots.update_many({**ours, "attached": False}, [{"$set": follow}])
        return {slot["_id"] for slot in self._find_slots({**ours, "attached": True}, ["_id"])}

    @translate_errors()
    def close_slots(self, node: str, numbers: Collection[int]) -> None:
        self._slots.update_many({"_id": {"$in": list(numbers)}, "owner": node}, {"$set": {"open_from": None}})

    @translate_errors()
    def release_slots(self, node: str, fences: Mapping[int, int], watermark: int) -> None:
        until = from_ms(watermark)
        ours = [{"_id": number, "epoch": fence, "owner": node} for number, fence in fences.items()]
        if ours:
            self._slots.update_many({"$or": ours}, [freeing(until, {"$max": ["$watermark", until]})])

    @translate_errors()
    def give_back_slots(self, node: str, numbers: Collection[int]) -> None:
        unattached = {"_id": {"$in": list(numbers)}, "owner": node, "attached": False}
        self._slots.update_many(unattached, {"$set": {"owner": None}})
