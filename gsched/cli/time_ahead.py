"""Times ahead, as people write them on the command line."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo
from typing import Final

from gsched.errors import ConfigurationError
from gsched.times.durations import as_ms
from gsched.times.instants import as_instant, from_ms, to_ms

_STARTS_WITH_YEAR: Final = re.compile(r"\d{4}-")
_TIME_OF_DAY: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")


def pause_end(text: str, zone: tzinfo, now: int) -> datetime | str:
    """When a pause ends, as `pause_job` takes it: for a time of day the next moment at which a clock in the zone shows
    it."""
    time_of_day = _TIME_OF_DAY.fullmatch(text.strip())
    if time_of_day is None:
        return text
    hour, minute, second = (int(part or 0) for part in time_of_day.groups())
    today = from_ms(now, zone)
    end = today.replace(hour=hour, minute=minute, second=second, microsecond=0, fold=0)
    return end if end > today else end + timedelta(days=1)


def time_ahead(text: str, zone: tzinfo, now: int) -> datetime:
    """The time that a text means: "now", a time of day, how long from now, or ISO 8601.

    :param zone: of a time without an offset
    :param now: milliseconds since the epoch
    :raises ConfigurationError: for another text, and for a time that has passed
    """
    if text == "now":
        return from_ms(now, zone)
    try:
        found = pause_end(text, zone, now)
        if isinstance(found, str):
            is_time = _STARTS_WITH_YEAR.match(found)
            found = as_instant(found, zone) if is_time else from_ms(now + as_ms(found, ""), zone)
    except (ConfigurationError, OverflowError):
        raise ConfigurationError(f"expected 18:00, 2h or 2030-01-31T08:00, got {text!r}") from None
    if to_ms(found) < now:
        raise ConfigurationError(f"{found.isoformat(' ')} has passed")
    return found
