"""Documents of the jobs collection.

{_id, name, func, args, kwargs, trigger, executor, misfire_grace_time, coalesce, max_instances, timeout, recover, tags,
metadata, next_run_time, paused, rev} are those of `gsched.document`, dates with milliseconds. Beside them:

- slot: the partition that the job belongs to
- admitted: whether its owner's watermark covers it; false after each write that concerns when it is due
- rev: raised by each write of the API, from the time when the job was added (ms) on, so that an id that is used again
  does not meet its past; nothing else changes it, so that the change feed can filter on it
- schedule: which schedule it is due by, the `rev` that began it: a number that the job, and the one that had its id
  before, had never
- begins: next_run_time as that was set last: nothing of the job, as it is, was due before
- late_until: its instants from next_run_time up to then were late when they were claimed, and may not have ended
- requested_at: when a run was asked for last, outside the schedule
- parked: why it cannot be run, null if it can
- figures: what it did so far, {runs, failures, last_run, last_duration, last_error}; of a job that has run
- created_at, updated_at: when the job was added, and changed by the API

Fields that are not ours stay as they are: writers set what they know, one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import bson
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument

from gsched.document import DocumentReader, changed_fields, instant_of, job_document
from gsched.errors import InvalidJobError
from gsched.funcref import AllowedFunctions
from gsched.instants import from_ms
from gsched.job import Job
from gsched.stores.mongodb.partition import slot_of
from gsched.wording import without_noise

DEEPEST: Final = 90  # levels of arguments; MongoDB takes 100, some of which are ours
LARGEST: Final = 16 * 1024 * 1024 - 16 * 1024  # bytes, MongoDB's limit less some room for what is noted beside them

# What finds the documents that people inserted with an id that is no text. Types, for which the index of ids serves;
# not "no text", for which it does not.
UNNAMED: Final[Mapping[str, Any]] = {
    "_id": {
        "$type": [
            "double", "object", "binData", "objectId", "bool", "date", "null", "int", "timestamp", "long", "decimal",
            "minKey", "maxKey",
        ]
    }
}  # fmt: skip

# Tolerant in reading, so that one strange document does not hide those that come with it: dates that no datetime can
# hold stay BSON's own, bytes that are no text are replaced.
CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True,
    tzinfo=UTC,
    uuid_representation=UuidRepresentation.STANDARD,
    unicode_decode_error_handler="replace",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)


# -- writing ----------------------------------------------------------------------------------------------------


def new_document(job: Job, now: int) -> RawBSONDocument:
    """The document of a job that is not stored yet, encoded. Raises InvalidJobError."""
    written = job_document(job)
    document = {
        "_id": written.pop("id"),
        **written,
        "slot": slot_of(job.id),
        "admitted": False,
        "schedule": job.rev,
        "begins": written["next_run_time"],
        "parked": None,
        "created_at": from_ms(now),
        "updated_at": from_ms(now),
    }
    return encoded(job, document)


def replacing_fields(job: Job, now: int, rescheduled: bool) -> RawBSONDocument:
    """What is set where a job replaces a stored one: all that we know. Raises InvalidJobError."""
    written = job_document(job)
    del written["id"]
    return _changes(job, {**written, "slot": slot_of(job.id)}, now, rescheduled)


def changing_fields(old: Job, new: Job, now: int, rescheduled: bool) -> RawBSONDocument:
    """What is set where a job was changed: what differs. Raises InvalidJobError."""
    return _changes(new, {**changed_fields(old, new), "rev": new.rev}, now, rescheduled)


def _changes(job: Job, fields: dict[str, Any], now: int, rescheduled: bool) -> RawBSONDocument:
    # Whatever was wrong with the job may be mended: its owner looks again.
    fields |= {"parked": None, "updated_at": from_ms(now)}
    if rescheduled:
        fields |= {"admitted": False, "schedule": job.rev, "begins": instant_of(job)}
    return encoded(job, fields)


def encoded(job: Job, document: Mapping[str, Any]) -> RawBSONDocument:
    """The document in BSON, before anything is sent. Raises InvalidJobError, naming what cannot be stored."""
    for what in ("args", "kwargs", "metadata"):
        _check(job, what, document.get(what), 0)
    try:
        data = bson.encode(document, codec_options=CODEC)
    except Exception as error:  # of bson's, and whatever a user's object raises
        raise InvalidJobError(f"job {job.id!r}: {_culprit(document, error)}") from error
    if len(data) > LARGEST:
        raise InvalidJobError(f"job {job.id!r}: its arguments are too large for a document of MongoDB (16 MiB)")
    return RawBSONDocument(data, codec_options=_RAW_CODEC)


_STORABLE: Final = (
    "What can: None, texts, bytes, bools, numbers up to 64 bits, UUIDs, datetimes with a zone, lists and dicts of them"
)
_RAW_CODEC: Final = CODEC.with_options(document_class=RawBSONDocument)


def decoded(document: RawBSONDocument) -> dict[str, Any]:
    """What `encoded` encoded, as it comes back from the database."""
    return bson.decode(document.raw, codec_options=CODEC)


def _check(job: Job, path: str, value: Any, depth: int) -> None:
    """Refuse what BSON would take but not give back."""
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
    """Which of the document's values cannot be encoded, and why."""
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


# -- reading ----------------------------------------------------------------------------------------------------


class JobReader:
    """Reads documents of the jobs collection, those of one batch. What cannot be understood gives a parked job."""

    def __init__(self, allowed: AllowedFunctions, jobstore: str) -> None:
        self._reader = DocumentReader(allowed, jobstore, id_key="_id")

    def read(self, document: Mapping[str, Any]) -> Job:
        """The job. One that was parked by its owner is parked here, with that reason."""
        job = self._reader.read(document)
        reason = document.get("parked")
        return job if reason is None or job.parked is not None else job.evolve(parked=str(reason))
