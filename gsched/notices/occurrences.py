"""Occurrences: what notifiers report, made from a scheduler's events."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from gsched import events
from gsched.events import JobEvent, SchedulerEvent, error_fields
from gsched.jobs.job import Job
from gsched.jobs.pause import BY_FAILURES
from gsched.notices.notice import (
    FAILED,
    LOST,
    NODE_DIED,
    NOTIFIER_FAILED,
    OVERDUE,
    PARKED,
    PAUSED,
    RECOVERED,
    STORE_AWAY,
)
from gsched.times.instants import to_ms

_KINDS: Final = {
    events.EVENT_JOB_ERROR: FAILED,
    events.EVENT_JOB_TIMED_OUT: FAILED,
    events.EVENT_JOB_LOST: LOST,
    events.EVENT_JOB_OVERDUE: OVERDUE,
    events.EVENT_JOB_ON_TIME_AGAIN: RECOVERED,
    events.EVENT_JOB_PAUSED: PAUSED,
    events.EVENT_JOB_PARKED: PARKED,
    events.EVENT_NODE_DIED: NODE_DIED,
    events.EVENT_STORE_DISCONNECTED: STORE_AWAY,
    events.EVENT_NOTIFIER_FAILED: NOTIFIER_FAILED,
}
MASK: Final = sum(_KINDS) | events.EVENT_STORE_CONNECTED


class Occurrence(NamedTuple):
    """Something that notifiers may report.

    :ivar kind: one of `gsched.notices.notice.KINDS`
    :ivar job: the job that it is about; None: it is about no job
    :ivar what: the error's type; or the name of the node, the store or the notifier that it is about
    :ivar text: the error's message, or the reason
    :ivar instant: when the run was scheduled (ms); None: it is about no run
    :ivar run_id: the run's id; "": it is about no run
    """

    kind: str
    job: Job | None = None
    what: str = ""
    text: str = ""
    instant: int | None = None
    run_id: str = ""


def occurrence_of(event: SchedulerEvent) -> Occurrence | None:
    """The occurrence that an event stands for; None if notifiers do not report such events."""
    kind = _KINDS.get(event.code)
    if kind is None:
        return None
    if isinstance(event, JobEvent):
        if kind == PAUSED and getattr(event, "cause", None) != BY_FAILURES:
            return None
        return _of_job(kind, event)
    if kind == NODE_DIED:
        return Occurrence(kind, what=str(event.details.get("node", "")))
    if kind == NOTIFIER_FAILED:
        return Occurrence(kind, what=event.notifier, text=str(event.details.get("error_message", "")))
    return Occurrence(kind, what=event.alias or "", text=str(event.details.get("error_message", "")))


def _of_job(kind: str, event: JobEvent) -> Occurrence:
    error: BaseException | None = getattr(event, "exception", None)
    said = error_fields(error) if error is not None else {}  # the event's own fields have a traceback, which takes long
    text = said.get("error_message") or getattr(event, "reason", None) or event.details.get("reason") or ""
    what = "timed out" if event.code == events.EVENT_JOB_TIMED_OUT else said.get("error_type", "")
    if kind not in (FAILED, LOST):
        return Occurrence(kind, event.job, what, str(text))
    scheduled: Any = event.scheduled_run_time
    return Occurrence(kind, event.job, what, str(text), to_ms(scheduled), event.run_id)
