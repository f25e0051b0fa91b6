"""Reads the values of settings: each function takes the setting's key and the written value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from gsched.checks import written_whole
from gsched.errors import ConfigurationError
from gsched.times.durations import as_seconds
from gsched.times.instants import as_timezone


def text(key: str, value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{key}: expected a text, got {value!r}")
    return value


def secret_text(key: str, value: Any) -> str:
    """A text that is not empty, and that no message shows."""
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{key}: expected a text")
    return value


def zone_name(key: str, value: Any) -> str:
    """The name of a time zone."""
    try:
        as_timezone(text(key, value))
    except ConfigurationError as error:
        raise ConfigurationError(f"{key}: {str(error).removeprefix('timezone: ')}") from None
    return str(value)


def name_without(characters: str) -> Callable[[str, Any], str]:
    """A reader of texts without these characters, which MongoDB does not allow."""

    def read(key: str, value: Any) -> str:
        if set(characters).intersection(name := text(key, value)):
            raise ConfigurationError(f"{key}: expected a name without any of {characters}, got {value!r}")
        return name

    return read


def texts(key: str, value: Any) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(value, (list, tuple)):
        raise ConfigurationError(f"{key}: expected a list of texts, got {value!r}")
    return tuple(text(key, each) for each in value)


def listed_texts(key: str, value: Any) -> tuple[str, ...]:
    """A list of texts; on the command line and in variables they are separated by commas."""
    if isinstance(value, str):
        return tuple(each.strip() for each in value.split(",") if each.strip())
    return texts(key, value)


def whole_number(key: str, value: Any) -> int:
    """A whole number, at least 1."""
    return written_whole(key, value, 1)


def switch(key: str, value: Any) -> bool:
    """True or false; in environment variables as text."""
    meant = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if isinstance(value, str) and value.lower() in meant:
        return meant[value.lower()]
    if not isinstance(value, bool):
        raise ConfigurationError(f"{key}: expected true or false, got {value!r}")
    return value


def duration(key: str, value: Any) -> float:
    """Seconds, from a number of seconds, the same as text, or text such as "25s"."""
    return as_seconds(_number_or_text(value), key)


def optional_duration(key: str, value: Any) -> float | None:
    """Seconds, or None for "never"."""
    return None if value == "never" else duration(key, value)


def choice(*names: str) -> Callable[[str, Any], str]:
    """One of these names."""

    def read(key: str, value: Any) -> str:
        if value not in names:
            raise ConfigurationError(f"{key}: expected one of {', '.join(names)}, got {value!r}")
        return str(value)

    return read


def history_successes(key: str, value: Any) -> str | int:
    """"none", "all", or the N of "sampled:N"."""
    if value in ("none", "all"):
        return str(value)
    how, _, every = str(value).partition(":")
    if how != "sampled" or not every.isdecimal() or int(every) < 1:
        raise ConfigurationError(f"{key}: expected none, all or sampled:N, got {value!r}")
    return int(every)


def recent_outcomes(key: str, value: Any) -> int:
    """How many last outcomes are kept: 32, for which there is room, or 0."""
    from gsched.history.recent import KEPT  # imports much, and few set this

    if str(value) not in ("0", str(KEPT)):
        raise ConfigurationError(f"{key}: expected {KEPT} or 0, got {value!r}")
    return int(value)


def public_url(key: str, value: Any) -> str:
    """A URL that links can begin with."""
    from gsched.schedulers.settings import checked_public_url  # imports much, and few set this

    return checked_public_url(key, value)


def free_table(key: str, value: Any) -> Mapping[str, Any]:
    """A table whose content is checked elsewhere."""
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{key}: expected a table, got {value!r}")
    return MappingProxyType(dict(value))


def tables(key: str, value: Any) -> tuple[Mapping[str, Any], ...]:
    """A list of tables: [[job]]."""
    if isinstance(value, Mapping):
        raise ConfigurationError(f"{key}: write [[{key}]], in two pairs of brackets, for each entry")
    if not isinstance(value, (list, tuple)):
        raise ConfigurationError(f"{key}: expected [[{key}]] entries, got {value!r}")
    return tuple(free_table(key, each) for each in value)


def _number_or_text(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
