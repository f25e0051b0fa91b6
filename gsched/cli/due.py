"""When jobs are due, in words for people."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Final

from gsched.durations import rough_duration
from gsched.instants import to_ms

if TYPE_CHECKING:
    from gsched.handle import JobHandle
    from gsched.scheduler import GeventScheduler

_OVERDUE_MS: Final = 5_000  # later than that is not only the time that it takes to claim and to look


class DueTimes:
    """Tells when jobs are due; of those that no runner has begun in time, for how long they have been due.

    It asks each store once.
    """

    def __init__(self, scheduler: GeventScheduler) -> None:
        self._scheduler = scheduler
        self._claimed_until = cache(scheduler.claimed_until)

    def of(self, job: JobHandle) -> datetime | str | None:
        """The next run time; "due 3 min ago" if an instant has passed that no runner has claimed."""
        due = job.definition.next_due_ms(self._claimed_until(job.jobstore)(job.id))
        if due is None or due > self._scheduler.now_ms() - _OVERDUE_MS:
            return job.next_run_time
        return self._since(due)

    def as_stored(self, job: JobHandle) -> datetime | str | None:
        """The next run time that was just stored; "now" if it has come."""
        due = job.definition.next_run_time
        return "now" if due is not None and to_ms(due) <= self._scheduler.now_ms() else due

    def _since(self, due: int) -> str:
        return f"due {rough_duration((self._scheduler.now_ms() - due) / 1000)} ago"
