"""Finds the job that somebody means: by its id, or by how the id begins."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from itertools import chain, islice
from typing import Final

from gsched.errors import GschedError
from gsched.handle import JobHandle
from gsched.runner.exits import CommandRefused, Exit
from gsched.scheduler import GeventScheduler

_LISTED: Final = 8  # candidates
_COMPARED: Final = 2000  # ids that are looked at for one that is spelled like this


def find_job(scheduler: GeventScheduler, wanted: str, jobstore: str | None = None) -> JobHandle:
    """The job with this id, else the only one whose id begins so.

    Raises CommandRefused: NOT_FOUND naming what may have been meant, CONFLICT naming the candidates.
    """
    if not wanted:
        raise CommandRefused("a job's id is not empty", Exit.USAGE)
    aliases = [jobstore] if jobstore is not None else list(scheduler.stores)
    found = [job for alias in aliases if (job := scheduler.get_job(wanted, alias)) is not None]
    if not found:
        found = list(scheduler.iter_jobs(jobstore, prefix=wanted, limit=_LISTED + 1))
    if len(found) == 1:
        return found[0]
    if found:
        raise _ambiguous(wanted, found)
    near = list(_near(scheduler, wanted, jobstore))
    hint = f"Did you mean {', '.join(map(repr, near))}?" if near else None
    raise CommandRefused(f"no job has the id {wanted!r}, or one that begins so", Exit.NOT_FOUND, hint)


def find_job_id(scheduler: GeventScheduler, wanted: str, jobstore: str | None = None) -> str:
    """The id that is meant; as it was written where there is no such job any more, but runs of it.

    Raises CommandRefused as `find_job` does.
    """
    try:
        return find_job(scheduler, wanted, jobstore).id
    except CommandRefused as error:
        if error.code == Exit.NOT_FOUND and scheduler.get_runs(wanted, jobstore, limit=1):
            return wanted
        raise


def _ambiguous(wanted: str, found: list[JobHandle]) -> CommandRefused:
    stores = sorted({job.jobstore for job in found})
    if all(job.id == wanted for job in found):
        where = ", ".join(stores)
        return CommandRefused(f"several stores have a job {wanted!r}: {where}", Exit.CONFLICT, "name one: --jobstore")
    listed = ", ".join(repr(job.id) for job in found[:_LISTED])
    more = " ..." if len(found) > _LISTED else ""
    message = f"the ids of several jobs begin with {wanted!r}: {listed}{more}"
    return CommandRefused(message, Exit.CONFLICT, "write more of the id")


def _near(scheduler: GeventScheduler, wanted: str, jobstore: str | None) -> Iterator[str]:
    """Ids of jobs with this in their id or name, else those that are spelled much like it."""
    try:
        containing = [job.id for job in scheduler.iter_jobs(jobstore, text=wanted, limit=3)]
        if containing:
            return iter(containing)
        like_it = scheduler.iter_jobs(jobstore, prefix=wanted[:2], limit=_COMPARED)
        some = scheduler.iter_jobs(jobstore, limit=_COMPARED)
        return iter(get_close_matches(wanted, {job.id for job in islice(chain(like_it, some), 2 * _COMPARED)}, n=3))
    except GschedError:  # text that cannot be searched for
        return iter(())
