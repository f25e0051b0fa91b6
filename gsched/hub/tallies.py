"""Tallies of a lane's jobs that end after so many runs, or are paused after so many failures in a row.

Only the hub greenlet touches them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

from gsched.jobs.job import Job
from gsched.jobs.outcomes import Span
from gsched.jobs.tally import Tally, newer

MOST_LEFT: Final = 10_000  # tallies that are remembered of jobs that have left


class Tallies(dict[str, Tally]):
    """The counts of a lane's jobs, by job id, for jobs whose policy counts something.

    Each decision looks whether there are any.

    :ivar pausing: ids of jobs that have failed too often, and whose pause is not stored yet. They are not due
    """

    def __init__(self) -> None:
        super().__init__()
        self.pausing: set[str] = set()
        self._left: dict[str, Tally] = {}  # the latest that left comes last

    def take(self, job: Job, read: Tally | None, begins_anew: bool) -> None:
        """The lane gets a job, or another definition of one that it has.

        :param read: the tally that the store had with the job
        :param begins_anew: the job was added, resumed or rescheduled
        """
        policy = job.policy
        if not policy.counts:
            self.forget(job.id)
            return
        tally = newer(self.get(job.id) or self._left.pop(job.id, None), read) or Tally(0)
        most = policy.max_consecutive_failures
        # A job that has failed so often has a pause, which may have ended. If it has none, it was resumed.
        if begins_anew or most is None:
            self.pausing.discard(job.id)
        is_resumed = begins_anew or (most is not None and tally.failing >= most and job.id not in self.pausing)
        if is_resumed and job.pause is None:
            tally = tally._replace(failing=0)
        self[job.id] = tally

    def forget(self, job_id: str) -> None:
        """The job is not due here any more."""
        self.pop(job_id, None)
        self.pausing.discard(job_id)

    def leave(self, job_id: str, is_shared: bool) -> None:
        """The job has no run in progress here, and is not due.

        The tally of a job in a shared store is remembered for a while. Such a store may still hand over the job,
        because somebody has changed it or because its rescued runs came first. The store may have read the tally before
        the last run began.

        :param is_shared: other processes share the store
        """
        tally = self.get(job_id)
        self.forget(job_id)
        if tally is not None and is_shared:
            self._left.pop(job_id, None)
            self._left[job_id] = tally
            if len(self._left) > MOST_LEFT:
                del self._left[next(iter(self._left))]

    def is_spent(self, job: Job) -> bool:
        """True if all runs that the job may have have begun."""
        return self.left(job) == 0

    def may_begin(self, job: Job, instant: int) -> bool:
        """True if a run of this instant, which was in progress on a node that died, may begin again."""
        return not self.is_spent(job) or instant <= self._over(job)

    def _over(self, job: Job) -> int:
        """The last instant (ms) that is counted, or is none of this job."""
        tally = self[job.id]
        return max(tally.until, tally.since - 1)

    def left(self, job: Job) -> int | None:
        """How many more runs of the job may begin; None: any number."""
        most, tally = job.policy.max_runs, self.get(job.id)
        return None if most is None or tally is None else max(0, most - tally.runs)

    def begin(self, job: Job, instants: Sequence[int]) -> None:
        """Count runs of these instants, which begin."""
        tally = self[job.id]
        until = max(tally.until, instants[-1])  # somebody may have set the next run time back
        self[job.id] = tally._replace(runs=tally.runs + len(instants), until=until)

    def begun_elsewhere(self, job: Job, span: Span) -> bool:
        """Count runs of these instants, which were in progress on a node that died. It may have counted some of them,
        and some may be those of a removed job that had the same id.

        :return: whether there are more runs now
        """
        left = self.left(job)
        if not left:
            return False
        over = self._over(job)
        first = span.first if span.first > over else job.next_ms(over)
        if first is None or first >= span.end:
            return False
        self.begin(job, [*islice(job.instants(first, span.end - 1), left)])
        return True
