"""Cancelling runs in other processes: a mark on the document of the run, and a new revision of its job."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gsched.stores.mongodb.documents.runs import run_key
from gsched.stores.mongodb.driver.codec import Jobs
from gsched.stores.mongodb.jobs.notice import notify_owners


def request_cancel(jobs: Jobs, run_id: str) -> bool:
    """Mark the attempt at the run that is in progress, or waits. Gives False if there is no such attempt."""
    unended = {"_id": {"$gte": f"{run_id}#", "$lt": f"{run_id}$"}, "state": {"$in": ["running", "waiting"]}}
    run = jobs.runs.find_one_and_update(unended, {"$currentDate": {"cancel_requested": True}}, ["job_id"])
    if run is None:
        return False
    notify_owners(jobs, [run["job_id"]])
    return True


def cancel_requests(jobs: Jobs, attempts: Sequence[tuple[str, int]]) -> Collection[str]:
    """The ids of those of these runs that somebody has asked to cancel."""
    keys = [run_key(*attempt) for attempt in attempts]
    marked = jobs.runs.find({"_id": {"$in": keys}, "cancel_requested": {"$exists": True}}, ["_id"])
    return {document["_id"].rpartition("#")[0] for document in marked}
