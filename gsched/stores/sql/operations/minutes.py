"""What the nodes did in each minute, and all of them together in each hour."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, select

from gsched.monitoring.rates import (
    HOUR_MS,
    HOURS_KEPT_MS,
    MINUTES_KEPT_MS,
    NotedMinute,
    added,
    as_document,
    read_minute,
)
from gsched.stores.sql.driver.connection import SqlConnection


def note_minute(connection: SqlConnection, node: str, minute: NotedMinute) -> None:
    """Keep what a node did in a minute, and add it to the hour. What is too old goes."""
    minutes, hours = connection.tables.minutes, connection.tables.hours
    at, document = minute.at - minute.at % HOUR_MS, as_document(minute.period)
    new = connection.insert(into=minutes)
    row = {"at": minute.at, "node": node, "document": json.dumps(document)}
    known = select(hours.c.document).where(hours.c.at == at)
    hour = connection.insert(into=hours)
    replacing = hour.on_conflict_do_update(index_elements=[hours.c.at], set_={"document": hour.excluded.document})

    def transaction(line: Connection) -> None:
        if not line.execute(new.on_conflict_do_nothing(), row).rowcount:
            return  # an attempt before this one has written it, and added it to the hour
        earlier = line.execute(known).scalar()
        whole = document if earlier is None else added(json.loads(earlier), document)
        line.execute(replacing, {"at": at, "document": json.dumps(whole)})
        line.execute(delete(minutes).where(minutes.c.at < minute.at - MINUTES_KEPT_MS))
        line.execute(delete(hours).where(hours.c.at < minute.at - HOURS_KEPT_MS))

    connection.write(transaction)


def read_minutes(connection: SqlConnection, since: int, until: int, *, by_hour: bool) -> list[NotedMinute]:
    """What is kept of the time from `since` until before `until` (ms)."""
    table = connection.tables.hours if by_hour else connection.tables.minutes
    wanted = select(table.c.at, table.c.document).where(table.c.at >= since, table.c.at < until).order_by(table.c.at)
    rows: Sequence[Any] = connection.read(lambda line: line.execute(wanted).all())
    return [read_minute(row.at, json.loads(row.document)) for row in rows]
