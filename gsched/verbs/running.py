"""Runs: on request, in progress, cancelled."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from gsched.errors import InvalidJobError
from gsched.run import Run, run_id
from gsched.verbs.places import Places


class Running(Places):
    """The verbs on runs."""

    def run_job(self, job_id: str, jobstore: str | None = None) -> str:
        """Run a job once, now, paused or not; its schedule stays as it is.

        It counts for max_instances: while so many runs are in progress, the request is skipped. With a store that
        processes share, this scheduler need not run.

        :return: the id of the run
        :raises JobNotFoundError: if there is no such job
        :raises InvalidJobError: if it is parked
        :raises SchedulerNotRunningError: if nobody could run it
        :raises TooManyWaitingError: if 10,000 runs of the job wait already, with MongoDB
        """
        return self._at_home(self._request_run, job_id, jobstore)

    def _request_run(self, job_id: str, jobstore: str | None) -> str:
        job = self._find(job_id, jobstore)
        store = self._store(job.jobstore)
        if not store.shared:  # else another process may run it
            self._require_running()
        if job.parked is not None:
            raise InvalidJobError(f"job {job_id!r} cannot be run: {job.parked}")
        request = uuid.uuid4().hex
        store.request_run(job, request)
        return run_id(job_id, 0, request)

    def get_running(self, job_id: str | None = None, jobstore: str | None = None) -> list[Run]:
        """The runs of this process that execute or wait for a worker."""
        runs = [run for executor in self._executors.working() for run in executor.runs()]
        return [
            run for run in runs if job_id in (None, run.job.id) and jobstore in (None, run.job.jobstore)
        ]

    def cancel_run(self, run_id: str) -> bool:
        """Stop a run of this process: it is raised into, then killed, then abandoned. False if there is none."""
        return self._at_home(self._cancel, lambda run: run.id == run_id) != []

    def cancel_runs(self, job_id: str, jobstore: str | None = None) -> int:
        """Stop all runs of a job in this process; how many there were."""
        of_job = self._at_home(self._cancel, lambda run: run.job.id == job_id and jobstore in (None, run.job.jobstore))
        return len(of_job)

    def _cancel(self, wanted: Callable[[Run], bool]) -> list[Run]:
        runs = [(executor, run) for executor in self._executors.working() for run in executor.runs() if wanted(run)]
        return [run for executor, run in runs if executor.cancel(run)]
