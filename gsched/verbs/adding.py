"""Adding jobs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

from gsched import events
from gsched.batches import batches
from gsched.building import JobBuilder, check_executor
from gsched.callables import check_progress
from gsched.errors import GschedError, InvalidJobError
from gsched.events import JobEvent
from gsched.handle import JobHandle
from gsched.job import (
    UNDEFINED,
    Job,
    Undefined,
)
from gsched.slices import paced
from gsched.triggers import BaseTrigger
from gsched.verbs.places import Places

F = TypeVar("F", bound=Callable[..., Any])


class Adding(Places):
    """The verbs that add jobs."""

    def add_job(
        self,
        func: Callable[..., Any] | str,
        trigger: BaseTrigger | str | None = None,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        id: str | None = None,
        name: str | None = None,
        misfire_grace_time: Any = UNDEFINED,
        coalesce: bool | Undefined = UNDEFINED,
        max_instances: int | Undefined = UNDEFINED,
        next_run_time: Any = UNDEFINED,
        jobstore: str = "default",
        executor: str | Undefined = UNDEFINED,
        replace_existing: bool = False,
        *,
        timeout: Any = UNDEFINED,
        tags: Iterable[str] | Undefined = UNDEFINED,
        metadata: Mapping[str, Any] | Undefined = UNDEFINED,
        recover: bool | Undefined = UNDEFINED,
        **trigger_args: Any,
    ) -> JobHandle:
        """Add a job.

        :param func: what to call, or its reference "package.module:qualname"
        :param trigger: a trigger, the name of a type with `trigger_args` as its arguments, or a crontab's text such as
            "*/5 * * * *"; without one the job runs once, as soon as possible
        :param args: positional arguments for `func`
        :param kwargs: keyword arguments for `func`
        :param id: unique in its store; default: a random one
        :param name: for people; default: the function's
        :param misfire_grace_time: how late a run may start (seconds, timedelta or "10m"); None (default): any
        :param coalesce: run once where several instants are due (default), instead of once for each
        :param max_instances: runs of this job at once, from 1 (default)
        :param next_run_time: when it is due first, whatever the trigger says ("now": at once); None adds it paused
        :param jobstore: alias of the store that keeps it
        :param executor: alias of the executor that runs it
        :param replace_existing: replace a job with this id; if the trigger is unchanged, its next run time and a pause
            are kept
        :param timeout: how long a run may take (seconds, timedelta or "60s"); None (default): for ever
        :param tags: texts to find and group jobs by
        :param metadata: a mapping of your own
        :param recover: after a crash, run again what was in progress (at least once), instead of reporting it as lost
        :return: a handle with the same verbs
        :raises InvalidJobError: if an option is wrong or `func` does not accept the arguments
        :raises InvalidTriggerError: if the trigger is wrong
        :raises JobIdConflictError: if the id is taken
        """
        definition = {
            "func": func, "trigger": trigger, "args": args, "kwargs": kwargs, "id": id, "name": name,
            "next_run_time": next_run_time, "jobstore": jobstore, "executor": executor,
            "misfire_grace_time": misfire_grace_time, "coalesce": coalesce, "max_instances": max_instances,
            "timeout": timeout, "tags": tags, "metadata": metadata, "recover": recover,
        }  # fmt: skip
        job = self._builder().build({**definition, **trigger_args})
        timed = () if isinstance(next_run_time, Undefined) else (job.id,)
        return self._at_home(self._store_jobs, [job], jobstore, replace_existing, timed)[0]

    def add_jobs(
        self,
        definitions: Iterable[Mapping[str, Any]],
        *,
        jobstore: str = "default",
        replace_existing: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        """Add many jobs into one store, a thousand per round trip.

        All definitions of a batch are checked before any of it is stored; an error leaves earlier batches stored.

        :param definitions: mappings of add_job's arguments
        :param progress: called after each batch with how many jobs were added so far
        :return: how many jobs were added
        :raises InvalidJobError, InvalidTriggerError: for a wrong definition, with its position in the message
        :raises JobIdConflictError: if an id is taken
        """
        check_progress(progress)
        builder, added = self._builder(), 0
        for batch in batches(definitions):
            jobs = self._build_many(builder, added, batch, jobstore)
            timed = {job.id for job, one in zip(jobs, batch, strict=True) if "next_run_time" in one}
            self._at_home(self._store_jobs, jobs, jobstore, replace_existing, timed)
            added += len(batch)
            if progress is not None:
                progress(added)
        return added

    def scheduled_job(
        self, trigger: BaseTrigger | str, args: Iterable[Any] | None = None, **options: Any
    ) -> Callable[[F], F]:
        """Decorator: add the function as a job, replacing one with the same id. Options as for `add_job`."""

        def add(func: F) -> F:
            self.add_job(func, trigger, args, replace_existing=True, **options)
            return func

        return add

    def build_job(self, definition: Mapping[str, Any]) -> Job:
        """The job that add_job's arguments would add now; it is checked, and not added.

        :raises InvalidJobError, InvalidTriggerError, FuncRefError: as add_job does
        """
        return self._builder().build(definition)

    def _builder(self) -> JobBuilder:
        return JobBuilder(self.now_ms(), self.timezone, self._job_defaults, self._allowed, self._calls)

    def _build_many(
        self, builder: JobBuilder, position: int, batch: list[Mapping[str, Any]], jobstore: str
    ) -> list[Job]:
        definitions = paced(enumerate(batch, position))
        return [self._build_one(builder, number, definition, jobstore) for number, definition in definitions]

    def _build_one(self, builder: JobBuilder, position: int, definition: Mapping[str, Any], jobstore: str) -> Job:
        try:
            return builder.build({**definition, "jobstore": jobstore})
        except (GschedError, TypeError) as error:
            identity = definition.get("id") if isinstance(definition, Mapping) else definition
            raise InvalidJobError(f"job {position} ({identity!r}): {error}") from error

    def _store_jobs(
        self, jobs: list[Job], jobstore: str, replace: bool, timed: Collection[str]
    ) -> list[JobHandle]:
        """Store checked jobs, all or none."""
        if self._hub is not None:
            for job in jobs:
                check_executor(job, self._executors)
        stored = self._store_for_adding(jobstore).add(jobs, replace, timed)
        if jobstore in self._implicit and replace:
            self._implicit[jobstore] |= {job.id: job.id in timed for job in stored}
        for job in stored:
            self._bus.emit(JobEvent(events.EVENT_JOB_ADDED, job))
        return [self._handle(job) for job in stored]
