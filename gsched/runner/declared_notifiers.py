"""Reads the [notify.NAME] sections of the configuration file: gives notifiers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any, Final

from gsched.config import Configuration
from gsched.errors import ConfigurationError
from gsched.files.text import read_text
from gsched.notices import Command, Mail, Notifier, Ping, Sendmail, Sentry, WebHook
from gsched.notices.channels.channel import Channel, PerRunChannel
from gsched.runner.application import load_application
from gsched.runner.commands import withhold
from gsched.runner.problems import Problems
from gsched.schedulers.engine import engine_of
from gsched.wording import did_you_mean

TYPES: Final[Mapping[str, Callable[..., Channel | PerRunChannel]]] = {
    "mail": Mail,
    "sendmail": Sendmail,
    "webhook": WebHook,
    "command": Command,
    "sentry": Sentry,
    "ping": Ping,
}
_OF_NOTIFIER: Final = ("events", "jobs", "tags", "groups", "all_jobs", "every")
_SECRET: Final = ("password", "secret", "dsn")  # options whose values the configuration file may not hold
_FROM: Final = ("file", "env")


def read_notifiers(configuration: Configuration) -> dict[str, Notifier]:
    """The notifiers that the configuration declares, by name. Reads their secrets from files and variables.

    Raises ConfigurationError with a line for each section that has a mistake. No line shows a secret.
    """
    found, wrong = dict[str, Notifier](), Problems()
    for name, table in configuration.notifiers.items():
        with wrong.collect(f"{configuration.path}: notify.{name}: "):
            found[name] = _read(name, table)
    wrong.complain()
    return found


def known_notifiers(configuration: Configuration) -> dict[str, Notifier]:
    """The notifiers that the configuration declares, and those of the application's scheduler, by name.

    Raises ConfigurationError as `read_notifiers` does.
    """
    application = None if configuration.app is None else load_application(configuration.app)
    own = {} if application is None else engine_of(application).notifiers
    return {**own, **read_notifiers(configuration)}


def _read(name: str, table: Any) -> Notifier:
    if not isinstance(table, Mapping):
        raise ConfigurationError("expected a section for each notifier, such as [notify.ops]")
    kind = table.get("type")
    if not isinstance(kind, str) or kind not in TYPES:
        hint = did_you_mean(kind, TYPES) or f"; there are {', '.join(TYPES)}"
        raise ConfigurationError(f"type: {kind!r} is unknown{hint}")
    make, options = TYPES[kind], {}
    known = [each.name for each in signature(make).parameters.values() if each.name != "clock"]
    for key, value in table.items():
        option, source = _secret_source(key, known)
        if key in ("type", *_OF_NOTIFIER):
            continue
        if option in options:
            raise ConfigurationError(f"{key}: another key gives {option} already; write one of them")
        if source is not None:
            options[option] = _read_secret(key, source, value)
        elif key in _SECRET and key in known:
            raise ConfigurationError(f"{key}: the file may not hold secrets; write {key}_file or {key}_env")
        elif key in known:
            options[key] = value
        else:
            raise ConfigurationError(f"the key {key!r} is unknown{did_you_mean(key, _keys(known))}")
    for parameter in signature(make).parameters.values():
        if parameter.default is Parameter.empty and parameter.name not in options:
            raise ConfigurationError(f"the key {parameter.name!r} is missing")
    return Notifier(name, make(**options), **{key: table[key] for key in _OF_NOTIFIER if key in table})


def _keys(known: list[str]) -> list[str]:
    secret = [f"{key}_{source}" for key in (*_SECRET, "url") if key in known for source in _FROM]
    return ["type", *_OF_NOTIFIER, *(key for key in known if key not in _SECRET), *secret]


def _secret_source(key: str, known: list[str]) -> tuple[str, str | None]:
    """The option that a key sets, and "file" or "env" if the value is read from a file or a variable."""
    option, _, source = key.rpartition("_")
    if source in _FROM and option in known and option in (*_SECRET, "url"):
        return option, source
    return key, None


def _read_secret(key: str, source: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{key}: expected a text, got {value!r}")
    if source == "file":
        try:
            secret = read_text(value).strip()
        except ConfigurationError as error:
            raise ConfigurationError(f"{key}: {error}") from None
    elif value in os.environ:
        secret = os.environ[value].strip()
        withhold(value)
    else:
        raise ConfigurationError(f"{key}: the environment has no variable {value!r}")
    if not secret:
        raise ConfigurationError(f"{key}: {value!r} is empty")
    return secret
