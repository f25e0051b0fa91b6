"""One job's document, found by the job's id."""

from __future__ import annotations

from gsched.batches import BATCH
from gsched.document import shown_id
from gsched.stores.mongodb.connection import Document, Jobs
from gsched.stores.mongodb.documents import UNNAMED


def find_document(jobs: Jobs, job_id: str) -> Document | None:
    """The job's document, with whatever id people have inserted it: a job that has this id as a text comes first."""
    document = jobs.find_one({"_id": job_id})
    return _find_unnamed(jobs, job_id) if document is None else document


def _find_unnamed(jobs: Jobs, job_id: str) -> Document | None:
    """The document that lists show under this id, though its own is no text."""
    ids = (document["_id"] for document in jobs.find(UNNAMED, ["_id"], batch_size=BATCH))
    found = next(({"_id": {"$eq": each}} for each in ids if shown_id(each) == job_id), None)
    return None if found is None else jobs.find_one(found)
