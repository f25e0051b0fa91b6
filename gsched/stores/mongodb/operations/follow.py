"""Following: the events of a store, made by any process, read from one change stream on its collections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from pymongo import errors as driver

from gsched.event_loop.backoff import backoff, wait
from gsched.jobs.pause_document import pause_as_far_as_known
from gsched.monitoring.cluster_events import StoreEvent, event_of_run
from gsched.stores.durable.following import job_overdue, job_parked, job_paused, node_ended, poll, slot_moved
from gsched.stores.mongodb.documents.runs import WAITING, info_of
from gsched.stores.mongodb.driver.codec import Document, Jobs
from gsched.stores.mongodb.driver.connection import Connection, translated
from gsched.stores.mongodb.driver.streams import changes_in, is_unsupported, opened, why_unsupported
from gsched.stores.mongodb.operations.pictures import MongoPictures
from gsched.times.clock import Clock
from gsched.times.instants import from_ms

_FIRST_RETRY_SECONDS: Final = 0.1
_LONGEST_RETRY_SECONDS: Final = 5.0

_CHANGED: Final = "updateDescription.updatedFields"


def _updates_of(*fields: str) -> Document:
    return {"operationType": "update", "$or": [{f"{_CHANGED}.{field}": {"$exists": True}} for field in fields]}


def _pipeline(jobs: str) -> list[Document]:
    """The changes in each collection that are events. Heartbeats and owners' notes in their jobs are none."""
    return [
        {
            "$match": {
                "$or": [
                    {"ns.coll": jobs, "operationType": {"$ne": "update"}},
                    {"ns.coll": jobs, **_updates_of("rev", "parked", "overdue_told")},
                    {"ns.coll": f"{jobs}.runs", "operationType": "insert"},
                    {"ns.coll": f"{jobs}.runs", **_updates_of("outcome")},
                    {"ns.coll": f"{jobs}.nodes", "operationType": "insert"},
                    {"ns.coll": f"{jobs}.nodes", **_updates_of("state", "draining", "drain_requested")},
                    {"ns.coll": f"{jobs}.slots", **_updates_of("owner")},
                ]
            }
        }
    ]


class MongoFollowing:
    """Gives the events of the store, in any process."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    def follow(self, stop: Callable[[], bool]) -> Iterator[StoreEvent]:
        """See BaseJobStore. No resume token is kept: after a failure, the stream begins anew at that time, and the
        event feed.lost marks the gap."""
        failures, was_open = 0, False
        while not stop():
            try:
                for event in self._listen(self._connection.watched(), stop):
                    was_open, failures = True, 0
                    yield event
                if stop():
                    return
                reason = "the server closed the stream"
            except driver.OperationFailure as error:
                if is_unsupported(error):
                    pictures = MongoPictures(self._connection.watched, self._now)
                    yield from poll(pictures, why_unsupported(error), stop, self._now)
                    return
                reason = _reason(error, was_open)
            except driver.PyMongoError as error:
                reason = _reason(error, was_open)
            if not failures:
                yield StoreEvent(self._now(), "feed.lost", details={"reason": reason})
            failures += 1
            wait(backoff(_FIRST_RETRY_SECONDS, failures, _LONGEST_RETRY_SECONDS), stop)

    def _listen(self, jobs: Jobs, stop: Callable[[], bool]) -> Iterator[StoreEvent]:
        with opened(jobs.database, _pipeline(jobs.name)) as stream:
            yield StoreEvent(self._connection.server_time(), "feed.opened")
            for change in changes_in(stream, stop):
                yield from _events(jobs, change)

    def _now(self) -> datetime:
        return from_ms(self._clock.now_ms())


def _reason(error: driver.PyMongoError, was_open: bool) -> str:
    if not was_open:
        raise translated(error) from error
    return str(error)


def _events(jobs: Jobs, change: Mapping[str, Any]) -> Iterator[StoreEvent]:
    """The events of a change. A change that somebody made by hand may be none."""
    at = change.get("wallTime") or change["clusterTime"].as_datetime().astimezone(UTC)
    if "documentKey" not in change:
        yield StoreEvent(at, "jobs.removed", details={"reason": change["operationType"]})
        return
    kind = change["ns"]["coll"].removeprefix(jobs.name)
    key, fields = change["documentKey"]["_id"], change.get("updateDescription", {}).get("updatedFields", {})
    with suppress(KeyError, TypeError, AttributeError):
        if kind == ".runs":
            yield from _of_run(jobs, at, key, change)
        elif kind == ".nodes":
            yield from _of_node(at, key, fields)
        elif kind == ".slots":
            yield slot_moved(at, key, fields["owner"])
        elif isinstance(key, str):  # a document with another id is no job
            yield from _of_job(at, key, change["operationType"], fields)


def _of_job(at: datetime, job_id: str, operation: str, fields: Mapping[str, Any]) -> Iterator[StoreEvent]:
    if operation != "update":
        name = {"insert": "job.added", "delete": "job.removed"}.get(operation, "job.changed")
        yield StoreEvent(at, name, job_id)
        return
    if "rev" in fields:
        yield _of_change(at, job_id, fields)
    if "overdue_told" in fields:
        yield job_overdue(at, job_id, fields["overdue_told"] is not None)
    if "parked" in fields:
        yield job_parked(at, job_id, fields["parked"])


def _of_change(at: datetime, job_id: str, fields: Mapping[str, Any]) -> StoreEvent:
    if fields.keys().isdisjoint(("paused", "pause")):
        return StoreEvent(at, "run.requested" if "requested_at" in fields else "job.changed", job_id)
    document, is_open = fields.get("pause"), fields.get("paused")
    if is_open is None:  # it is as it was
        is_open = isinstance(document, Mapping) and document.get("until") is None
    pause = pause_as_far_as_known(is_open is True, document)
    return StoreEvent(at, "job.resumed", job_id) if pause is None else job_paused(at, job_id, pause)


def _of_run(jobs: Jobs, at: datetime, key: str, change: Mapping[str, Any]) -> Iterator[StoreEvent]:
    """The event of a run that was recorded or has ended. An update has no whole document, so it is read again."""
    document = change.get("fullDocument") or jobs.runs.find_one({"_id": key})
    if document is not None and document.get("state") != WAITING:  # the change of its job is the event for that
        yield event_of_run(at, info_of(document))


def _of_node(at: datetime, node: str, fields: Mapping[str, Any]) -> Iterator[StoreEvent]:
    if not fields:
        yield StoreEvent(at, "node.joined", node=node)
    elif fields.get("state") == "dead":
        yield node_ended(at, node, bool(fields.get("left")))
    elif "drain_requested" in fields:
        yield StoreEvent(at, "node.drain_requested", node=node)
    elif fields.get("draining"):
        yield StoreEvent(at, "node.draining", node=node)
