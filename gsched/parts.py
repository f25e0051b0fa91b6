"""The parts of a scheduler, as they come and go: its stores, executors and listeners, and its settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import gevent
from gevent.pool import Group

from gsched import events
from gsched.bus import EventBus, Listener
from gsched.callables import check_callable
from gsched.clock import Clock
from gsched.errors import ConfigurationError, SchedulerAlreadyRunningError
from gsched.events import EVENT_ALL, SchedulerEvent, error_fields
from gsched.executors import BaseExecutor
from gsched.executors.collection import Executors
from gsched.helpers import spawn
from gsched.hub import Hub
from gsched.job import CallChecker, Job
from gsched.lane import Lane
from gsched.log import LogSink
from gsched.scheduler_settings import SchedulerSettings, make_executor, make_jobstore, unknown
from gsched.stores import BaseJobStore, JobQuery, MemoryJobStore

T = TypeVar("T")


class Parts:
    """What a scheduler is made of. The base of GeventScheduler; see there for the settings."""

    def __init__(self, settings: Mapping[str, Any], prefix: str | None, options: Mapping[str, Any]) -> None:
        self._hub: Hub | None = None  # while it runs
        self._bus = EventBus()
        self._executors = Executors()
        self._stores: dict[str, BaseJobStore] = {}
        self._farewells = Group()  # greenlets that see off stores which were removed
        # Stores that nobody has added yet: which of their jobs replace others, and whether with a next run time.
        self._implicit: dict[str, dict[str, bool]] = {}
        self._log_sink: LogSink | None = None
        self._set_up(SchedulerSettings.read(settings, prefix, options))

    def configure(
        self, gconfig: Mapping[str, Any] | None = None, prefix: str | None = "apscheduler.", **options: Any
    ) -> None:
        """Set the scheduler up anew, before it is started; what was added to it goes.

        :param gconfig: settings by dotted keys, such as {"apscheduler.jobstores.default": {"type": "memory"}}
        :param prefix: what those keys begin with; keys that begin otherwise are not ours and are ignored
        :param options: settings by name; they win over `gconfig`
        :raises SchedulerAlreadyRunningError: if the scheduler runs
        :raises ConfigurationError: for a setting that is unknown or cannot work; nothing is changed then
        """
        if self._hub is not None:
            raise SchedulerAlreadyRunningError
        self._set_up(SchedulerSettings.read(gconfig or {}, prefix, options))

    def _set_up(self, settings: SchedulerSettings) -> None:
        self.name = settings.name
        self.timezone = settings.timezone
        self.blocked_hub_after = settings.blocked_hub_after
        self.summary_every = settings.summary_every
        self._clock = settings.clock
        self._job_defaults = settings.job_defaults
        self._allowed = settings.functions
        self._calls = CallChecker()
        self._executors, self._stores, self._implicit = Executors(), {}, {}
        self.log_runs(settings.run_events)
        for alias, executor in settings.executors.items():
            self.add_executor(executor, alias)
        for alias, store in settings.jobstores.items():
            self.add_jobstore(store, alias)

    def log_runs(self, run_events: str) -> None:
        """Log these runs from now on: "all", "failures" or "none"."""
        self.run_events = run_events
        if self._log_sink is not None:
            self._bus.remove_listener(self._log_sink)
            self._log_sink.close()
        self._log_sink = LogSink(self._clock, self.name, run_events)
        self._bus.add_listener(self._log_sink, self._log_sink.mask)

    def allow_modules(self, modules: Iterable[str]) -> None:
        """Resolve function references from stores and imports in these modules, too."""
        self._allowed.allow(modules)

    # -- executors and stores -----------------------------------------------------------------------------------

    def add_executor(self, executor: BaseExecutor | str, alias: str = "default", **options: Any) -> None:
        """Add an executor, before or after start; jobs that were parked for want of it are healed.

        :param executor: an executor, or the name of a type (greenlet, threadpool, processpool, a plugin's)
        :param options: arguments for that type
        :raises ConfigurationError: if the alias is taken or the executor cannot be made
        """
        made = make_executor({"type": executor, **options} if isinstance(executor, str) else executor)
        self._at_home(self._add_executor, made, alias)

    def _add_executor(self, made: BaseExecutor, alias: str) -> None:
        if alias in self._executors:
            raise ConfigurationError(f"executor: the alias {alias!r} is taken")
        made.alias = alias
        if self._hub is not None:
            made.start(self._clock)
        self._executors[alias] = made
        if self._hub is not None:
            self._warn_of_limits(made)
            self._hub.executor_added(alias)
        self._bus.emit(SchedulerEvent(events.EVENT_EXECUTOR_ADDED, alias))

    def _warn_of_limits(self, executor: BaseExecutor) -> None:
        """Report what the jobs of an executor that was just started must not do."""
        if executor.warning is not None:
            event = SchedulerEvent(events.EVENT_EXECUTOR_LIMITED, executor.alias, reason=executor.warning)
            self._bus.emit(event)

    def remove_executor(self, alias: str, shutdown: bool = True) -> None:
        """Remove an executor. Jobs that name it are parked when they are due.

        :param shutdown: let go of its workers too; runs in progress end first
        :raises ConfigurationError: if there is no such executor
        """
        self._at_home(self._remove_executor, alias, shutdown)

    def _remove_executor(self, alias: str, shutdown: bool) -> None:
        try:
            executor = self._executors.remove(alias)
        except KeyError:
            raise ConfigurationError(unknown("executor", alias, self._executors)) from None
        if shutdown:
            self._let_go(executor.retire, events.EVENT_EXECUTOR_FAILED, alias)
        self._bus.emit(SchedulerEvent(events.EVENT_EXECUTOR_REMOVED, alias))

    def add_jobstore(self, jobstore: BaseJobStore | str, alias: str = "default", **options: Any) -> None:
        """Add a job store, before or after start.

        :param jobstore: a store, or the name of a type (memory, mongodb, a plugin's)
        :param options: arguments for that type
        :raises ConfigurationError: if the alias is taken, the store cannot be made or is in use elsewhere, or another
            one has the same jobs
        """
        made = make_jobstore({"type": jobstore, **options} if isinstance(jobstore, str) else jobstore)
        self._at_home(self._add_jobstore, made, alias)

    def _add_jobstore(self, made: BaseJobStore, alias: str) -> None:
        if alias in self._stores and alias not in self._implicit:
            raise ConfigurationError(f"jobstore: the alias {alias!r} is taken")
        refuse_if_started(alias, made)
        self._refuse_if_there(alias, made)
        made.bind(alias, self._clock, self._allowed)
        if alias in self._implicit:
            self._hand_over(list(self._stores[alias].find(JobQuery())), self._implicit[alias], made)
            del self._implicit[alias]
        if self._hub is not None:
            self._hub.add_store(alias, made)
        self._stores[alias] = made
        self._bus.emit(SchedulerEvent(events.EVENT_JOBSTORE_ADDED, alias))

    def _refuse_if_there(self, alias: str, made: BaseJobStore) -> None:
        """Raise ConfigurationError if another store has the same jobs: each would be there twice."""
        for other, store in self._stores.items():
            if other != alias and store.has_jobs_of(made):
                raise ConfigurationError(
                    f"jobstores {other!r} and {alias!r} keep the same jobs: each would be listed twice; leave one out,"
                    " or give it a place of its own, such as another collection"
                )

    def _hand_over(self, jobs: list[Job], replacing: Mapping[str, bool], store: BaseJobStore) -> None:
        """Put jobs that waited for their store into it, as they would have been put at once."""
        store.add([job for job in jobs if job.id not in replacing], replace=False)
        timed = {job_id for job_id, was_timed in replacing.items() if was_timed}
        store.add([job for job in jobs if job.id in replacing], replace=True, timed=timed)

    def remove_jobstore(self, alias: str, shutdown: bool = True) -> None:
        """Remove a job store from this scheduler; its jobs stay in it.

        Waits until what was claimed of them is decided, a fraction of a second; not for runs in progress: when the last
        of them has ended and is settled, the store is let go, and the event `store.removed` says so.

        :param shutdown: let go of its resources too
        :raises ConfigurationError: if there is no such store
        """
        self._at_home(self._remove_jobstore, alias, shutdown)

    def _remove_jobstore(self, alias: str, shutdown: bool) -> None:
        store = self._store(alias)
        del self._stores[alias]
        self._implicit.pop(alias, None)
        if self._hub is None:
            self._dismiss(store, alias, shutdown)
            return
        lane = self._hub.remove_store(alias)
        # In a greenlet of its own: whatever cuts the caller short, a store is not left behind half removed.
        farewell = spawn(self._see_off, self._hub, lane, shutdown)
        self._farewells.add(farewell)
        gevent.wait([lane.finished, farewell], count=1)
        if not self._hub.dispatch.is_in_progress(lane):
            farewell.join()

    def _see_off(self, hub: Hub, lane: Lane, shutdown: bool) -> None:
        """Let all that was claimed in a store end, and then let go of it."""
        self._let_go(lambda: hub.see_off(lane), events.EVENT_STORE_FAILED, lane.alias)
        self._dismiss(lane.store, lane.alias, shutdown)

    def _dismiss(self, store: BaseJobStore, alias: str, shutdown: bool) -> None:
        self._let_go(store.close if shutdown else store.leave, events.EVENT_STORE_FAILED, alias)
        store.started = False
        self._bus.emit(SchedulerEvent(events.EVENT_JOBSTORE_REMOVED, alias))

    @property
    def clock(self) -> Clock:
        """The clock by which it works."""
        return self._clock

    @property
    def executors(self) -> Mapping[str, BaseExecutor]:
        """The executors by alias, as they are now."""
        return MappingProxyType(self._executors)

    @property
    def stores(self) -> Mapping[str, BaseJobStore]:
        """The job stores by alias, as they are now."""
        return MappingProxyType(self._stores)

    def _store(self, alias: str) -> BaseJobStore:
        try:
            return self._stores[alias]
        except KeyError:
            raise ConfigurationError(unknown("jobstore", alias, self._stores)) from None

    def _store_for_adding(self, alias: str) -> BaseJobStore:
        """Jobs may be added before their store is: until then they wait in memory."""
        if alias not in self._stores and self._hub is None:
            self._stores[alias] = MemoryJobStore()
            self._stores[alias].bind(alias, self._clock, self._allowed)
            self._implicit[alias] = {}
        return self._store(alias)

    # -- listeners ----------------------------------------------------------------------------------------------

    def add_listener(self, callback: Listener, mask: int = EVENT_ALL) -> None:
        """Call `callback(event)` for each event whose code is in `mask`, in order, in a greenlet of their own.

        :raises ConfigurationError: if `callback` cannot be called, or a call of it runs nothing (`async def`), or
            `mask` is no mask of event codes
        """
        check_callable("listener", callback)
        if isinstance(mask, bool) or not isinstance(mask, int) or not mask & EVENT_ALL or mask & ~EVENT_ALL:
            raise ConfigurationError(f"listener: {mask!r} is not a mask of EVENT_ codes")
        self._bus.add_listener(callback, mask)

    def remove_listener(self, callback: Listener) -> None:
        """Stop calling `callback`; nothing happens if it does not listen."""
        self._bus.remove_listener(callback)

    # -- what a scheduler adds ----------------------------------------------------------------------------------

    def _at_home(self, verb: Callable[..., T], *args: Any) -> T:
        """Call `verb` in the scheduler's thread."""
        raise NotImplementedError

    def _let_go(self, close: Callable[[], None], failed: int, alias: str) -> None:
        """Close a part. One that raises is reported, by the event `failed`, and keeps nobody else from being closed."""
        try:
            close()
        except Exception as error:
            self._bus.emit(SchedulerEvent(failed, alias, **error_fields(error)))


def refuse_if_started(alias: str, store: BaseJobStore) -> None:
    """Raise ConfigurationError if a scheduler runs the jobs of this store: two would run each of them twice."""
    if store.started:
        raise ConfigurationError(
            f"jobstore {alias!r}: a scheduler runs this object, or it was removed and runs of its jobs have not ended;"
            " make one for each of them"
        )
