"""Rates: what the schedulers of a store did in each minute or hour."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, NamedTuple

from gsched.errors import ConfigurationError
from gsched.event_loop.slices import paced
from gsched.monitoring.activity import Period, grown, together
from gsched.times.clock import Clock
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
        for at in paced(range(since, until, step))
    ]


def as_document(period: Period) -> dict[str, Any]:
    """The counts of a period, as plain values. Tags are values, not keys: they may hold any character."""
    tags = with_few_tags(period.by_tag)
    return {
        "outcomes": dict(period.outcomes),
        "lateness": list(period.lateness),
        "duration": list(period.duration),
        "by_tag": [{"tag": tag, "outcomes": counts} for tag, counts in tags.items()],
    }


def read_minute(at: int, document: Mapping[str, Any]) -> NotedMinute:
    """What `as_document` has written of the time from `at` (ms) on."""
    by_tag = {each["tag"]: each["outcomes"] for each in document["by_tag"]}
    counts = document["outcomes"], by_tag, tuple(document["lateness"]), tuple(document["duration"])
    return NotedMinute(at, Period(0.0, *counts))


def added(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The sum of two documents."""
    return as_document(together(read_minute(0, each).period for each in (one, other)))


class MinuteCounter:
    """Cuts what a scheduler does into minutes.

    :param activity: gives what it did since its start, as `gsched.hub.activity.activity_of` does
    """

    def __init__(self, clock: Clock, activity: Callable[[], Mapping[str, Any]]) -> None:
        self._clock = clock
        self._activity = activity
        self._minute = self._current()
        self._known = activity()

    def _current(self) -> int:
        now = self._clock.now_ms()
        return now - now % MINUTE_MS

    def seconds_left(self) -> float:
        """How long the minute still goes on."""
        return (self._minute + MINUTE_MS - self._clock.now_ms()) / 1000

    def ended(self) -> NotedMinute | None:
        """What was done since the last call, if a minute has ended since then and something was done."""
        return None if self._current() == self._minute else self.rest()

    def rest(self) -> NotedMinute | None:
        """What was done since the last call, whether the minute has ended or not; None if nothing was done."""
        at, self._minute = self._minute, self._current()
        before, self._known = self._known, self._activity()
        period = grown(before, self._known, 0.0)
        return NotedMinute(at, period) if period.outcomes else None


def with_few_tags(by_tag: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """The counts of the tags with the most, and those of all others together under OTHER."""
    ranked = sorted(by_tag, key=lambda tag: (-sum(by_tag[tag].values()), tag))
    kept = {tag: dict(by_tag[tag]) for tag in ranked[:MOST_TAGS]}
    for tag in ranked[MOST_TAGS:]:
        others = kept.setdefault(OTHER, {})
        for outcome, count in by_tag[tag].items():
            others[outcome] = others.get(outcome, 0) + count
    return kept
