"""The verbs that list jobs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, TextIO

from gsched.errors import JobNotFoundError
from gsched.event_loop.batches import BATCH
from gsched.jobs.job import Job
from gsched.schedulers.handle import JobHandle
from gsched.schedulers.verbs.verbs import Verbs
from gsched.stores import JobQuery
from gsched.wording import escaped


class ListVerbs(Verbs):
    """The verbs that list jobs."""

    def get_job(self, job_id: str, jobstore: str | None = None) -> JobHandle | None:
        """The job, or None if there is none with this id."""
        try:
            return self._handle(self._engine.call(self._engine.find, job_id, jobstore))
        except JobNotFoundError:
            return None

    def get_jobs(
        self,
        jobstore: str | None = None,
        pending: bool | None = None,
        *,
        tag: str | None = None,
        group: str | None = None,
        state: str | None = None,
        text: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        skip: int = 0,
        limit: int | None = None,
    ) -> list[JobHandle]:
        """Jobs, the next due first.

        :param jobstore: only jobs of this store
        :param pending: only jobs that wait for their store to be added (True), or only the others (False)
        :param tag: only jobs with this tag
        :param group: only jobs of this group
        :param state: only jobs that are "scheduled", "running", "paused" or "parked"
        :param text: only jobs with this text in their id or name
        :param metadata: only jobs with these values in their metadata
        :param skip: leave out so many jobs of each store
        :param limit: at most so many jobs of each store
        :raises ConfigurationError: if `skip` or `limit` is no whole number, or below 0
        :raises InvalidJobError: if there is no such `state`
        """
        query = JobQuery(tag, None, text, skip, limit, metadata=metadata or {}, group=group)
        if state != "running":
            return self._engine.call(self._list, jobstore, pending, replace(query, state=state))
        listed = self._engine.call(self._list, jobstore, pending, replace(query, skip=0, limit=None))
        end = None if limit is None else skip + limit
        return [job for job in listed if job.state == "running"][skip:end]

    def iter_jobs(
        self,
        jobstore: str | None = None,
        *,
        tag: str | None = None,
        group: str | None = None,
        state: str | None = None,
        text: str | None = None,
        prefix: str | None = None,
        skip: int = 0,
        limit: int | None = None,
    ) -> Iterator[JobHandle]:
        """Jobs one by one, for more jobs than memory should hold: store by store, the next due first in each.

        :param state: only jobs that are "scheduled", "paused" or "parked"
        :param prefix: only jobs whose id begins with this text
        :param skip: leave out so many jobs
        :param limit: at most so many jobs
        """
        aliases = self._engine.aliases(jobstore)
        query = JobQuery(tag, state, text, skip, limit, prefix, group=group)
        if len(aliases) == 1:
            skip, limit = 0, None
        else:  # the first store's jobs count, too
            query = replace(query, skip=0, limit=None)
        found = (job for alias in aliases for job in self._engine.call(self._engine.stores[alias].find, query))
        page = islice(found, skip, None if limit is None else skip + limit)
        batch: list[Job]
        while batch := self._engine.call(list, islice(page, BATCH)):
            yield from (self._handle(job) for job in batch)

    def _list(self, jobstore: str | None, pending: bool | None, query: JobQuery) -> list[JobHandle]:
        found: list[Job] = []
        for alias in self._engine.aliases(jobstore):
            if pending in (None, alias in self._engine.implicit):
                found += self._engine.stores[alias].find(query)
        return [self._handle(job) for job in found]

    def print_jobs(self, jobstore: str | None = None, out: TextIO | None = None) -> None:
        """Print the jobs of each store, the next due first.

        :param out: where to; default: sys.stdout
        """
        out = out or sys.stdout
        for alias in self._engine.aliases(jobstore):
            print(f"Jobstore {alias}:", file=out)
            jobs = self.get_jobs(alias)
            for job in jobs:
                print(f"    {escaped(str(job))}", file=out)
            if not jobs:
                print("    No scheduled jobs", file=out)
