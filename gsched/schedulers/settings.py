"""The settings of a scheduler: plain values, as in settings files, checked and turned into components."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import tzinfo
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from gsched.errors import ConfigurationError, InvalidJobError
from gsched.events.log import RUN_EVENTS
from gsched.executors import BaseExecutor
from gsched.jobs.funcref import AllowedFunctions
from gsched.jobs.limits import GroupLimit, checked_limit
from gsched.jobs.options import OPTIONS, checked_options
from gsched.stores import BaseJobStore
from gsched.times.clock import Clock, SystemClock
from gsched.times.durations import as_seconds
from gsched.times.instants import as_timezone
from gsched.wording import did_you_mean, refused_call, shown_with_type

if TYPE_CHECKING:
    from gsched.notices import Notifier

EXECUTORS: Final = {
    "asyncio": "gsched.executors.asyncio:AsyncIOExecutor",
    "greenlet": "gsched.executors:GreenletPoolExecutor",
    "gevent": "gsched.executors:GreenletPoolExecutor",
    "threadpool": "gsched.executors:ThreadPoolExecutor",
    "processpool": "gsched.executors:ProcessPoolExecutor",
}
STORES: Final = {
    "memory": "gsched.stores:MemoryJobStore",
    "mongodb": "gsched.stores:MongoDBJobStore",
    "sql": "gsched.stores:SQLJobStore",
    "sqlalchemy": "gsched.stores:SQLAlchemyJobStore",
}
_PUBLIC_URL: Final = re.compile(r"https?://[^\s?#@]+")
_DECIMAL: Final = re.compile(r"\d+\.\d+")
_OF_LIMITS: Final = {"concurrency": None, "rate": None, "burst": None}.keys()


@dataclass(frozen=True)
class SchedulerSettings:
    """The checked settings of a scheduler: see GeventScheduler."""

    executors: Mapping[str, BaseExecutor]
    jobstores: Mapping[str, BaseJobStore]
    job_defaults: Mapping[str, Any]
    limits: Sequence[GroupLimit]
    timezone: tzinfo
    run_events: str
    name: str
    blocked_hub_after: float | None
    summary_every: float | None
    clock: Clock
    functions: AllowedFunctions
    notifiers: Mapping[str, Notifier]
    public_url: str | None

    @classmethod
    def read(cls, gconfig: Mapping[str, Any], prefix: str | None, options: Mapping[str, Any]) -> SchedulerSettings:
        """Read dotted keys that begin with `prefix`, and settings by name, which win.

        Raises ConfigurationError for a setting that is unknown or cannot work.
        """
        settings = _merged(gconfig, prefix, options)
        known = [field.name for field in fields(cls)] + ["modules"]
        for setting in settings:
            if setting not in known:
                raise ConfigurationError(_instead(setting) or unknown("setting", setting, known))
        return cls(
            executors={alias: make_executor(value) for alias, value in _table("executors", settings).items()},
            jobstores={alias: make_jobstore(value) for alias, value in _table("jobstores", settings).items()},
            job_defaults=_defaults(_table("job_defaults", settings)),
            limits=[_limit(pattern, value) for pattern, value in _table("limits", settings).items()],
            timezone=as_timezone(settings.get("timezone")),
            run_events=_run_events(settings.get("run_events", "failures")),
            name=str(settings.get("name", "gsched")),
            blocked_hub_after=_seconds_or_none(settings, "blocked_hub_after", 1.0),
            summary_every=_seconds_or_none(settings, "summary_every", 60.0),
            clock=settings.get("clock") or SystemClock(),
            functions=settings.get("functions") or AllowedFunctions(_modules(settings.get("modules", ()))),
            notifiers=_notifiers(settings.get("notifiers") or ()),
            public_url=_public_url(settings.get("public_url")),
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


def _instead(setting: str) -> str | None:
    """What to write for a setting that APScheduler's users may try; None for others."""
    if setting in OPTIONS:
        return f"setting {setting!r}: it is an option of jobs; write job_defaults={{{setting!r}: ...}}"
    if setting == "daemon":
        return "setting 'daemon': BackgroundScheduler has it; this scheduler has no thread of its own"
    return None


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
    """A job store, in the same way."""
    made: BaseJobStore = _part("jobstore", value, STORES)
    return made


def _part(kind: str, value: Any, builtin: Mapping[str, str]) -> Any:
    """An executor or store from an object, or from a mapping with its type (or class) and arguments."""
    base: type = BaseExecutor if kind == "executor" else BaseJobStore
    if isinstance(value, base):
        return value
    if not isinstance(value, Mapping):
        found = shown_with_type(value)
        raise ConfigurationError(f"{kind}: expected a {base.__name__} or a mapping with its type, got {found}")
    arguments = dict(value)
    name = arguments.pop("class", None) or arguments.pop("type", None)
    part = _part_class(kind, name, builtin)
    try:
        made = part(**arguments)
    except TypeError as error:
        raise ConfigurationError(f"{kind} {name!r}: {refused_call(part, arguments, error)}") from None
    if not isinstance(made, base):
        raise ConfigurationError(f"{kind} {name!r}: {shown_with_type(made)}, is not a {base.__name__}")
    return made


def _part_class(kind: str, name: Any, builtin: Mapping[str, str]) -> Any:
    if not isinstance(name, str):
        raise ConfigurationError(f"{kind}: 'type' is missing or not a text")
    from importlib.metadata import entry_points  # slow to import, and few programs have any

    plugins = {plugin.name: plugin.value for plugin in entry_points(group=f"gsched.{kind}s")}
    path = builtin.get(name) or plugins.get(name) or (name if ":" in name else None)
    if path is None:
        known = [*builtin, *plugins]
        there_are = did_you_mean(name, known) or f"; there are {', '.join(known)}"
        raise ConfigurationError(f"{kind} type {name!r} is unknown{there_are}")
    module, _, attribute = path.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{kind} type {name!r} cannot be loaded: {error}") from error


def _limit(pattern: str, value: Any) -> GroupLimit:
    """A limit of groups from a mapping. Settings files write everything as text."""
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"limits: {pattern!r}: expected a mapping with {', '.join(_OF_LIMITS)}, got {value!r}")
    for key in value:
        if key not in _OF_LIMITS:
            hint = did_you_mean(str(key), _OF_LIMITS) or f"; there are {', '.join(_OF_LIMITS)}"
            raise ConfigurationError(f"limits: {pattern!r}: {key!r} is unknown{hint}")
    return checked_limit(pattern, **{name: _number(each) for name, each in value.items()})


def _number(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return int(value) if value.isdecimal() else float(value) if _DECIMAL.fullmatch(value) else value


def _defaults(options: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return checked_defaults(options)
    except InvalidJobError as error:
        raise ConfigurationError(f"job_defaults: {error}") from None


def checked_defaults(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The job fields that these options set. Settings files write everything as text: "true", "3", "1.5".

    Raises InvalidJobError.
    """
    meant: dict[str, Any] = {}
    for option, value in defaults.items():
        if isinstance(value, str) and option in ("coalesce", "recover") and value.lower() in ("true", "false"):
            value = value.lower() == "true"
        elif isinstance(value, str) and value.isdigit():
            value = int(value)
        elif isinstance(value, str) and option in ("retry_backoff", "retry_jitter") and _DECIMAL.fullmatch(value):
            value = float(value)
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


def _notifiers(value: Any) -> dict[str, Notifier]:
    """The notifiers by name."""
    if not value:
        return {}
    from gsched.notices import Notifier  # few programs have any

    found: dict[str, Notifier] = {}
    for each in [value] if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable) else value:
        if not isinstance(each, Notifier):
            raise ConfigurationError(f"notifiers: expected a list of Notifier objects, got {type(each).__name__}")
        if each.name in found:
            raise ConfigurationError(f"notifiers: two of them have the name {each.name!r}")
        found[each.name] = each
    return found


def _public_url(value: Any) -> str | None:
    return None if value is None else checked_public_url("public_url", value)


def checked_public_url(what: str, value: Any) -> str:
    """Where people reach the dashboard. Raises ConfigurationError, naming it by `what`, unless it can be in links."""
    if not isinstance(value, str) or not _PUBLIC_URL.fullmatch(value):
        raise ConfigurationError(f"{what}: expected a URL such as https://jobs.example.com, got {value!r}")
    return value


def unknown(what: str, name: object, known: Iterable[str]) -> str:
    """The message about an unknown name."""
    return f"{what} {name!r} is unknown{did_you_mean(name, known)}"
