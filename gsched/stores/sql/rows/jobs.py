"""Rows of the table of jobs, and jobs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Row

from gsched.errors import InvalidJobError
from gsched.history.queries import JobCounters
from gsched.history.recent import read_text
from gsched.jobs.document import DocumentReader, job_document
from gsched.jobs.expectation import Expectation, expectation_of
from gsched.jobs.export import from_json, to_json
from gsched.jobs.job import Job
from gsched.jobs.pause import Pause
from gsched.jobs.pause_document import pause_as_far_as_known, pause_document
from gsched.jobs.tally import Tally
from gsched.monitoring.job_pages import JobRow, StoredRow
from gsched.stores.claims.database import FormerSchedule, JobRecord
from gsched.stores.claims.partition import slot_of_job
from gsched.stores.messages import ALWAYS
from gsched.times.instants import from_ms

LONGEST_ID: Final = 255  # characters
LARGEST: Final = 16 * 1024 * 1024  # characters of a document, as in MongoDB, so that jobs can move between stores

# The keys of a job's document that have columns of their own; the rest is JSON text.
_COLUMNS: Final = ("id", "name", "next_run_time", "paused", "pause", "rev")
_OF_FORMER: Final = ("trigger", "tags")

Values = dict[str, Any]
"""What a row says, by column."""


def new_row(job: Job, now: int) -> Values:
    """The row of a job that is not stored yet. Raises InvalidJobError for one that cannot be stored."""
    return {
        **definition_of(job),
        "id": job.id,
        "slot": slot_of_job(job),
        "admitted": False,
        "schedule": job.rev,
        "begins": job.next_run_ms,
        "late_until": None,
        "parked": None,
        "created_at": now,
        "updated_at": now,
        **_expecting(expectation_of(job, None, now)),
    }


def _expecting(expectation: Expectation | None) -> Values:
    if expectation is None:
        return {"expected_since": None, "overdue_at": None, "overdue_told": False}
    since, overdue_at, is_told = expectation
    return {"expected_since": since, "overdue_at": overdue_at, "overdue_told": is_told}


def expectation_in(row: Row[Any]) -> Expectation | None:
    """The job's expectation; None if it has none."""
    return None if row.overdue_at is None else Expectation(row.expected_since, row.overdue_at, row.overdue_told)


def changed_row(found: Row[Any], job: Job, now: int, rescheduled: bool, has_ended: bool = False) -> Values:
    """What is set where a job replaces what is stored. Raises InvalidJobError for one that cannot be stored.

    :param has_ended: what is stored has, so that nothing of it is kept
    """
    # What parked the job may be mended: its owner looks again.
    values = {**definition_of(job), "slot": slot_of_job(job), "parked": None, "updated_at": now}
    if rescheduled:
        values |= {"admitted": False, "schedule": job.rev, "begins": job.next_run_ms}
    known = expectation_in(found)
    expectation = expectation_of(job, None if has_ended else known, now)
    if expectation != known:  # else the owner, who writes it, too, is left alone
        values |= _expecting(expectation)
    return values


def definition_of(job: Job) -> Values:
    """The columns that make up the definition of a job. Raises InvalidJobError for one that cannot be stored."""
    if len(job.id) > LONGEST_ID:
        raise InvalidJobError(f"job {job.id[:50]!r}...: an id has at most {LONGEST_ID} characters in a SQL store")
    return {
        "name": job.name,
        "next_run": job.next_run_ms,
        "paused": job.paused,
        "pause": _pause_text(job.pause),
        "paused_until": None if job.pause is None else job.pause.until_ms or ALWAYS,
        "rev": job.rev,
        "document": _text_of(job, {key: value for key, value in job_document(job).items() if key not in _COLUMNS}),
    }


def tag_rows(job: Job) -> list[Values]:
    """The rows of the job's tags."""
    return [{"tag": tag, "job_id": job.id} for tag in dict.fromkeys(job.tags)]


def job_of(row: Row[Any], reader: DocumentReader) -> Job:
    """The job of a row. One that its owner has parked is parked here, with that reason."""
    job = reader.read(_document(row))
    return job if row.parked is None or job.parked is not None else job.evolve(parked=row.parked)


def counters_of(row: Row[Any], now: int) -> JobCounters:
    """The job's counts and last outcomes.

    :param now: ms
    """
    return JobCounters(
        runs=row.runs,
        failures=row.failures,
        last_run=None if row.last_run is None else from_ms(row.last_run),
        last_duration=row.last_duration,
        last_error=row.last_error,
        recent=read_text(row.recent, now),
        failing_since=None if row.failing_since is None else from_ms(row.failing_since),
        overdue_at=None if row.overdue_at is None else from_ms(row.overdue_at),
    )


def job_row(row: Row[Any], reader: DocumentReader, now: int) -> StoredRow:
    """The job, and what else the row has about it.

    :param now: ms
    """
    return JobRow(job_of(row, reader), counters_of(row, now), from_ms(row.created_at), from_ms(row.updated_at))


def triggered_job(row: Row[Any], reader: DocumentReader) -> Job:
    """The job, of which only the trigger and the next run time are right, from the columns `trigger` and `next_run`."""
    document = {"id": row.id, "trigger": _read(row.trigger), **_time(row.next_run)}
    return reader.read(document).evolve(parked=None)


def job_record(row: Row[Any], reader: DocumentReader) -> JobRecord:
    """The row as the claim protocol needs it. `job.parked` is what this process has found just now."""
    job = reader.read(_document(row))
    tally = Tally(row.created_at, row.begun, row.begun_until, row.failing) if job.policy.counts else None
    return JobRecord(
        job,
        row.slot,
        row.admitted,
        -1 if row.late_until is None else row.late_until,
        row.parked,
        row.schedule,
        row.begins,
        tally,
    )


def former_schedule(row: Row[Any], reader: DocumentReader) -> FormerSchedule:
    """The schedule that a row of the former ones has."""
    kept = {key: value for key, value in _read(row.document).items() if key in _OF_FORMER}
    pause = {"until": None if row.paused_until is None else from_ms(row.paused_until)}
    document = {**kept, "id": row.job_id, "name": row.name, "pause": pause, **_time(row.next_run)}
    late_until = -1 if row.late_until is None else row.late_until
    record = JobRecord(
        reader.read(document), row.slot, True, late_until, schedule=row.schedule, begins=row.begins
    )
    return FormerSchedule(row.id, record, row.until)


def _document(row: Row[Any]) -> Mapping[str, Any]:
    return {**_read(row.document), "id": row.id, "name": row.name, "rev": row.rev, "paused": row.paused,
            "pause": _pause_document(row), **_time(row.next_run)}  # fmt: skip


def _pause_text(pause: Pause | None) -> str | None:
    document = pause_document(pause)
    return None if document is None else json.dumps(to_json(document), ensure_ascii=False)


def pause_of(row: Row[Any]) -> Pause | None:
    """The job's pause, whether it still holds or not; a plain one if the row is malformed there."""
    return pause_as_far_as_known(row.paused, _pause_document(row))


def _pause_document(row: Row[Any]) -> Mapping[str, Any] | None:
    return None if row.pause is None else _read(row.pause)


def _time(instant: int | None) -> Values:
    return {"next_run_time": None if instant is None else from_ms(instant)}


def _text_of(job: Job, document: Mapping[str, Any]) -> str:
    try:
        written = {key: _written(key, value) for key, value in document.items()}
        text = json.dumps(written, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidJobError(f"job {job.id!r} cannot be stored in SQL: {error}") from error
    if len(text) > LARGEST:
        raise InvalidJobError(f"job {job.id!r}: its arguments are too large to be stored (16 MiB)")
    return text


def _written(key: str, value: Any) -> Any:
    try:
        return to_json(value)
    except TypeError as error:
        raise TypeError(f"{key}{error}") from None


def _read(text: str) -> Mapping[str, Any]:
    """The document in a text. What is no document gives an empty one, which the reader parks."""
    try:
        loaded = _loaded(text)
        return {key: from_json(value) for key, value in loaded.items()} if '"$' in text else loaded
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return {}


def _loaded(text: str) -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = json.loads(text)
    return loaded
