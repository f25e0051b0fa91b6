"""The JSON objects of jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from gsched.shapes.shape import Shape, fields
from gsched.times.instants import timezone_name

if TYPE_CHECKING:
    from gsched.history.queries import JobCounters
    from gsched.jobs.job import Job
    from gsched.schedulers.handle import JobHandle

_ENDLESS_MS: Final = 221_845_392_000_000  # the year 9000: a trigger that is due then ends only with the calendar
_OF_PAUSE: Final = ("reason", "by", "at", "until", "cause")
_OPTIONS: Final = (
    "id", "name", "state", "func_ref", "args", "kwargs", "trigger", "schedule", "timezone", "next_run_time",
    "executor", "jobstore", "misfire_grace_time", "coalesce", "max_instances", "timeout", "recover", "tags", "metadata",
    "parked",
)  # fmt: skip
_OF_CHANGE: Final = ("at", "action", "by", "via", "reason")
_COUNTS: Final = ("runs", "failures", "last_run", "last_duration", "last_error", "failing_since", "overdue_at")


def pause_fields(job: JobHandle) -> dict[str, Any] | None:
    """The pause of a paused job; None if it is not paused."""
    pause = job.pause_info
    return None if pause is None else {name: getattr(pause, name) for name in _OF_PAUSE}


def change_fields(job: JobHandle) -> dict[str, Any] | None:
    """Who changed the job last, and why; None if nobody has."""
    change = job.last_change
    return None if change is None else {name: getattr(change, name) for name in _OF_CHANGE}


# A job in a list.
JOB: Final[Shape] = {
    **fields("id", "name", "state", "next_run_time"),
    "trigger": lambda job: str(job.trigger),
    "schedule": lambda job: job.trigger.in_words(),
    "tags": lambda job: list(job.tags),
    "group": lambda job: job.definition.policy.group,
    "pause": pause_fields,
}


def job_values(job: JobHandle, counters: JobCounters, now: int) -> dict[str, Any]:
    """The whole job as a JSON object: options, pause, policy, last run time and counts.

    :param now: milliseconds since the epoch
    """
    values = {name: _option(job, name) for name in _OPTIONS}
    values["pause"] = pause_fields(job)
    values |= job.policy
    values["final_run_time"] = final_run_time(job.definition, now)
    values |= {name: getattr(counters, name) for name in _COUNTS}
    values["last_change"] = change_fields(job)
    return values


def _option(job: JobHandle, name: str) -> Any:
    if name == "trigger":
        return str(job.trigger)
    if name == "schedule":
        return job.trigger.in_words()
    if name == "timezone":
        return timezone_name(job.trigger.timezone)
    value = getattr(job, name)
    return dict(value) if name in ("kwargs", "metadata") else list(value) if name in ("args", "tags") else value


def next_run_times(job: Job, now: int, count: int) -> Iterator[datetime]:
    """At most `count` times at which a job is due after `now` (ms), as if it were neither paused nor parked."""
    from gsched.times.instants import from_ms

    due = _due(job, now)
    instants = () if due is None else islice(job.instants(due), count)
    return (from_ms(instant, job.trigger.timezone) for instant in instants)


def final_run_time(job: Job, now: int) -> datetime | None:
    """The last time at which a job is due, as if it were neither paused nor parked; None if its trigger has no end."""
    from gsched.times.instants import MAX_MS, from_ms

    due = _due(job, now)
    final = None if due is None else job.last_ms(due, MAX_MS)
    return None if final is None or final > _ENDLESS_MS else from_ms(final, job.trigger.timezone)


def _due(job: Job, now: int) -> int | None:
    return job.evolve(pause=None, parked=None).next_due_ms(now)


# -- a job with what is known of it beside its definition -----------------------------------------------------------


def recent_letters(counters: JobCounters) -> str:
    """The last outcomes, the oldest first, a letter each: see LETTERS of `gsched.history.recent`."""
    from gsched.history.recent import LETTERS

    return "".join(LETTERS[each.outcome] for each in counters.recent)


def longest_usual(counters: JobCounters) -> float | None:
    """The duration in seconds within which 95 % of the last runs that succeeded or failed ended; None if none did."""
    took = sorted(each.duration for each in counters.recent if each.outcome in ("succeeded", "failed", "timed_out"))
    return took[(len(took) * 95 - 1) // 100] if took else None


def _last(counters: JobCounters) -> dict[str, Any] | None:
    """The last of the last outcomes."""
    if not counters.recent:
        return None
    last = counters.recent[-1]
    return {"at": last.scheduled_at, "outcome": last.outcome, "lateness": last.lateness, "duration": last.duration}


def _of_job(read: Callable[[Any], Any], row: Any) -> Any:
    return read(row.job)


# A row of a list: a JobRow.
JOB_ROW: Final[Shape] = {
    **{name: partial(_of_job, read) for name, read in JOB.items()},
    "jobstore": lambda row: row.job.jobstore,
    "parked": lambda row: row.job.parked,
    "rev": lambda row: str(row.job.definition.rev),
    "runs": lambda row: row.counters.runs,
    "failures": lambda row: row.counters.failures,
    "failing_since": lambda row: row.counters.failing_since,
    "last_error": lambda row: row.counters.last_error,
    "overdue_at": lambda row: row.counters.overdue_at,
    "last": lambda row: _last(row.counters),
    "usual_duration": lambda row: longest_usual(row.counters),
    "timeout": lambda row: row.job.timeout,
    "recent": lambda row: recent_letters(row.counters),
    "last_change": lambda row: change_fields(row.job),
}
