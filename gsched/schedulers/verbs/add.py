"""Adding jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from gsched.errors import GschedError, InvalidJobError
from gsched.event_loop.batches import batches
from gsched.event_loop.slices import give_way, paced
from gsched.jobs.audit import stamped
from gsched.jobs.callables import check_progress
from gsched.jobs.job import UNDEFINED, Job, Undefined
from gsched.policies.spreading import awaits_phase
from gsched.schedulers.acting import act
from gsched.schedulers.handle import JobHandle
from gsched.schedulers.job_builder import JobBuilder
from gsched.schedulers.spreading import Crowds
from gsched.schedulers.verbs.verbs import Verbs
from gsched.triggers import BaseTrigger

F = TypeVar("F", bound=Callable[..., Any])
_Batch = tuple[list[Job], set[str]]  # jobs, and the ids of those with a next run time of the user's


class AddVerbs(Verbs):
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
        spread: bool | float | timedelta | str | None = None,
        timeout: Any = UNDEFINED,
        tags: Iterable[str] | Undefined = UNDEFINED,
        metadata: Mapping[str, Any] | Undefined = UNDEFINED,
        retries: int | Undefined = UNDEFINED,
        retry_delay: Any = UNDEFINED,
        retry_backoff: float | Undefined = UNDEFINED,
        retry_max_delay: Any = UNDEFINED,
        retry_jitter: float | Undefined = UNDEFINED,
        retry_on: Iterable[str | type[BaseException]] | Undefined | None = UNDEFINED,
        give_up_on: Iterable[str | type[BaseException]] | Undefined | None = UNDEFINED,
        retry_within: Any = UNDEFINED,
        overlap: str | Undefined = UNDEFINED,
        max_catchup: int | Undefined | None = UNDEFINED,
        max_runs: int | Undefined | None = UNDEFINED,
        max_consecutive_failures: int | Undefined | None = UNDEFINED,
        failure_pause: Any = UNDEFINED,
        expect_success_every: Any = UNDEFINED,
        finish_within: Any = UNDEFINED,
        recover: bool | int | Undefined = UNDEFINED,
        group: str | Undefined | None = UNDEFINED,
        notify: Iterable[str] | Undefined = UNDEFINED,
        keep_output: int | str | Undefined | None = UNDEFINED,
        **trigger_args: Any,
    ) -> JobHandle:
        """Add a job.

        :param func: what to call, or its reference "package.module:qualname"
        :param trigger: a trigger, the name of a type with `trigger_args` as its arguments, or a crontab's text such as
            `*/5 * * * *`; without one the job runs once, as soon as possible
        :param args: positional arguments for `func`
        :param kwargs: keyword arguments for `func`
        :param id: unique in its store; default: a random one
        :param name: for people; default: the function's
        :param misfire_grace_time: how late a run may start (seconds, timedelta or "10m"); None (default): any
        :param coalesce: run once if several instants are due (default), instead of once for each
        :param max_instances: runs of this job at once, from 1 (default)
        :param next_run_time: when it is due first, instead of the trigger's first instant ("now": at once); None: add
            it paused
        :param jobstore: alias of the store that keeps it
        :param executor: alias of the executor that runs it
        :param replace_existing: replace a job with this id; if the trigger is unchanged, its next run time and a pause
            are kept
        :param spread: for intervals, True: the scheduler chooses the phase, so that the jobs of one interval are spread
            over it. For other triggers, a duration such as "1h": each instant comes later by a constant delay of the
            job's own, less than that. None (default): neither
        :param timeout: how long a run may take (seconds, timedelta or "60s"); None (default): for ever
        :param tags: texts to find and group jobs by
        :param metadata: a mapping of your own
        :param retries: how many failed attempts of a run are followed by another one; none (default)
        :param retry_delay: how long after a failure the next attempt begins (default: 10 s), or a list of such times,
            whose last one repeats and whose length is the number of retries if `retries` is not given
        :param retry_backoff: each wait is so many times as long as the one before; 2 (default); 1: all are alike
        :param retry_max_delay: waits grow to this at most; an hour (default)
        :param retry_jitter: up to this part of each wait is left out, so that runs that failed together do not begin
            again together; 0.1 (default)
        :param retry_on: retry only these errors: names such as "ConnectionError", classes, "timeout", or for commands
            "exit:75"; a name also stands for the classes derived from it; None (default): all
        :param give_up_on: do not retry these errors; None (default): none
        :param retry_within: no attempt begins later than so long after the scheduled time; None (default): no limit
        :param overlap: what becomes of an instant that is due while `max_instances` runs are in progress: "skip"
            (default), "queue" (it waits) or "cancel" (it replaces the oldest run)
        :param max_catchup: how many of several late instants run, the last ones (needs coalesce=False); None (default):
            all
        :param max_runs: the job ends after so many runs: instants that have begun to run; None (default): never
        :param max_consecutive_failures: pause the job after so many failures in a row; None (default): never
        :param failure_pause: how long that pause is; None (default): until the job is resumed
        :param expect_success_every: the job is overdue, which is an event, when no run has succeeded for so long; None
            (default): never
        :param finish_within: a run is slow, which is an event, when it has not succeeded so long after its scheduled
            time; None (default): no limit
        :param recover: after a crash, run the runs in progress again (at least once), instead of reporting them as
            lost; a number: at most so many times
        :param group: the jobs with which it shares a limit, by their common name, such as "host:api.example.com" (see
            `set_limit`); None (default): it is in no group
        :param notify: the names of notifiers that are told about the job, beside those that are for it anyway
        :param keep_output: how much of the output of each attempt is kept with the history, its first and its last
            part, such as "64KiB" (see `get_output`): what a command prints, or what a function writes to
            `current_run().log`; None (default): nothing
        :return: a handle with the same verbs
        :raises InvalidJobError: if an option is wrong or `func` does not accept the arguments
        :raises InvalidTriggerError: if the trigger is wrong
        :raises JobIdConflictError: if the id is taken
        """
        definition = {
            "func": func, "trigger": trigger, "args": args, "kwargs": kwargs, "id": id, "name": name,
            "next_run_time": next_run_time, "spread": spread, "jobstore": jobstore, "executor": executor,
            "misfire_grace_time": misfire_grace_time, "coalesce": coalesce, "max_instances": max_instances,
            "timeout": timeout, "tags": tags, "metadata": metadata, "retries": retries, "retry_delay": retry_delay,
            "retry_backoff": retry_backoff, "retry_max_delay": retry_max_delay, "retry_jitter": retry_jitter,
            "retry_on": retry_on, "give_up_on": give_up_on, "retry_within": retry_within, "overlap": overlap,
            "max_catchup": max_catchup, "max_runs": max_runs, "max_consecutive_failures": max_consecutive_failures,
            "failure_pause": failure_pause, "expect_success_every": expect_success_every,
            "finish_within": finish_within, "recover": recover, "group": group,
            "notify": notify,
            "keep_output": keep_output,
        }  # fmt: skip
        job = self._engine.build_job({**definition, **trigger_args})
        timed = () if isinstance(next_run_time, Undefined) else (job.id,)
        done = act("job.add", self._engine.now_ms())
        added = stamped([job], done)
        (stored,) = self._engine.call(self._engine.add_jobs, added, jobstore, replace_existing, timed)
        if done is not None:  # most jobs are added on nobody's behalf, and another call would take its time
            self._engine.call(self._engine.record, done, jobstore, job.id, 1)
        return self._handle(stored)

    def add_jobs(
        self,
        definitions: Iterable[Mapping[str, Any]],
        *,
        jobstore: str = "default",
        replace_existing: bool = False,
        spread: bool | float | timedelta | str | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        """Add many jobs into one store, a thousand per round trip.

        All definitions of a batch are checked before any of it is stored; an error leaves earlier batches stored. From
        the first one with `spread` on, all are checked before any is stored: their number decides how they are spaced.

        :param definitions: mappings of add_job's arguments
        :param spread: as for `add_job`, for definitions that do not have it
        :param progress: called after each batch with how many jobs were added so far
        :return: how many jobs were added
        :raises InvalidJobError, InvalidTriggerError: for a wrong definition, with its position in the message
        :raises JobIdConflictError: if an id is taken
        """
        check_progress(progress)
        given = {"jobstore": jobstore} if spread is None else {"jobstore": jobstore, "spread": spread}
        added, crowds, done = 0, Crowds(), act("job.add", self._engine.now_ms())
        try:
            for jobs, timed in self._spread(self._built(definitions, given), jobstore):
                jobs = stamped(jobs, done)
                give_way()
                self._engine.call(self._engine.add_jobs, jobs, jobstore, replace_existing, timed)
                give_way()
                crowds.count(jobs)
                added += len(jobs)
                if progress is not None:
                    progress(added)
        finally:
            self._engine.call(self._engine.record, done, jobstore, f"{added} jobs", added)
        if (crowded := crowds.largest()) is not None:
            self._engine.call(self._engine.warn_of_crowd, *crowded)
        return added

    def scheduled_job(
        self, trigger: BaseTrigger | str, args: Iterable[Any] | None = None, **options: Any
    ) -> Callable[[F], F]:
        """Decorator: add the function as a job, replacing one with the same id. Options as for `add_job`."""

        def add(func: F) -> F:
            self.add_job(func, trigger, args, replace_existing=True, **options)
            return func

        return add

    def _built(self, definitions: Iterable[Mapping[str, Any]], given: Mapping[str, Any]) -> Iterator[_Batch]:
        builder, position = self._engine.job_builder(), 0
        for batch in batches(definitions):
            numbered = paced(enumerate(batch, position))
            jobs = [_build_one(builder, number, definition, given) for number, definition in numbered]
            yield jobs, {job.id for job, one in zip(jobs, batch, strict=True) if "next_run_time" in one}
            position += len(batch)

    def _spread(self, built: Iterator[_Batch], jobstore: str) -> Iterator[_Batch]:
        """The batches. From the first one with a job that awaits a phase on, all are built before this one is given."""
        for jobs, timed in built:
            if not any(map(awaits_phase, jobs)):
                yield jobs, timed
                continue
            every = [(jobs, timed), *built]
            spreader = self._engine.call(self._engine.spreader, jobstore, [job for some, _ in every for job in some])
            for some, times in every:
                yield [spreader.spread(job) for job in paced(some)], times


def _build_one(builder: JobBuilder, position: int, definition: Mapping[str, Any], given: Mapping[str, Any]) -> Job:
    try:
        return builder.build({**given, **definition, "jobstore": given["jobstore"]})
    except (GschedError, TypeError) as error:
        identity = definition.get("id") if isinstance(definition, Mapping) else definition
        raise InvalidJobError(f"job {position} ({identity!r}): {error}") from error
