"""The base of the classes of verbs: it has the engine that they call."""

from __future__ import annotations

from typing import cast

from gsched.jobs.job import Job
from gsched.schedulers.engine import Engine
from gsched.schedulers.handle import JobActions, JobHandle


class Verbs:
    """Some of a scheduler's verbs. A class of verbs needs the engine, and no other class of verbs.

    Whatever touches the scheduler's components goes through `engine.call`, so that every verb may be called before
    start and while running, from any greenlet or native thread, from inside a job and from a listener.
    """

    _engine: Engine

    def _handle(self, job: Job) -> JobHandle:
        """A handle on a job. Its methods call the scheduler's verbs, and a scheduler has all classes of verbs."""
        return JobHandle(cast(JobActions, self), self._engine, job)
