"""What the schedulers of a store are doing: each publishes it every other second, and anybody may look.

A document of `jobs.activity` is {_id: the node, at, paused, running, waiting, pool_size, due_soon, totals, recent};
`recent` says what was done within the last minute. The server removes those of nodes that are gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from gevent.event import Event
from pymongo import WriteConcern, errors as driver

from gsched.activity import PERIOD_SECONDS, Activity, JobTrouble, Overview, Period
from gsched.clock import Clock
from gsched.instants import from_ms, to_ms
from gsched.interrupts import was_interrupt
from gsched.nodes import DEAD, NodeInfo
from gsched.run import Outcome
from gsched.stores.base import HubSide
from gsched.stores.mongodb.connection import Connection, Document, Jobs, translate_errors
from gsched.stores.mongodb.nodes import read_nodes
from gsched.stores.mongodb.pace import Pace

_EVERY_SECONDS: Final = 2.0
_LIMIT_MS: Final = 1000  # for each question that an overview asks
_LATELY: Final = timedelta(minutes=10)
_MOST_RECORDS: Final = 1000
_MOST_TROUBLES: Final = 20
_BAD: Final = tuple(str(o) for o in Outcome if o not in (Outcome.SUCCEEDED, Outcome.COALESCED))


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
        self._clock = clock
        self._hub = hub
        self._node = node
        self._paused = paused
        self._samples: deque[tuple[float, Mapping[str, Any]]] = deque()  # of the last minute, by monotonic time
        self._stopped = Event()

    def run(self) -> None:
        """Publish until `stop`."""
        self._sample()
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

    def _sample(self) -> Mapping[str, Any]:
        now, activity = self._clock.monotonic(), self._hub.activity()
        self._samples.append((now, activity))
        while len(self._samples) > 2 and self._samples[1][0] <= now - PERIOD_SECONDS:
            self._samples.popleft()
        return activity

    def _document(self) -> Document:
        activity = self._sample()
        (began, before), (now, _) = self._samples[0], self._samples[-1]
        return {
            **{key: activity[key] for key in ("running", "waiting", "pool_size", "due_soon")},
            "paused": self._paused(),
            "totals": activity["outcomes"],
            "recent": {"seconds": now - began, **_done_since(before, activity)},
        }


def _done_since(before: Mapping[str, Any], now: Mapping[str, Any]) -> Document:
    """What was counted meanwhile. Tags are values, for they may hold what no key may."""
    known = before["by_tag"]
    by_tag = {tag: _grown(known.get(tag, {}), counts) for tag, counts in now["by_tag"].items()}
    return {
        "outcomes": _grown(before["outcomes"], now["outcomes"]),
        "by_tag": [{"tag": tag, "outcomes": counts} for tag, counts in by_tag.items() if counts],
        "lateness": _more(before["lateness"], now["lateness"]),
        "duration": _more(before["duration"], now["duration"]),
    }


def _grown(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    return {key: more for key, count in now.items() if (more := count - before.get(key, 0))}


def _more(before: Sequence[int], now: Sequence[int]) -> list[int]:
    return [new - old for old, new in zip(before, now, strict=True)]


class MongoActivity:
    """The part of the store that gives an overview, in any process."""

    clock: Clock
    _connection: Connection
    _pace: Pace

    @translate_errors()
    def overview(self) -> Overview:
        jobs, since = self._connection.jobs(), from_ms(self.clock.now_ms()) - _LATELY
        nodes = [node for node in read_nodes(jobs, self._pace.ttl) if node.ended_at is None or node.ended_at > since]
        return Overview(
            {name: _counted(count) for name, count in _counts(jobs).items()},
            tuple(nodes),
            tuple(_activities(jobs, nodes)),
            tuple(_troubles(jobs, to_ms(since))),
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
            ),
            totals=document["totals"],
        )


# -- jobs in trouble --------------------------------------------------------------------------------------------------


def _troubles(jobs: Jobs, since: int) -> list[JobTrouble]:
    by_job: dict[str, list[Document]] = {}
    for outcomes in (_BAD, (str(Outcome.SUCCEEDED),)):
        for document in _lately(jobs, outcomes, since):
            by_job.setdefault(document["job_id"], []).append(document)
    troubles = [_trouble(job_id, documents) for job_id, documents in by_job.items()]
    troubles.sort(key=lambda trouble: (-trouble.failures, -(trouble.longest or 0), trouble.job_id))
    return troubles[:_MOST_TROUBLES]


def _lately(jobs: Jobs, outcomes: Sequence[str], since: int) -> list[Document]:
    wanted = {
        "outcome": {"$in": list(outcomes)},
        "scheduled_at": {"$gte": from_ms(since)},
        "job_id": {"$type": "string"},
    }
    fields = ["job_id", "outcome", "error_message", "reason", "started_at", "finished_at"]
    found = jobs.runs.find(wanted, fields, sort=[("scheduled_at", -1)], limit=_MOST_RECORDS, max_time_ms=_LIMIT_MS)
    try:
        return list(found)
    except driver.ExecutionTimeout:
        return []


def _trouble(job_id: str, documents: Sequence[Document]) -> JobTrouble:
    """Of the records of one job, the newest first."""
    bad = [document for document in documents if document["outcome"] in _BAD]
    took = [
        (document["finished_at"] - document["started_at"]).total_seconds()
        for document in documents
        if document.get("started_at") is not None and document.get("finished_at") is not None
    ]
    error = next((d.get("error_message") or d.get("reason") for d in bad), None)
    return JobTrouble(job_id, len(bad), max(took, default=None), error)
