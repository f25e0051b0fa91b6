"""The end of a pause, as people write it on the command line."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo
from typing import Final

from gsched.times.instants import from_ms

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
