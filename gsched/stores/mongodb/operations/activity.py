"""The activity of a store's nodes, and its jobs in trouble."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from pymongo import WriteConcern, errors as driver

from gsched.history.queries import RUNNING
from gsched.jobs.outcomes import Outcome
from gsched.jobs.pause import PLAIN
from gsched.monitoring.activity import NodeActivity, Overview
from gsched.monitoring.error_groups import BAD
from gsched.monitoring.nodes import DEAD, NodeInfo
from gsched.monitoring.pauses import MOST_LOOKED_AT, PausedJob, groups_of_pauses
from gsched.monitoring.troubles import (
    LATELY_SECONDS,
    MOST_RECORDS,
    MOST_TROUBLES,
    LongRun,
    PastRun,
    groups_of,
    troubles_of,
)
from gsched.stores.durable.publisher import published_activity
from gsched.stores.mongodb.documents.jobs import is_paused, pause_of
from gsched.stores.mongodb.driver.codec import Document, Jobs
from gsched.stores.mongodb.operations.nodes import read_nodes
from gsched.times.instants import from_ms, to_ms

_LIMIT_MS: Final = 1000  # for each query of an overview
_LATELY: Final = timedelta(seconds=LATELY_SECONDS)


def overview_of(jobs: Jobs, now: int, ttl: float) -> Overview:
    """The counts of jobs, the nodes with their activity, and the jobs in trouble.

    :param now: the time, ms
    :param ttl: seconds without a beat after which a node is silent
    """
    since = from_ms(now) - _LATELY
    nodes = [node for node in read_nodes(jobs, ttl) if node.ended_at is None or node.ended_at > since]
    bad = _lately(jobs, BAD, to_ms(since))
    return Overview(
        {name: _counted(count) for name, count in _counts(jobs, now).items()},
        tuple(nodes),
        tuple(_activities(jobs, nodes)),
        troubles_of([*bad, *_lately(jobs, (str(Outcome.SUCCEEDED),), to_ms(since))]),
        groups_of(bad),
        tuple(_in_progress(jobs)),
        groups_of_pauses(paused_jobs(jobs, now)),
    )


def paused_jobs(jobs: Jobs, now: int) -> list[PausedJob]:
    """Jobs that are paused at `now` (ms), a thousand at most."""
    found = jobs.find(is_paused(now), ["paused", "pause"], limit=MOST_LOOKED_AT, max_time_ms=_LIMIT_MS)
    try:
        return [PausedJob(str(document["_id"]), pause_of(document) or PLAIN) for document in found]
    except driver.ExecutionTimeout:
        return []


def publish_activity(jobs: Jobs, node: str, activity: Mapping[str, Any]) -> None:
    """Write what a node does into `jobs.activity`, {_id: the node's id, at, ...}. The server removes a document some
    minutes after the node has stopped publishing."""
    published = jobs.activity.with_options(write_concern=WriteConcern(1))
    published.update_one({"_id": node}, {"$set": activity, "$currentDate": {"at": True}}, upsert=True)


def _counts(jobs: Jobs, now: int) -> dict[str, Callable[[], int]]:
    return {
        "total": lambda: jobs.estimated_document_count(maxTimeMS=_LIMIT_MS),
        "paused": lambda: jobs.count_documents(is_paused(now), maxTimeMS=_LIMIT_MS),
        "parked": lambda: jobs.count_documents({"parked": {"$type": "string"}}, maxTimeMS=_LIMIT_MS),
    }


def _counted(count: Callable[[], int]) -> int | None:
    try:
        return count()
    except driver.ExecutionTimeout:
        return None


def _activities(jobs: Jobs, nodes: Sequence[NodeInfo]) -> Iterator[NodeActivity]:
    living = {"$match": {"_id": {"$in": [node.id for node in nodes if node.state != DEAD]}}}
    for document in jobs.activity.aggregate([living, {"$sort": {"_id": 1}}, {"$set": {"now": "$$NOW"}}]):
        yield published_activity(document["_id"], (document["now"] - document["at"]).total_seconds(), document)


# -- jobs in trouble --------------------------------------------------------------------------------------------------


def _lately(jobs: Jobs, outcomes: Sequence[str], since: int) -> list[PastRun]:
    """The latest records with these outcomes, the newest first."""
    wanted = {
        "outcome": {"$in": list(outcomes)},
        "scheduled_at": {"$gte": from_ms(since)},
        "job_id": {"$type": "string"},
    }
    fields = ["job_id", "tags", "outcome", "error_type", "error_message", "reason", "started_at", "finished_at"]
    found = jobs.runs.find(wanted, fields, sort=[("scheduled_at", -1)], limit=MOST_RECORDS, max_time_ms=_LIMIT_MS)
    try:
        return list(map(_past_run, found))
    except driver.ExecutionTimeout:
        return []


def _past_run(document: Document) -> PastRun:
    started, finished = document.get("started_at"), document.get("finished_at")
    seconds = None if started is None or finished is None else (finished - started).total_seconds()
    error = document.get("error_message") or document.get("reason")
    tag = next(iter(document.get("tags") or ()), "")
    return PastRun(document["job_id"], tag, document["outcome"], document.get("error_type"), error, seconds)


def _in_progress(jobs: Jobs) -> list[LongRun]:
    """The runs in progress that were due first. Only recorded runs are found: those of more than some seconds."""
    oldest: list[Document] = [
        {"$match": {"state": RUNNING, "job_id": {"$type": "string"}, "scheduled_at": {"$type": "date"}}},
        {"$sort": {"scheduled_at": 1}},
        {"$limit": MOST_TROUBLES},
        {"$project": {"job_id": 1, "node": 1, "since": {"$subtract": ["$$NOW", "$scheduled_at"]}}},
    ]
    try:
        found = list(jobs.runs.aggregate(oldest, maxTimeMS=_LIMIT_MS))
    except driver.ExecutionTimeout:
        return []
    return [
        LongRun(run["job_id"], run["_id"].rpartition("#")[0], run["since"] / 1000, run.get("node")) for run in found
    ]
