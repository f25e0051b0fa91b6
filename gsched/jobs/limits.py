"""Limits of groups: how many runs of a group's jobs may be in progress at once, and how many may begin in a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from gsched.checks import checked_whole
from gsched.errors import ConfigurationError, GroupNotPausedError, GschedError, LimitNotFoundError
from gsched.jobs.pause import Pause

LONGEST_GROUP: Final = 200  # bytes
LONGEST_PERIOD_MS: Final = 86_400_000  # between two starts: a limit of one a day

_RATE: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*(s|sec|second|m|min|minute|h|hour|d|day)\s*")
_UNITS_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass(frozen=True, slots=True)
class GroupLimit:
    """What the groups that match a pattern may do. Each group it matches has the limit for itself.

    :ivar pattern: a group, or the beginning of groups with "*" at its end
    :ivar concurrency: how many runs may be in progress at once; None: any number
    :ivar period_ms: one run may begin in so many ms, on average; None: any number
    :ivar burst: so many runs may begin at once, after a time in which fewer began
    :ivar declared_by: the name of the scheduler whose configuration file has the limit; None if none has
    """

    pattern: str
    concurrency: int | None = None
    period_ms: float | None = None
    burst: int = 1
    declared_by: str | None = None

    @property
    def rate(self) -> float | None:
        """How many runs may begin in a second, on average; None: any number."""
        return None if self.period_ms is None else 1000 / self.period_ms

    @property
    def rate_text(self) -> str | None:
        """The rate as people write it, such as "10/s" or "2/h"; None: any number of runs may begin."""
        return None if self.period_ms is None else rate_text(self.period_ms)

    def words(self) -> str:
        """The limit in words, such as "4 at once, 10/s in bursts of 20"."""
        words = [] if self.concurrency is None else [f"{self.concurrency} at once"]
        if self.period_ms is not None:
            words.append(f"{self.rate_text}{'' if self.burst == 1 else f' in bursts of {self.burst}'}")
        return ", ".join(words)

    def matches(self, group: str) -> bool:
        """True if this limit is one for the group."""
        return matches(self.pattern, group)


class GroupLimits:
    """The limits and pauses of a store's groups, as they are at one moment.

    :param limits: at most one for each pattern
    :param pauses: the pauses of groups, by pattern
    """

    def __init__(self, limits: Iterable[GroupLimit] = (), pauses: Mapping[str, Pause] | None = None) -> None:
        self.by_pattern: Final[Mapping[str, GroupLimit]] = {limit.pattern: limit for limit in limits}
        self.pauses: Final[Mapping[str, Pause]] = dict(pauses or {})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GroupLimits):
            return NotImplemented
        return self.by_pattern == other.by_pattern and self.pauses == other.pauses

    __hash__ = None  # type: ignore[assignment]

    def of(self, group: str) -> GroupLimit | None:
        """The limit of this group: that of the longest pattern that matches; None if none does."""
        exact = self.by_pattern.get(group)
        if exact is not None:
            return exact
        return max(
            (limit for limit in self.by_pattern.values() if limit.matches(group)),
            key=lambda limit: len(limit.pattern),
            default=None,
        )

    def pause_of(self, group: str, now: int) -> Pause | None:
        """The pause of this group at `now` (ms): that of the longest pattern that matches; None if it is not paused."""
        pauses = [name for name in self.paused_patterns(group) if self.pauses[name].holds(now)]
        return self.pauses[max(pauses, key=len)] if pauses else None

    def paused_patterns(self, group: str) -> list[str]:
        """The patterns that match this group and have a pause, which may be over."""
        return [name for name in self.pauses if matches(name, group)]


    def with_limits(self, limits: Iterable[GroupLimit]) -> GroupLimits:
        """A copy with these limits added, or put in place of limits with the same patterns."""
        return GroupLimits({**self.by_pattern, **{limit.pattern: limit for limit in limits}}.values(), self.pauses)

    def without_limit(self, pattern: str) -> GroupLimits:
        """A copy without the limit of this pattern. Raises LimitNotFoundError."""
        if pattern not in self.by_pattern:
            raise LimitNotFoundError(pattern)
        return GroupLimits((each for each in self.by_pattern.values() if each.pattern != pattern), self.pauses)

    def with_pause(self, pattern: str, pause: Pause) -> GroupLimits:
        """A copy with this pause, in place of an earlier one of the same groups."""
        return GroupLimits(self.by_pattern.values(), {**self.pauses, pattern: pause})

    def without_pause(self, pattern: str) -> GroupLimits:
        """A copy without the pause of this pattern. Raises GroupNotPausedError."""
        if pattern not in self.pauses:
            raise GroupNotPausedError(pattern)
        return GroupLimits(self.by_pattern.values(), {p: each for p, each in self.pauses.items() if p != pattern})

    def at(self, now: int) -> GroupLimits:
        """A copy with the pauses that hold at `now` (ms), and no others."""
        return GroupLimits(self.by_pattern.values(), {p: each for p, each in self.pauses.items() if each.holds(now)})


NO_LIMITS: Final = GroupLimits()


def matches(pattern: str, group: str) -> bool:
    return group.startswith(pattern[:-1]) if pattern.endswith("*") else group == pattern


def rate_text(period_ms: float, digits: int = 6) -> str:
    """A rate as people write it, such as "10/s" or "2/h".

    :param period_ms: the time between two starts, on average
    :param digits: how many digits of the number count
    """
    numbers = ((unit_ms / period_ms, unit) for unit, unit_ms in _UNITS_MS.items())
    number, unit = next((each for each in numbers if each[0] >= 1), (86_400_000 / period_ms, "d"))
    return f"{number:.{digits}g}/{'min' if unit == 'm' else unit}"


def checked_group(what: str, value: object, error: type[GschedError] = ConfigurationError) -> str:
    """The name of a group. Raises `error`, naming it by `what`, for any other value."""
    hint = f"a group is a text of 1 to {LONGEST_GROUP} bytes, such as 'host:api.example.com'"
    if not isinstance(value, str) or not 0 < len(value.encode(errors="surrogatepass")) <= LONGEST_GROUP:
        raise error(f"{what}: {hint}, got {value!r}")
    if not value.isprintable() or value != value.strip():
        raise error(f"{what}: {hint}, without spaces at its ends and without control characters, got {value!r}")
    if "*" in value:
        raise error(f"{what}: '*' stands in patterns of limits, not in the name of a group, got {value!r}")
    return value


def checked_pattern(what: str, value: object) -> str:
    """A group, or the beginning of groups with "*" at its end. Raises ConfigurationError for any other value."""
    if isinstance(value, str) and "*" in value[:-1]:
        raise ConfigurationError(f"{what}: '*' stands at the end of a pattern only, as in 'host:*', got {value!r}")
    if isinstance(value, str) and value.endswith("*"):
        if value != "*":
            checked_group(what, value[:-1])
        return value
    return checked_group(what, value)


def checked_limit(pattern: object, concurrency: object = None, rate: object = None, burst: object = 1) -> GroupLimit:
    """The limit with these values.

    :param rate: how many runs may begin: a number per second, or text such as "10/s", "600/min", "2/h"
    :raises ConfigurationError: if one of them is wrong, or neither a concurrency nor a rate is given
    """
    name = checked_pattern("pattern", pattern)
    if concurrency is None and rate is None:
        raise ConfigurationError(f"limit {name!r}: give concurrency=, rate= or both; remove_limit() removes a limit")
    if concurrency == 0 and not isinstance(concurrency, bool):
        raise ConfigurationError(
            f"limit {name!r}: concurrency: expected a whole number from 1; pause_group() stops all"
        )
    if burst != 1 and rate is None:
        raise ConfigurationError(f"limit {name!r}: burst: it needs a rate")
    return GroupLimit(
        name,
        None if concurrency is None else checked_whole(f"limit {name!r}: concurrency", concurrency, 1),
        None if rate is None else _period_ms(f"limit {name!r}: rate", rate),
        checked_whole(f"limit {name!r}: burst", burst, 1),
    )


def limit_document(limit: GroupLimit) -> dict[str, Any]:
    """The limit as plain values, but for its pattern."""
    return {key: getattr(limit, key) for key in ("concurrency", "period_ms", "burst", "declared_by")}


def read_limit(pattern: object, document: Mapping[str, Any]) -> GroupLimit:
    """The limit of a pattern whose document has these values. Raises ConfigurationError."""
    period_ms, declared_by = document.get("period_ms"), document.get("declared_by")
    if period_ms is not None and (not isinstance(period_ms, (int, float)) or not 0 < period_ms <= LONGEST_PERIOD_MS):
        raise ConfigurationError(f"limit {pattern!r}: period_ms: expected a number above 0, got {period_ms!r}")
    if declared_by is not None and not isinstance(declared_by, str):
        raise ConfigurationError(f"limit {pattern!r}: declared_by: expected a name, got {declared_by!r}")
    rate = None if period_ms is None else 1000 / period_ms
    limit = checked_limit(pattern, document.get("concurrency"), rate, document.get("burst", 1))
    return replace(limit, period_ms=period_ms, declared_by=declared_by)


def _period_ms(what: str, value: Any) -> float:
    if isinstance(value, str):
        found = _RATE.fullmatch(value)
        if found is None:
            raise ConfigurationError(f"{what}: expected text such as '10/s', '600/min' or '2/h', got {value!r}")
        number, unit_ms = float(found[1]), _UNITS_MS[found[2][0]]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        number, unit_ms = float(value), 1000
    else:
        raise ConfigurationError(f"{what}: expected a number per second, or text such as '10/s', got {value!r}")
    if not 0 < number < float("inf") or unit_ms / number > LONGEST_PERIOD_MS:
        raise ConfigurationError(f"{what}: expected more than zero, and at least one a day, got {value!r}")
    return unit_ms / number
