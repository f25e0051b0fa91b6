"""By when jobs must succeed again: what a store is asked about that, and the answers of a store in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from gsched.jobs.expectation import Expectation, expectation_of
from gsched.jobs.job import Job
from gsched.monitoring.overdue import MOST_LOOKED_AT, OverdueJob


class Expectations(Protocol):
    """Which jobs are overdue. Jobs without `expect_success_every` are none of these. Times are ms."""

    def succeeded(self, at: Mapping[str, int]) -> Collection[str]:
        """Note when jobs have succeeded, by id. Jobs that expect nothing, or have succeeded later, are left out.

        :return: the ids of those that were told to be overdue, and are no more
        """

    def overdue(self, now: int) -> Sequence[OverdueJob]:
        """The jobs of all nodes that are overdue at `now`, the longest overdue first, a thousand at most of those that
        were told to be, and of those that were not."""

    def tell(self, job_ids: Collection[str], now: int) -> Sequence[Job]:
        """Note that it is told of these jobs that they are overdue, if they are and it was not told before. Of several
        callers one gets the job.

        :return: the jobs of which it was noted
        """


class KeptExpectations:
    """The expectations of the jobs of one process.

    :param job: gives a job by its id
    """

    def __init__(self, job: Callable[[str], Job]) -> None:
        self._job = job
        self._known: dict[str, Expectation] = {}

    def __bool__(self) -> bool:
        """True if some job expects successes."""
        return bool(self._known)

    def get(self, job_id: str) -> Expectation | None:
        """The expectation of a job; None if it has none."""
        return self._known.get(job_id)

    def take(self, job: Job, now: int) -> None:
        """The job was added or changed."""
        if self._known or job.policy.expect_success_every_ms is not None:
            expectation = expectation_of(job, self._known.get(job.id), now)
            if expectation is None:
                self._known.pop(job.id, None)
            else:
                self._known[job.id] = expectation

    def forget(self, job_id: str) -> None:
        """The job was removed."""
        self._known.pop(job_id, None)

    def clear(self) -> None:
        """All jobs were removed."""
        self._known.clear()

    def succeeded(self, at: Mapping[str, int]) -> Collection[str]:
        there = {job_id: known for job_id in at if (known := self._known.get(job_id)) is not None}
        self._known |= {job_id: known.after_success(at[job_id]) for job_id, known in there.items()}
        return [job_id for job_id, known in there.items() if known.is_told and not self._known[job_id].is_told]

    def overdue(self, now: int) -> Sequence[OverdueJob]:
        known = list(self._known.items())  # health checks ask in other threads
        found = [OverdueJob(job_id, *each) for job_id, each in known if each.overdue_at <= now]
        return sorted(found, key=lambda each: each.overdue_at)[:MOST_LOOKED_AT]

    def tell(self, job_ids: Collection[str], now: int) -> Sequence[Job]:
        known = {job_id: self._known[job_id] for job_id in job_ids if job_id in self._known}
        untold = {job_id: each for job_id, each in known.items() if each.overdue_at <= now and not each.is_told}
        self._known |= {job_id: each._replace(is_told=True) for job_id, each in untold.items()}
        return [self._job(job_id) for job_id in untold]
