"""Cancelling runs in other processes: a mark on the record of the run, and news of the job."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import Connection, select, update

from gsched.event_loop.batches import batches
from gsched.stores.sql.driver.connection import SqlConnection
from gsched.stores.sql.jobs.write import tell
from gsched.stores.sql.rows.runs import run_key

_AT_ONCE: Final = 500  # keys in a statement


def request_cancel(connection: SqlConnection, run_id: str, now: int) -> str | None:
    """Mark the attempt at the run that is in progress, or waits.

    :param now: ms
    :return: the id of its job; None if there is no such attempt
    """
    tables = connection.tables
    jobs, runs = tables.jobs, tables.runs
    found = (
        select(runs.c.key, runs.c.job_id)
        .where(runs.c.key >= f"{run_id}#", runs.c.key < f"{run_id}$", runs.c.state != "ended")
        .limit(1)
    )

    def transaction(line: Connection) -> str | None:
        run = line.execute(found).first()
        if run is None:
            return None
        line.execute(update(runs).where(runs.c.key == run.key).values(cancel_requested=now))
        line.execute(update(jobs).where(jobs.c.id == run.job_id).values(rev=jobs.c.rev + 1))
        tell(line, tables, [run.job_id], now, connection.origin)
        return str(run.job_id)

    return connection.write(transaction)


def cancel_requests(connection: SqlConnection, attempts: Sequence[tuple[str, int]]) -> Collection[str]:
    """The ids of those of these runs that somebody has asked to cancel."""
    runs = connection.tables.runs
    marked: set[str] = set()
    for some in batches(attempts, _AT_ONCE):
        keys = [run_key(*attempt) for attempt in some]
        wanted = select(runs.c.key).where(runs.c.key.in_(keys), runs.c.cancel_requested.is_not(None))
        marked.update(connection.read(lambda line: line.execute(wanted).scalars().all()))  # noqa: B023
    return {key.rpartition("#")[0] for key in marked}
