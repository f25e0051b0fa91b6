"""Where jobs are: what every verb needs first."""

from __future__ import annotations

from gsched.errors import JobNotFoundError
from gsched.handle import JobHandle
from gsched.hub import Hub
from gsched.job import Job
from gsched.parts import Parts


class Places(Parts):
    """Finds jobs in the stores of a scheduler, and says how things are."""

    def running_count(self, job_id: str, jobstore: str = "default") -> int:
        """How many runs of a job are in progress in this process."""
        return 0 if self._hub is None else self._hub.running_count(job_id, jobstore)

    def is_pending(self, jobstore: str) -> bool:
        """Whether jobs of this store wait for the store to be added, or for start."""
        return jobstore in self._implicit

    def now_ms(self) -> int:
        """The scheduler's time, milliseconds since the epoch."""
        return self._clock.now_ms()

    def _aliases(self, jobstore: str | None) -> list[str]:
        if jobstore is None:
            return list(self._stores)
        self._store(jobstore)  # raises for an unknown one
        return [jobstore]

    def _find(self, job_id: str, jobstore: str | None) -> Job:
        for alias in self._aliases(jobstore):
            try:
                return self._stores[alias].get(job_id)
            except JobNotFoundError:
                continue
        raise JobNotFoundError(job_id)

    def _handle(self, job: Job) -> JobHandle:
        """A handle on a job, which needs all verbs."""
        raise NotImplementedError

    def _require_running(self) -> Hub:
        """Raise SchedulerNotRunningError unless the scheduler runs."""
        raise NotImplementedError
