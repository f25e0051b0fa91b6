"""Reads the history: the collection of runs, with the claims that decide what an instant's record means."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from pymongo import DESCENDING

from gsched.errors import JobNotFoundError
from gsched.history.explanation import Evidence
from gsched.history.queries import UNENDED, JobCounters, RunInfo, RunPage, RunPlace, RunQuery, newest_first
from gsched.history.retention import RetentionPolicy
from gsched.jobs.job import Job
from gsched.stores.claims.partition import slot_of_job
from gsched.stores.derived import page_of_runs
from gsched.stores.durable.evidence import NODES_KEPT_MS, JobTimes, Owner, SlotClaims, claim_evidence
from gsched.stores.mongodb.documents.claims import is_slot
from gsched.stores.mongodb.documents.jobs import counters_of
from gsched.stores.mongodb.documents.runs import info_of, is_run
from gsched.stores.mongodb.driver.codec import Document, Jobs
from gsched.stores.mongodb.driver.connection import Connection, translate_errors
from gsched.times.clock import Clock
from gsched.times.instants import from_ms, to_ms

_ORDER: Final = [("scheduled_at", DESCENDING), ("_id", DESCENDING)]  # of pages
_SHORT: Final = {"traceback": 0}
_BATCH: Final = 250  # documents per round trip: decoding a batch must not hold up the hub


class MongoHistory:
    """The outcomes of instants: see `History`. Works in any process, whether its scheduler runs or not.

    :param keep: how long the history is kept
    :param retention: which successes the history has
    """

    def __init__(self, connection: Connection, clock: Clock, keep: timedelta, retention: RetentionPolicy) -> None:
        self._connection = connection
        self._clock = clock
        self._keep = keep
        self._retention = retention

    @translate_errors()
    def runs(self, query: RunQuery) -> list[RunInfo]:
        jobs, most = self._connection.jobs(), query.skip + query.limit
        found: list[Document] = []
        # All attempts at one run have the same time. In other lists no index has both.
        order = "scheduled_at" if query.run_id is None else "attempt"
        for wanted in _filters(query):
            runs = jobs.runs.find(wanted, sort=[(order, DESCENDING)], limit=most, batch_size=_BATCH)
            found += filter(is_run, runs)
        if query.tag is not None:
            for state in UNENDED:
                if query.outcome in (None, state):
                    found += _unended_with_tag(jobs, query, state)
        page = newest_first(lambda it: (it["scheduled_at"], it.get("attempt", 1)), found, query)
        _complete(jobs, page)
        return [info_of(document) for document in page]

    @translate_errors()
    def run_page(self, query: RunQuery) -> RunPage:
        jobs, most = self._connection.jobs(), query.limit + 1
        found: list[Document] = []
        for wanted in _filters(query):
            runs = jobs.runs.find(_after(query.place, wanted), _SHORT, sort=_ORDER, limit=most, batch_size=_BATCH)
            found += filter(is_run, runs)
        if query.tag is not None:
            for state in UNENDED:
                if query.outcome in (None, state):
                    unended = _unended_with_tag(jobs, query, state)
                    found += (each for each in unended if query.place is None or _place(each) < query.place)
        page = sorted(found, key=_place, reverse=True)[:most]
        _complete(jobs, page)
        return page_of_runs([info_of(document) for document in page], query)

    @translate_errors()
    def counters(self, job_id: str) -> JobCounters:
        document = self._connection.jobs().find_one({"_id": job_id})
        if document is None:
            raise JobNotFoundError(job_id)
        return counters_of(document, self._clock.now_ms())

    @translate_errors()
    def evidence(self, job: Job | None, instant: int) -> Evidence:
        now = self._clock.now_ms()
        kept_since = now - self._keep // timedelta(milliseconds=1)
        known = Evidence(successes=self._retention.successes, since=kept_since)
        document = None if job is None else self._connection.jobs().find_one({"_id": job.id})
        if job is None or document is None:
            return known
        known = known._replace(
            added=_ms(document.get("created_at")),
            changed=_ms(document.get("updated_at")),
            parked=document.get("parked"),
            away=_away(self._connection.jobs(), instant, now),
        )
        slot = _claims(self._connection.jobs(), slot_of_job(job))
        return claim_evidence(known, _times(document), slot, instant, now)


# -- lists ------------------------------------------------------------------------------------------------------------


def _filters(query: RunQuery) -> Iterable[Document]:
    """The filters for records in the period, and for spans that begin before it and reach into it."""
    wanted: Document = {}
    if query.job_id is not None:
        wanted["job_id"] = query.job_id
    if query.run_id is not None:
        wanted["_id"] = {"$gte": f"{query.run_id}#", "$lt": f"{query.run_id}$"}  # "$" follows "#", as in run_key
    if query.tag is not None:
        wanted["tags"] = query.tag
    if query.node is not None:
        wanted["node"] = query.node
    if query.outcome is not None:
        wanted["state" if query.outcome in UNENDED else "outcome"] = query.outcome
    due: Document = {}
    if query.since is not None:
        due["$gte"] = from_ms(query.since)
        yield {**wanted, "until": {"$gt": due["$gte"]}, "scheduled_at": {"$lt": due["$gte"]}}
    if query.until is not None:
        due["$lt"] = from_ms(query.until)
    yield {**wanted, "scheduled_at": due} if due else wanted


def _place(document: Document) -> RunPlace:
    """The place of a record in pages."""
    return RunPlace(to_ms(document["scheduled_at"]), str(document["_id"]))


def _after(place: RunPlace | None, wanted: Document) -> Document:
    """The filter for those records that match and come after a place. Each part of it can use an index."""
    if place is None:
        return wanted
    at, due = from_ms(place.scheduled), wanted.get("scheduled_at", {})
    earlier = {**due, "$lt": min(at, due.get("$lt", at))}
    ids = wanted.get("_id", {})
    later = {**ids, "$lt": min(place.key, ids.get("$lt", place.key))}
    in_period = due.get("$gte", at) <= at < due.get("$lt", at + timedelta(milliseconds=1))
    alike = {**wanted, "scheduled_at": at, "_id": later} if in_period else None
    return {"$or": [{**wanted, "scheduled_at": earlier}, *([] if alike is None else [alike])]}


def _unended_with_tag(jobs: Jobs, query: RunQuery, state: str) -> list[Document]:
    """The runs in progress, or those that wait, whose jobs have the tag. Their documents have no tags."""
    untagged = RunQuery(query.job_id, state, query.since, query.until, node=query.node)
    found = (document for wanted in _filters(untagged) for document in jobs.runs.find(wanted, batch_size=_BATCH))
    unended = list(filter(is_run, found))
    ids = list({document["job_id"] for document in unended})
    tagged = {job["_id"] for job in jobs.find({"_id": {"$in": ids}, "tags": query.tag}, ["_id"])} if ids else set()
    return [document for document in unended if document["job_id"] in tagged]


def _complete(jobs: Jobs, documents: list[Document]) -> None:
    """Add the names and tags of their jobs to documents that lack them: of runs that have not ended, or that another
    node has ended."""
    bare = [document for document in documents if "job_name" not in document]
    if bare:
        ids = list({document["job_id"] for document in bare})
        found = {job["_id"]: job for job in jobs.find({"_id": {"$in": ids}}, ["name", "tags"])}
        for document in bare:
            job = found.get(document["job_id"], {})
            document["job_name"], document["tags"] = job.get("name"), job.get("tags")


# -- how far the claims have come -------------------------------------------------------------------------------------


def _claims(jobs: Jobs, number: int) -> SlotClaims | None:
    """The claims in a slot; None if the slot does not exist or is malformed."""
    slot = jobs.slots.find_one({"_id": number})
    if slot is None or not is_slot(slot):
        return None
    node = jobs.nodes.find_one({"_id": slot["owner"]}) if slot["attached"] and slot.get("owner") is not None else None
    owner = None if node is None else Owner(node["_id"], to_ms(node["watermark"]), to_ms(node["acked"]))
    return SlotClaims(to_ms(slot["watermark"]), to_ms(slot["acked"]), _ms(slot.get("open_from")), owner)


def _times(document: Document) -> JobTimes:
    times = [_ms(document.get(key)) for key in ("next_run_time", "begins", "late_until")]
    return JobTimes(document.get("admitted") is True, *times)


def _away(jobs: Jobs, instant: int, now: int) -> int | None:
    """When the next node joined, if no node was running jobs at the instant; None if one was, or if it is unknown."""
    if instant < now - NODES_KEPT_MS:
        return None
    at = from_ms(instant)
    if jobs.nodes.find_one({"started_at": {"$lte": at}, "watermark": {"$gte": at}}, ["_id"]) is not None:
        return None
    following = jobs.nodes.find_one({"started_at": {"$gt": at}}, ["started_at"], sort=[("started_at", 1)])
    return None if following is None else to_ms(following["started_at"])


def _ms(value: Any) -> int | None:
    return to_ms(value) if isinstance(value, datetime) and value.tzinfo else None
