"""The nodes of a store as users see them, and asking one to drain."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from gsched.errors import NodeNotFoundError
from gsched.nodes import ALIVE, DEAD, DRAINING, NodeInfo
from gsched.stores.mongodb.connection import Connection, Document, Jobs, translate_errors

_AGED: Final[list[Document]] = [{"$sort": {"_id": 1}}, {"$set": {"now": "$$NOW"}}]
_OWNERS: Final[list[Document]] = [
    {"$match": {"owner": {"$ne": None}}},
    {"$group": {"_id": "$owner", "slots": {"$sum": 1}}},
]


class MongoNodes:
    """The part of the store that knows the other nodes, in any process."""

    _connection: Connection

    @translate_errors()
    def nodes(self) -> list[NodeInfo]:
        return read_nodes(self._connection.jobs())

    @translate_errors()
    def request_drain(self, node_id: str) -> None:
        nodes, asked = self._connection.jobs().nodes, {"$currentDate": {"drain_requested": True}}
        told = nodes.update_one({"_id": node_id, "state": "alive", "drain_requested": None}, asked)
        if not told.matched_count and nodes.find_one(node_id, ["_id"]) is None:
            raise NodeNotFoundError(node_id)


def read_nodes(jobs: Jobs) -> list[NodeInfo]:
    """All nodes that are known, the oldest first."""
    slots = {each["_id"]: each["slots"] for each in jobs.slots.aggregate(_OWNERS)}
    nodes = filter(is_node, jobs.nodes.aggregate(_AGED))
    return [_node_info(document, slots.get(document["_id"], 0)) for document in nodes]


def is_node(document: Document) -> bool:
    """Whether it is of a node: people may have written anything."""
    dates = all(isinstance(document.get(field), datetime) for field in ("watermark", "acked"))
    optional = all(isinstance(document.get(field), datetime | None) for field in ("beat_at", "started_at", "ended_at"))
    known = document.get("state") in ("alive", "dead") and isinstance(document.get("beat"), int)
    return isinstance(document["_id"], str) and dates and optional and known


def _node_info(document: Document, slots: int) -> NodeInfo:
    is_alive = document["state"] == "alive"
    beat_at = document.get("beat_at")
    return NodeInfo(
        id=document["_id"],
        host=document.get("host") or "",
        pid=document.get("pid"),
        state=DEAD if not is_alive else DRAINING if document.get("draining") else ALIVE,
        started_at=document.get("started_at") or document["watermark"],
        ended_at=document.get("ended_at"),
        watermark=document["watermark"],
        watermark_age=_age(document, document["watermark"]),
        beat_age=None if beat_at is None else _age(document, beat_at),
        acked=document["acked"],
        slots=slots,
        left=bool(document.get("left")),
        drain_requested=document.get("drain_requested"),
    )


def _age(document: Document, since: datetime) -> float:
    return float((document["now"] - since).total_seconds())
