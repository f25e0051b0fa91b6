"""Overdue jobs: which there are, and until when jobs are not overdue."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from pymongo import UpdateOne

from gsched.jobs.job import Job
from gsched.monitoring.overdue import MOST_LOOKED_AT, OverdueJob
from gsched.stores.mongodb.documents.jobs import OVERDUE_TOLD, TOLD, JobReader, expectation_in, is_overdue
from gsched.stores.mongodb.driver.bulk import write_all
from gsched.stores.mongodb.driver.codec import Document
from gsched.stores.mongodb.driver.connection import Connection, translate_errors
from gsched.times.instants import from_ms

_FIELDS: Final = ("expected_since", "overdue_at", "overdue_told")


class MongoExpectations:
    """See `Expectations`. Works in any process, whether its scheduler runs or not.

    :param reader: reads the documents of one batch
    """

    def __init__(self, connection: Connection, reader: Callable[[], JobReader]) -> None:
        self._connection = connection
        self._reader = reader

    @translate_errors()
    def succeeded(self, at: Mapping[str, int]) -> Collection[str]:
        jobs = self._connection.jobs()
        if not at:
            return []
        write_all(jobs, [UpdateOne(_expecting(job_id, each, None), _success(each)) for job_id, each in at.items()])
        # One by one, which is rare: of several nodes one gets the job. Only now: a job may just have been told of.
        told = [each["_id"] for each in jobs.find({"_id": {"$in": list(at)}, "overdue_told": TOLD}, ["_id"])]
        return [
            job_id
            for job_id in told
            if jobs.update_one(_expecting(job_id, at[job_id], TOLD), _success(at[job_id])).matched_count
        ]

    @translate_errors()
    def overdue(self, now: int) -> Sequence[OverdueJob]:
        jobs, found = self._connection.jobs(), list[OverdueJob]()
        for told in OVERDUE_TOLD:
            wanted = {"overdue_told": told, **is_overdue(now)}
            for document in jobs.find(wanted, _FIELDS, sort=[("overdue_at", 1)], limit=MOST_LOOKED_AT):
                expectation = expectation_in(document)
                if expectation is not None and isinstance(document["_id"], str):
                    found.append(OverdueJob(document["_id"], *expectation))
        return sorted(found, key=lambda each: each.overdue_at)

    @translate_errors()
    def tell(self, job_ids: Collection[str], now: int) -> Sequence[Job]:
        jobs, call = self._connection.jobs(), secrets.token_hex(8)
        wanted = {"_id": {"$in": list(job_ids)}, "overdue_told": None, **is_overdue(now)}
        if not jobs.update_many(wanted, {"$set": {"overdue_told": call}}).modified_count:
            return []
        reader = self._reader()
        return list(map(reader.read, jobs.find({"_id": {"$in": list(job_ids)}, "overdue_told": call})))


def _expecting(job_id: str, at: int, told: Document | None) -> Document:
    """The filter for a job that expects successes, and has not succeeded later.

    :param told: what its `overdue_told` must be
    """
    since = {"$lt": from_ms(at)}
    return {"_id": job_id, "overdue_told": told, "overdue_at": {"$type": "date"}, "expected_since": since}


def _success(at: int) -> list[Document]:
    """The update after a success. The document has the time between two of them."""
    every = {"$subtract": ["$overdue_at", "$expected_since"]}
    noted = {"expected_since": from_ms(at), "overdue_at": {"$add": [from_ms(at), every]}, "overdue_told": None}
    return [{"$set": noted}]
