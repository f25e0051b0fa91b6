"""The next run times of jobs, for people: for how long a job has been due that no runner has begun in time."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Final

from gsched.runner.crontab.reboot import END_OF_TIME
from gsched.schedulers.engine import engine_of
from gsched.times.durations import rough_duration
from gsched.times.instants import to_ms

if TYPE_CHECKING:
    from gsched.schedulers.gevent import GeventScheduler
    from gsched.schedulers.handle import JobHandle

_LATE_MS: Final = 5_000  # claiming an instant and reading the store takes less


def next_run(job: JobHandle) -> datetime | str | None:
    """The next run time; words for a job that waits for the next start of the machine."""
    return "at the next start" if job.next_run_time == END_OF_TIME else job.next_run_time


class DueTimes:
    """When jobs are due; for jobs that no runner has begun in time, for how long they have been due.

    Asks each store once.
    """

    def __init__(self, scheduler: GeventScheduler) -> None:
        self._scheduler = scheduler
        self._claimed_until = cache(engine_of(scheduler).claimed_until)

    def of(self, job: JobHandle) -> datetime | str | None:
        """The next run time; "due 3 min ago" if an instant has passed that no runner has claimed."""
        due = job.definition.next_due_ms(self._claimed_until(job.jobstore)(job.definition))
        if due is None or due > self._scheduler.clock.now_ms() - _LATE_MS:
            return next_run(job)
        return self._since(due)

    def as_stored(self, job: JobHandle) -> datetime | str | None:
        """The next run time that was just stored; "now" if it has come."""
        due = job.definition.next_run_time
        return "now" if due is not None and to_ms(due) <= self._scheduler.clock.now_ms() else due

    def _since(self, due: int) -> str:
        return f"due {rough_duration((self._scheduler.clock.now_ms() - due) / 1000)} ago"
