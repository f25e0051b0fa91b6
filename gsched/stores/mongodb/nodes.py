"""The nodes of a store as users see them, and asking one to drain."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from gsched.errors import NodeNotFoundError
from gsched.instants import to_ms
from gsched.nodes import ALIVE, DEAD, DRAINING, SILENT, NodeInfo
from gsched.stores.base import NEVER
from gsched.stores.mongodb.connection import Connection, Document, Jobs, translate_errors
from gsched.stores.mongodb.pace import Pace
from gsched.stores.mongodb.partition import is_slot, slot_of

_AGED: Final[list[Document]] = [{"$sort": {"_id": 1}}, {"$set": {"now": "$$NOW"}}]
_OWNERS: Final[list[Document]] = [
    {"$match": {"owner": {"$ne": None}}},
    {"$group": {"_id": "$owner", "slots": {"$sum": 1}}},
]


class MongoNodes:
    """The part of the store that knows the other nodes, in any process."""

    _connection: Connection
    _pace: Pace

    @translate_errors()
    def nodes(self) -> list[NodeInfo]:
        return read_nodes(self._connection.jobs(), self._pace.ttl)

    @translate_errors()
    def claimed_until(self) -> Callable[[str], int]:
        jobs = self._connection.jobs()
        nodes = {node["_id"]: to_ms(node["watermark"]) for node in filter(is_node, jobs.nodes.find())}
        claimed = {slot["_id"]: _claimed_in(slot, nodes) for slot in filter(is_slot, jobs.slots.find())}
        return lambda job_id: claimed.get(slot_of(job_id), NEVER)

    @translate_errors()
    def request_drain(self, node_id: str) -> None:
        nodes, asked = self._connection.jobs().nodes, {"$currentDate": {"drain_requested": True}}
        told = nodes.update_one({"_id": node_id, "state": "alive", "drain_requested": None}, asked)
        if not told.matched_count and nodes.find_one(node_id, ["_id"]) is None:
            raise NodeNotFoundError(node_id)


def _claimed_in(slot: Document, watermarks: dict[str, int]) -> int:
    """Until when (ms) the instants in the slot are claimed: as far as its owner's watermark, once it is attached."""
    own = to_ms(slot["watermark"])
    return max(own, watermarks.get(slot["owner"], own)) if slot["attached"] else own


def read_nodes(jobs: Jobs, ttl: float) -> list[NodeInfo]:
    """All nodes that are known, the oldest first.

    :param ttl: seconds without a beat after which a node is silent
    """
    slots = {each["_id"]: each["slots"] for each in jobs.slots.aggregate(_OWNERS)}
    nodes = filter(is_node, jobs.nodes.aggregate(_AGED))
    return [_node_info(document, slots.get(document["_id"], 0), ttl) for document in nodes]


def is_node(document: Document) -> bool:
    """Whether it is of a node: people may have written anything."""
    dates = all(isinstance(document.get(field), datetime) for field in ("watermark", "acked"))
    optional = all(isinstance(document.get(field), datetime | None) for field in ("beat_at", "started_at", "ended_at"))
    known = document.get("state") in ("alive", "dead") and isinstance(document.get("beat"), int)
    return isinstance(document["_id"], str) and dates and optional and known


def _node_info(document: Document, slots: int, ttl: float) -> NodeInfo:
    beat_at = document.get("beat_at")
    beat_age = None if beat_at is None else _age(document, beat_at)
    return NodeInfo(
        id=document["_id"],
        host=document.get("host") or "",
        pid=document.get("pid"),
        state=_state(document, beat_age, ttl),
        started_at=document.get("started_at") or document["watermark"],
        ended_at=document.get("ended_at"),
        watermark=document["watermark"],
        watermark_age=_age(document, document["watermark"]),
        beat_age=beat_age,
        acked=document["acked"],
        slots=slots,
        left=bool(document.get("left")),
        drain_requested=document.get("drain_requested"),
    )


def _state(document: Document, beat_age: float | None, ttl: float) -> str:
    if document["state"] != "alive":
        return DEAD
    if beat_age is not None and beat_age > ttl:
        return SILENT
    return DRAINING if document.get("draining") else ALIVE


def _age(document: Document, since: datetime) -> float:
    return float((document["now"] - since).total_seconds())
