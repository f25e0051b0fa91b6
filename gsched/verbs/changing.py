"""Changing and removing jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gsched import events
from gsched.building import check_executor, make_trigger, with_jitter, with_next_run_time
from gsched.errors import InvalidJobError, InvalidTriggerError
from gsched.events import JobEvent, SchedulerEvent
from gsched.handle import JobHandle
from gsched.job import (
    OPTIONS,
    UNDEFINED,
    Job,
    check_call,
    checked_args,
    checked_kwargs,
    checked_options,
    checked_text,
    named_function,
)
from gsched.triggers import BaseTrigger, DateTrigger
from gsched.verbs.places import Places


class Changing(Places):
    """The verbs that change jobs and remove them."""

    def modify_job(self, job_id: str, jobstore: str | None = None, **changes: Any) -> JobHandle:
        """Change a job. What is in progress goes on as it is; a parked job is tried again.

        :param changes: any of add_job's arguments but `id` and `jobstore`; a trigger's arguments beside its name.
            `next_run_time` makes it due then ("now": at once), and re-anchors an interval; None pauses it
        :raises JobNotFoundError: if there is no such job
        :raises InvalidJobError: if a value is wrong; nothing is changed then
        :raises InvalidTriggerError: if the trigger is; nothing is changed then
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
        if trigger is None and jobstore is not None and jobstore not in list(self._stores):
            raise InvalidTriggerError(
                f"trigger: there is none, and no jobstore {jobstore!r}; the second argument is a jobstore, so name the "
                f"trigger: reschedule_job({job_id!r}, trigger={jobstore!r})"
            )
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
        # A store keeps a lower bound of the next run time; those who hear of the change get the time itself.
        self._bus.emit(JobEvent(code, changed.evolve(next_run_ms=changed.next_due_ms(self.now_ms()))))
        return self._handle(changed)

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
        named = isinstance(trigger, str)
        trigger_args = {key: changes.pop(key) for key in changes.keys() - OPTIONS.keys()} if named else {}
        modified = job.evolve(**fields, **checked_options(changes))
        if modified.func is not None:
            check_call(modified.func, modified.args, modified.kwargs)
        if self._hub is not None:
            check_executor(modified, self._executors)
        if trigger is not None:
            modified = self._retimed(modified, make_trigger(trigger, trigger_args, self.timezone))
        return with_next_run_time(modified, next_run_time, self.timezone, self.now_ms())

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
