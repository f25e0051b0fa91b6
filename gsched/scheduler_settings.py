"""A scheduler's settings: plain values, as settings files have them, checked and turned into its parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import tzinfo
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Final

from gsched.clock import Clock, SystemClock
from gsched.durations import as_seconds
from gsched.errors import ConfigurationError, InvalidJobError
from gsched.executors import BaseExecutor
from gsched.funcref import AllowedFunctions
from gsched.instants import as_timezone
from gsched.job import checked_options
from gsched.log import RUN_EVENTS
from gsched.spelling import did_you_mean
from gsched.stores import BaseJobStore
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


@dataclass(frozen=True)
class SchedulerSettings:
    """What a scheduler is set up with: see GeventScheduler."""

    executors: Mapping[str, BaseExecutor]
    jobstores: Mapping[str, BaseJobStore]
    job_defaults: Mapping[str, Any]
    timezone: tzinfo
    run_events: str
    name: str
    blocked_hub_after: float | None
    summary_every: float | None
    clock: Clock
    functions: AllowedFunctions

    @classmethod
    def read(cls, gconfig: Mapping[str, Any], prefix: str | None, options: Mapping[str, Any]) -> SchedulerSettings:
        """From dotted keys that begin with `prefix`, and from settings by name, which win. Raises ConfigurationError
        for one that is unknown or cannot work."""
        settings = _merged(gconfig, prefix, options)
        known = [field.name for field in fields(cls)] + ["modules"]
        for setting in settings:
            if setting not in known:
                raise ConfigurationError(unknown("setting", setting, known))
        return cls(
            executors={alias: make_executor(value) for alias, value in _table("executors", settings).items()},
            jobstores={alias: make_jobstore(value) for alias, value in _table("jobstores", settings).items()},
            job_defaults=_defaults(_table("job_defaults", settings)),
            timezone=as_timezone(settings.get("timezone")),
            run_events=_run_events(settings.get("run_events", "failures")),
            name=str(settings.get("name", "gsched")),
            blocked_hub_after=_seconds_or_none(settings, "blocked_hub_after", 1.0),
            summary_every=_seconds_or_none(settings, "summary_every", 60.0),
            clock=settings.get("clock") or SystemClock(),
            functions=settings.get("functions") or AllowedFunctions(_modules(settings.get("modules", ()))),
        )


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


def make_executor(value: Any) -> BaseExecutor:
    """An executor from an object, or from a mapping with its type and arguments. Raises ConfigurationError."""
    made: BaseExecutor = _part("executor", value, EXECUTORS)
    return made


def make_jobstore(value: Any) -> BaseJobStore:
    """The same of a job store."""
    made: BaseJobStore = _part("jobstore", value, STORES)
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
        raise ConfigurationError(unknown(f"{kind} type", name, [*builtin, *plugins]))
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


def _run_events(value: Any) -> str:
    if value not in RUN_EVENTS:
        raise ConfigurationError(f"run_events: expected one of {', '.join(RUN_EVENTS)}, got {value!r}")
    return str(value)


def _seconds_or_none(settings: Mapping[str, Any], setting: str, default: float) -> float | None:
    value = settings.get(setting, default)
    return None if value is None else as_seconds(value, setting)


def _modules(value: Any) -> list[str]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigurationError(f"modules: expected a list of module names, got {value!r}")
    return list(value)


def unknown(what: str, name: object, known: Iterable[str]) -> str:
    """The message about a name that is not known."""
    return f"{what} {name!r} is unknown{did_you_mean(name, known)}"
