"""The components of a scheduler, as they come and go: its stores, executors and listeners, and its settings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import gevent
from gevent.pool import Group

from gsched import events
from gsched.errors import ConfigurationError, JobNotFoundError
from gsched.event_loop.helpers import spawn
from gsched.event_loop.slices import paced
from gsched.events import JobEvent, SchedulerEvent, error_fields
from gsched.events.bus import EventBus
from gsched.events.log import LogSink
from gsched.executors import BaseExecutor
from gsched.executors.collection import Executors
from gsched.hub.hub import Hub
from gsched.hub.lane import Lane
from gsched.jobs.calls import CallChecker
from gsched.jobs.job import Job
from gsched.jobs.limits import NO_LIMITS, GroupLimits
from gsched.policies.retries import SHORTEN, why_never_retried
from gsched.schedulers.job_builder import JobBuilder, Template, check_executor
from gsched.schedulers.settings import SchedulerSettings, unknown
from gsched.schedulers.spreading import SPREAD, Spreader, number, spread_out
from gsched.stores import BaseJobStore, JobQuery, MemoryJobStore


class Components:
    """What a scheduler is made of. All methods are called in the scheduler's thread.

    :ivar hub: the hub, while the scheduler runs
    :ivar default_executor: the type of the executor "default", unless another one is added before the start
    :ivar implicit: stores that jobs were added to before the stores themselves. For each: which of its jobs replace
        others, and whether with a next run time
    """

    def __init__(self, settings: SchedulerSettings, default_executor: type[BaseExecutor]) -> None:
        self.hub: Hub | None = None
        self.default_executor = default_executor
        self.bus = EventBus()
        self.farewells = Group()  # greenlets that wait for the last runs of removed stores
        self.log_sink: LogSink | None = None
        self.set_up(settings)

    def set_up(self, settings: SchedulerSettings) -> None:
        """Take these settings; the components that were added before are dropped."""
        self.name = settings.name
        self.timezone = settings.timezone
        self.blocked_hub_after = settings.blocked_hub_after
        self.summary_every = settings.summary_every
        self.clock = settings.clock
        self.job_defaults = settings.job_defaults
        self.limits = settings.limits
        self.notifiers = dict(settings.notifiers)
        self.public_url = settings.public_url
        self.allowed = settings.functions
        self.calls = CallChecker()
        self.templates: dict[tuple[Any, ...], Template] = {}
        self.executors = Executors()
        self.stores: dict[str, BaseJobStore] = {}
        self.implicit: dict[str, dict[str, bool]] = {}
        self.run_events = settings.run_events
        self.log_runs()
        for alias, executor in settings.executors.items():
            self.add_executor(executor, alias)
        for alias, store in settings.jobstores.items():
            self.add_jobstore(store, alias)

    def log_runs(self) -> None:
        """Log events under the scheduler's name, and runs by `run_events`. Call it again after either has changed."""
        if self.log_sink is not None:
            self.bus.remove_listener(self.log_sink)
            self.log_sink.close()
        self.log_sink = LogSink(self.clock, self.name, self.run_events)
        self.bus.add_listener(self.log_sink, self.log_sink.mask, blocks=False)

    def now_ms(self) -> int:
        """The scheduler's time, milliseconds since the epoch."""
        return self.clock.now_ms()

    # -- executors ----------------------------------------------------------------------------------------------

    def add_executor(self, executor: BaseExecutor, alias: str) -> None:
        """Add an executor. Jobs that were parked because it was missing are healed.

        Raises ConfigurationError if the alias is taken.
        """
        if alias in self.executors:
            raise ConfigurationError(f"executor: the alias {alias!r} is taken")
        executor.alias = alias
        if self.hub is not None:
            executor.start(self.clock)
        self.executors[alias] = executor
        if self.hub is not None:
            self.warn_of_limits(executor)
            self.hub.executor_added(alias)
        self.bus.emit(SchedulerEvent(events.EVENT_EXECUTOR_ADDED, alias))

    def warn_of_limits(self, executor: BaseExecutor) -> None:
        """Report what the jobs of an executor that was just started must not do."""
        if executor.warning is not None:
            event = SchedulerEvent(events.EVENT_EXECUTOR_LIMITED, executor.alias, reason=executor.warning)
            self.bus.emit(event)

    def remove_executor(self, alias: str, shutdown: bool) -> None:
        """Remove an executor, and with `shutdown` end its workers after their runs. Raises ConfigurationError."""
        try:
            executor = self.executors.remove(alias)
        except KeyError:
            raise ConfigurationError(unknown("executor", alias, self.executors)) from None
        if shutdown:
            self.close_component(executor.retire, events.EVENT_EXECUTOR_FAILED, alias)
        self.bus.emit(SchedulerEvent(events.EVENT_EXECUTOR_REMOVED, alias))

    # -- stores -------------------------------------------------------------------------------------------------

    def add_jobstore(self, store: BaseJobStore, alias: str) -> None:
        """Add a store, with the jobs that were added to it before.

        :raises ConfigurationError: if the alias is taken, the store is in use elsewhere, or another one has the same
            jobs
        """
        if alias in self.stores and alias not in self.implicit:
            raise ConfigurationError(f"jobstore: the alias {alias!r} is taken")
        refuse_if_started(alias, store)
        self._refuse_second_store(alias, store)
        store.bind(alias, self.clock, self.allowed)
        if alias in self.implicit:
            copy_limits(self.stores[alias].limits(), store, replace=True)
            self._move_waiting_jobs(list(self.stores[alias].find(JobQuery())), self.implicit[alias], store)
            del self.implicit[alias]
        if self.hub is not None:
            self.hub.add_store(alias, store)
        self.stores[alias] = store
        self.bus.emit(SchedulerEvent(events.EVENT_JOBSTORE_ADDED, alias))

    def _refuse_second_store(self, alias: str, added: BaseJobStore) -> None:
        """Raise ConfigurationError if another store has the same jobs: each would be listed twice."""
        for other, store in self.stores.items():
            if other != alias and store.has_jobs_of(added):
                raise ConfigurationError(
                    f"jobstores {other!r} and {alias!r} keep the same jobs: each would be listed twice; leave one out,"
                    " or give it a place of its own, such as another collection"
                )

    def _move_waiting_jobs(self, jobs: list[Job], replacing: Mapping[str, bool], store: BaseJobStore) -> None:
        """Put jobs that waited for their store into it, as if it had been there when they were added."""
        store.add([job for job in jobs if job.id not in replacing], replace=False)
        timed = {job_id for job_id, was_timed in replacing.items() if was_timed}
        store.add([job for job in jobs if job.id in replacing], replace=True, timed=timed)
        number(jobs, store)

    def remove_jobstore(self, alias: str, shutdown: bool) -> None:
        """Remove a store. Returns when the instants that were claimed in it are decided.

        The store is closed, or left, after the last run of its jobs has ended.
        """
        store = self.store(alias)
        del self.stores[alias]
        self.implicit.pop(alias, None)
        if self.hub is None:
            self._dismiss(store, alias, shutdown)
            return
        lane = self.hub.remove_store(alias)
        # In a greenlet of its own: a store is not left half removed if the caller's greenlet is killed.
        farewell = spawn(self._see_off, self.hub, lane, shutdown)
        self.farewells.add(farewell)
        gevent.wait([lane.finished, farewell], count=1)
        if not self.hub.dispatch.is_in_progress(lane):
            farewell.join()

    def _see_off(self, hub: Hub, lane: Lane, shutdown: bool) -> None:
        """Wait for the end of all that was claimed in a store, then close it or leave it."""
        self.close_component(lambda: hub.see_off(lane), events.EVENT_STORE_FAILED, lane.alias)
        self._dismiss(lane.store, lane.alias, shutdown)

    def _dismiss(self, store: BaseJobStore, alias: str, shutdown: bool) -> None:
        self.close_component(store.close if shutdown else store.leave, events.EVENT_STORE_FAILED, alias)
        store.started = False
        self.bus.emit(SchedulerEvent(events.EVENT_JOBSTORE_REMOVED, alias))

    def close_stores(self) -> None:
        """Close the stores' connections. A store opens them anew when they are needed."""
        for alias, store in self.stores.items():
            self.close_component(store.close, events.EVENT_STORE_FAILED, alias)
            store.started = False

    def close_component(self, close: Callable[[], None], failed: int, alias: str) -> None:
        """Close a component. If that raises, the event `failed` reports it, and the caller goes on."""
        try:
            close()
        except Exception as error:
            self.bus.emit(SchedulerEvent(failed, alias, **error_fields(error)))

    def store(self, alias: str) -> BaseJobStore:
        """The store with this alias. Raises ConfigurationError if there is none."""
        try:
            return self.stores[alias]
        except KeyError:
            raise ConfigurationError(unknown("jobstore", alias, self.stores)) from None

    def store_for_adding(self, alias: str) -> BaseJobStore:
        """The store with this alias. Before the start, a memory store stands in for one that is not added yet."""
        if alias not in self.stores and self.hub is None:
            self.stores[alias] = MemoryJobStore()
            self.stores[alias].bind(alias, self.clock, self.allowed)
            self.implicit[alias] = {}
        return self.store(alias)

    def is_pending(self, jobstore: str) -> bool:
        """True while the jobs of this store wait for the store to be added."""
        return jobstore in self.implicit

    def aliases(self, jobstore: str | None) -> list[str]:
        """The alias of this store, or of all stores for None. Raises ConfigurationError for an unknown one."""
        if jobstore is None:
            return list(self.stores)
        self.store(jobstore)
        return [jobstore]

    # -- jobs ---------------------------------------------------------------------------------------------------

    def job_builder(self) -> JobBuilder:
        """Builds jobs that are added now."""
        return JobBuilder(
            self.now_ms(), self.timezone, self.job_defaults, self.allowed, self.calls, self.awaits, self.templates
        )

    def awaits(self, executor: str) -> bool:
        """True if the executor with this alias awaits coroutines, or may do so once it is added."""
        if executor in self.executors:
            return self.executors[executor].awaits
        return self.default_executor.awaits if executor == "default" else self.hub is None

    def add_jobs(self, jobs: list[Job], jobstore: str, replace: bool, timed: Collection[str]) -> list[Job]:
        """Store checked jobs, all or none.

        :param timed: the ids of those that were given a next run time
        :return: the jobs as they are stored
        """
        if self.hub is not None:
            for job in paced(jobs):
                check_executor(job, self.executors)
        store = self.store_for_adding(jobstore)
        stored = store.add(spread_out(jobs, store, self.now_ms), replace, timed)
        if jobstore in self.implicit and replace:
            self.implicit[jobstore] |= {job.id: job.id in timed for job in stored}
        for job in paced(stored):
            self.bus.emit(JobEvent(events.EVENT_JOB_ADDED, job))
            self.warn_of_options(job)
        return stored

    def spreader(self, jobstore: str, jobs: Iterable[Job]) -> Spreader:
        """Gives phases to those of these jobs that await one. All of them are numbered now."""
        spreader = Spreader(self.store_for_adding(jobstore), self.now_ms)
        spreader.expect(jobs)
        return spreader

    def warn_of_crowd(self, job: Job, count: int) -> None:
        """Report that so many jobs which were added together are due at the same moments as this one."""
        reason = f"{count:,} jobs that were added together are all due at the same moments"
        self.bus.emit(JobEvent(events.EVENT_JOB_WARNED, job, reason=reason, remedy=SPREAD))

    def warn_of_options(self, job: Job) -> None:
        """Report that no failed run of the job will be retried, although it has retries, and that it names notifiers
        that this scheduler has not. A scheduler without notifiers may add jobs for others that have them.
        """
        if job.policy.retries and (reason := why_never_retried(job)) is not None:
            self.bus.emit(JobEvent(events.EVENT_JOB_WARNED, job, reason=f"never retried: {reason}", remedy=SHORTEN))
        if self.notifiers and (unknown := [name for name in job.policy.notify if name not in self.notifiers]):
            reason = f"notify: no notifier of this scheduler has the name {unknown[0]!r}"
            remedy = f"the notifiers here are {', '.join(self.notifiers)}"
            self.bus.emit(JobEvent(events.EVENT_JOB_WARNED, job, reason=reason, remedy=remedy))

    def find(self, job_id: str, jobstore: str | None) -> Job:
        """The job, from the first store that has it. Raises JobNotFoundError."""
        for alias in self.aliases(jobstore):
            try:
                return self.stores[alias].get(job_id)
            except JobNotFoundError:
                continue
        raise JobNotFoundError(job_id)

    def running_count(self, job_id: str, jobstore: str) -> int:
        """How many runs of a job are in progress in this process."""
        return 0 if self.hub is None else self.hub.running_count(job_id, jobstore)


def copy_limits(limits: GroupLimits, store: BaseJobStore, *, replace: bool) -> None:
    """Give a store these limits and pauses of groups.

    :param replace: also in place of those that it has
    """
    known = NO_LIMITS if replace or limits == NO_LIMITS else store.limits()
    for pattern, limit in limits.by_pattern.items():
        if pattern not in known.by_pattern:
            store.set_limit(limit)
    for pattern, pause in limits.pauses.items():
        if pattern not in known.pauses:
            store.pause_group(pattern, pause)


def refuse_if_started(alias: str, store: BaseJobStore) -> None:
    """Raise ConfigurationError if a scheduler runs the jobs of this store: a second one would run each job twice."""
    if store.started:
        raise ConfigurationError(
            f"jobstore {alias!r}: this store object is in use: a scheduler runs it, or runs of its jobs have not ended"
            " since it was removed; make a store for each scheduler"
        )
