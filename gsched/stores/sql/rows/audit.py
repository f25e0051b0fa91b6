"""Rows of the table of the audit."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Row

from gsched.jobs.audit import AuditEntry, time_of
from gsched.times.instants import from_ms


def audit_row(entry: AuditEntry) -> dict[str, Any]:
    """The row of an entry."""
    return {
        "id": entry.id,
        "action": entry.action,
        "target": entry.target,
        "number": entry.count,
        "actor": entry.actor,
        "via": entry.via,
        "reason": entry.reason,
        "address": entry.address,
        "before": json.dumps(dict(entry.before), ensure_ascii=False),
        "after": json.dumps(dict(entry.after), ensure_ascii=False),
    }


def audit_entry(row: Row[Any]) -> AuditEntry:
    """The entry in a row."""
    return AuditEntry(
        row.id,
        from_ms(time_of(row.id)),
        row.action,
        row.target,
        row.number,
        row.actor,
        row.via,
        row.reason,
        row.address,
        json.loads(row.before),
        json.loads(row.after),
    )
