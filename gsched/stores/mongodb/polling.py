"""Polling: what is different in a store's collections since the last look, where there are no change streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from gsched.document import shown_id
from gsched.facts import Fact, fact_of_run
from gsched.stores.mongodb.connection import Document, Jobs
from gsched.stores.mongodb.history import info_of, is_run

_MOST_JOBS: Final = 20_000  # of a larger store, changes of jobs are not told: each look would read them all
_MOST_RUNS: Final = 10_000  # told at once
_JOB_FIELDS: Final = ("rev", "paused", "parked")

_Known = Mapping[Any, Document]


class Poll:
    """Remembers what it saw, and tells what is different. The first look tells nothing."""

    def __init__(self) -> None:
        self._seen: tuple[_Known | None, _Known, _Known] | None = None
        self._runs_until: datetime | None = None
        self._last_runs: set[str] = set()

    def look(self, jobs: Jobs, at: datetime) -> list[Fact]:
        """What has happened in the collection of jobs, and those beside it, since the last look."""
        before, now = self._seen, self._look(jobs)
        self._seen = now
        runs = list(self._new_runs(jobs, at))
        if before is None:
            return []
        of_jobs = () if before[0] is None or now[0] is None else _of_jobs(at, before[0], now[0])
        return [*of_jobs, *_of_nodes(at, before[1], now[1]), *_of_slots(at, before[2], now[2]), *runs]

    def _look(self, jobs: Jobs) -> tuple[_Known | None, _Known, _Known]:
        many = jobs.estimated_document_count() > _MOST_JOBS
        return (
            None if many else _by_id(jobs, *_JOB_FIELDS),
            _by_id(jobs.nodes, "state", "left", "draining", "drain_requested"),
            _by_id(jobs.slots, "owner"),
        )

    def _new_runs(self, jobs: Jobs, at: datetime) -> Iterator[Fact]:
        """What was written since the last look: when a record expires tells when it was written."""
        if self._runs_until is None:
            newest = jobs.runs.find_one({}, ["expires_at"], sort=[("expires_at", -1)])
            self._runs_until = newest["expires_at"] if newest and newest.get("expires_at") else at
            written = jobs.runs.find({"expires_at": self._runs_until}, ["_id"])
            self._last_runs = {document["_id"] for document in written}
            return
        written = jobs.runs.find({"expires_at": {"$gte": self._runs_until}}, sort=[("expires_at", 1)])
        for document in filter(is_run, written.limit(_MOST_RUNS)):
            if document["expires_at"] > self._runs_until:
                self._runs_until, self._last_runs = document["expires_at"], set()
            if document["_id"] not in self._last_runs:
                self._last_runs.add(document["_id"])
                yield fact_of_run(at, info_of(document))


def _by_id(collection: Jobs, *fields: str) -> dict[Any, Document]:
    return {document["_id"]: document for document in collection.find({}, list(fields))}


def _of_jobs(at: datetime, before: _Known, now: _Known) -> Iterator[Fact]:
    for job_id, document in now.items():
        old = before.get(job_id)
        if old is None:
            yield Fact(at, "job.added", shown_id(job_id))
        elif document.get("rev") != old.get("rev"):
            yield Fact(at, _name_of_change(old, document), shown_id(job_id))
        if (reason := document.get("parked")) != (old or {}).get("parked"):
            said = {} if reason is None else {"reason": str(reason)}
            yield Fact(at, "job.healed" if reason is None else "job.parked", shown_id(job_id), details=said)
    for job_id in before.keys() - now.keys():
        yield Fact(at, "job.removed", shown_id(job_id))


def _name_of_change(old: Document, new: Document) -> str:
    if bool(old.get("paused")) == bool(new.get("paused")):
        return "job.changed"
    return "job.paused" if new.get("paused") else "job.resumed"


def _of_nodes(at: datetime, before: _Known, now: _Known) -> Iterator[Fact]:
    for node, document in now.items():
        old = before.get(node)
        if old is None:
            yield Fact(at, "node.joined", node=node)
            old = {}
        if old.get("drain_requested") is None and document.get("drain_requested") is not None:
            yield Fact(at, "node.drain_requested", node=node)
        if document.get("draining") and not old.get("draining"):
            yield Fact(at, "node.draining", node=node)
        if document.get("state") == "dead" and old.get("state") != "dead":
            yield Fact(at, "node.left" if document.get("left") else "node.died", node=node)


def _of_slots(at: datetime, before: _Known, now: _Known) -> Iterator[Fact]:
    for number, document in now.items():
        owner = document.get("owner")
        if owner != before.get(number, {}).get("owner"):
            yield Fact(at, "slot.released" if owner is None else "slot.taken", node=owner, slot=number)
