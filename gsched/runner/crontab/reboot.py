"""@reboot of crontabs: jobs that run once after each start of a machine."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from gsched.errors import JobNotFoundError
from gsched.jobs.job import Job
from gsched.schedulers.engine import engine_of
from gsched.schedulers.gevent import GeventScheduler

REBOOT_TAG: Final = "@reboot"
BOOTS: Final = "boots"  # a key in the jobs' metadata: the starts of machines after which the job has run
# A job that waits for a start must be due at some time, or it would end.
END_OF_TIME: Final = datetime(9999, 12, 31, tzinfo=UTC)
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_MOST: Final = 100


@cache
def boot_id() -> str:
    """The name of this start of the machine; if the system has none, a name for this process."""
    with suppress(OSError):
        return _BOOT_ID.read_text().strip()
    return uuid.uuid4().hex


def run_reboot_jobs(
    scheduler: GeventScheduler,
    boot: str | None = None,
    reach: Callable[[Callable[[], Any]], Any] = lambda do: do(),
) -> list[str]:
    """Request a run of each @reboot job of the default store, unless the job has run since the machine's start.

    The first of several runners requests the runs; the owner of each job runs it. Paused jobs are left out.
    The scheduler must be started.

    :param boot: the name of the machine's start
    :param reach: makes a call that needs the store, and repeats it if the store does not answer
    :return: the ids of the runs
    """
    boot = boot or boot_id()
    runs = []
    for job in reach(lambda: scheduler.get_jobs("default", tag=REBOOT_TAG)):
        if _may_run(job.definition, boot, scheduler) and reach(partial(_is_first, scheduler, job.id, boot)):
            with suppress(JobNotFoundError):
                runs.append(reach(partial(scheduler.run_job, job.id, "default")))
    return runs


class _NotFirst(Exception):
    """Another runner has requested the runs."""


def _may_run(job: Job, boot: str, scheduler: GeventScheduler) -> bool:
    return job.state_at(scheduler.clock.now_ms()) == "scheduled" and boot not in _served(job)


def _is_first(scheduler: GeventScheduler, job_id: str, boot: str) -> bool:
    """Record that the job runs after this start of the machine. False if another runner has recorded it."""

    def serve(job: Job) -> Job:
        if not _may_run(job, boot, scheduler):
            raise _NotFirst
        return job.evolve(metadata={**job.metadata, BOOTS: [*_served(job)[1 - _MOST :], boot]})

    try:
        engine_of(scheduler).change_job(job_id, serve, "default")
    except (_NotFirst, JobNotFoundError):
        return False
    return True


def _served(job: Job) -> Sequence[str]:
    boots: Sequence[str] = job.metadata.get(BOOTS, ())
    return boots
