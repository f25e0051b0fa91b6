"""Reads gsched.toml, the environment and flags into a Configuration."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from gsched.config.settings import Configuration, Setting, settings
from gsched.errors import ConfigurationError
from gsched.files.text import read_text
from gsched.wording import did_you_mean

_SECTIONS: Final = (
    "; the sections are gsched, web, store, store.history, executors, defaults, command_defaults, limit, notify,"
    " log and [[job]]"
)
_ELSEWHERE: Final = {
    **dict.fromkeys(("jobs", "tasks", "task", "schedule", "cron"), "; write [[job]] for each of them"),
    **dict.fromkeys(("mongodb", "database", "db", "jobstores"), '; write url = "mongodb://..." in [store]'),
    **dict.fromkeys(("scheduler", "general", "settings", "main"), "; such settings are in [gsched]"),
    **dict.fromkeys(("logging", "logs"), "; write [log]"),
    **dict.fromkeys(("limits", "group", "groups", "rate_limit", "rate_limits"), '; write [limit."host:*"]'),
    **dict.fromkeys(("notifier", "notifiers", "notifications", "alerts", "mail", "smtp"), '; write [notify.NAME]'),
    **dict.fromkeys(("log.file", "log.path", "log.output"), "; log lines go to standard error: redirect it"),
}
_TAKEN_OVER: Final = frozenset({"jobs", "limits", "log_level", "log_format", "drain_timeout"})


def read_configuration(
    path: str | os.PathLike[str] | None = None,
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Configuration:
    """The configuration. Flags win over environment variables, and environment variables over the file.

    The store's place (url, embedded, embedded_mongodb or memory) comes from the strongest source that names one.

    :param path: a TOML file; None: no file
    :param flags: the options of the command line, by the names of Configuration's fields
    :param environment: default: the process's own
    :raises ConfigurationError: for a file that cannot be read or is not TOML; for unknown keys and wrong values, with a
        line for each
    """
    configuration = read_what_is_right(path, flags, environment)
    if configuration.problems:
        raise ConfigurationError("\n".join(configuration.problems))
    return configuration


def read_what_is_right(
    path: str | os.PathLike[str] | None = None,
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Configuration:
    """The same as `read_configuration` gives, but without keys of the file that are wrong; `problems` lists these.

    Raises ConfigurationError for a file that cannot be read or is not TOML, and for wrong flags and variables.
    """
    problems: list[str] = []
    from_file = dict(_from_file(Path(path), problems)) if path is not None else {}
    from_environment = dict(_from_environment(os.environ if environment is None else environment))
    given = flags or {}
    from_flags = {s.name: s.read(s.flags[-1], given[s.name]) for s in settings() if s.name in given}
    merged: dict[str, Any] = {}
    for source, where, named in (
        (from_file, f"{path}: ", attrgetter("key")),
        (from_environment, "", attrgetter("variable")),
        (from_flags, "", lambda setting: setting.flags[-1]),
    ):
        places = [setting for setting in settings() if setting.name in _PLACES and source.get(setting.name)]
        if len(places) > 1:
            names = " and ".join(map(named, places))
            raise ConfigurationError(f"{where}{names} exclude each other: name one place")
        if places:
            merged = {name: value for name, value in merged.items() if name not in _PLACES}
        merged |= source
    return Configuration(
        path=None if path is None else str(path),
        problems=tuple(problems),
        given=frozenset(merged),
        flags=MappingProxyType(from_flags),
        **merged,
    )


def read_again(configuration: Configuration) -> Configuration:
    """The configuration, read again from its file and the environment. The flags stay as they were.

    Raises ConfigurationError.
    """
    return read_configuration(configuration.path, configuration.flags)


def taken_over(running: Configuration, wanted: Configuration) -> tuple[Configuration, set[str]]:
    """The settings that a running process takes over from a new configuration, and those that need a restart.

    A setting that needs a restart keeps its old value everywhere: declared jobs, too, keep the old name and zone.
    """
    differing = {each.name for each in settings() if getattr(running, each.name) != getattr(wanted, each.name)}
    taken = {name: getattr(wanted, name) for name in _TAKEN_OVER}
    return replace(running, **taken), differing - _TAKEN_OVER


def origin(configuration: Configuration, name: str) -> str:
    """The place that a field's value comes from, for messages."""
    setting = _setting_of(name)
    if comes_from_file(configuration, name):
        return f"{configuration.path}: {setting.key}"
    return setting.flags[-1] if name in configuration.flags else str(setting.variable)


def comes_from_file(configuration: Configuration, name: str) -> bool:
    """True if neither the command line nor the environment sets the field."""
    return name not in configuration.flags and _setting_of(name).variable not in os.environ


def _setting_of(name: str) -> Setting:
    return next(setting for setting in settings() if setting.name == name)


def with_flags(configuration: Configuration, **flags: Any) -> Configuration:
    """The configuration with further options of the command line, by the names of its fields."""
    return replace(
        configuration,
        given=configuration.given | flags.keys(),
        flags=MappingProxyType({**configuration.flags, **flags}),
        **flags,
    )


_PLACES = ("store", "embedded", "embedded_mongodb", "memory")


def _from_environment(environment: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for setting in settings():
        if setting.variable is not None and setting.variable in environment:
            yield setting.name, setting.read(setting.variable, environment[setting.variable])


def _from_file(path: Path, problems: list[str]) -> Iterator[tuple[str, Any]]:
    try:
        content = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from error
    known = {setting.key: setting for setting in settings()}
    for key, value in _leaves(content, known, ""):
        try:
            if key not in known:
                raise ConfigurationError(_unknown(key, known))
            yield known[key].name, known[key].read(key, value)
        except ConfigurationError as error:
            problems.append(f"{path}: {error}")


def _leaves(table: Mapping[str, Any], known: Mapping[str, Setting], prefix: str) -> Iterator[tuple[str, Any]]:
    """The settings in a table, by their whole keys. A table that is no setting is a section."""
    sections = {".".join(key.split(".")[:depth]) for key in known for depth in range(1, key.count(".") + 1)}
    for name, value in table.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and key in sections:
            yield from _leaves(value, known, f"{key}.")
        else:
            yield key, value


def _unknown(key: str, known: Iterable[str]) -> str:
    near = did_you_mean(key, known, cutoff=0.5)
    return f"the key {key!r} is unknown{_ELSEWHERE.get(key) or near or _SECTIONS}"
