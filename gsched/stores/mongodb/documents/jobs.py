"""Documents of the jobs collection.

{_id, name, func, args, kwargs, trigger, executor, misfire_grace_time, coalesce, max_instances, timeout, recover, tags,
metadata, next_run_time, paused, pause, rev} are the fields of `gsched.jobs.document`; dates have milliseconds. A
document also has those options of the job's policy (retries, overlap ...) that differ from the defaults. Beside them:

- slot: the number of the job's slot, a hash of its group, or of its id if it has none
- admitted: the owner's watermark covers the job; false after each write that concerns when the job is due
- rev: raised by each write of the API, and when a parked job is set down; the change feed filters on it. It begins with
  the time when the job was added (ms), so that a job with the id of a removed one never has the revision of that one
- schedule: the number of the job's schedule: the `rev` with which it began, which no job of this id had before
- begins: the first instant of the schedule: `next_run_time` as the API set it last
- late_until: the instants from `next_run_time` up to this time were late when they were claimed, and may not have ended
- requested_at: when a user last asked for a run outside the schedule
- parked: why the job cannot be run; null if it can
- figures: {runs, failures, last_run, last_duration, last_error, recent, failing_since}, if the job has run
- tally: {runs, until, failing}, if the job's policy counts: how many instants have begun to run, the last of them (ms),
  and how many runs have failed in a row
- expected_since, overdue_at, overdue_told: if the job expects successes, when it succeeded last, or from when on it is
  expected to; when it is overdue; and the name of the call that has told so, null until then. Null while it is paused
- created_at, updated_at: when the job was added, and when the API changed it last

Writers set single fields, so that fields of other programs stay as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import bson
from bson.raw_bson import RawBSONDocument

from gsched.errors import InvalidJobError
from gsched.history.queries import JobCounters
from gsched.history.recent import read_text
from gsched.jobs.document import POLICY_KEYS, DocumentReader, changed_fields, instant_of, job_document
from gsched.jobs.expectation import Expectation, expectation_of
from gsched.jobs.funcref import AllowedFunctions
from gsched.jobs.job import Job
from gsched.jobs.pause import Pause
from gsched.jobs.pause_document import pause_as_far_as_known
from gsched.jobs.policy_options import own_policy_options
from gsched.monitoring.job_pages import JobRow, StoredRow
from gsched.stores.claims.partition import slot_of_job
from gsched.stores.mongodb.driver.codec import CODEC
from gsched.times.instants import from_ms, to_ms
from gsched.wording import without_noise

DEEPEST: Final = 90  # levels of arguments; MongoDB takes 100, some of which the document itself needs
LARGEST: Final = 16 * 1024 * 1024 - 16 * 1024  # bytes: MongoDB's limit, with some room for fields that are added later

# -- writing ----------------------------------------------------------------------------------------------------------


def new_document(job: Job, now: int) -> RawBSONDocument:
    """The encoded document of a new job. Raises InvalidJobError."""
    written = job_document(job)
    document = {
        "_id": written.pop("id"),
        **written,
        "slot": slot_of_job(job),
        "admitted": False,
        "schedule": job.rev,
        "begins": written["next_run_time"],
        "parked": None,
        "created_at": from_ms(now),
        "updated_at": from_ms(now),
        **_expecting(expectation_of(job, None, now)),
    }
    return encoded(job, document)


def _expecting(expectation: Expectation | None) -> dict[str, Any]:
    """The fields of an expectation that nobody was told of; none for a job that expects nothing."""
    if expectation is None:
        return {}
    since, overdue_at = from_ms(expectation.since), from_ms(expectation.overdue_at)
    return {"expected_since": since, "overdue_at": overdue_at, "overdue_told": None}


def expectation_in(document: Mapping[str, Any]) -> Expectation | None:
    """The job's expectation; None if the document has none, or a malformed one."""
    since, overdue_at = document.get("expected_since"), document.get("overdue_at")
    if not isinstance(since, datetime) or not isinstance(overdue_at, datetime):
        return None
    return Expectation(to_ms(since), to_ms(overdue_at), document.get("overdue_told") is not None)


def _changed_expectation(found: Mapping[str, Any], known: Expectation | None, job: Job, now: int) -> dict[str, Any]:
    """The fields of the job's expectation, if it changes. Its owner writes them, too, so others leave them alone."""
    expectation = expectation_of(job, known, now)
    if expectation == expectation_in(found):
        return {}
    return _expecting(expectation) or {"expected_since": None, "overdue_at": None, "overdue_told": None}


class DocumentChange(NamedTuple):
    """What a write changes in the document of a job."""

    fields: RawBSONDocument
    dropped: Collection[str]  # keys that the document has, and no longer needs

    @property
    def update(self) -> dict[str, Any]:
        """The change in MongoDB's words."""
        return {"$set": self.fields, **({"$unset": dict.fromkeys(self.dropped, "")} if self.dropped else {})}

    def of(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The document as it is after the change."""
        kept = {key: value for key, value in document.items() if key not in self.dropped}
        return {**kept, **bson.decode(self.fields.raw, codec_options=CODEC)}


def change_by_replacing(
    found: Mapping[str, Any], job: Job, now: int, rescheduled: bool, has_ended: bool
) -> DocumentChange:
    """The change if a job replaces the stored document: all of the job's fields. Raises InvalidJobError.

    :param has_ended: the stored job has, so that nothing of it is kept
    """
    written = job_document(job)
    del written["id"]
    dropped = (POLICY_KEYS & found.keys()) - written.keys()
    expecting = _changed_expectation(found, None if has_ended else expectation_in(found), job, now)
    return DocumentChange(_changed(job, {**written, **expecting, "slot": slot_of_job(job)}, now, rescheduled), dropped)


def change_between(found: Mapping[str, Any], old: Job, new: Job, now: int, rescheduled: bool) -> DocumentChange:
    """The change from one version of a job to another: the fields that differ. Raises InvalidJobError.

    :param found: the document of the old one
    """
    dropped = own_policy_options(old.policy).keys() - own_policy_options(new.policy).keys()
    fields = {**changed_fields(old, new), **_changed_expectation(found, expectation_in(found), new, now)}
    return DocumentChange(_changed(new, {**fields, "rev": new.rev}, now, rescheduled), dropped)


def _changed(job: Job, fields: dict[str, Any], now: int, rescheduled: bool) -> RawBSONDocument:
    # The change may heal a parked job: its owner looks again.
    fields |= {"parked": None, "updated_at": from_ms(now)}
    if rescheduled:
        fields |= {"admitted": False, "schedule": job.rev, "begins": instant_of(job)}
    return encoded(job, fields)


def encoded(job: Job, document: Mapping[str, Any]) -> RawBSONDocument:
    """The document in BSON. Raises InvalidJobError, which names the value that cannot be stored."""
    for what in ("args", "kwargs", "metadata"):
        _check(job, what, document.get(what), 0)
    try:
        data = bson.encode(document, codec_options=CODEC)
    except Exception as error:  # of bson's, and whatever a user's object raises
        raise InvalidJobError(f"job {job.id!r}: {_culprit(document, error)}") from error
    if len(data) > LARGEST:
        raise InvalidJobError(f"job {job.id!r}: its arguments are too large for a document of MongoDB (16 MiB)")
    return RawBSONDocument(data, codec_options=_RAW_CODEC)


TOLD: Final[dict[str, Any]] = {"$type": "string"}  # overdue_told of a job whose job.overdue was published
OVERDUE_TOLD: Final = (None, TOLD)  # of all jobs: a question for each has an index
_STORABLE: Final = (
    "What can: None, texts, bytes, bools, numbers up to 64 bits, UUIDs, datetimes with a zone, lists and dicts of them"
)
_RAW_CODEC: Final = CODEC.with_options(document_class=RawBSONDocument)


def _check(job: Job, path: str, value: Any, depth: int) -> None:
    """Refuse values that BSON would store but not give back as they were."""
    if depth > DEEPEST:
        raise InvalidJobError(f"job {job.id!r}: {path[:80]}...: nested too deeply for MongoDB")
    if isinstance(value, datetime) and value.tzinfo is None:
        raise InvalidJobError(f"job {job.id!r}: {path}: {value!r} has no time zone, and would come back as UTC")
    if isinstance(value, dict):
        for key, each in value.items():
            _check(job, f"{path}[{key!r}]", each, depth + 1)
    elif isinstance(value, (list, tuple)):
        for position, each in enumerate(value):
            _check(job, f"{path}[{position}]", each, depth + 1)


def _culprit(document: Mapping[str, Any], error: Exception) -> str:
    """The value of the document that cannot be encoded, and why."""
    for what in ("args", "kwargs", "metadata"):
        value = document.get(what, {})
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, each in items:
            try:
                bson.encode({str(key): each}, codec_options=CODEC)
            except Exception as reason:
                kind, why = type(each).__name__, without_noise(str(reason))
                return f"{what}[{key!r}]: a {kind} cannot be stored in MongoDB: {why}. {_STORABLE}"
    return f"cannot be stored in MongoDB: {without_noise(str(error))}"


# -- filters ----------------------------------------------------------------------------------------------------------


def is_paused(now: int) -> dict[str, Any]:
    """The filter for jobs that are paused at `now` (ms), without an end or until later."""
    return {"$or": [{"paused": True}, {"pause.until": {"$gt": from_ms(now)}}]}


def is_overdue(now: int) -> dict[str, Any]:
    """The filter for jobs that are overdue. With the type, the server knows that the index has all of them."""
    return {"overdue_at": {"$type": "date", "$lte": from_ms(now)}}


def is_not_paused(now: int) -> dict[str, Any]:
    """The filter for the other jobs."""
    return {"paused": {"$ne": True}, "pause.until": {"$not": {"$gt": from_ms(now)}}}


# -- reading ----------------------------------------------------------------------------------------------------------


def pause_of(document: Mapping[str, Any]) -> Pause | None:
    """The job's pause, whether it still holds or not; a plain one if the document is malformed there."""
    return pause_as_far_as_known(document.get("paused") is True, document.get("pause"))


def counters_of(document: Mapping[str, Any], now: int) -> JobCounters:
    """The job's counts and last outcomes.

    :param now: ms
    """
    known, expectation = document.get("figures") or {}, expectation_in(document)
    return JobCounters(
        runs=known.get("runs", 0),
        failures=known.get("failures", 0),
        last_run=known.get("last_run"),
        last_duration=known.get("last_duration"),
        last_error=known.get("last_error"),
        recent=read_text(known.get("recent"), now),
        failing_since=known.get("failing_since"),
        overdue_at=None if expectation is None else from_ms(expectation.overdue_at),
    )


def job_row(document: Mapping[str, Any], reader: JobReader, now: int) -> StoredRow:
    """The job, and what else the document has about it.

    :param now: ms
    """
    times = document.get("created_at"), document.get("updated_at")
    return JobRow(reader.read(document), counters_of(document, now), *times)


class JobReader:
    """Reads one batch of documents of the jobs collection. A malformed document gives a parked job."""

    def __init__(self, allowed: AllowedFunctions, jobstore: str) -> None:
        self._reader = DocumentReader(allowed, jobstore, id_key="_id")

    def read(self, document: Mapping[str, Any]) -> Job:
        """The job. If its owner has parked it, it is parked here with the owner's reason."""
        job = self._reader.read(document)
        reason = document.get("parked")
        return job if reason is None or job.parked is not None else job.evolve(parked=str(reason))
