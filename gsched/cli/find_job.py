"""Finds a job by its id, or by the beginning of its id."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import chain, islice
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from gsched.errors import GschedError
from gsched.runner.exit_codes import CommandRefused, Exit
from gsched.schedulers.gevent import GeventScheduler
from gsched.schedulers.handle import JobHandle

if TYPE_CHECKING:
    from gsched.history.queries import RunInfo

_LISTED: Final = 8  # candidates
_COMPARED: Final = 2000  # ids that are looked at for one that is spelled like this, or begins so
_BEFORE_INSTANT_OR_REQUEST: Final = re.compile(r".+(?=[@!])", re.DOTALL)  # of a run's id: its job's


def find_job(scheduler: GeventScheduler, wanted: str, jobstore: str | None = None) -> JobHandle:
    """The job with this id, else the only one whose id begins so.

    Raises CommandRefused: NOT_FOUND with ids that are spelt alike, CONFLICT with the candidates.
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
    """The id of the job that `find_job` finds. A removed job's id must be written whole.

    Raises CommandRefused as `find_job` does.
    """
    try:
        return find_job(scheduler, wanted, jobstore).id
    except CommandRefused as error:
        if error.code == Exit.NOT_FOUND and scheduler.get_runs(wanted, jobstore, limit=1):
            return wanted
        raise


def find_run(scheduler: GeventScheduler, wanted: str, jobstore: str | None = None) -> RunInfo | None:
    """The last attempt of the run with this id, else of the only one of a job's last runs whose id begins so.

    Raises CommandRefused: CONFLICT naming the candidates.
    """
    found = scheduler.get_runs(jobstore=jobstore, run_id=wanted)
    if not found:
        job_id = _BEFORE_INSTANT_OR_REQUEST.match(wanted)
        last = scheduler.get_runs(job_id[0], jobstore, limit=_COMPARED) if job_id else []
        found = [run for run in last if run.run_id.startswith(wanted)]
    ids = sorted({run.run_id for run in found})
    if len(ids) > 1:
        raise _several("runs", wanted, ids)
    return max(found, key=attrgetter("attempt"), default=None)


def _ambiguous(wanted: str, found: list[JobHandle]) -> CommandRefused:
    stores = sorted({job.jobstore for job in found})
    if all(job.id == wanted for job in found):
        where = ", ".join(stores)
        return CommandRefused(f"several stores have a job {wanted!r}: {where}", Exit.CONFLICT, "name one: --jobstore")
    return _several("jobs", wanted, [job.id for job in found])


def _several(what: str, wanted: str, ids: list[str]) -> CommandRefused:
    listed = f"{', '.join(map(repr, ids[:_LISTED]))}{' ...' if len(ids) > _LISTED else ''}"
    message = f"the ids of several {what} begin with {wanted!r}: {listed}"
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
