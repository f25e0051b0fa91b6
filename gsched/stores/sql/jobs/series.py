"""Numbers the jobs of each series, so that each gets a phase of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, func, insert, select, update

from gsched.event_loop.batches import batches
from gsched.policies.spreading import Numbers, Series
from gsched.stores.sql.driver.tables import Tables

_AT_ONCE = 500  # keys in a query


def take_numbers(connection: Connection, tables: Tables, wanted: Mapping[Series, int]) -> dict[Series, Numbers]:
    """Take the next so many numbers of each series. A step of a transaction."""
    known, table = _known(connection, tables, wanted), tables.series
    taken: dict[Series, Numbers] = {}
    for series, count in wanted.items():
        if series.key in known:
            numbers = known[series.key]
            after = numbers.first + count
            connection.execute(update(table).where(table.c.key == series.key).values(taken=after))
        else:
            numbers = Numbers(_next_rank(connection, tables, series), 0)
            new = {"key": series.key, "family": series.family, "rank": numbers.rank, "taken": count}
            connection.execute(insert(table), new)
        taken[series] = numbers
    return taken


def _known(connection: Connection, tables: Tables, wanted: Iterable[Series]) -> dict[str, Numbers]:
    table, known = tables.series, {}
    for keys in batches((series.key for series in wanted), _AT_ONCE):
        for row in connection.execute(select(table).where(table.c.key.in_(keys))):
            known[row.key] = Numbers(row.rank, row.taken)
    return known


def _next_rank(connection: Connection, tables: Tables, series: Series) -> int:
    if series.group is None:
        return 0
    table = tables.series
    last = connection.execute(select(func.max(table.c.rank)).where(table.c.family == series.family)).scalar()
    return 1 + (last or 0)
