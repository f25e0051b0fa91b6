"""Writes changes of stored jobs, each on condition that the job is as it was read."""

from __future__ import annotations

from typing import Final, NamedTuple

import bson
from pymongo import UpdateOne, errors as driver
from pymongo.client_session import ClientSession

from gsched.jobs.job import Job
from gsched.stores.mongodb.documents.jobs import DocumentChange
from gsched.stores.mongodb.driver.codec import CODEC, Document, Jobs
from gsched.stores.mongodb.jobs.former import as_copied, keep_former

# What the job's owner writes, and `run_job`, which raises `rev`.
_NOT_OF_USERS: Final = frozenset(
    ("rev", "admitted", "begins", "next_run_time", "late_until", "parked", "expected_since", "overdue_at",
     "overdue_told")
)  # fmt: skip


_NO_TRANSACTIONS: Final = 20  # the code of a standalone server


class Rewriting(NamedTuple):
    """A stored document, the job that takes its place, and what changes.

    :ivar heals: the stored job is parked, and the change may heal it
    """

    found: Document
    job: Job
    change: DocumentChange
    rescheduled: bool
    heals: bool = False

    def has_happened(self, document: Document | None) -> bool:
        """True if the document is as this change leaves it, in the fields that only users change.

        The owner may have run the job already: changing it once more would make its run instants due again.
        """
        if document is None or document.get("rev", 0) < self.job.rev:
            return False
        written = self.change.of({})
        kept = {key: value for key, value in written.items() if key not in _NOT_OF_USERS}
        is_there = _encoded({key: document.get(key) for key in kept}) == _encoded(kept)
        return is_there and document.keys().isdisjoint(self.change.dropped)

    def as_read(self) -> Document:
        """The filter for the document, if it is still as it was read."""
        found = self.found
        return as_copied(found) if self.rescheduled else {"_id": found["_id"], "rev": found.get("rev")}


def write_change(jobs: Jobs, change: Rewriting, entry: Document | None) -> bool:
    """Write one change, together with its entry of the audit if it has one. Gives False if another process was faster.

    A standalone server has no transactions: there the entry follows the change.
    """
    if entry is None:
        return bool(jobs.update_one(change.as_read(), change.change.update).matched_count)
    try:
        with jobs.database.client.start_session() as session:
            options = jobs.read_concern, jobs.write_concern, jobs.read_preference  # else it takes the client's own
            with session.start_transaction(*options):
                if not _write_both(jobs, change, entry, session):
                    session.abort_transaction()
                    return False
            return True
    except driver.OperationFailure as error:
        if error.code == _NO_TRANSACTIONS:
            return _write_both(jobs, change, entry, None)
        if error.has_error_label("TransientTransactionError"):  # somebody is changing the document at this moment
            return False
        raise


def _write_both(jobs: Jobs, change: Rewriting, entry: Document, session: ClientSession | None) -> bool:
    if not jobs.update_one(change.as_read(), change.change.update, session=session).matched_count:
        return False
    jobs.audit.insert_one(dict(entry), session=session)
    return True


def write_changes(jobs: Jobs, changes: list[Rewriting]) -> list[Rewriting]:
    """Write changes of different jobs, and give those that are made. Other processes have changed the other jobs."""
    if not changes:
        return []
    keep_former(jobs, [each.found for each in changes if each.rescheduled])
    done = jobs.bulk_write([UpdateOne(each.as_read(), each.change.update) for each in changes], ordered=False)
    if done.matched_count == len(changes):
        return changes
    # The server does not report which ones matched.
    ids = [each.job.id for each in changes]
    stored = {document["_id"]: document for document in jobs.find({"_id": {"$in": ids}})}
    return [each for each in changes if each.has_happened(stored.get(each.job.id))]


def _encoded(document: Document) -> bytes:
    """BSON tells values apart that Python takes for equal, such as 1 and True."""
    return bson.encode(document, codec_options=CODEC)
