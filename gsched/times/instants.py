"""Instants: aware datetimes at the public surface, integer milliseconds since the Unix epoch inside."""

from __future__ import annotations

import os
import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gsched.errors import ConfigurationError
from gsched.times.local_zone import local_zone_name

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z, the last instant a datetime can hold
_MILLISECOND = timedelta(milliseconds=1)
_FIXED_OFFSET = re.compile(r"UTC([+-])([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")  # str() of datetime.timezone
_ISO_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}")


def to_ms(instant: datetime) -> int:
    """Milliseconds since the epoch of an aware datetime, rounded down."""
    return (instant - EPOCH) // _MILLISECOND


def from_ms(ms: int, tz: tzinfo = UTC) -> datetime:
    """The aware datetime of `ms` milliseconds since the epoch, in `tz`."""
    return (EPOCH + timedelta(milliseconds=ms)).astimezone(tz)


def as_timezone(value: str | tzinfo | None) -> tzinfo:
    """A time zone from its IANA name, UTC±HH:MM, a tzinfo of whatever library, or None (this machine's zone).

    The result can be stored: it has a name in the time zone database, or a fixed offset.

    Raises ConfigurationError for anything else, a tzinfo with neither among it.
    """
    if value is None:
        return local_timezone()
    if isinstance(value, str):
        return _named_timezone(value)
    if not isinstance(value, tzinfo):
        raise ConfigurationError(f"timezone: expected a name or a tzinfo, got {value!r}")
    name = getattr(value, "key", None) or getattr(value, "zone", None)  # zoneinfo's, pytz's
    if isinstance(name, str):
        return _named_timezone(name)
    return _named_timezone(str(timezone(_fixed_offset(value))))


def _fixed_offset(tz: tzinfo) -> timedelta:
    try:
        offset = tz.utcoffset(None)
    except Exception:  # a class of the user's own
        offset = None
    if offset is None:
        raise ConfigurationError(
            f"timezone: {tz!r} has neither a name nor a fixed offset; pass a name, such as 'Europe/Berlin'"
        )
    return offset


@cache
def _named_timezone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    if match := _FIXED_OFFSET.fullmatch(name):
        sign, hours, minutes, seconds = match.groups("0")
        offset = timedelta(hours=int(hours), minutes=int(minutes), seconds=int(seconds))
        return timezone(offset if sign == "+" else -offset)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError(f"timezone: {name!r} is not in the time zone database") from None


def timezone_name(tz: tzinfo) -> str:
    """The name under which `as_timezone` finds `tz`, one of its results, again."""
    return getattr(tz, "key", None) or str(tz)


def local_timezone() -> tzinfo:
    """This machine's zone, with TZ as it is now. Raises ConfigurationError if the zone cannot be stored."""
    return _local_timezone(os.environ.get("TZ"))


@lru_cache(maxsize=1)
def _local_timezone(variable: str | None) -> tzinfo:
    """The zone for this value of TZ."""
    return _named_timezone(local_zone_name())


def as_instant(value: datetime | date | str | float, tz: tzinfo, what: str = "date") -> datetime:
    """An aware datetime, cut to milliseconds, from what users write.

    :param value: a datetime (a naive one is wall-clock time in `tz`; if no clock shows it, because clocks were set
        forward over it, the first instant after the gap is meant), a date (its midnight), ISO-8601 text, or
        seconds since the epoch
    :param what: the parameter's name, for the error
    :raises ConfigurationError: for anything else
    """
    if isinstance(value, str):
        value = _parse(value, what)
    elif isinstance(value, bool) or not isinstance(value, (date, int, float)):
        raise ConfigurationError(f"{what}: expected a datetime, date, ISO text or seconds, got {value!r}")
    if isinstance(value, (int, float)):
        try:
            value = datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError):
            raise ConfigurationError(f"{what}: {value!r} is not a number of seconds since the epoch") from None
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if value.tzinfo is None:
        value = _shown_by_a_clock(value.replace(tzinfo=tz))
    elif hasattr(value.tzinfo, "zone"):  # pytz: its fixed offset is right, its arithmetic is not
        value = value.astimezone(as_timezone(value.tzinfo))
    return value.replace(microsecond=value.microsecond // 1000 * 1000)


def is_wall_time(value: datetime | date | str | float | None) -> bool:
    """True for values that need a time zone to be an instant: naive datetimes, dates, text without an offset."""
    if isinstance(value, str):
        value = _parse(value, "date")
    return isinstance(value, date) and getattr(value, "tzinfo", None) is None


def _shown_by_a_clock(value: datetime) -> datetime:
    early, late = sorted(value.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    there_and_back = value.astimezone(UTC).astimezone(value.tzinfo)
    if early == late or there_and_back.replace(tzinfo=None) == value.replace(tzinfo=None):
        return value
    offset = early.astimezone(value.tzinfo).utcoffset()
    while late - early > _MILLISECOND:
        middle = early + (late - early) / 2
        if middle.astimezone(value.tzinfo).utcoffset() == offset:
            early = middle
        else:
            late = middle
    late += _MILLISECOND / 2
    return late.replace(microsecond=late.microsecond // 1000 * 1000).astimezone(value.tzinfo)


def _parse(text: str, what: str) -> datetime:
    try:
        year, month, day = map(int, _ISO_DATE.match(text.strip())[0].split("-"))  # type: ignore[index]
        rest = _ISO_DATE.sub("", text.strip(), count=1)
        return datetime.fromisoformat(f"{year:04}-{month:02}-{day:02}{rest}")
    except (TypeError, ValueError):
        raise ConfigurationError(f"{what}: {text!r} is not an ISO-8601 date or time") from None
