"""Rows of the table of runs, and the records of the claim protocol that they are."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from gsched.history.queries import RunInfo
from gsched.history.records import Record
from gsched.jobs.command_end import CommandEnd
from gsched.jobs.outcomes import Outcome
from gsched.jobs.run import run_id
from gsched.stores.claims.database import RunRecord, WaitingRun
from gsched.stores.claims.partition import slot_of
from gsched.times.instants import from_ms


def key_of(run: RunRecord) -> str:
    """The key of an attempt at a run."""
    return run_key(run_id(run.job_id, run.scheduled, run.request), run.attempt)


def run_key(run: str, attempt: int) -> str:
    """The key of an attempt at a run, given the run's id."""
    return f"{run}#{attempt}"


def running_row(node: str, run: RunRecord) -> dict[str, Any]:
    """The row of a run that is in progress on the node."""
    return {"state": "running", "node": node, **_columns(run)}


def waiting_row(waiting: WaitingRun) -> dict[str, Any]:
    """The row of a run that waits."""
    return {
        "state": "waiting",
        "due_at": waiting.due,
        "cause": "retry" if waiting.run.is_retry else "request",
        "schedule": waiting.schedule,
        **_columns(waiting.run),
    }


def _columns(run: RunRecord) -> dict[str, Any]:
    """The columns of a row that are a RunRecord, with the key."""
    return {
        "key": key_of(run),
        "slot": run.slot,
        "job_id": run.job_id,
        "scheduled_at": run.scheduled,
        "attempt": run.attempt,
        "request": run.request,
        "tries": run.tries,
        "recoveries": run.recoveries,
        "is_retry": run.is_retry,
    }


def run_record(row: Row[Any]) -> RunRecord:
    """The run of a row."""
    of_it = (row.job_id, row.slot, row.scheduled_at, row.attempt, row.request)
    return RunRecord(*of_it, row.tries, row.recoveries, row.is_retry)


def waiting_run(row: Row[Any]) -> WaitingRun:
    """The waiting run of a row."""
    return WaitingRun(run_record(row), row.due_at, row.schedule, row.overlap, row.cancel_requested is not None)


def record_key(record: Record) -> str:
    """The key of a record. Of instants that were lost it is another one than that of a span which begins with the same
    instant: both stay."""
    if record.until_ms is not None and record.attempt == 0 and record.outcome == Outcome.LOST:
        return f"{record.run_id}#{Outcome.LOST}"
    return run_key(record.run_id, record.attempt)


def ended_row(record: Record, expires_at: int) -> dict[str, Any]:
    """The row of a record.

    :param expires_at: when it is to be removed, ms
    """
    return {
        "key": record_key(record),
        "state": "ended",
        "node": record.node,
        "slot": slot_of(record.group or record.job_id),
        "job_id": record.job_id,
        "job_name": record.job_name,
        "tags": json.dumps(record.tags, ensure_ascii=False),
        "scheduled_at": record.scheduled_ms,
        "attempt": record.attempt,
        "request": record.request,
        "outcome": record.outcome,
        "reason": record.reason,
        "until": record.until_ms,
        "started_at": record.started_ms,
        "finished_at": record.finished_ms,
        "error_type": record.error_type,
        "error_message": record.error_message,
        "traceback": None if record.trace is None else record.trace.text(),
        "command": None if record.command is None else json.dumps(record.command.as_document()),
        "expires_at": expires_at,
    }


def run_info(row: Row[Any], job_name: str, tags: Iterable[str]) -> RunInfo:
    """The record in a row, with the name and tags of its job."""
    return RunInfo(
        job_id=row.job_id,
        job_name=job_name,
        run_id=row.key.rpartition("#")[0],
        tags=tuple(tags),
        outcome=row.outcome or row.state,
        reason=row.reason,
        scheduled_at=from_ms(row.scheduled_at),
        due_at=from_ms(row.scheduled_at if row.due_at is None else row.due_at),
        until=_time(row.until),
        started_at=_time(row.started_at),
        finished_at=_time(row.finished_at),
        attempt=row.attempt,
        node=row.node,
        request=row.request,
        error_type=row.error_type,
        error_message=row.error_message,
        traceback=row.traceback,
        command=None if row.command is None else CommandEnd.read(json.loads(row.command)),
    )


def _time(instant: int | None) -> datetime | None:
    return None if instant is None else from_ms(instant)
