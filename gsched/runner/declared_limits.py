"""Declared limits: the [limit] sections of the configuration file, and the store's limits that come from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from gsched.config import Configuration
from gsched.errors import ConfigurationError, LimitNotFoundError
from gsched.jobs.limits import GroupLimit, checked_limit, checked_pattern
from gsched.runner.problems import Problems
from gsched.schedulers.engine import engine_of
from gsched.schedulers.gevent import GeventScheduler
from gsched.schedulers.group_limits import remove_limit, set_limit
from gsched.wording import did_you_mean

_KEYS: Final = ("concurrency", "rate", "burst")
_STORE: Final = "default"  # a file declares limits for this job store alone


def read_limits(configuration: Configuration) -> list[GroupLimit]:
    """The limits that the configuration declares, checked.

    Raises ConfigurationError, with a line for each section that is wrong.
    """
    found, wrong = list[GroupLimit](), Problems()
    for pattern, table in configuration.limits.items():
        with wrong.collect(f"{configuration.path}: "):
            found.append(replace(_read(pattern, table), declared_by=configuration.name))
    wrong.complain()
    return found


def _read(pattern: str, table: Any) -> GroupLimit:
    if not isinstance(table, Mapping):
        raise ConfigurationError(f'limit: expected a section for each group, such as [limit."host:*"], got {pattern!r}')
    checked_pattern("limit", pattern)
    for key, value in table.items():
        if isinstance(value, Mapping):
            raise ConfigurationError(f'limit {pattern!r}: {key!r} is a section; a name with a dot needs quotes')
        if key not in _KEYS:
            raise ConfigurationError(f"limit {pattern!r}: the key {key!r} is unknown{did_you_mean(key, _KEYS)}")
    return checked_limit(pattern, **table)


def write_limits(scheduler: GeventScheduler, declared: Sequence[GroupLimit], owner: str) -> dict[str, int]:
    """Give the store these limits, and remove the limits that an earlier version of the file declared.

    :param owner: the name of the scheduler whose file declares the limits
    :return: how many limits were set, removed and left unchanged
    :raises ConfigurationError: if somebody else has set a limit with the pattern of a declared one
    """
    engine, stored = engine_of(scheduler), scheduler.get_limits(_STORE).by_pattern
    for limit in declared:
        known = stored.get(limit.pattern)
        if known is not None and known.declared_by != owner:
            raise ConfigurationError(
                f"limit {limit.pattern!r}: it was set by {known.declared_by or 'other means'} already; remove either "
                f"the section or that limit (gsched limit remove {limit.pattern!r})"
            )
    wanted = {limit.pattern: limit for limit in declared}
    changed = [limit for limit in declared if stored.get(limit.pattern) != limit]
    removed = [known for known in stored.values() if known.declared_by == owner and known.pattern not in wanted]
    for limit in changed:
        engine.call(set_limit, engine, limit, _STORE)
    for known in removed:
        with suppress(LimitNotFoundError):  # another runner of this file has removed it
            engine.call(remove_limit, engine, known.pattern, _STORE)
    return {"set": len(changed), "removed": len(removed), "unchanged": len(declared) - len(changed)}
