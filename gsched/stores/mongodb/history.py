"""The collection of runs: its documents, its indexes, and how it is read.

A document is {_id, state, job_id, job_name, tags, slot, node, outcome, reason, scheduled_at, until, started_at,
finished_at, attempt, request, error_type, error_message, traceback, expires_at}; what does not apply is missing or
null. `_id` is the run's id, "#" and the attempt. Documents in the states "waiting" and "running" are the claim
protocol's, and have no more than it needs: neither the job's name nor its tags, and they do not expire. A run that
waits was asked for, and nobody has taken it; it has `due_at`, when it is to begin, and `cause`, why it is to.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from pymongo import DESCENDING
from pymongo.operations import IndexModel

from gsched.clock import Clock
from gsched.errors import JobNotFoundError
from gsched.explanation import NEVER_BEFORE, Account
from gsched.history import RUNNING, JobFigures, RunInfo, RunQuery, newest_first
from gsched.instants import from_ms, to_ms
from gsched.job import Job
from gsched.recent import read_text
from gsched.records import Keeping, Record
from gsched.run import Outcome
from gsched.stores.base import ALWAYS
from gsched.stores.mongodb.connection import Connection, Document, Jobs, translate_errors
from gsched.stores.mongodb.lookup import find_document
from gsched.stores.mongodb.partition import is_slot, slot_of

WAITING: Final = "waiting"  # the state of a run that has not begun
MOST_WAITING: Final = 10_000  # runs of one job

# What the queries need: lists by time, of one job, of one outcome, with a tag; runs of a job that wait; spans that
# reach into a period. The server removes what has expired.
INDEXES: Final = (
    IndexModel([("expires_at", 1)], expireAfterSeconds=0, name="expires_at"),
    IndexModel([("scheduled_at", DESCENDING)], name="scheduled_at"),
    IndexModel([("job_id", 1), ("scheduled_at", DESCENDING)], name="job_scheduled_at"),
    IndexModel([("outcome", 1), ("scheduled_at", DESCENDING)], name="outcome_scheduled_at"),
    IndexModel([("tags", 1), ("scheduled_at", DESCENDING)], name="tags_scheduled_at"),
    IndexModel([("job_id", 1), ("due_at", 1)], partialFilterExpression={"state": WAITING}, name="waiting"),
    IndexModel([("until", 1)], partialFilterExpression={"until": {"$exists": True}}, name="until"),
)
_BATCH: Final = 250  # documents per round trip: decoding one must not hold up the hub
_WRITTEN_MS: Final = 5000  # what ended longer ago has been written, unless the database was away
_NODES_KEPT_MS: Final = 86_400_000  # dead nodes are known for so long


def run_key(run: str, attempt: int) -> str:
    """The id of the document of an attempt at a run."""
    return f"{run}#{attempt}"


def record_key(record: Record) -> str:
    """The id of a record's document. Of instants that were lost it is another one than that of a span which begins with
    the same instant: both stay."""
    if record.until_ms is not None and record.attempt == 0 and record.outcome == Outcome.LOST:
        return f"{record.run_id}#{Outcome.LOST}"
    return run_key(record.run_id, record.attempt)


def expiring_document(record: Record, expires_at: datetime) -> Document:
    """The document of a record."""
    fields: Document = {
        "_id": record_key(record),
        "state": "ended",
        "job_id": record.job_id,
        "job_name": record.job_name,
        "tags": list(record.tags),
        "slot": slot_of(record.job_id),
        "outcome": record.outcome,
        "reason": record.reason,
        "scheduled_at": from_ms(record.scheduled_ms),
        "attempt": record.attempt,
        "request": record.request,
        "expires_at": expires_at,
    }
    if record.node is not None:
        fields["node"] = record.node
    if record.until_ms is not None:
        fields["until"] = from_ms(record.until_ms)
    if record.started_ms is not None:
        fields["started_at"] = from_ms(record.started_ms)
    if record.finished_ms is not None:
        fields["finished_at"] = from_ms(record.finished_ms)
    if record.trace is not None:
        fields["error_type"], fields["error_message"] = record.error_type, record.error_message
        fields["traceback"] = record.trace.text()
    return fields


def is_run(document: Document) -> bool:
    """Whether it is of a run: people may have written anything."""
    return (
        isinstance(document.get("job_id"), str)
        and isinstance(document.get("slot", 0), int)
        and isinstance(document.get("scheduled_at"), datetime)
        and isinstance(document.get("attempt", 1), int)
        and isinstance(document.get("request"), str | None)
    )


def info_of(document: Document) -> RunInfo:
    """What a document says."""
    return RunInfo(
        job_id=document["job_id"],
        job_name=document.get("job_name") or "",
        run_id=str(document["_id"]).rpartition("#")[0],
        tags=tuple(document.get("tags") or ()),
        outcome=document.get("outcome") or document.get("state") or RUNNING,
        reason=document.get("reason"),
        scheduled_at=document["scheduled_at"],
        until=document.get("until"),
        started_at=document.get("started_at"),
        finished_at=document.get("finished_at"),
        attempt=document.get("attempt", 1),
        node=document.get("node"),
        request=document.get("request"),
        error_type=document.get("error_type"),
        error_message=document.get("error_message"),
        traceback=document.get("traceback"),
    )


class MongoHistory:
    """The part of the store that reads what became of runs, in any process, whether its scheduler runs or not."""

    clock: Clock
    _connection: Connection
    _keeping: Keeping
    _keep_history: timedelta

    @translate_errors()
    def runs(self, query: RunQuery) -> list[RunInfo]:
        jobs, most = self._connection.jobs(), query.skip + query.limit
        found: list[Document] = []
        for wanted in _filters(query):
            runs = jobs.runs.find(wanted, sort=[("scheduled_at", DESCENDING)], limit=most, batch_size=_BATCH)
            found += filter(is_run, runs)
        if query.tag is not None and query.outcome in (None, RUNNING):
            found += _running_with_tag(jobs, query)
        page = newest_first(lambda document: document["scheduled_at"], found, query)
        _complete(jobs, page)
        return [info_of(document) for document in page]

    @translate_errors()
    def figures(self, job_id: str) -> JobFigures:
        document = find_document(self._connection.jobs(), job_id)
        if document is None:
            raise JobNotFoundError(job_id)
        known = document.get("figures") or {}
        return JobFigures(
            runs=known.get("runs", 0),
            failures=known.get("failures", 0),
            last_run=known.get("last_run"),
            last_duration=known.get("last_duration"),
            last_error=known.get("last_error"),
            recent=read_text(known.get("recent"), self.clock.now_ms()),
        )

    @translate_errors()
    def account(self, job: Job | None, instant: int) -> Account:
        now = self.clock.now_ms()
        kept_since = now - self._keep_history // timedelta(milliseconds=1)
        known = Account(successes=self._keeping.successes, since=kept_since)
        document = None if job is None else find_document(self._connection.jobs(), job.id)
        if document is None:
            return known
        claimed = _claimed(self._connection.jobs(), slot_of(str(document["_id"])), instant)
        return known._replace(
            added=_ms(document.get("created_at")),
            changed=_ms(document.get("updated_at")),
            parked=document.get("parked"),
            away=_away(self._connection.jobs(), instant, now),
            **_standing(document, claimed, instant, now),
        )


# -- lists ------------------------------------------------------------------------------------------------------------


def _filters(query: RunQuery) -> Iterable[Document]:
    """What was due in the period; and what began before it and reaches into it."""
    wanted: Document = {}
    if query.job_id is not None:
        wanted["job_id"] = query.job_id
    if query.run_id is not None:
        wanted["_id"] = {"$gte": f"{query.run_id}#", "$lt": f"{query.run_id}$"}  # "$" follows "#", as in run_key
    if query.tag is not None:
        wanted["tags"] = query.tag
    if query.outcome is not None:
        wanted |= {"state": RUNNING} if query.outcome == RUNNING else {"outcome": query.outcome}
    due: Document = {}
    if query.since is not None:
        due["$gte"] = from_ms(query.since)
        yield {**wanted, "until": {"$gt": due["$gte"]}, "scheduled_at": {"$lt": due["$gte"]}}
    if query.until is not None:
        due["$lt"] = from_ms(query.until)
    yield {**wanted, "scheduled_at": due} if due else wanted


def _running_with_tag(jobs: Jobs, query: RunQuery) -> list[Document]:
    """The runs in progress whose jobs have the tag; their documents do not say so."""
    untagged = RunQuery(query.job_id, RUNNING, query.since, query.until)
    found = (document for wanted in _filters(untagged) for document in jobs.runs.find(wanted, batch_size=_BATCH))
    running = list(filter(is_run, found))
    ids = list({document["job_id"] for document in running})
    tagged = {job["_id"] for job in jobs.find({"_id": {"$in": ids}, "tags": query.tag}, ["_id"])} if ids else set()
    return [document for document in running if document["job_id"] in tagged]


def _complete(jobs: Jobs, documents: list[Document]) -> None:
    """Add what the documents of runs in progress lack: name and tags of their jobs."""
    bare = [document for document in documents if "job_name" not in document]
    if bare:
        ids = list({document["job_id"] for document in bare})
        found = {job["_id"]: job for job in jobs.find({"_id": {"$in": ids}}, ["name", "tags"])}
        for document in bare:
            job = found.get(document["job_id"], {})
            document["job_name"], document["tags"] = job.get("name"), job.get("tags")


# -- how far the claims have come -------------------------------------------------------------------------------------


def _claimed(jobs: Jobs, number: int, instant: int) -> Document:
    """Of a slot: its owner and since when, until when it is claimed, and until when that has ended, as far as concerns
    the instant."""
    slot = jobs.slots.find_one({"_id": number})
    if slot is None or not is_slot(slot):
        return {}
    owner = jobs.nodes.find_one({"_id": slot["owner"]}) if slot.get("owner") is not None else None
    if owner is None or not slot["attached"]:
        watermark = to_ms(slot["watermark"])
        return {"node": None, "taken_at": watermark, "watermark": watermark, "acked": to_ms(slot["acked"])}
    acked, taken_at = to_ms(owner["acked"]), to_ms(slot["watermark"])
    if slot.get("open_from") is not None and instant <= taken_at:  # it was late when the owner came
        acked = min(acked, to_ms(slot["open_from"]))
    return {"node": owner["_id"], "taken_at": taken_at, "watermark": to_ms(owner["watermark"]), "acked": acked}


def _standing(document: Document, claimed: Document, instant: int, now: int) -> dict[str, Any]:
    """How far the job's instants are decided and ended, as the fields of an Account."""
    stored = _ms(document.get("next_run_time"))
    if document.get("admitted") is not True or not claimed:
        first = ALWAYS if stored is None else stored
        obstacle = "no node has taken it up yet" if claimed else "no scheduler has run the jobs of this store yet"
        begins = NEVER_BEFORE if stored is None else stored
        return {"begins": begins, "decided": first, "ended": first, "obstacle": obstacle}
    late_until, first_set = _ms(document.get("late_until")), _ms(document.get("begins"))
    begins = NEVER_BEFORE if first_set is None else first_set
    ended = min(claimed["acked"] + 1, now - _WRITTEN_MS)
    if late_until is not None and stored is not None:  # what was late when it was taken up may be in progress
        begins = stored
        if stored <= instant <= late_until:
            ended = min(ended, stored)
    until = from_ms(claimed["watermark"]).isoformat(" ", "seconds")
    who = "no node owns it at the moment; it is" if claimed["node"] is None else f"node {claimed['node']} has it"
    return {
        "begins": begins,
        "steady": NEVER_BEFORE if stored is None else stored,
        "decided": claimed["watermark"] + 1,
        "ended": ended,
        "node": claimed["node"] if instant > claimed["taken_at"] else None,  # what is earlier, others claimed
        "obstacle": f"{who} claimed up to {until}",
    }


def _away(jobs: Jobs, instant: int, now: int) -> int | None:
    """When a node began to run jobs, if none did at the instant; None if one did, or nobody knows."""
    if instant < now - _NODES_KEPT_MS:
        return None
    at = from_ms(instant)
    if jobs.nodes.find_one({"started_at": {"$lte": at}, "watermark": {"$gte": at}}, ["_id"]) is not None:
        return None
    following = jobs.nodes.find_one({"started_at": {"$gt": at}}, ["started_at"], sort=[("started_at", 1)])
    return None if following is None else to_ms(following["started_at"])


def _ms(value: Any) -> int | None:
    return to_ms(value) if isinstance(value, datetime) and value.tzinfo else None
