"""Lets the owners of jobs know that runs of these wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pymongo import UpdateOne, errors as driver

from gsched.stores.mongodb.driver.bulk import Refusal, write_all
from gsched.stores.mongodb.driver.codec import Jobs


class Noticed(NamedTuple):
    """The jobs whose owners do not get the notice.

    :ivar gone: the ids of jobs that there are not any more
    :ivar refused: the errors of jobs whose documents the database refuses to change, by their ids
    """

    gone: frozenset[str]
    refused: Mapping[str, driver.WriteError]


def notify_owners(jobs: Jobs, job_ids: Sequence[str]) -> Noticed:
    """Raise the revisions of these jobs, of which runs wait: their owners see that, and look at the runs."""
    change = {"$inc": {"rev": 1}, "$currentDate": {"requested_at": True}}
    written = write_all(jobs, [UpdateOne({"_id": job_id}, change) for job_id in job_ids])
    refused = {job_ids[refusal.number]: as_error(refusal) for refusal in written.refused}
    if written.matched + len(refused) == len(job_ids):
        return Noticed(frozenset(), refused)
    there = {each["_id"] for each in jobs.find({"_id": {"$in": list(job_ids)}}, ["_id"])}
    return Noticed(frozenset(job_ids) - there, refused)


def as_error(refusal: Refusal) -> driver.WriteError:
    """The error for a document that the database refuses."""
    return driver.WriteError(refusal.reason, refusal.code)
