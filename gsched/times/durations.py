"""Durations as users write them: numbers of seconds, timedeltas, or text such as "10m"."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from gsched.errors import ConfigurationError

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_TEXT = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")


def as_seconds(value: float | timedelta | str, what: str) -> float:
    """Seconds, more than zero, from a number of seconds, a timedelta or text ("90s", "10m", "1h30m", "14d").

    Raises ConfigurationError, naming the setting `what`.
    """
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, str):
        seconds = _parse(value, what)
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigurationError(f"{what}: expected seconds, a timedelta or text such as '10m', got {value!r}")
    else:
        seconds = value
    if not (math.isfinite(seconds) and seconds >= 0.001):
        raise ConfigurationError(f"{what}: must be at least a millisecond, got {value!r}")
    return seconds


def as_ms(value: float | timedelta | str, what: str) -> int:
    """`as_seconds` in whole milliseconds."""
    return round(as_seconds(value, what) * 1000)


def rough_duration(seconds: float) -> str:
    """A duration for people, in its largest unit: "42 s", "3 min", "5 h", "2 days"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"


def exact_duration(ms: int) -> str:
    """A duration for people, exact: "15 s", "1 h 30 min", "250 ms"."""
    if ms % 1000:
        return f"{ms} ms" if ms < 1000 else f"{ms / 1000:g} s"
    words, seconds = [], ms // 1000
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, length)
        if count:
            words.append(f"{count} {unit}")
    return " ".join(words) or "0 s"


def _parse(text: str, what: str) -> float:
    parts = _TEXT.findall(text)
    if not parts or _TEXT.sub("", text).strip():
        raise ConfigurationError(f"{what}: {text!r} is not a duration; write it as '90s', '10m', '1h30m' or '14d'")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
