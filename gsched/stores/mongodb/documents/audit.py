"""Documents of the audit: {_id, at, action, target, count, actor, via, reason, address, before, after}.

Ids grow with time. The server removes what is older than 90 days.
"""

from __future__ import annotations

from dataclasses import asdict

from gsched.jobs.audit import AuditEntry
from gsched.stores.mongodb.driver.codec import Document


def audit_document(entry: AuditEntry) -> Document:
    """The document of an entry."""
    document = asdict(entry)
    return {"_id": document.pop("id"), **document}


def audit_entry(document: Document) -> AuditEntry:
    """The entry in a document."""
    return AuditEntry(id=document["_id"], **{key: value for key, value in document.items() if key != "_id"})
