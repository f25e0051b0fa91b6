"""The verbs on jobs: add, change, list, run, remove."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any, TextIO, TypeVar

from gsched import events
from gsched.building import JobBuilder, check_executor, make_trigger, with_jitter, with_next_run_time
from gsched.errors import GschedError, InvalidJobError, JobIdConflictError, JobNotFoundError
from gsched.events import JobEvent, SchedulerEvent
from gsched.exchange import Target, read_jobs, rereadable, write_jobs
from gsched.explanation import Case, Explanation, explain
from gsched.handle import JobHandle
from gsched.history import JobFigures, RunInfo, RunQuery, as_past, newest_first
from gsched.hub import Hub
from gsched.instants import as_instant, to_ms
from gsched.job import (
    UNDEFINED,
    Job,
    Undefined,
    check_call,
    checked_args,
    checked_kwargs,
    checked_options,
    checked_text,
    named_function,
)
from gsched.parts import Parts
from gsched.run import Run
from gsched.slices import Slice
from gsched.stores import JobQuery
from gsched.triggers import BaseTrigger, DateTrigger

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
BATCH = 1000  # jobs per round trip of add_jobs


class JobVerbs(Parts):
    """What users do with jobs. The base of GeventScheduler.

    Every verb may be called before start and while running, from any greenlet or native thread, from inside a job and
    from a listener.
    """

    # -- adding -------------------------------------------------------------------------------------------------

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
        :param trigger: a trigger, or the name of a type with `trigger_args` as its arguments; without one the job runs
            once, as soon as possible
        :param args: positional arguments for `func`
        :param kwargs: keyword arguments for `func`
        :param id: unique in its store; default: a random one
        :param name: for people; default: the function's
        :param misfire_grace_time: how late a run may start (seconds, timedelta or "10m"); None (default): any
        :param coalesce: run once where several instants are due (default), instead of once for each
        :param max_instances: runs of this job at once, from 1 (default)
        :param next_run_time: when it is due first, whatever the trigger says; None adds it paused
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
        builder, added, remaining = self._builder(), 0, iter(definitions)
        while batch := list(islice(remaining, BATCH)):
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
        jobs, pace = [], Slice()
        for number, definition in enumerate(batch, position):
            jobs.append(self._build_one(builder, number, definition, jobstore))
            pace.breathe()
        return jobs

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
        return [JobHandle(self, job) for job in stored]

    # -- changing -----------------------------------------------------------------------------------------------

    def modify_job(self, job_id: str, jobstore: str | None = None, **changes: Any) -> JobHandle:
        """Change a job. What is in progress goes on as it is; a parked job is tried again.

        :param changes: any of add_job's arguments but `id`, `jobstore` and trigger arguments. `next_run_time` makes it
            due then, and re-anchors an interval; None pauses it
        :raises JobNotFoundError: if there is no such job
        :raises InvalidJobError: if a value is wrong; nothing is changed then
        """
        return self._change(events.EVENT_JOB_MODIFIED, job_id, jobstore, lambda job: self._modified(job, changes))

    def change_job(self, job_id: str, change: Callable[[Job], Job], jobstore: str | None = None) -> JobHandle:
        """Replace a job's definition by what `change` makes of it; `change` is called again if others were faster.

        What it raises is raised here, and nothing is changed then. Raises JobNotFoundError.
        """
        return self._change(events.EVENT_JOB_MODIFIED, job_id, jobstore, change)

    def reschedule_job(
        self, job_id: str, jobstore: str | None = None, trigger: BaseTrigger | str | None = None, **trigger_args: Any
    ) -> JobHandle:
        """Give a job a new trigger, from now on; a paused job stays paused.

        :raises JobNotFoundError: if there is no such job
        :raises InvalidTriggerError: if the trigger is wrong; nothing is changed then
        """
        made = make_trigger(trigger, trigger_args, self.timezone)
        return self._change(events.EVENT_JOB_MODIFIED, job_id, jobstore, lambda job: self._retimed(job, made))

    def pause_job(self, job_id: str, jobstore: str | None = None) -> JobHandle:
        """Let a job not be due until it is resumed. Raises JobNotFoundError."""
        return self._change(events.EVENT_JOB_PAUSED, job_id, jobstore, lambda job: job.evolve(paused=True))

    def resume_job(self, job_id: str, jobstore: str | None = None) -> JobHandle:
        """Let a paused job be due again, from now on; a date that passed meanwhile is late.

        A job whose trigger ended meanwhile is removed. Raises JobNotFoundError.
        """
        return self._change(events.EVENT_JOB_RESUMED, job_id, jobstore, self._resumed)

    def _change(
        self, code: int, job_id: str, jobstore: str | None, change: Callable[[Job], Job]
    ) -> JobHandle:
        return self._at_home(self._change_here, code, job_id, jobstore, change)

    def _change_here(
        self, code: int, job_id: str, jobstore: str | None, change: Callable[[Job], Job]
    ) -> JobHandle:
        job = self._find(job_id, jobstore)
        changed = self._store(job.jobstore).change(job_id, change)
        self._bus.emit(JobEvent(code, changed))
        return JobHandle(self, changed)

    def _modified(self, job: Job, changes: Mapping[str, Any]) -> Job:
        changes = dict(changes)
        fields: dict[str, Any] = {}
        if "func" in changes:
            fields["func"], fields["func_ref"] = named_function(changes.pop("func"))
        if "args" in changes:
            fields["args"] = checked_args(changes.pop("args"))
        if "kwargs" in changes:
            fields["kwargs"] = checked_kwargs(changes.pop("kwargs"))
        if "name" in changes:
            fields["name"] = checked_text("name", changes.pop("name"))
        for fixed in ("id", "jobstore"):
            if fixed in changes:
                raise InvalidJobError(f"{fixed}: cannot be changed; remove the job and add it anew")
        trigger = changes.pop("trigger", None)
        next_run_time = changes.pop("next_run_time", UNDEFINED)
        modified = job.evolve(**fields, **checked_options(changes))
        if modified.func is not None:
            check_call(modified.func, modified.args, modified.kwargs)
        if self._hub is not None:
            check_executor(modified, self._executors)
        if trigger is not None:
            modified = self._retimed(modified, make_trigger(trigger, {}, self.timezone))
        return with_next_run_time(modified, next_run_time, self.timezone)

    def _retimed(self, job: Job, trigger: BaseTrigger) -> Job:
        begun, due = trigger.begun(self.now_ms())
        return with_jitter(job.evolve(trigger=begun, next_run_ms=due))

    def _resumed(self, job: Job) -> Job:
        if not job.paused:
            return job
        resumed = job.evolve(paused=False, parked=None)
        due = resumed.next_due_ms(self.now_ms())
        if due is None and isinstance(job.trigger, DateTrigger):
            return resumed
        return resumed.evolve(next_run_ms=due)

    # -- removing -----------------------------------------------------------------------------------------------

    def remove_job(self, job_id: str, jobstore: str | None = None) -> None:
        """Remove a job; its runs in progress go on. Raises JobNotFoundError."""
        self._at_home(self._remove, job_id, jobstore)

    def _remove(self, job_id: str, jobstore: str | None) -> None:
        removed = self._store(self._find(job_id, jobstore).jobstore).remove(job_id)
        self._bus.emit(JobEvent(events.EVENT_JOB_REMOVED, removed))

    def remove_all_jobs(self, jobstore: str | None = None) -> int:
        """Remove all jobs of a store, or of all stores; how many there were."""
        return self._at_home(self._remove_all, jobstore)

    def _remove_all(self, jobstore: str | None) -> int:
        count = 0
        for alias in self._aliases(jobstore):
            count += self._stores[alias].remove_all()
            self._bus.emit(SchedulerEvent(events.EVENT_ALL_JOBS_REMOVED, alias))
        return count

    # -- reading ------------------------------------------------------------------------------------------------

    def get_job(self, job_id: str, jobstore: str | None = None) -> JobHandle | None:
        """The job, or None if there is none with this id."""
        try:
            return JobHandle(self, self._at_home(self._find, job_id, jobstore))
        except JobNotFoundError:
            return None

    def get_jobs(
        self,
        jobstore: str | None = None,
        pending: bool | None = None,
        *,
        tag: str | None = None,
        state: str | None = None,
        text: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        skip: int = 0,
        limit: int | None = None,
    ) -> list[JobHandle]:
        """Jobs, the next due first.

        :param jobstore: only those of this store
        :param pending: only those that wait for their store to be added (True), or only the others (False)
        :param tag: only those with this tag
        :param state: only those that are scheduled, running, paused or parked
        :param text: only those with this text in their id or name
        :param metadata: only those with these values in their metadata
        :param skip: leave out so many of each store
        :param limit: give at most so many of each store
        """
        whole = JobQuery(tag, None, text, metadata=metadata or {})
        if state != "running":
            paged = replace(whole, state=state, skip=skip, limit=limit)
            return self._at_home(self._list, jobstore, pending, paged)
        listed = self._at_home(self._list, jobstore, pending, whole)
        end = None if limit is None else skip + limit
        return [job for job in listed if job.state == "running"][skip:end]

    def iter_jobs(
        self,
        jobstore: str | None = None,
        *,
        tag: str | None = None,
        state: str | None = None,
        text: str | None = None,
        prefix: str | None = None,
        skip: int = 0,
        limit: int | None = None,
    ) -> Iterator[JobHandle]:
        """Jobs one by one, for more of them than are to be held in memory: store by store, each the next due first.

        :param state: only those that are scheduled, paused or parked
        :param prefix: only those whose id begins with this text
        :param skip: leave out so many
        :param limit: give at most so many
        """
        aliases, query = self._aliases(jobstore), JobQuery(tag, state, text, prefix=prefix)
        if len(aliases) == 1:  # else the first store's jobs count, too
            query, skip, limit = replace(query, skip=skip, limit=limit), 0, None
        found = (job for alias in aliases for job in self._at_home(self._stores[alias].find, query))
        page = islice(found, skip, None if limit is None else skip + limit)
        batch: list[Job]
        while batch := self._at_home(list, islice(page, BATCH)):
            yield from (JobHandle(self, job) for job in batch)

    def _list(self, jobstore: str | None, pending: bool | None, query: JobQuery) -> list[JobHandle]:
        found: list[Job] = []
        for alias in self._aliases(jobstore):
            if pending in (None, alias in self._implicit):
                found += self._stores[alias].find(query)
        return [JobHandle(self, job) for job in found]

    def print_jobs(self, jobstore: str | None = None, out: TextIO | None = None) -> None:
        """Print the jobs of each store, the next due first.

        :param out: where to; default: sys.stdout
        """
        out = out or sys.stdout
        for alias in self._aliases(jobstore):
            print(f"Jobstore {alias}:", file=out)
            jobs = self.get_jobs(alias)
            for job in jobs:
                print(f"    {job}{' (pending)' if job.pending else ''}", file=out)
            if not jobs:
                print("    No scheduled jobs", file=out)

    def running_count(self, job_id: str, jobstore: str = "default") -> int:
        """How many runs of a job are in progress in this process."""
        return 0 if self._hub is None else self._hub.running_count(job_id, jobstore)

    def is_pending(self, jobstore: str) -> bool:
        """Whether jobs of this store wait for the store to be added, or for start."""
        return jobstore in self._implicit

    def now_ms(self) -> int:
        """The scheduler's time, milliseconds since the epoch."""
        return self._clock.now_ms()

    # -- runs ---------------------------------------------------------------------------------------------------

    def run_job(self, job_id: str, jobstore: str | None = None) -> str:
        """Run a job once, now, paused or not; its schedule stays as it is.

        It counts for max_instances: while so many runs are in progress, the request is skipped. With a store that
        processes share, this scheduler need not run.

        :return: the id of the run
        :raises JobNotFoundError: if there is no such job
        :raises InvalidJobError: if it is parked
        :raises SchedulerNotRunningError: if nobody could run it
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
        return f"{job_id}!{request}"

    def get_running(self, job_id: str | None = None, jobstore: str | None = None) -> list[Run]:
        """The runs of this process that execute or wait for a worker."""
        runs = [run for executor in self._working_executors() for run in executor.runs()]
        return [
            run for run in runs if job_id in (None, run.job.id) and jobstore in (None, run.job.jobstore)
        ]

    def cancel_run(self, run_id: str) -> bool:
        """Stop a run of this process: it is raised into, then killed, then abandoned. False if there is none."""
        return self._at_home(self._cancel, lambda run: run.id == run_id) > 0

    def cancel_runs(self, job_id: str, jobstore: str | None = None) -> int:
        """Stop all runs of a job in this process; how many there were."""
        return self._at_home(self._cancel, lambda run: run.job.id == job_id and jobstore in (None, run.job.jobstore))

    def _cancel(self, wanted: Callable[[Run], bool]) -> int:
        return sum(
            executor.cancel(run) for executor in self._working_executors() for run in executor.runs() if wanted(run)
        )

    # -- the history --------------------------------------------------------------------------------------------

    def get_runs(
        self,
        job_id: str | None = None,
        jobstore: str | None = None,
        outcome: str | None = None,
        since: datetime | date | timedelta | str | None = None,
        until: datetime | date | timedelta | str | None = None,
        tag: str | None = None,
        limit: int = 100,
        skip: int = 0,
        run_id: str | None = None,
    ) -> list[RunInfo]:
        """What became of due instants, the newest first, as far as the stores' history has it.

        It has everything but successes, and of those what the stores' option `history_successes` says. With MongoDB it
        is that of all nodes, written within seconds; the scheduler need not run.

        :param outcome: only runs with this one of `Outcome`, or "running"
        :param since: only what was due then or later: a datetime, ISO text, or how long ago (timedelta, "1h")
        :param until: only what was due before
        :param tag: only of jobs that had this tag
        :param limit: give at most so many
        :param skip: leave out so many of the newest
        :param run_id: only the attempts of this run
        :raises ConfigurationError: for an argument that cannot be meant
        """
        now = self.now_ms()
        begin = as_past(since, now, self.timezone, "since")
        query = RunQuery(job_id, outcome, begin, as_past(until, now, self.timezone, "until"), tag, limit, skip, run_id)
        return self._at_home(self._runs, jobstore, query)

    def _runs(self, jobstore: str | None, query: RunQuery) -> list[RunInfo]:
        aliases = self._aliases(jobstore)
        if len(aliases) == 1:
            return self._stores[aliases[0]].runs(query)
        whole = replace(query, limit=query.skip + query.limit, skip=0)
        found = [run for alias in aliases for run in self._stores[alias].runs(whole)]
        return newest_first(lambda run: run.scheduled_at, found, query)

    def get_figures(self, job_id: str, jobstore: str | None = None) -> JobFigures:
        """How often a job ran and failed, and its last run; with MongoDB on all nodes, as of some seconds ago.

        Raises JobNotFoundError.
        """
        return self._at_home(lambda: self._store(self._find(job_id, jobstore).jobstore).figures(job_id))

    def explain(
        self, job_id: str, instant: datetime | date | str | float, jobstore: str | None = None
    ) -> Explanation:
        """What became of a job at an instant, and why; `str()` of it says it in words.

        It tells what is recorded from what is inferred: of most runs that succeed there is no record.

        :param instant: a datetime, a date, ISO text or seconds since the epoch; without a zone in the scheduler's
        :raises JobNotFoundError: if there is neither such a job nor a record of one
        :raises ConfigurationError: if `instant` is not understood
        """
        return self._at_home(self._explain, job_id, to_ms(as_instant(instant, self.timezone, "instant")), jobstore)

    def _explain(self, job_id: str, instant: int, jobstore: str | None) -> Explanation:
        try:
            job = self._find(job_id, jobstore)
            store = self._store(job.jobstore)
            figures = store.figures(job_id)
        except JobNotFoundError:  # by now, at least: jobs end at any moment
            return self._explain_removed(job_id, instant, jobstore)
        earlier = instant - (job.misfire_grace_ms or 0)
        account = store.account(job, instant)
        case = Case(
            job_id, instant, self.now_ms(), job, account,
            records=store.runs(RunQuery(job_id, None, instant, instant + 1)),
            missed=store.runs(RunQuery(job_id, "missed", earlier, instant + 1)),
            figures=figures,
        )  # fmt: skip
        return explain(case)

    def _explain_removed(self, job_id: str, instant: int, jobstore: str | None) -> Explanation:
        for alias in self._aliases(jobstore):
            store = self._stores[alias]
            if store.runs(RunQuery(job_id, limit=1)):
                records = store.runs(RunQuery(job_id, None, instant, instant + 1))
                return explain(Case(job_id, instant, self.now_ms(), None, store.account(None, instant), records))
        raise JobNotFoundError(job_id)

    # -- export and import --------------------------------------------------------------------------------------

    def export_jobs(
        self, outfile: Target, jobstore: str | None = None, progress: Callable[[int], object] | None = None
    ) -> int:
        """Write jobs as JSON, with their next run times, pauses and phases, whole or not at all.

        :param outfile: a path or an open text file
        :param jobstore: only those of this store; default: of all stores
        :param progress: called for each job with how many were written so far
        :return: how many jobs were written
        :raises InvalidJobError: for a job that JSON cannot express: its function is a lambda or a closure, or an
            argument has a type that neither JSON nor `gsched.exchange` knows
        """
        return self._at_home(self._export, outfile, jobstore, progress)

    def _export(self, outfile: Target, jobstore: str | None, progress: Callable[[int], object] | None) -> int:
        stores = [self._stores[alias] for alias in self._aliases(jobstore)]
        return write_jobs((job for store in stores for job in store.find(JobQuery())), outfile, progress)

    def import_jobs(
        self,
        infile: Target,
        jobstore: str = "default",
        replace_existing: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        """Add the jobs that `export_jobs` wrote; all of them are checked before the first is added.

        Their functions must be in the scheduler's `modules`, or ones that the program has used itself.

        :param infile: a path or an open text file
        :param jobstore: alias of the store to add them to
        :param replace_existing: replace jobs with the same ids
        :param progress: called after each thousand with how many were added so far
        :return: how many jobs were added
        :raises InvalidJobError: naming a job that cannot be understood, and the reason
        :raises JobIdConflictError: if an id is taken
        """
        return self._at_home(self._import, infile, jobstore, replace_existing, progress)

    def _import(
        self, infile: Target, jobstore: str, replace: bool, progress: Callable[[int], object] | None
    ) -> int:
        """Reads the jobs twice, so that those that are checked already need not be kept."""
        now, added = self.now_ms(), 0
        with rereadable(infile) as file:
            start = file.tell()
            for batch in _batches(_all_different(read_jobs(file, self._allowed, jobstore, now), replace)):
                self._store_for_adding(jobstore).check_addable(batch, replace)
            file.seek(start)
            for batch in _batches(read_jobs(file, self._allowed, jobstore, now)):
                self._store_jobs(batch, jobstore, replace, {job.id for job in batch})
                added += len(batch)
                if progress is not None:
                    progress(added)
        return added

    # -- where jobs are -----------------------------------------------------------------------------------------

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

    def _require_running(self) -> Hub:
        """Raise SchedulerNotRunningError unless the scheduler runs."""
        raise NotImplementedError


def _batches(jobs: Iterable[Job]) -> Iterator[list[Job]]:
    remaining = iter(jobs)
    while batch := list(islice(remaining, BATCH)):
        yield batch


def _all_different(jobs: Iterable[Job], replace: bool) -> Iterator[Job]:
    """The jobs. Raises JobIdConflictError at an id that comes again, unless they may replace each other."""
    seen: set[str] = set()
    for job in jobs:
        if not replace and job.id in seen:
            raise JobIdConflictError(job.id)
        seen.add(job.id)
        yield job
