"""Later runs: runs of a lane that begin at times that no trigger gives. Only the hub greenlet touches them."""

from __future__ import annotations

from collections.abc import Iterator

from gsched.hub.timetable import Timetable
from gsched.jobs.run import Run


class Later:
    """A run that is to begin later.

    :ivar due: when, in the lane's time; None once it is taken out
    """

    __slots__ = ("due", "run")

    def __init__(self, run: Run) -> None:
        self.run = run
        self.due: int | None = None


class LaterRuns:
    """The runs that are to begin later, by time and by job.

    :ivar by_job: the runs of each job; empty if there are none. Each turn of the hub looks at it
    """

    def __init__(self) -> None:
        self._timetable: Timetable[Later] = Timetable()
        self.by_job: dict[str, dict[Later, None]] = {}

    def has(self, job_id: str) -> bool:
        """True if a run of the job is among them."""
        return job_id in self.by_job

    def add(self, run: Run, due: int) -> None:
        """Let the run begin at `due` (ms)."""
        later = Later(run)
        self._timetable.add(later, due)
        self.by_job.setdefault(run.job.id, {})[later] = None

    def next_due(self) -> int | None:
        """When the first run may be due (ms), or None."""
        return self._timetable.next_due()

    def pop(self, until: int) -> Run | None:
        """Take out the first run that is due up to `until` (ms); None if there is none."""
        taken = self._timetable.pop(until)
        return None if taken is None else self._forget(taken[0])

    def take_of(self, job_id: str) -> list[Run]:
        """Take out the runs of this job."""
        return [self._take(later) for later in list(self.by_job.get(job_id, ()))]

    def take_all(self) -> list[Run]:
        """Take out all runs."""
        return [self._take(later) for later in list(self._timetable)]

    def shift(self, by_ms: int) -> Iterator[None]:
        """The clock was set: move the times of all runs by as much. Yields after each run."""
        for later in list(self._timetable):
            if (due := later.due) is not None:
                self._timetable.remove(later)
                self._timetable.add(later, due + by_ms)
            yield

    def _take(self, later: Later) -> Run:
        self._timetable.remove(later)
        return self._forget(later)

    def _forget(self, later: Later) -> Run:
        its = self.by_job[later.run.job.id]
        del its[later]
        if not its:
            del self.by_job[later.run.job.id]
        return later.run
