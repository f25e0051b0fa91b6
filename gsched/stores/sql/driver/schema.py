"""Making the tables, and seeing that they are of the latest version."""

from __future__ import annotations

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.schema import CreateIndex, CreateTable

from gsched.errors import StoreError
from gsched.stores.claims.partition import SLOTS
from gsched.stores.sql.driver.migrations import latest_version, migrate
from gsched.stores.sql.driver.tables import Tables
from gsched.times.clock import SystemClock

_VERSION_KEY = "schema"


def prepare(connection: Connection, tables: Tables) -> None:
    """Make missing tables, and migrate those of an earlier version, in the caller's transaction.

    :raises StoreError: for tables of a newer version, or if a node of an earlier version lives
    """
    _see_version(connection, tables)
    for table in tables.metadata.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in table.indexes:
            connection.execute(CreateIndex(index, if_not_exists=True))
    _make_slots(connection, tables)


def _see_version(connection: Connection, tables: Tables) -> None:
    meta, latest = tables.meta, latest_version()
    connection.execute(CreateTable(meta, if_not_exists=True))
    found = connection.execute(select(meta.c.value).where(meta.c.key == _VERSION_KEY)).scalar()
    if found is None:
        connection.execute(insert(meta).values(key=_VERSION_KEY, value=str(latest)))
    elif found in map(str, range(1, latest)):
        migrate(connection, tables, int(found), SystemClock().now_ms())
        connection.execute(update(meta).where(meta.c.key == _VERSION_KEY).values(value=str(latest)))
    elif found != str(latest):
        raise StoreError(
            f"the tables {tables.prefix}* are of version {found}, which this gsched does not know (it writes version"
            f" {latest}); use the gsched that wrote them, or a newer one"
        )


def _make_slots(connection: Connection, tables: Tables) -> None:
    """Those that are missing. What nodes have claimed is claimed."""
    slots, nodes = tables.slots, tables.nodes
    there = set(connection.execute(select(slots.c.id)).scalars())
    if len(there) == SLOTS:
        return
    until = connection.execute(select(func.max(nodes.c.watermark))).scalar() or 0
    new = {"owner": None, "epoch": 0, "watermark": until, "acked": until, "attached": False, "open_from": None}
    connection.execute(insert(slots), [{"id": number, **new} for number in range(SLOTS) if number not in there])
