"""The options of a job, and the check of each value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from gsched.checks import checked_whole
from gsched.errors import ConfigurationError, InvalidJobError
from gsched.jobs.job import NOTHING
from gsched.jobs.policy import NO_POLICY, Policy
from gsched.jobs.policy_options import POLICY_OPTIONS, changed_policy
from gsched.times.durations import as_ms, as_seconds
from gsched.wording import did_you_mean

_HALF_CHARACTER: Final = re.compile("[\ud800-\udfff]")


def checked_text(what: str, value: object) -> str:
    """The value. Raises InvalidJobError, naming it by `what`, unless it is Unicode text that is not empty.

    The name of a file that is not UTF-8 becomes text with halves of characters; no store and no metric can express it.
    """
    if not isinstance(value, str) or not value:
        raise InvalidJobError(f"{what}: expected a text that is not empty, got {value!r}")
    if not value.isascii() and _HALF_CHARACTER.search(value):
        raise InvalidJobError(f"{what}: expected Unicode text, got {value!r}")
    return value


def checked_args(args: object) -> tuple[Any, ...]:
    """Positional arguments as a tuple, empty for None. Raises InvalidJobError for text and for no iterable."""
    if args is None:
        return ()
    if isinstance(args, (str, bytes)) or not isinstance(args, Iterable):
        raise InvalidJobError(f"args: expected a list or tuple, got {args!r}")
    return tuple(args)


def checked_kwargs(kwargs: object) -> Mapping[str, Any]:
    """Keyword arguments as a frozen mapping, empty for None. Raises InvalidJobError unless the keys are texts."""
    if not kwargs and (kwargs is None or isinstance(kwargs, Mapping)):
        return NOTHING
    if not isinstance(kwargs, Mapping) or not all(isinstance(key, str) for key in kwargs):
        raise InvalidJobError(f"kwargs: expected a mapping with text keys, got {kwargs!r}")
    return MappingProxyType(dict(kwargs))


def checked_flag(what: str, value: object) -> bool:
    """The value. Raises InvalidJobError, naming it by `what`, unless it is True or False."""
    if not isinstance(value, bool):
        raise InvalidJobError(f"{what}: expected True or False, got {value!r}")
    return value


def _max_instances(what: str, value: object) -> int:
    return checked_whole(what, value, 1, InvalidJobError)


def _tags(what: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InvalidJobError(f"{what}: expected a list of texts, got {value!r}")
    return tuple(checked_text(what, tag) for tag in value)


def _metadata(what: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidJobError(f"{what}: expected a mapping, got {value!r}")
    return MappingProxyType(dict(value)) if value else NOTHING


def _grace_ms(what: str, value: Any) -> int | None:
    return None if value is None else as_ms(value, what)


def _timeout_seconds(what: str, value: Any) -> float | None:
    return None if value is None else as_seconds(value, what)


# What users may set besides the function, its arguments and the trigger: the field of the job or, for those in
# POLICY_OPTIONS, of its policy, and the check of the value.
OPTIONS: Final[Mapping[str, tuple[str, Callable[[str, Any], Any]]]] = {
    "executor": ("executor", checked_text),
    "jobstore": ("jobstore", checked_text),
    "misfire_grace_time": ("misfire_grace_ms", _grace_ms),
    "coalesce": ("coalesce", checked_flag),
    "max_instances": ("max_instances", _max_instances),
    "timeout": ("timeout_seconds", _timeout_seconds),
    "tags": ("tags", _tags),
    "metadata": ("metadata", _metadata),
    **POLICY_OPTIONS,
}


def checked_options(options: Mapping[str, Any], policy: Policy = NO_POLICY) -> dict[str, Any]:
    """The job fields that these options set. Raises InvalidJobError for an unknown option, naming the nearest.

    :param policy: the job's policy, whose other options are kept
    """
    fields: dict[str, Any] = {}
    changes: dict[str, Any] = {}
    for option, value in options.items():
        try:
            name, check = OPTIONS[option]
        except KeyError:
            hint = did_you_mean(option, [*OPTIONS, "id", "name", "args", "kwargs"])
            raise InvalidJobError(f"unknown option {option!r}{hint}") from None
        try:
            (changes if option in POLICY_OPTIONS else fields)[name] = check(option, value)
        except ConfigurationError as error:
            raise InvalidJobError(str(error)) from None
    if changes:
        fields["policy"] = changed_policy(policy, changes)
    return fields
