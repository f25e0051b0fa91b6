"""Pausing and resuming: how a pause changes a job. Pure functions, without state and clock."""

from __future__ import annotations

from dataclasses import replace

from gsched.jobs.job import Job
from gsched.jobs.pause import Pause
from gsched.triggers import DateTrigger


def paused(job: Job, pause: Pause, now: int) -> Job:
    """The job with this pause, in place of one that it may have.

    With an open end, the job is not due until somebody resumes it. Otherwise the pause is a bound: the job is due next
    at its first instant from the end of the pause on, and keeps its phase. A date that falls into the pause is due at
    the end. A job that is never due after that keeps its pause until somebody resumes it, or else it would be removed.

    :param now: milliseconds since the epoch
    """
    bare = without_pause(job, now)
    if pause.until_ms is None:
        return bare.evolve(pause=pause)
    due = first_after(bare, pause.until_ms)
    if due is None:
        return bare.evolve(pause=replace(pause, until_ms=None))
    return bare.evolve(pause=replace(pause, due_ms=bare.next_run_ms), next_run_ms=due)


def resumed(job: Job, now: int) -> Job:
    """The job without its pause, due next at its first instant after `now` (ms). A date that has passed is late."""
    if job.pause is None:
        return job
    bare = without_pause(job, now).evolve(parked=None)
    due = bare.next_due_ms(now)
    if due is None and isinstance(job.trigger, DateTrigger):
        return bare
    return bare.evolve(next_run_ms=due)


def paused_for_failures(job: Job, pause: Pause, now: int) -> Job | None:
    """The job with this pause; None if it is paused at `now` (ms), or does not pause for failures any more."""
    if job.pause_at(now) is not None or job.policy.max_consecutive_failures is None:
        return None
    return paused(job, pause, now)


def renewed(known: Pause, wanted: Pause) -> Pause:
    """The pause of a job that is paused again: as it was, but for the reason and the end that are given anew."""
    if wanted.reason is None and wanted.until_ms is None:
        return known
    until = known.until_ms if wanted.until_ms is None else wanted.until_ms
    if wanted.reason is not None:
        return replace(wanted, until_ms=until)
    return replace(known, by=wanted.by, at_ms=wanted.at_ms, until_ms=until)


def lasts_as_long(known: Pause, wanted: Pause) -> bool:
    """True if the first pause ends no earlier than the second."""
    if known.until_ms is None or wanted.until_ms is None:
        return known.until_ms is None
    return known.until_ms >= wanted.until_ms


def without_pause(job: Job, now: int) -> Job:
    """The job as it was stored before its pause, if it still has one at `now` (ms)."""
    pause = job.pause
    if pause is None:
        return job
    if pause.until_ms is None or not pause.holds(now) or job.next_run_ms is None:
        return job.evolve(pause=None)
    return job.evolve(pause=None, next_run_ms=pause.due_ms)


def first_after(job: Job, until: int) -> int | None:
    """When a job is due first if it is not due before `until` (ms): see `paused`."""
    due = job.next_run_ms
    if due is None or due >= until:
        return due
    following = job.next_ms(until - 1)
    return until if following is None and isinstance(job.trigger, DateTrigger) else following


def first_after_pause(job: Job) -> int | None:
    """The first instant of the job after its pause; None if the pause does not end by itself."""
    pause = job.pause
    if pause is None or pause.until_ms is None:
        return None
    return first_after(job.evolve(next_run_ms=pause.due_ms), pause.until_ms)
