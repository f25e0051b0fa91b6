"""The audit: what was done on somebody's behalf."""

from __future__ import annotations

from pymongo import DESCENDING

from gsched.jobs.audit import AuditPage, AuditQuery, audit_page
from gsched.stores.mongodb.documents.audit import audit_entry
from gsched.stores.mongodb.driver.codec import Document, Jobs


def find_audit(jobs: Jobs, query: AuditQuery) -> AuditPage:
    """A page of entries, the newest first."""
    named = {"actor": query.actor, "action": query.action, "target": query.target}
    wanted: Document = {field: value for field, value in named.items() if value is not None}
    wanted["_id"] = {"$gte": query.first_id, "$lt": query.end_id}
    found = jobs.audit.find(wanted, sort=[("_id", DESCENDING)], limit=query.limit + 1)
    return audit_page([*map(audit_entry, found)], query)
