"""Times ahead, as people write them on the command line: a time of day, too."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo
from typing import Final

from gsched.errors import ConfigurationError
from gsched.times.instants import from_ms
from gsched.times.relative import as_future

_TIME_OF_DAY: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")


def pause_end(text: str, zone: tzinfo, now: int) -> datetime | str:
    """When a pause ends, as `pause_job` takes it.

    A time of day means the next moment at which a clock in the zone shows it. Any other text stays as it is.
    """
    time_of_day = _TIME_OF_DAY.fullmatch(text.strip())
    if time_of_day is None:
        return text
    hour, minute, second = (int(part or 0) for part in time_of_day.groups())
    today = from_ms(now, zone)
    end = today.replace(hour=hour, minute=minute, second=second, microsecond=0, fold=0)
    return end if end > today else end + timedelta(days=1)


def time_ahead(text: str, zone: tzinfo, now: int) -> datetime:
    """The time that a text means: "now", a time of day, how long from now, or ISO 8601.

    :param zone: the time zone of a time without an offset
    :param now: milliseconds since the epoch
    :raises ConfigurationError: for any other text, and for a time that has passed
    """
    if text == "now":
        return from_ms(now, zone)
    try:
        return from_ms(as_future(pause_end(text, zone, now), now, zone, "time"), zone)
    except (ConfigurationError, OverflowError):
        raise ConfigurationError(f"expected a time ahead: 18:00, 2h or 2030-01-31T08:00, got {text!r}") from None
