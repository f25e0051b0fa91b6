"""The verbs on runs: request, list, cancel."""

from __future__ import annotations

import re
import uuid
from typing import Final

from gsched.errors import InvalidJobError
from gsched.jobs.audit import Act
from gsched.jobs.policy_options import checked_overlap
from gsched.jobs.run import Run, run_id
from gsched.schedulers.acting import act
from gsched.schedulers.verbs.verbs import Verbs

_REQUEST: Final = re.compile(r"[A-Za-z0-9._:~-]{1,100}")  # it is a part of the run's id


class RunVerbs(Verbs):
    """The verbs on runs."""

    def run_job(
        self, job_id: str, jobstore: str | None = None, *, overlap: str | None = None, request: str | None = None
    ) -> str:
        """Run a job once, now, paused or not; its schedule stays as it is. The run counts for max_instances.

        With a shared store this scheduler need not run.

        :param overlap: what becomes of the run while max_instances runs are in progress: "skip", "queue" (it waits) or
            "cancel" (it replaces the oldest run); None (default): what the job's `overlap` says
        :param request: a name for the run, of up to 100 letters, digits and ._:~-: a second call with the same name,
            such as that of a double click, asks for no second run, as long as the history has the first
        :return: the id of the run
        :raises JobNotFoundError: if there is no such job
        :raises InvalidJobError: if it is parked, or `overlap` or `request` is wrong
        :raises SchedulerNotRunningError: if the scheduler does not run, and its store is not shared with others
        :raises TooManyWaitingError: if 10,000 runs of the job wait already in its database
        """
        wanted = None if overlap is None else checked_overlap("overlap", overlap)
        name = uuid.uuid4().hex if request is None else _checked_request(request)
        done = act("job.run", self._engine.now_ms())
        return self._engine.call(self._request_run, job_id, jobstore, wanted, name, done)

    def _request_run(
        self, job_id: str, jobstore: str | None, overlap: str | None, request: str, done: Act | None
    ) -> str:
        job = self._engine.find(job_id, jobstore)
        store = self._engine.store(job.jobstore)
        if not store.shared:  # otherwise another process may run it
            self._engine.require_running()
        if job.parked is not None:
            raise InvalidJobError(f"job {job_id!r} cannot be run: {job.parked}")
        store.request_run(job, request, overlap)
        self._engine.record(done, job.jobstore, job_id, 1)
        return run_id(job_id, 0, request)

    def get_running(self, job_id: str | None = None, jobstore: str | None = None) -> list[Run]:
        """The runs of this process that execute or wait for a worker."""
        return [
            run
            for run in self._engine.runs()
            if job_id in (None, run.job.id) and jobstore in (None, run.job.jobstore)
        ]

    def cancel_run(self, run_id: str) -> bool:
        """Stop a run of this process: RunCancelled is raised in it, then it is killed, then abandoned.

        :return: False if there is no such run
        """
        return self._engine.call(self._engine.cancel, lambda run: run.id == run_id) != []

    def cancel_runs(self, job_id: str, jobstore: str | None = None) -> int:
        """Stop all runs of a job in this process; how many were stopped."""

        def is_of_job(run: Run) -> bool:
            return run.job.id == job_id and jobstore in (None, run.job.jobstore)

        return len(self._engine.call(self._engine.cancel, is_of_job))


def _checked_request(value: object) -> str:
    """The value. Raises InvalidJobError unless it can name a run."""
    if not isinstance(value, str) or not _REQUEST.fullmatch(value):
        raise InvalidJobError(f"request: expected up to 100 letters, digits and ._:~-, got {value!r}")
    return value
