"""The audit: what was done on somebody's behalf."""

from __future__ import annotations

from sqlalchemy import delete, desc, select

from gsched.jobs.audit import KEPT_MS, AuditEntry, AuditPage, AuditQuery, audit_page, entry_id
from gsched.stores.sql.driver.connection import SqlConnection
from gsched.stores.sql.jobs.write import note_act
from gsched.stores.sql.rows.audit import audit_entry


def record_audit(connection: SqlConnection, entry: AuditEntry) -> None:
    """Keep an entry."""
    connection.write(lambda line: note_act(line, connection.tables, entry))


def find_audit(connection: SqlConnection, query: AuditQuery) -> AuditPage:
    """A page of entries, the newest first."""
    audit = connection.tables.audit
    named = {"actor": query.actor, "action": query.action, "target": query.target}
    wanted = [audit.c[column] == value for column, value in named.items() if value is not None]
    page = (
        select(audit)
        .where(*wanted, audit.c.id >= query.first_id, audit.c.id < query.end_id)
        .order_by(desc(audit.c.id))
        .limit(query.limit + 1)
    )
    return audit_page([*map(audit_entry, connection.read(lambda line: line.execute(page).all()))], query)


def expire_audit(connection: SqlConnection, now: int) -> None:
    """Remove entries that are older than they are kept.

    :param now: ms
    """
    audit = connection.tables.audit
    old = delete(audit).where(audit.c.id < entry_id(max(now - KEPT_MS, 0)))
    connection.write(lambda line: line.execute(old), urgent=True)
