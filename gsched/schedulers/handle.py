"""A handle on a job: its definition, and the scheduler's verbs for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from typing import Any, Protocol

from gsched.errors import GschedError
from gsched.history.reruns import RetriedRun
from gsched.jobs.job import Job
from gsched.jobs.last_change import LastChange
from gsched.jobs.pause import Pause
from gsched.jobs.policy_options import policy_options
from gsched.times.instants import from_ms
from gsched.triggers import BaseTrigger


class JobActions(Protocol):
    """The scheduler's verbs that a handle calls; see GeventScheduler."""

    def modify_job(self, job_id: str, jobstore: str | None = None, **changes: Any) -> JobHandle: ...

    def reschedule_job(
        self, job_id: str, jobstore: str | None = None, trigger: BaseTrigger | str | None = None, **trigger_args: Any
    ) -> JobHandle: ...

    def get_job(self, job_id: str, jobstore: str | None = None) -> JobHandle | None: ...

    def pause_job(
        self,
        job_id: str,
        jobstore: str | None = None,
        *,
        reason: str | None = None,
        until: datetime | date | timedelta | str | None = None,
        by: str | None = None,
    ) -> JobHandle: ...

    def resume_job(self, job_id: str, jobstore: str | None = None, *, by: str | None = None) -> JobHandle: ...

    def remove_job(self, job_id: str, jobstore: str | None = None) -> None: ...

    def run_job(
        self, job_id: str, jobstore: str | None = None, *, overlap: str | None = None, request: str | None = None
    ) -> str: ...

    def cancel_runs(self, job_id: str, jobstore: str | None = None) -> int: ...

    def retry_runs(
        self,
        run_ids: Iterable[str] | None = None,
        jobstore: str | None = None,
        *,
        job_id: str | None = None,
        tag: str | None = None,
        outcome: str | None = None,
        since: datetime | date | timedelta | str | None = None,
        limit: int = 1000,
        dry_run: bool = False,
    ) -> list[RetriedRun]: ...


class JobPlace(Protocol):
    """What a handle reads besides the job; see Components."""

    def running_count(self, job_id: str, jobstore: str) -> int: ...

    def is_pending(self, jobstore: str) -> bool: ...

    def now_ms(self) -> int: ...


class JobHandle:
    """A job, as `add_job` and `get_job` return it: as it was when it was read, or last changed through this handle.

    :ivar definition: the frozen Job
    """

    __slots__ = ("_place", "_scheduler", "definition")

    def __init__(self, scheduler: JobActions, place: JobPlace, definition: Job) -> None:
        self._scheduler = scheduler
        self._place = place
        self.definition = definition

    # -- verbs --------------------------------------------------------------------------------------------------

    def modify(self, **changes: Any) -> JobHandle:
        """`scheduler.modify_job` for this job."""
        return self._take(self._scheduler.modify_job(self.id, self.jobstore, **changes))

    def reschedule(self, trigger: BaseTrigger | str, **trigger_args: Any) -> JobHandle:
        """`scheduler.reschedule_job` for this job."""
        return self._take(self._scheduler.reschedule_job(self.id, self.jobstore, trigger, **trigger_args))

    def pause(
        self,
        *,
        reason: str | None = None,
        until: datetime | date | timedelta | str | None = None,
        by: str | None = None,
    ) -> JobHandle:
        """`scheduler.pause_job` for this job."""
        return self._take(self._scheduler.pause_job(self.id, self.jobstore, reason=reason, until=until, by=by))

    def resume(self, *, by: str | None = None) -> JobHandle:
        """`scheduler.resume_job` for this job."""
        return self._take(self._scheduler.resume_job(self.id, self.jobstore, by=by))

    def remove(self) -> None:
        """`scheduler.remove_job` for this job."""
        self._scheduler.remove_job(self.id, self.jobstore)

    def run(self, *, overlap: str | None = None, request: str | None = None) -> str:
        """`scheduler.run_job` for this job."""
        return self._scheduler.run_job(self.id, self.jobstore, overlap=overlap, request=request)

    def cancel_runs(self) -> int:
        """`scheduler.cancel_runs` for this job."""
        return self._scheduler.cancel_runs(self.id, self.jobstore)

    def retry_runs(
        self,
        *,
        outcome: str | None = None,
        since: datetime | date | timedelta | str | None = None,
        limit: int = 1000,
        dry_run: bool = False,
    ) -> list[RetriedRun]:
        """`scheduler.retry_runs` for the runs of this job."""
        return self._scheduler.retry_runs(
            None, self.jobstore, job_id=self.id, outcome=outcome, since=since, limit=limit, dry_run=dry_run
        )

    def _take(self, other: JobHandle) -> JobHandle:
        self.definition = other.definition
        return self

    # -- the job ------------------------------------------------------------------------------------------------

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
    def kwargs(self) -> dict[str, Any]:
        """A copy: `modify` changes the job."""
        return dict(self.definition.kwargs)

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
        """Seconds; None: any."""
        return self.definition.misfire_grace_time

    @property
    def coalesce(self) -> bool:
        return self.definition.coalesce

    @property
    def max_instances(self) -> int:
        return self.definition.max_instances

    @property
    def timeout(self) -> float | None:
        """Seconds; None: no limit."""
        return self.definition.timeout_seconds

    @property
    def recover(self) -> bool | int:
        """True if runs in progress run again after a crash; a number: at most so many times."""
        return self.definition.recover

    @property
    def policy(self) -> dict[str, Any]:
        """The options about retries, overlap, catch-up, pauses, times to keep and recovery. Durations are seconds. A
        copy."""
        return policy_options(self.definition.policy)

    @property
    def paused(self) -> bool:
        """True if it is paused now, with or without an end."""
        return self.pause_info is not None

    @property
    def pause_info(self) -> Pause | None:
        """Why it is paused now, by whom and until when; None if it is not paused."""
        return self.definition.pause_at(self._place.now_ms())

    @property
    def last_change(self) -> LastChange | None:
        """Who changed it last on somebody's behalf, and why; None if nobody has (see `gsched.acting`)."""
        return self.definition.last_change

    @property
    def parked(self) -> str | None:
        """Why the job cannot be run; None if it can."""
        return self.definition.parked

    @property
    def tags(self) -> tuple[str, ...]:
        return self.definition.tags

    @property
    def metadata(self) -> dict[str, Any]:
        """A copy: `modify` changes the job."""
        return dict(self.definition.metadata)

    @property
    def next_run_time(self) -> datetime | None:
        """When the job is due next as seen now, in its trigger's zone; None when paused, parked or not due again."""
        due = self.definition.next_due_ms(self._place.now_ms())
        return None if due is None else from_ms(due, self.trigger.timezone)

    @property
    def pending(self) -> bool:
        """True while the job waits for its store to be added to the scheduler."""
        return self._place.is_pending(self.jobstore)

    @property
    def state(self) -> str:
        """"parked", "running", "paused" or "scheduled"."""
        state = self.definition.state_at(self._place.now_ms())
        return "running" if state != "parked" and self._place.running_count(self.id, self.jobstore) else state

    def __str__(self) -> str:
        return f"{self.name} (trigger: {self.trigger}, {self._when()})"

    def _when(self) -> str:
        if self.definition.parked is not None:
            return f"parked: {self.definition.parked}"
        if (pause := self.pause_info) is not None:
            return pause.words(self.trigger.timezone)
        if self.pending:
            return "pending"
        due = self.next_run_time
        if due is not None:
            return f"next run at: {due:%Y-%m-%d %H:%M:%S %Z}"
        if self.state == "running":
            return "running"
        return "due now" if self._is_kept() else "ended"

    def _is_kept(self) -> bool:
        """True while the job is in its store. It is removed when its trigger has ended and its last run is settled."""
        try:
            return self._scheduler.get_job(self.id, self.jobstore) is not None
        except GschedError:  # the store does not answer
            return True

    def __repr__(self) -> str:
        return f"<JobHandle (id={self.id} name={self.name})>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JobHandle) and (self.id, self.jobstore) == (other.id, other.jobstore)

    def __hash__(self) -> int:
        return hash((self.id, self.jobstore))
