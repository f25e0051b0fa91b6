"""A handle on a job: its definition, and the scheduler's verbs for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from gsched.errors import GschedError
from gsched.instants import from_ms
from gsched.job import Job
from gsched.triggers import BaseTrigger


class JobActions(Protocol):
    """The scheduler's verbs that a handle calls; see GeventScheduler."""

    def modify_job(self, job_id: str, jobstore: str | None = None, **changes: Any) -> JobHandle: ...

    def reschedule_job(
        self, job_id: str, jobstore: str | None = None, trigger: BaseTrigger | str | None = None, **trigger_args: Any
    ) -> JobHandle: ...

    def get_job(self, job_id: str, jobstore: str | None = None) -> JobHandle | None: ...

    def pause_job(self, job_id: str, jobstore: str | None = None) -> JobHandle: ...

    def resume_job(self, job_id: str, jobstore: str | None = None) -> JobHandle: ...

    def remove_job(self, job_id: str, jobstore: str | None = None) -> None: ...

    def run_job(self, job_id: str, jobstore: str | None = None) -> str: ...

    def cancel_runs(self, job_id: str, jobstore: str | None = None) -> int: ...

    def running_count(self, job_id: str, jobstore: str = "default") -> int: ...

    def is_pending(self, jobstore: str) -> bool: ...

    def now_ms(self) -> int: ...


class JobHandle:
    """What `add_job` and `get_job` return. It shows the job as it was when it was read, or last changed through it.

    :ivar definition: the frozen Job
    """

    __slots__ = ("_scheduler", "definition")

    def __init__(self, scheduler: JobActions, definition: Job) -> None:
        self._scheduler = scheduler
        self.definition = definition

    # -- verbs --------------------------------------------------------------------------------------------------

    def modify(self, **changes: Any) -> JobHandle:
        """`scheduler.modify_job` for this job."""
        return self._take(self._scheduler.modify_job(self.id, self.jobstore, **changes))

    def reschedule(self, trigger: BaseTrigger | str, **trigger_args: Any) -> JobHandle:
        """`scheduler.reschedule_job` for this job."""
        return self._take(self._scheduler.reschedule_job(self.id, self.jobstore, trigger, **trigger_args))

    def pause(self) -> JobHandle:
        """`scheduler.pause_job` for this job."""
        return self._take(self._scheduler.pause_job(self.id, self.jobstore))

    def resume(self) -> JobHandle:
        """`scheduler.resume_job` for this job."""
        return self._take(self._scheduler.resume_job(self.id, self.jobstore))

    def remove(self) -> None:
        """`scheduler.remove_job` for this job."""
        self._scheduler.remove_job(self.id, self.jobstore)

    def run(self) -> str:
        """`scheduler.run_job` for this job."""
        return self._scheduler.run_job(self.id, self.jobstore)

    def cancel_runs(self) -> int:
        """`scheduler.cancel_runs` for this job."""
        return self._scheduler.cancel_runs(self.id, self.jobstore)

    def _take(self, other: JobHandle) -> JobHandle:
        self.definition = other.definition
        return self

    # -- what it shows ------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        return self.definition.id

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def func(self) -> Callable[..., Any] | None:
        return self.definition.func

    @property
    def func_ref(self) -> str | None:
        """The function as "package.module:qualname"; None for one that no other process could find."""
        return self.definition.func_ref

    @property
    def args(self) -> tuple[Any, ...]:
        return self.definition.args

    @property
    def kwargs(self) -> Mapping[str, Any]:
        return self.definition.kwargs

    @property
    def trigger(self) -> BaseTrigger:
        return self.definition.trigger

    @property
    def executor(self) -> str:
        return self.definition.executor

    @property
    def jobstore(self) -> str:
        return self.definition.jobstore

    @property
    def misfire_grace_time(self) -> float | None:
        """Seconds; None is any."""
        return self.definition.misfire_grace_time

    @property
    def coalesce(self) -> bool:
        return self.definition.coalesce

    @property
    def max_instances(self) -> int:
        return self.definition.max_instances

    @property
    def timeout(self) -> float | None:
        """Seconds; None is for ever."""
        return self.definition.timeout_seconds

    @property
    def recover(self) -> bool:
        """Whether what was in progress runs again after a crash."""
        return self.definition.recover

    @property
    def paused(self) -> bool:
        return self.definition.paused

    @property
    def parked(self) -> str | None:
        """Why the job cannot be run; None if it can."""
        return self.definition.parked

    @property
    def tags(self) -> tuple[str, ...]:
        return self.definition.tags

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self.definition.metadata

    @property
    def next_run_time(self) -> datetime | None:
        """When the job is due next as seen now, in its trigger's zone; None when paused, parked or not due again."""
        due = self.definition.next_due_ms(self._scheduler.now_ms())
        return None if due is None else from_ms(due, self.trigger.timezone)

    @property
    def pending(self) -> bool:
        """Whether the job still waits for its store to be added to the scheduler."""
        return self._scheduler.is_pending(self.jobstore)

    @property
    def state(self) -> str:
        """"parked", "running", "paused" or "scheduled"."""
        state = self.definition.state
        return "running" if state != "parked" and self._scheduler.running_count(self.id, self.jobstore) else state

    def __str__(self) -> str:
        return f"{self.name} (trigger: {self.trigger}, {self._when()})"

    def _when(self) -> str:
        if self.definition.parked is not None:
            return f"parked: {self.definition.parked}"
        if self.definition.paused:
            return "paused"
        if self.pending:
            return "pending"
        due = self.next_run_time
        if due is not None:
            return f"next run at: {due:%Y-%m-%d %H:%M:%S %Z}"
        if self.state == "running":
            return "running"
        return "due now" if self._is_kept() else "ended"

    def _is_kept(self) -> bool:
        """Whether the job is still in its store: it goes when its trigger has ended and its last run is settled."""
        try:
            return self._scheduler.get_job(self.id, self.jobstore) is not None
        except GschedError:  # the store is away
            return True

    def __repr__(self) -> str:
        return f"<JobHandle (id={self.id} name={self.name})>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JobHandle) and (self.id, self.jobstore) == (other.id, other.jobstore)

    def __hash__(self) -> int:
        return hash((self.id, self.jobstore))
