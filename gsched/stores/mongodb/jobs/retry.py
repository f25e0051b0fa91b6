"""Lets runs that have ended run again: their next attempts wait, and are due now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pymongo import UpdateOne

from gsched.history.reruns import NextAttempt, Obstacle, obstacles
from gsched.stores.mongodb.documents.claims import slot_in
from gsched.stores.mongodb.documents.runs import WAITING, run_key
from gsched.stores.mongodb.driver.bulk import DUPLICATE, write_all
from gsched.stores.mongodb.driver.codec import Document, Jobs
from gsched.stores.mongodb.jobs.notice import notify_owners
from gsched.times.instants import from_ms

AT_ONCE: Final = 500  # runs in one batch


def retry_some(jobs: Jobs, attempts: Sequence[NextAttempt], dry_run: bool) -> Mapping[NextAttempt, Obstacle]:
    """Let these attempts wait; which do not, and why. The runs are stored first and their jobs change second: a job
    that is removed meanwhile is found by the change."""
    found = _obstacles(jobs, attempts)
    added = [attempt for attempt in attempts if attempt not in found]
    if dry_run or not added:
        return found
    there = jobs.find({"_id": {"$in": list({attempt.job_id for attempt in added})}}, ["group"])
    slots = {document["_id"]: slot_in(document) for document in there}
    found |= {attempt: Obstacle.REMOVED for attempt in added if attempt.job_id not in slots}
    added = [attempt for attempt in added if attempt not in found]
    for refusal in write_all(jobs.runs, [_addition(attempt, slots[attempt.job_id]) for attempt in added]).refused:
        is_there = refusal.code == DUPLICATE  # by another call at this moment
        found[added[refusal.number]] = Obstacle.WAITING if is_there else Obstacle.REFUSED
    added = [attempt for attempt in added if attempt not in found]
    if added:
        gone = notify_owners(jobs, list(dict.fromkeys(attempt.job_id for attempt in added))).gone
        ended = [attempt for attempt in added if attempt.job_id in gone]
        jobs.runs.delete_many({"_id": {"$in": [_key(attempt) for attempt in ended]}, "state": WAITING})
        found |= dict.fromkeys(ended, Obstacle.REMOVED)
    return found


def _obstacles(jobs: Jobs, attempts: Sequence[NextAttempt]) -> dict[NextAttempt, Obstacle]:
    keys = {_key(attempt): attempt for attempt in attempts}
    job_ids = list({attempt.job_id for attempt in attempts})
    states = {keys[each["_id"]]: _state(each) for each in jobs.runs.find({"_id": {"$in": list(keys)}}, ["state"])}
    there = {each["_id"] for each in jobs.find({"_id": {"$in": job_ids}}, ["_id"])}
    waiting = {"$match": {"job_id": {"$in": job_ids}, "state": WAITING}}
    counted = jobs.runs.aggregate([waiting, {"$group": {"_id": "$job_id", "count": {"$sum": 1}}}])
    return obstacles(attempts, states, there, {each["_id"]: each["count"] for each in counted})


def _state(document: Document) -> str:
    """The state of an attempt. A document with another state is malformed, and its run does not begin."""
    state = document.get("state")
    return state if state in (WAITING, "running") else "ended"


def _key(attempt: NextAttempt) -> str:
    return run_key(attempt.run_id, attempt.attempt)


def _addition(attempt: NextAttempt, slot: int) -> UpdateOne:
    """The write that lets an attempt wait, due now by the server's time; a duplicate key if there is a document of it.

    It is stored as a run that somebody asked for: it begins on a paused job, too, and has all retries before it.
    """
    fields = {
        "job_id": attempt.job_id,
        "slot": slot,
        "scheduled_at": from_ms(attempt.scheduled),
        "attempt": attempt.attempt,
        "request": attempt.request,
        "cause": "request",
        "state": WAITING,
    }
    new = {"$set": {**{key: {"$literal": value} for key, value in fields.items()}, "due_at": "$$NOW"}}
    return UpdateOne({"_id": _key(attempt), "state": {"$exists": False}}, [new], upsert=True)
