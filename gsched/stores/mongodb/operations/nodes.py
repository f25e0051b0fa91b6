"""The nodes of a store as users see them, and the request to drain."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from gsched.errors import NodeNotFoundError
from gsched.jobs.job import Job
from gsched.monitoring.nodes import ALIVE, DEAD, DRAINING, SILENT, NodeInfo
from gsched.stores.claims.partition import slot_of_job
from gsched.stores.messages import NEVER
from gsched.stores.mongodb.documents.claims import is_node, is_slot
from gsched.stores.mongodb.driver.codec import Document, Jobs
from gsched.times.instants import to_ms

_AGED: Final[list[Document]] = [{"$sort": {"_id": 1}}, {"$set": {"now": "$$NOW"}}]
_OWNERS: Final[list[Document]] = [
    {"$match": {"owner": {"$ne": None}}},
    {"$group": {"_id": "$owner", "slots": {"$sum": 1}}},
]


def claims_of(jobs: Jobs) -> Callable[[Job], int]:
    """A function that gives the time (ms) up to which the instants of a job are claimed now."""
    nodes = {node["_id"]: to_ms(node["watermark"]) for node in filter(is_node, jobs.nodes.find())}
    claimed = {slot["_id"]: _claimed_in(slot, nodes) for slot in filter(is_slot, jobs.slots.find())}
    return lambda job: claimed.get(slot_of_job(job), NEVER)


def request_drain(jobs: Jobs, node_id: str) -> None:
    """Ask a node to drain; nothing happens if it is dead. Raises NodeNotFoundError."""
    asked = {"$currentDate": {"drain_requested": True}}
    updated = jobs.nodes.update_one({"_id": node_id, "state": "alive", "drain_requested": None}, asked)
    if not updated.matched_count and jobs.nodes.find_one(node_id, ["_id"]) is None:
        raise NodeNotFoundError(node_id)


def _claimed_in(slot: Document, watermarks: dict[str, int]) -> int:
    """The time (ms) up to which the instants in the slot are claimed: its owner's watermark, if it is attached."""
    own = to_ms(slot["watermark"])
    return max(own, watermarks.get(slot["owner"], own)) if slot["attached"] else own


def read_nodes(jobs: Jobs, ttl: float) -> list[NodeInfo]:
    """All known nodes, the oldest first.

    :param ttl: seconds without a beat after which a node is silent
    """
    slots = {each["_id"]: each["slots"] for each in jobs.slots.aggregate(_OWNERS)}
    nodes = filter(is_node, jobs.nodes.aggregate(_AGED))
    return [_node_info(document, slots.get(document["_id"], 0), ttl) for document in nodes]


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
