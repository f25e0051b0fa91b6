"""Following: what happens in the store, by whichever process, read from one change stream on its collections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from pymongo import errors as driver

from gsched.clock import Clock
from gsched.document import shown_id
from gsched.facts import Fact, fact_of_run
from gsched.instants import from_ms
from gsched.stores.mongodb.connection import Connection, Document, Jobs, translated
from gsched.stores.mongodb.history import WAITING, info_of
from gsched.stores.mongodb.polling import Poll
from gsched.stores.mongodb.streams import backoff, changes_in, is_unsupported, opened, wait, why_unsupported

_POLL_SECONDS: Final = 1.0
_FIRST_RETRY_SECONDS: Final = 0.1
_LONGEST_RETRY_SECONDS: Final = 5.0

_CHANGED: Final = "updateDescription.updatedFields"


def _updates_of(*fields: str) -> Document:
    return {"operationType": "update", "$or": [{f"{_CHANGED}.{field}": {"$exists": True}} for field in fields]}


def _pipeline(jobs: str) -> list[Document]:
    """What is news, of each collection. Heartbeats and what owners note down in their jobs is none."""
    return [
        {
            "$match": {
                "$or": [
                    {"ns.coll": jobs, "operationType": {"$ne": "update"}},
                    {"ns.coll": jobs, **_updates_of("rev", "parked")},
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
    """The part of the store that tells what happens, in any process."""

    clock: Clock
    _connection: Connection

    def follow(self, stop: Callable[[], bool]) -> Iterator[Fact]:
        """See BaseJobStore. No resume token is kept: a stream that broke is opened anew from then on, and that is told.
        """
        failures, was_open = 0, False
        while not stop():
            try:
                for fact in self._listen(self._connection.watched(), stop):
                    was_open, failures = True, 0
                    yield fact
                if stop():
                    return
                reason = "the server closed the stream"
            except driver.OperationFailure as error:
                if is_unsupported(error):
                    yield from _poll(self._connection.watched, error, stop, self._now)
                    return
                reason = _reason(error, was_open)
            except driver.PyMongoError as error:
                reason = _reason(error, was_open)
            if not failures:
                yield Fact(self._now(), "feed.lost", details={"reason": reason})
            failures += 1
            wait(backoff(_FIRST_RETRY_SECONDS, failures, _LONGEST_RETRY_SECONDS), stop)

    def _listen(self, jobs: Jobs, stop: Callable[[], bool]) -> Iterator[Fact]:
        with opened(jobs.database, _pipeline(jobs.name)) as stream:
            yield Fact(self._connection.server_time(), "feed.opened")
            for change in changes_in(stream, stop):
                yield from _facts(jobs, change)

    def _now(self) -> datetime:
        return from_ms(self.clock.now_ms())


def _reason(error: driver.PyMongoError, was_open: bool) -> str:
    if not was_open:
        raise translated(error) from error
    return str(error)


# -- by a change stream -----------------------------------------------------------------------------------------------


def _facts(jobs: Jobs, change: Mapping[str, Any]) -> Iterator[Fact]:
    """What a change means. One that somebody's hand has made may mean nothing to us."""
    at = change.get("wallTime") or change["clusterTime"].as_datetime().astimezone(UTC)
    if "documentKey" not in change:
        yield Fact(at, "jobs.removed", details={"reason": change["operationType"]})
        return
    kind = change["ns"]["coll"].removeprefix(jobs.name)
    key, fields = change["documentKey"]["_id"], change.get("updateDescription", {}).get("updatedFields", {})
    with suppress(KeyError, TypeError, AttributeError):
        if kind == ".runs":
            yield from _of_run(jobs, at, key, change)
        elif kind == ".nodes":
            yield from _of_node(at, key, fields)
        elif kind == ".slots":
            owner = fields["owner"]
            yield Fact(at, "slot.released" if owner is None else "slot.taken", node=owner, slot=key)
        else:
            yield from _of_job(at, shown_id(key), change["operationType"], fields)


def _of_job(at: datetime, job_id: str, operation: str, fields: Mapping[str, Any]) -> Iterator[Fact]:
    if operation != "update":
        name = {"insert": "job.added", "delete": "job.removed"}.get(operation, "job.changed")
        yield Fact(at, name, job_id)
        return
    if "rev" in fields:
        yield Fact(at, _name_of_change(fields), job_id)
    if "parked" in fields:
        reason = fields["parked"]
        said = {} if reason is None else {"reason": str(reason)}
        yield Fact(at, "job.healed" if reason is None else "job.parked", job_id, details=said)


def _name_of_change(fields: Mapping[str, Any]) -> str:
    if "paused" in fields:
        return "job.paused" if fields["paused"] else "job.resumed"
    if "requested_at" in fields:
        return "run.requested"
    return "job.changed"


def _of_run(jobs: Jobs, at: datetime, key: str, change: Mapping[str, Any]) -> Iterator[Fact]:
    """What became of a run. One that had been written down while it was in progress is read again, whole."""
    document = change.get("fullDocument") or jobs.runs.find_one({"_id": key})
    if document is not None and document.get("state") != WAITING:  # of which its job tells
        yield fact_of_run(at, info_of(document))


def _of_node(at: datetime, node: str, fields: Mapping[str, Any]) -> Iterator[Fact]:
    if not fields:
        yield Fact(at, "node.joined", node=node)
    elif fields.get("state") == "dead":
        yield Fact(at, "node.left" if fields.get("left") else "node.died", node=node)
    elif "drain_requested" in fields:
        yield Fact(at, "node.drain_requested", node=node)
    elif fields.get("draining"):
        yield Fact(at, "node.draining", node=node)


# -- without change streams -------------------------------------------------------------------------------------------


def _poll(
    jobs: Callable[[], Jobs],
    error: driver.OperationFailure,
    stop: Callable[[], bool],
    now: Callable[[], datetime],
) -> Iterator[Fact]:
    """Look every second, and tell what is different."""
    poll, failed = Poll(), False
    poll.look(jobs(), now())
    yield Fact(now(), "feed.unsupported", details={"reason": why_unsupported(error)})
    while not stop():
        wait(_POLL_SECONDS, stop)
        try:
            facts = poll.look(jobs(), now())
            failed = False
        except driver.PyMongoError as lost:
            facts = [] if failed else [Fact(now(), "feed.lost", details={"reason": str(lost)})]
            failed = True
        yield from facts
