"""Documents of the audit: {_id, at, action, target, count, actor, via, reason, address, before, after}.

Ids grow with time. The server removes what is older than 90 days.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Final

from gsched.jobs.audit import AuditEntry
from gsched.stores.mongodb.driver.codec import Document

_FIELDS: Final = [field.name for field in fields(AuditEntry) if field.name != "id"]


def audit_document(entry: AuditEntry) -> Document:
    """The document of an entry."""
    document = asdict(entry)
    return {"_id": document.pop("id"), **document}


def audit_entry(document: Document) -> AuditEntry:
    """The entry in a document."""
    return AuditEntry(id=str(document["_id"]), **{key: document[key] for key in _FIELDS if key in document})
