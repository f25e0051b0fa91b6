"""What the nodes publish of themselves, and an overview of the store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, desc, func, select

from gsched.history.queries import RUNNING
from gsched.jobs.outcomes import Outcome
from gsched.jobs.pause import PLAIN
from gsched.monitoring.activity import NodeActivity, Overview
from gsched.monitoring.error_groups import BAD
from gsched.monitoring.nodes import DEAD, NodeInfo
from gsched.monitoring.pauses import MOST_LOOKED_AT, PausedJob, groups_of_pauses
from gsched.monitoring.troubles import (
    LATELY_SECONDS,
    MOST_RECORDS,
    MOST_TROUBLES,
    LongRun,
    PastRun,
    groups_of,
    troubles_of,
)
from gsched.stores.durable.publisher import published_activity
from gsched.stores.sql.driver.connection import SqlConnection
from gsched.stores.sql.driver.tables import Tables
from gsched.stores.sql.operations.nodes import read_nodes
from gsched.stores.sql.rows.jobs import pause_of
from gsched.times.instants import from_ms

_KEEP_ACTIVITY_MS: Final = 600_000


def publish(connection: SqlConnection, node: str, activity: Mapping[str, Any], now: int) -> None:
    """Let others read what a node does; what nodes that are gone have published goes after a while."""
    table = connection.tables.activity
    row = {"node": node, "at": now, "document": json.dumps(activity)}
    new = connection.insert(into=table)
    replacing = new.on_conflict_do_update(
        index_elements=[table.c.node], set_={"at": new.excluded.at, "document": new.excluded.document}
    )

    def transaction(line: Connection) -> None:
        line.execute(replacing, row)
        line.execute(delete(table).where(table.c.at < now - _KEEP_ACTIVITY_MS))

    connection.write(transaction)


def overview(connection: SqlConnection, now: int, ttl: float) -> Overview:
    """Jobs, nodes, what these are doing, and what went wrong lately.

    :param ttl: seconds without a beat after which a node is silent
    """
    since = now - round(LATELY_SECONDS * 1000)

    def transaction(line: Connection) -> Overview:
        tables = connection.tables
        known = read_nodes(line, tables, now, ttl)
        nodes = [node for node in known if node.ended_at is None or node.ended_at > from_ms(since)]
        bad = _lately(line, tables, BAD, since)
        long = _lately(line, tables, (str(Outcome.SUCCEEDED),), since)
        return Overview(
            _job_counts(line, tables, now),
            tuple(nodes),
            tuple(_activities(line, tables, nodes, now)),
            troubles_of([*bad, *long]),
            groups_of(bad),
            tuple(_in_progress(line, tables, now)),
            groups_of_pauses(paused_jobs(line, tables, now)),
        )

    return connection.read(transaction)


def paused_jobs(line: Connection, tables: Tables, now: int) -> list[PausedJob]:
    """Jobs that are paused at `now` (ms), a thousand at most."""
    jobs = tables.jobs
    paused = select(jobs.c.id, jobs.c.paused, jobs.c.pause).where(tables.is_paused(now)).limit(MOST_LOOKED_AT)
    rows: Sequence[Any] = line.execute(paused).all()
    return [PausedJob(row.id, pause_of(row) or PLAIN) for row in rows]


def _job_counts(line: Connection, tables: Tables, now: int) -> dict[str, int | None]:
    """A statement for each, which an index answers: one for all of them would read the whole table."""
    every = select(func.count()).select_from(tables.jobs)
    paused, parked = every.where(tables.is_paused(now)), every.where(tables.jobs.c.parked.is_not(None))
    counts = {"total": every, "paused": paused, "parked": parked}
    return {name: line.execute(count).scalar() for name, count in counts.items()}


def _activities(line: Connection, tables: Tables, nodes: Sequence[NodeInfo], now: int) -> list[NodeActivity]:
    living = [node.id for node in nodes if node.state != DEAD]
    table = tables.activity
    published = select(table).where(table.c.node.in_(living)).order_by(table.c.node)
    return [
        published_activity(row.node, (now - row.at) / 1000, json.loads(row.document)) for row in line.execute(published)
    ]


def _lately(line: Connection, tables: Tables, outcomes: Sequence[str], since: int) -> list[PastRun]:
    """The last records with these outcomes, the newest first."""
    runs = tables.runs
    found = (
        select(runs)
        .where(runs.c.outcome.in_(outcomes), runs.c.scheduled_at >= since)
        .order_by(desc(runs.c.scheduled_at))
        .limit(MOST_RECORDS)
    )
    return [_past_run(row) for row in line.execute(found)]


def _past_run(row: Any) -> PastRun:
    timed = row.started_at is not None and row.finished_at is not None
    tag = next(iter(json.loads(row.tags or "[]")), "")
    seconds = (row.finished_at - row.started_at) / 1000 if timed else None
    return PastRun(row.job_id, tag, row.outcome, row.error_type, row.error_message or row.reason, seconds)


def _in_progress(line: Connection, tables: Tables, now: int) -> list[LongRun]:
    """The runs in progress that were due first."""
    runs = tables.runs
    oldest = select(runs).where(tables.unended, runs.c.state == RUNNING).order_by(runs.c.scheduled_at)
    return [
        LongRun(row.job_id, row.key.rpartition("#")[0], (now - row.scheduled_at) / 1000, row.node)
        for row in line.execute(oldest.limit(MOST_TROUBLES))
    ]
