"""The nodes of a store as users see them, and asking one to drain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from gsched.errors import NodeNotFoundError
from gsched.jobs.job import Job
from gsched.monitoring.nodes import ALIVE, DEAD, DRAINING, SILENT, NodeInfo
from gsched.stores.claims.partition import slot_of_job
from gsched.stores.messages import NEVER
from gsched.stores.sql.driver.connection import SqlConnection
from gsched.stores.sql.driver.tables import Tables
from gsched.times.instants import from_ms


def read_nodes(connection: Connection, tables: Tables, now: int, ttl: float) -> list[NodeInfo]:
    """All nodes that are known, the oldest first.

    :param now: ms
    :param ttl: seconds without a beat after which a node is silent
    """
    nodes, slots = tables.nodes, tables.slots
    owned = select(slots.c.owner, func.count()).where(slots.c.owner.is_not(None)).group_by(slots.c.owner)
    counts: dict[str, int] = dict(connection.execute(owned).all())
    known: Sequence[Any] = connection.execute(select(nodes).order_by(nodes.c.id)).all()
    return [_info(row, counts.get(row.id, 0), now, ttl) for row in known]


def claimed_until(connection: SqlConnection) -> Callable[[Job], int]:
    """A function that gives the time (ms) up to which the instants of a job are claimed now."""
    nodes, slots = connection.tables.nodes, connection.tables.slots
    joined = select(slots, nodes.c.watermark.label("owners")).outerjoin(nodes, nodes.c.id == slots.c.owner)
    rows = connection.read(lambda line: line.execute(joined).all())
    claimed = {row.id: max(row.watermark, row.owners or 0) if row.attached else row.watermark for row in rows}
    return lambda job: claimed.get(slot_of_job(job), NEVER)


def request_drain(connection: SqlConnection, node_id: str, now: int) -> None:
    """Ask a node to drain; nothing happens if it is dead. Raises NodeNotFoundError."""
    nodes = connection.tables.nodes
    living = nodes.c.id == node_id, nodes.c.alive, nodes.c.drain_requested.is_(None)
    known = select(nodes.c.id).where(nodes.c.id == node_id)

    def transaction(line: Connection) -> bool:
        asked = line.execute(update(nodes).where(*living).values(drain_requested=now)).rowcount
        return bool(asked) or line.execute(known).first() is not None

    if not connection.write(transaction):
        raise NodeNotFoundError(node_id)


def _info(row: Row[Any], slots: int, now: int, ttl: float) -> NodeInfo:
    beat_age = None if row.beat_at is None else (now - row.beat_at) / 1000
    return NodeInfo(
        id=row.id,
        host=row.host or "",
        pid=row.pid,
        state=_state(row, beat_age, ttl),
        started_at=from_ms(row.started_at),
        ended_at=None if row.ended_at is None else from_ms(row.ended_at),
        watermark=from_ms(row.watermark),
        watermark_age=(now - row.watermark) / 1000,
        beat_age=beat_age,
        acked=from_ms(row.acked),
        slots=slots,
        left=row.left,
        drain_requested=None if row.drain_requested is None else from_ms(row.drain_requested),
    )


def _state(row: Row[Any], beat_age: float | None, ttl: float) -> str:
    if not row.alive:
        return DEAD
    if beat_age is not None and beat_age > ttl:
        return SILENT
    return DRAINING if row.draining else ALIVE
