"""The verbs that change and remove jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gsched import events
from gsched.errors import InvalidJobError, InvalidTriggerError
from gsched.events import JobEvent, SchedulerEvent
from gsched.jobs.audit import ALL_JOBS, Act
from gsched.jobs.calls import check_call, named_function
from gsched.jobs.job import UNDEFINED, Job
from gsched.jobs.options import OPTIONS, checked_args, checked_kwargs, checked_options, checked_text
from gsched.jobs.policy_options import refuse_contradictions
from gsched.policies.pauses import paused
from gsched.schedulers.acting import act
from gsched.schedulers.engine import Engine, modified_event
from gsched.schedulers.handle import JobHandle
from gsched.schedulers.job_builder import (
    check_executor,
    make_trigger,
    refuse_two_phases,
    with_jitter,
    with_next_run_time,
)
from gsched.schedulers.verbs.verbs import Verbs
from gsched.triggers import BaseTrigger
from gsched.triggers.spread import spread_trigger


class ChangeVerbs(Verbs):
    """The verbs that change jobs and remove them."""

    def modify_job(self, job_id: str, jobstore: str | None = None, **changes: Any) -> JobHandle:
        """Change a job. Its runs in progress go on unchanged. A parked job is loaded again.

        :param changes: any of add_job's arguments but `id`, `jobstore` and `group`; a trigger's arguments beside its
            name. `next_run_time` makes it due then ("now": at once), and re-anchors an interval; None pauses it.
            `spread` alone spreads the trigger that the job has; None ends that. A new trigger is spread if `spread`
            says so
        :raises JobNotFoundError: if there is no such job
        :raises InvalidJobError: if a value is wrong; nothing is changed then
        :raises InvalidTriggerError: if the trigger is wrong; nothing is changed then
        """
        changed = self._engine.change_job(
            job_id, lambda job: modified(self._engine, job, changes), jobstore, modified_event, self._act("job.change")
        )
        return self._handle(changed)

    def reschedule_job(
        self, job_id: str, jobstore: str | None = None, trigger: BaseTrigger | str | None = None, **trigger_args: Any
    ) -> JobHandle:
        """Give a job a new trigger, from now on; a paused job stays paused.

        :raises JobNotFoundError: if there is no such job
        :raises InvalidTriggerError: if the trigger is wrong; nothing is changed then
        """
        if trigger is None and jobstore is not None and jobstore not in list(self._engine.stores):
            raise InvalidTriggerError(
                f"trigger: there is none, and no jobstore {jobstore!r}; the second argument is a jobstore, so name the "
                f"trigger: reschedule_job({job_id!r}, trigger={jobstore!r})"
            )
        spread = trigger_args.pop("spread", UNDEFINED)
        made = make_trigger(trigger, trigger_args, self._engine.timezone)
        if spread is not UNDEFINED:
            made = spread_trigger(made, spread)
        changed = self._engine.change_job(
            job_id, lambda job: _retimed(self._engine, job, made), jobstore, modified_event, self._act("job.change")
        )
        return self._handle(changed)

    def _act(self, action: str) -> Act | None:
        return act(action, self._engine.now_ms())

    def remove_job(self, job_id: str, jobstore: str | None = None) -> None:
        """Remove a job; its runs in progress go on. Raises JobNotFoundError."""
        self._engine.call(self._remove, job_id, jobstore, self._act("job.remove"))

    def _remove(self, job_id: str, jobstore: str | None, done: Act | None) -> None:
        removed = self._engine.store(self._engine.find(job_id, jobstore).jobstore).remove(job_id, done)
        self._engine.bus.emit(JobEvent(events.EVENT_JOB_REMOVED, removed))

    def remove_all_jobs(self, jobstore: str | None = None) -> int:
        """Remove all jobs of a store, or of all stores; how many were removed."""
        return self._engine.call(self._remove_all, jobstore, self._act("job.remove"))

    def _remove_all(self, jobstore: str | None, done: Act | None) -> int:
        count = 0
        for alias in self._engine.aliases(jobstore):
            store = self._engine.stores[alias]
            removed = store.remove_all()
            count += removed
            self._engine.bus.emit(SchedulerEvent(events.EVENT_ALL_JOBS_REMOVED, alias))
            self._engine.record(done, alias, ALL_JOBS, removed)
        return count


def modified(engine: Engine, job: Job, changes: Mapping[str, Any]) -> Job:
    """The job, changed as `modify_job` changes it. Raises InvalidJobError or InvalidTriggerError."""
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
    if "group" in changes and changes["group"] != job.policy.group:
        raise InvalidJobError(
            "group: cannot be changed, for another process may own the jobs of the other group; "
            "replace the job: remove it and add it anew, or call add_job(..., replace_existing=True)"
        )
    trigger = changes.pop("trigger", None)
    next_run_time = changes.pop("next_run_time", UNDEFINED)
    spread = changes.pop("spread", UNDEFINED)
    named = isinstance(trigger, str)
    trigger_args = {key: changes.pop(key) for key in changes.keys() - OPTIONS.keys()} if named else {}
    changed = job.evolve(**fields, **checked_options(changes, job.policy))
    refuse_contradictions(changed, changes)
    if changed.func is not None:
        check_call(changed.func, changed.args, changed.kwargs, engine.awaits(changed.executor))
    if engine.hub is not None:
        check_executor(changed, engine.executors)
    made = job.trigger if trigger is None else make_trigger(trigger, trigger_args, engine.timezone)
    if spread is not UNDEFINED:
        made = spread_trigger(made, spread)
    if trigger is not None or not made.same_schedule(job.trigger):
        changed = _retimed(engine, changed, made)
    refuse_two_phases(changed, next_run_time)
    return with_next_run_time(changed, next_run_time, engine.timezone, engine.now_ms())


def _retimed(engine: Engine, job: Job, trigger: BaseTrigger) -> Job:
    now = engine.now_ms()
    begun, due = trigger.for_job(job.id).begun(now)
    retimed = with_jitter(job.evolve(trigger=begun, next_run_ms=due, pause=None))
    pause = job.pause_at(now)
    return retimed if pause is None else paused(retimed, pause, now)
