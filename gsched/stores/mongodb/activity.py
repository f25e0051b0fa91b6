"""What the schedulers of a store are doing: each publishes it every other second, and anybody may look.

A document of `jobs.activity` is {_id: the node, at, paused, running, waiting, pool_size, due_soon, totals, recent};
`recent` says what was done within the last minute. The server removes those of nodes that are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Final

from gevent.event import Event
from pymongo import WriteConcern, errors as driver

from gsched.activity import Activity, LastMinute, Overview, Period
from gsched.clock import Clock
from gsched.history import RUNNING
from gsched.instants import from_ms, to_ms
from gsched.interrupts import was_interrupt
from gsched.nodes import DEAD, NodeInfo
from gsched.run import Outcome
from gsched.stores.base import HubSide
from gsched.stores.mongodb.connection import Connection, Document, Jobs, translate_errors
from gsched.stores.mongodb.nodes import read_nodes
from gsched.stores.mongodb.pace import Pace
from gsched.troubles import BAD, LATELY_SECONDS, MOST_RECORDS, MOST_TROUBLES, LongRun, PastRun, groups_of, troubles_of

_EVERY_SECONDS: Final = 2.0
_LIMIT_MS: Final = 1000  # for each question that an overview asks
_LATELY: Final = timedelta(seconds=LATELY_SECONDS)


class Publisher:
    """Publishes what a scheduler does, in a greenlet of its own. What cannot be written is left out.

    :param node: the node's id, None while it has none
    :param paused: whether it claims nothing
    """

    def __init__(
        self,
        connection: Connection,
        clock: Clock,
        hub: HubSide,
        node: Callable[[], str | None],
        paused: Callable[[], bool],
    ) -> None:
        self._connection = connection
        self._node = node
        self._paused = paused
        self._last_minute = LastMinute(clock, hub.activity)
        self._stopped = Event()

    def run(self) -> None:
        """Publish until `stop`."""
        self._last_minute.sample()
        while not self._stopped.wait(_EVERY_SECONDS):
            try:
                self._publish()
            except BaseException as error:
                was_interrupt(error)  # else the next one says the same, and ownership reports that the database is away

    def stop(self) -> None:
        """Publish no more."""
        self._stopped.set()

    def _publish(self) -> None:
        document, node = self._document(), self._node()
        if node is None:
            return
        published = self._connection.jobs().activity.with_options(write_concern=WriteConcern(1))
        published.update_one({"_id": node}, {"$set": document, "$currentDate": {"at": True}}, upsert=True)

    def _document(self) -> Document:
        activity = self._last_minute.sample()
        recent = self._last_minute.period()
        return {
            **{key: activity[key] for key in ("running", "waiting", "pool_size", "due_soon")},
            "paused": self._paused(),
            "totals": activity["outcomes"],
            "recent": {  # tags and executors are values, for they may hold what no key may
                "seconds": recent.seconds,
                "outcomes": recent.outcomes,
                "by_tag": [{"tag": tag, "outcomes": counts} for tag, counts in recent.by_tag.items()],
                "lateness": recent.lateness,
                "duration": recent.duration,
                "pools": [{"pool": pool, "lateness": counts} for pool, counts in recent.late_by_pool.items()],
            },
        }


class MongoActivity:
    """The part of the store that gives an overview, in any process."""

    clock: Clock
    _connection: Connection
    _pace: Pace

    @translate_errors()
    def overview(self) -> Overview:
        jobs, since = self._connection.jobs(), from_ms(self.clock.now_ms()) - _LATELY
        nodes = [node for node in read_nodes(jobs, self._pace.ttl) if node.ended_at is None or node.ended_at > since]
        bad = _lately(jobs, BAD, to_ms(since))
        return Overview(
            {name: _counted(count) for name, count in _counts(jobs).items()},
            tuple(nodes),
            tuple(_activities(jobs, nodes)),
            troubles_of([*bad, *_lately(jobs, (str(Outcome.SUCCEEDED),), to_ms(since))]),
            groups_of(bad),
            tuple(_in_progress(jobs)),
        )


def _counts(jobs: Jobs) -> dict[str, Callable[[], int]]:
    return {
        "total": lambda: jobs.estimated_document_count(maxTimeMS=_LIMIT_MS),
        "paused": lambda: jobs.count_documents({"paused": True}, maxTimeMS=_LIMIT_MS),
        "parked": lambda: jobs.count_documents({"parked": {"$type": "string"}}, maxTimeMS=_LIMIT_MS),
    }


def _counted(count: Callable[[], int]) -> int | None:
    try:
        return count()
    except driver.ExecutionTimeout:
        return None


def _activities(jobs: Jobs, nodes: Sequence[NodeInfo]) -> Iterator[Activity]:
    living = {"$match": {"_id": {"$in": [node.id for node in nodes if node.state != DEAD]}}}
    for document in jobs.activity.aggregate([living, {"$sort": {"_id": 1}}, {"$set": {"now": "$$NOW"}}]):
        recent = document["recent"]
        yield Activity(
            node=document["_id"],
            age=(document["now"] - document["at"]).total_seconds(),
            paused=document["paused"],
            running=document["running"],
            waiting=document["waiting"],
            pool_size=document["pool_size"],
            due_soon=document["due_soon"],
            recent=Period(
                recent["seconds"],
                recent["outcomes"],
                {each["tag"]: each["outcomes"] for each in recent["by_tag"]},
                tuple(recent["lateness"]),
                tuple(recent["duration"]),
                {each["pool"]: tuple(each["lateness"]) for each in recent.get("pools", ())},
            ),
            totals=document["totals"],
        )


# -- jobs in trouble --------------------------------------------------------------------------------------------------


def _lately(jobs: Jobs, outcomes: Sequence[str], since: int) -> list[PastRun]:
    """The last records with these outcomes, the newest first."""
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
    """The runs in progress that were due first; those of some seconds are written down."""
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
