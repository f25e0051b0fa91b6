"""The documents of the collection of runs.

A document is {_id, state, job_id, job_name, tags, slot, node, outcome, reason, scheduled_at, until, started_at,
finished_at, attempt, request, error_type, error_message, traceback, command, expires_at}; fields that do not apply are
missing or null. `_id` is the run's id, "#" and the attempt. The state is "waiting", "running" or "ended". Waiting and
running documents belong to the claim protocol: they lack the job's name and tags, and do not expire.

A waiting run has not begun. It has `due_at`, the time to begin, and `cause`: "request" if somebody asked for it,
"retry" if an attempt failed. It may have `schedule`, the number of the job's schedule. The document keeps these fields
when the run begins. A document has `tries`, `recoveries` and `is_retry` (see RunRecord) unless they are 0 and false.
`cancel_requested` is when somebody in another process asked to cancel the run.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from gsched.history.queries import RUNNING, RunInfo
from gsched.history.records import Record
from gsched.jobs.command_end import CommandEnd
from gsched.jobs.outcomes import Outcome
from gsched.stores.claims.partition import slot_of
from gsched.stores.mongodb.driver.codec import Document
from gsched.times.instants import from_ms

WAITING: Final = "waiting"  # the state of a run that has not begun


def run_key(run: str, attempt: int) -> str:
    """The id of the document of one attempt at a run."""
    return f"{run}#{attempt}"


def record_key(record: Record) -> str:
    """The id of a record's document. A span of lost instants has an id of its own: another span may begin with the same
    instant, and both records stay."""
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
        "slot": slot_of(record.group or record.job_id),
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
    if record.command is not None:
        fields["command"] = record.command.as_document()
    return fields


def is_run(document: Document) -> bool:
    """True if the document is a well-formed run."""
    return (
        isinstance(document.get("job_id"), str)
        and isinstance(document.get("slot", 0), int)
        and isinstance(document.get("scheduled_at"), datetime)
        and isinstance(document.get("attempt", 1), int)
        and isinstance(document.get("request"), str | None)
        and isinstance(document.get("tries", 0), int)
        and isinstance(document.get("recoveries", 0), int)
        and isinstance(document.get("is_retry", False), bool)
        and isinstance(document.get("schedule"), int | None)
    )


def info_of(document: Document) -> RunInfo:
    """A document as users see it."""
    return RunInfo(
        job_id=document["job_id"],
        job_name=document.get("job_name") or "",
        run_id=str(document["_id"]).rpartition("#")[0],
        tags=tuple(document.get("tags") or ()),
        outcome=document.get("outcome") or document.get("state") or RUNNING,
        reason=document.get("reason"),
        scheduled_at=document["scheduled_at"],
        due_at=document.get("due_at") or document["scheduled_at"],
        until=document.get("until"),
        started_at=document.get("started_at"),
        finished_at=document.get("finished_at"),
        attempt=document.get("attempt", 1),
        node=document.get("node"),
        request=document.get("request"),
        error_type=document.get("error_type"),
        error_message=document.get("error_message"),
        traceback=document.get("traceback"),
        command=CommandEnd.read(document.get("command")),
    )
