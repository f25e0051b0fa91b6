"""Rates: what the schedulers of a store did in each minute or hour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, NamedTuple

from gsched.errors import ConfigurationError
from gsched.monitoring.activity import Period, together
from gsched.times.durations import as_ms
from gsched.times.instants import from_ms

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
MINUTES_KEPT_MS: Final = 48 * HOUR_MS
HOURS_KEPT_MS: Final = 60 * 24 * HOUR_MS
MOST_TAGS: Final = 20  # that a minute tells apart
MOST_POINTS: Final = 3000
OTHER: Final = "other"


class Rate(NamedTuple):
    """What all nodes together did in one step of time.

    :ivar at: when the step begins, UTC
    :ivar period: what happened; `late_by_pool` is empty
    """

    at: datetime
    period: Period


class NotedMinute(NamedTuple):
    """What one node did in a minute, or all nodes in an hour, as it is kept.

    :ivar at: when it begins, ms
    """

    at: int
    period: Period


def checked_step(value: Any) -> int:
    """The step in ms: whole minutes below an hour that divide it, or whole hours. Raises ConfigurationError."""
    step = as_ms(value, "step")
    if step % MINUTE_MS or (HOUR_MS % step if step < HOUR_MS else step % HOUR_MS):
        raise ConfigurationError(f"step: expected 1m, 5m, 1h or another part or multiple of an hour, got {value!r}")
    return step


def rates_of(noted: Iterable[NotedMinute], since: int, until: int, step: int) -> list[Rate]:
    """The steps from `since` to `until` (ms), those in which nothing ran, too.

    :param noted: minutes if the step is shorter than an hour, otherwise hours
    """
    since -= since % step
    if (until - since) // step > MOST_POINTS:
        raise ConfigurationError(f"step: more than {MOST_POINTS} steps; choose a longer one, or a shorter time")
    by_step: dict[int, list[Period]] = {}
    for each in noted:
        by_step.setdefault(each.at - each.at % step, []).append(each.period)
    return [
        Rate(from_ms(at), replace(together(by_step.get(at, ())), seconds=step / 1000))
        for at in range(since, until, step)
    ]


def with_few_tags(by_tag: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """The counts of the tags with the most, and those of all others together under OTHER."""
    ranked = sorted(by_tag, key=lambda tag: (-sum(by_tag[tag].values()), tag))
    kept = {tag: dict(by_tag[tag]) for tag in ranked[:MOST_TAGS]}
    for tag in ranked[MOST_TAGS:]:
        others = kept.setdefault(OTHER, {})
        for outcome, count in by_tag[tag].items():
            others[outcome] = others.get(outcome, 0) + count
    return kept
