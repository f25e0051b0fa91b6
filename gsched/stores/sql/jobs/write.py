"""Writes that define jobs, each a step of a transaction: rows, tags, former schedules, and the news of the change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, update

from gsched.jobs.audit import AuditEntry
from gsched.jobs.job import Job
from gsched.stores.sql.driver.connection import Undo
from gsched.stores.sql.driver.tables import Tables
from gsched.stores.sql.jobs.former import keep_former
from gsched.stores.sql.rows.audit import audit_row
from gsched.stores.sql.rows.jobs import Values, tag_rows


class JobChange:
    """A stored job in its next state, ready to be written.

    :param old: the job as it was read
    :param values: what its row says from now on
    """

    def __init__(self, old: Job, new: Job, values: Values, rescheduled: bool) -> None:
        self.old = old
        self.new = new
        self.values = values
        self.rescheduled = rescheduled
        self.tags = tag_rows(new) if old.tags != new.tags else None


def insert_jobs(connection: Connection, tables: Tables, rows: Sequence[Values], tags: Sequence[Values]) -> None:
    """Insert new jobs."""
    connection.execute(insert(tables.jobs), rows)
    if tags:
        connection.execute(insert(tables.job_tags), tags)


def change_jobs(connection: Connection, tables: Tables, changes: Sequence[JobChange]) -> None:
    """Change jobs that have the revisions with which they were read. Raises Undo if one has not."""
    jobs, job_tags = tables.jobs, tables.job_tags
    keep_former(connection, tables, [each.old.id for each in changes if each.rescheduled])
    for each in changes:
        same = jobs.c.id == each.old.id, jobs.c.rev == each.old.rev
        if not connection.execute(update(jobs).where(*same).values(each.values)).rowcount:
            raise Undo
        if each.tags is not None:
            connection.execute(delete(job_tags).where(job_tags.c.job_id == each.old.id))
            if each.tags:
                connection.execute(insert(job_tags), each.tags)


def remove_jobs(connection: Connection, tables: Tables, job_ids: Sequence[str]) -> int:
    """Remove jobs; how many there were."""
    keep_former(connection, tables, job_ids)
    connection.execute(delete(tables.job_tags).where(tables.job_tags.c.job_id.in_(job_ids)))
    return connection.execute(delete(tables.jobs).where(tables.jobs.c.id.in_(job_ids))).rowcount


def note_act(connection: Connection, tables: Tables, entry: AuditEntry | None) -> None:
    """Write the entry of the audit, if there is one."""
    if entry is not None:
        connection.execute(insert(tables.audit), audit_row(entry))


def tell(connection: Connection, tables: Tables, job_ids: Iterable[str], now: int, origin: str) -> None:
    """Let other processes know that these jobs have changed.

    :param origin: names the store object that has changed them, which knows already
    """
    news: list[dict[str, Any]] = [{"job_id": job_id, "at": now, "origin": origin} for job_id in job_ids]
    if news:
        connection.execute(insert(tables.changes), news)
