"""Pictures of a store for its followers, on a server without change streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from gsched.history.queries import RunInfo
from gsched.stores.durable.following import JobState, NodeState, Picture
from gsched.stores.mongodb.documents.jobs import pause_of
from gsched.stores.mongodb.documents.runs import info_of, is_run
from gsched.stores.mongodb.driver.codec import Document, Jobs
from gsched.stores.mongodb.driver.connection import translate_errors

_MOST_JOBS: Final = 20_000  # a larger store gives no events of jobs: each picture would read them all
_MOST_RUNS: Final = 10_000  # per picture


class MongoPictures:
    """Looks at the collection of jobs and those beside it: see `Pictures`."""

    def __init__(self, jobs: Callable[[], Jobs], now: Callable[[], datetime]) -> None:
        self._jobs = jobs
        self._now = now
        self._runs_until: datetime | None = None
        self._last_runs: set[str] = set()

    @translate_errors()
    def picture(self) -> Picture:
        jobs = self._jobs()
        many = jobs.estimated_document_count() > _MOST_JOBS
        found = None if many else _by_id(jobs, "rev", "paused", "pause", "parked", "overdue_told")
        nodes = _by_id(jobs.nodes, "state", "left", "draining", "drain_requested")
        owners = {number: slot.get("owner") for number, slot in _by_id(jobs.slots, "owner").items()}
        return Picture(
            None if found is None else {i: _job_state(job) for i, job in found.items() if isinstance(i, str)},
            {node: _node_state(document) for node, document in nodes.items()},
            owners,
        )

    @translate_errors()
    def new_runs(self) -> Sequence[RunInfo]:
        """The records that were written since the last call, found by `expires_at`: it is in the order of writing."""
        jobs = self._jobs()
        if self._runs_until is None:
            newest = jobs.runs.find_one({}, ["expires_at"], sort=[("expires_at", -1)])
            self._runs_until = newest["expires_at"] if newest and newest.get("expires_at") else self._now()
            written = jobs.runs.find({"expires_at": self._runs_until}, ["_id"])
            self._last_runs = {document["_id"] for document in written}
            return []
        new = []
        written = jobs.runs.find({"expires_at": {"$gte": self._runs_until}}, sort=[("expires_at", 1)])
        for document in filter(is_run, written.limit(_MOST_RUNS)):
            if document["expires_at"] > self._runs_until:
                self._runs_until, self._last_runs = document["expires_at"], set()
            if document["_id"] not in self._last_runs:
                self._last_runs.add(document["_id"])
                new.append(info_of(document))
        return new


def _by_id(collection: Jobs, *fields: str) -> dict[Any, Document]:
    return {document["_id"]: document for document in collection.find({}, list(fields))}


def _job_state(document: Document) -> JobState:
    is_overdue = document.get("overdue_told") is not None
    return JobState(document.get("rev"), pause_of(document), document.get("parked"), is_overdue)


def _node_state(document: Document) -> NodeState:
    return NodeState(
        document.get("state") != "dead",
        bool(document.get("left")),
        bool(document.get("draining")),
        document.get("drain_requested") is not None,
    )
