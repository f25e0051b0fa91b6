"""Instants as users write them: a time, or how long before or after now."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, tzinfo
from typing import Final

from gsched.errors import ConfigurationError
from gsched.times.durations import as_ms
from gsched.times.instants import MAX_MS, as_instant, to_ms

Moment = datetime | date | timedelta | str
_STARTS_WITH_YEAR: Final = re.compile(r"\s*\d{4}-")


def as_past(value: Moment | None, now: int, tz: tzinfo, what: str) -> int | None:
    """The instant (ms since the epoch) that a datetime, a date, ISO text or how long before `now` (ms) names.

    :param value: None gives None
    :param tz: the time zone of times without an offset
    :param what: the argument's name, for the error
    :raises ConfigurationError: for anything else
    """
    return None if value is None else _instant(value, now, tz, what, -1)


def as_future(value: Moment, now: int, tz: tzinfo, what: str) -> int:
    """The instant (ms since the epoch) that a datetime, a date, ISO text or how long after `now` (ms) names.

    :param tz: the time zone of times without an offset
    :param what: the argument's name, for the error
    :raises ConfigurationError: for anything else, and for an instant that is not after `now`
    """
    instant = _instant(value, now, tz, what, 1)
    if not now < instant <= MAX_MS:
        raise ConfigurationError(f"{what}: must be ahead and before the year 10000, got {value!r}")
    return instant


def _instant(value: Moment, now: int, tz: tzinfo, what: str, sign: int) -> int:
    if isinstance(value, timedelta) or (isinstance(value, str) and not _STARTS_WITH_YEAR.match(value)):
        return now + sign * as_ms(value, what)
    if not isinstance(value, (str, date)):
        raise ConfigurationError(f"{what}: expected a datetime, a timedelta or text such as '2h', got {value!r}")
    return to_ms(as_instant(value, tz, what))
