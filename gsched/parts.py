"""The parts of a scheduler: its settings, stores, executors and listeners, given as objects or as plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import tzinfo
from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any, Final, TypeVar

import gevent
from gevent.pool import Group

from gsched import events
from gsched.bus import EventBus, Listener
from gsched.clock import Clock, SystemClock
from gsched.durations import as_seconds
from gsched.errors import ConfigurationError, InvalidJobError, SchedulerAlreadyRunningError
from gsched.events import EVENT_ALL, SchedulerEvent, error_fields
from gsched.executors import BaseExecutor
from gsched.executors.collection import Executors
from gsched.funcref import AllowedFunctions
from gsched.hub import Hub
from gsched.instants import as_timezone
from gsched.job import CallChecker, Job, checked_options
from gsched.lane import Lane
from gsched.log import RUN_EVENTS, LogSink
from gsched.spelling import did_you_mean
from gsched.stores import BaseJobStore, JobQuery, MemoryJobStore
from gsched.wording import refused_call

EXECUTORS: Final = {
    "greenlet": "gsched.executors:GreenletPoolExecutor",
    "gevent": "gsched.executors:GreenletPoolExecutor",
    "threadpool": "gsched.executors:ThreadPoolExecutor",
    "processpool": "gsched.executors:ProcessPoolExecutor",
}
STORES: Final = {
    "memory": "gsched.stores:MemoryJobStore",
    "mongodb": "gsched.stores:MongoDBJobStore",
}
SETTINGS: Final = (
    *("jobstores", "executors", "job_defaults", "timezone", "clock", "name", "modules", "functions", "run_events"),
    *("blocked_hub_after", "summary_every"),
)  # fmt: skip

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
        self._set_up(_merged(settings, prefix, options))

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
        self._set_up(_merged(gconfig or {}, prefix, options))

    def _set_up(self, settings: Mapping[str, Any]) -> None:
        for setting in settings:
            if setting not in SETTINGS:
                raise ConfigurationError(_unknown("setting", setting, SETTINGS))
        executors = {a: make_executor(v) for a, v in _table("executors", settings).items()}
        stores = {a: _part("jobstore", v, STORES) for a, v in _table("jobstores", settings).items()}
        defaults = _defaults(_table("job_defaults", settings))
        timezone = as_timezone(settings.get("timezone"))
        run_events = settings.get("run_events", "failures")
        if run_events not in RUN_EVENTS:
            raise ConfigurationError(f"run_events: expected one of {', '.join(RUN_EVENTS)}, got {run_events!r}")
        self.name = str(settings.get("name", "gsched"))
        self.timezone: tzinfo = timezone
        self.blocked_hub_after = _seconds_or_none(settings, "blocked_hub_after", 1.0)
        self.summary_every = _seconds_or_none(settings, "summary_every", 60.0)
        self._clock: Clock = settings.get("clock") or SystemClock()
        self._job_defaults = defaults
        self._allowed: AllowedFunctions = settings.get("functions") or AllowedFunctions(
            _modules(settings.get("modules", ()))
        )
        self._calls = CallChecker()
        self._executors, self._stores, self._implicit = Executors(), {}, {}
        self.log_runs(run_events)
        for alias, executor in executors.items():
            self.add_executor(executor, alias)
        for alias, store in stores.items():
            self.add_jobstore(store, alias)

    def log_runs(self, run_events: str) -> None:
        """Log these runs from now on: "all", "failures" or "none"."""
        self.run_events = run_events
        if self._log_sink is not None:
            self._bus.remove_listener(self._log_sink)
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
        if self._hub is not None:
            made.start(self._clock)
        made.alias = alias
        self._executors[alias] = made
        if self._hub is not None:
            self._hub.executor_added(alias)
        self._bus.emit(SchedulerEvent(events.EVENT_EXECUTOR_ADDED, alias))

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
            raise ConfigurationError(_unknown("executor", alias, self._executors)) from None
        if shutdown:
            self._let_go(executor.retire, events.EVENT_EXECUTOR_FAILED, alias)
        self._bus.emit(SchedulerEvent(events.EVENT_EXECUTOR_REMOVED, alias))

    def add_jobstore(self, jobstore: BaseJobStore | str, alias: str = "default", **options: Any) -> None:
        """Add a job store, before or after start.

        :param jobstore: a store, or the name of a type (memory, mongodb, a plugin's)
        :param options: arguments for that type
        :raises ConfigurationError: if the alias is taken, the store cannot be made or is in use elsewhere
        """
        made = _part("jobstore", {"type": jobstore, **options} if isinstance(jobstore, str) else jobstore, STORES)
        self._at_home(self._add_jobstore, made, alias)

    def _add_jobstore(self, made: BaseJobStore, alias: str) -> None:
        if alias in self._stores and alias not in self._implicit:
            raise ConfigurationError(f"jobstore: the alias {alias!r} is taken")
        refuse_if_started(alias, made)
        made.bind(alias, self._clock, self._allowed)
        if alias in self._implicit:
            self._hand_over(list(self._stores[alias].find(JobQuery())), self._implicit[alias], made)
            del self._implicit[alias]
        if self._hub is not None:
            self._hub.add_store(alias, made)
        self._stores[alias] = made
        self._bus.emit(SchedulerEvent(events.EVENT_JOBSTORE_ADDED, alias))

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
        farewell = self._farewells.spawn(self._see_off, self._hub, lane, shutdown)
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
            raise ConfigurationError(_unknown("jobstore", alias, self._stores)) from None

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

        :raises ConfigurationError: if `callback` cannot be called or `mask` is no mask of event codes
        """
        if not callable(callback):
            raise ConfigurationError(f"listener: {callback!r} is not callable")
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


def _merged(gconfig: Mapping[str, Any], prefix: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """One table of settings from dotted keys and from options, which win."""
    tree: dict[str, Any] = {}
    for key, value in gconfig.items():
        if prefix and not key.startswith(prefix):
            continue
        *path, last = key[len(prefix or "") :].split(".")
        branch = tree
        for step in path:
            branch = branch.setdefault(step, {})
            if not isinstance(branch, dict):
                raise ConfigurationError(f"{key}: {step!r} has a value of its own already")
        branch[last] = dict(value) if isinstance(value, Mapping) else value
    return tree | dict(options)


def _table(setting: str, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    table = settings.get(setting) or {}
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"{setting}: expected a mapping, got {table!r}")
    return table


def refuse_if_started(alias: str, store: BaseJobStore) -> None:
    """Raise ConfigurationError if a scheduler runs the jobs of this store: two would run each of them twice."""
    if store.started:
        raise ConfigurationError(
            f"jobstore {alias!r}: a scheduler runs this object, or it was removed and runs of its jobs have not ended;"
            " make one for each of them"
        )


def make_executor(value: Any) -> BaseExecutor:
    """An executor from an object, or from a mapping with its type and arguments. Raises ConfigurationError."""
    made: BaseExecutor = _part("executor", value, EXECUTORS)
    return made


def _part(kind: str, value: Any, builtin: Mapping[str, str]) -> Any:
    """An executor or store from an object, or from a mapping with its type (or class) and arguments."""
    base: type = BaseExecutor if kind == "executor" else BaseJobStore
    if isinstance(value, base):
        return value
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{kind}: expected a {base.__name__} or a mapping with its type, got {value!r}")
    arguments = dict(value)
    name = arguments.pop("class", None) or arguments.pop("type", None)
    part = _part_class(kind, name, builtin)
    try:
        made = part(**arguments)
    except TypeError as error:
        raise ConfigurationError(f"{kind} {name!r}: {refused_call(part, arguments, error)}") from None
    if not isinstance(made, base):
        raise ConfigurationError(f"{kind} {name!r}: {made!r} is not a {base.__name__}")
    return made


def _part_class(kind: str, name: Any, builtin: Mapping[str, str]) -> Any:
    if not isinstance(name, str):
        raise ConfigurationError(f"{kind}: 'type' is missing or not a text")
    plugins = {plugin.name: plugin.value for plugin in entry_points(group=f"gsched.{kind}s")}
    path = builtin.get(name) or plugins.get(name) or (name if ":" in name else None)
    if path is None:
        raise ConfigurationError(_unknown(f"{kind} type", name, [*builtin, *plugins]))
    module, _, attribute = path.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{kind} type {name!r} cannot be loaded: {error}") from error


def _defaults(options: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return checked_defaults(options)
    except InvalidJobError as error:
        raise ConfigurationError(f"job_defaults: {error}") from None


def checked_defaults(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The job fields that these options set. Settings files write everything as text: "true", "3".

    Raises InvalidJobError.
    """
    meant: dict[str, Any] = {}
    for option, value in defaults.items():
        if isinstance(value, str) and option == "coalesce" and value.lower() in ("true", "false"):
            value = value.lower() == "true"
        elif isinstance(value, str) and value.isdigit():
            value = int(value)
        meant[option] = value
    return checked_options(meant)


def _seconds_or_none(settings: Mapping[str, Any], setting: str, default: float) -> float | None:
    value = settings.get(setting, default)
    return None if value is None else as_seconds(value, setting)


def _modules(value: Any) -> list[str]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigurationError(f"modules: expected a list of module names, got {value!r}")
    return list(value)


def _unknown(what: str, name: object, known: Iterable[str]) -> str:
    return f"{what} {name!r} is unknown{did_you_mean(name, known)}"
