"""The constructor arguments that several triggers take: checked in one place, refused by name."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date, datetime, tzinfo
from numbers import Integral, Real
from typing import Any, TypeAlias

from gsched.checks import is_whole
from gsched.errors import ConfigurationError, InvalidTriggerError
from gsched.times.instants import as_instant, as_timezone, from_ms, is_wall_time, to_ms

Zone: TypeAlias = str | tzinfo | None
Date: TypeAlias = datetime | date | str | float | None


def zone(alias: str, timezone: Zone, dates: Iterable[Date] = ()) -> tzinfo:
    """The time zone a trigger calculates in: the one given, else that of its first aware date, else this machine's.

    A zone must have a name in the time zone database, or a fixed offset, so that it can be stored.
    """
    aware = (value.tzinfo for value in dates if isinstance(value, datetime) and value.tzinfo)
    try:
        return as_timezone(timezone if timezone is not None else next(aware, None))
    except ConfigurationError as error:
        raise InvalidTriggerError(f"{alias} trigger: {error}") from None


def wall_times(timezone: Zone, **dates: Date) -> tuple[str, ...] | None:
    """Which of these dates are wall-clock times, by name; None if the time zone is named, by itself or by a date."""
    if timezone is not None or any(isinstance(value, datetime) and value.tzinfo for value in dates.values()):
        return None
    return tuple(name for name, value in dates.items() if is_wall_time(value))


def instant_ms(alias: str, what: str, value: Date, tz: tzinfo) -> int | None:
    """Milliseconds since the epoch of a date argument; a naive one is wall-clock time in `tz`."""
    if value is None:
        return None
    try:
        return to_ms(as_instant(value, tz, what))
    except (ConfigurationError, OverflowError) as error:
        raise InvalidTriggerError(f"{alias} trigger: {error}") from None


def jitter_ms(alias: str, jitter: object) -> int:
    """The jitter argument, seconds, as milliseconds; None is none."""
    return 0 if jitter is None else round(number(alias, "jitter", jitter) * 1000)


def number(alias: str, what: str, value: object) -> int | float:
    """A finite number that is not negative, as one of Python's own: others, such as numpy's, may overflow."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidTriggerError(f"{alias} trigger: {what} {value!r}: expected a number")
    try:
        plain = int(value) if isinstance(value, Integral) else float(value)
        finite = math.isfinite(plain)
    except OverflowError:
        finite = False
    if not finite:
        raise InvalidTriggerError(f"{alias} trigger: {what} {value!r}: expected a finite number")
    if plain < 0:
        raise InvalidTriggerError(f"{alias} trigger: {what} {value!r}: must not be negative")
    return plain


def whole(alias: str, what: str, value: object, highest: int) -> int:
    """An integer from 0 to `highest`."""
    if not is_whole(value):
        raise InvalidTriggerError(f"{alias} trigger: {what} {value!r}: expected a whole number")
    if not 0 <= value <= highest:
        raise InvalidTriggerError(f"{alias} trigger: {what} {value!r}: must be from 0 to {highest}")
    return value


def seconds(ms: int) -> int | float:
    """Milliseconds as seconds, an int where it is one."""
    return ms // 1000 if ms % 1000 == 0 else ms / 1000


def shown(ms: int | None, tz: tzinfo) -> str:
    """An instant as APScheduler prints it."""
    return "None" if ms is None else from_ms(ms, tz).strftime("%Y-%m-%d %H:%M:%S %Z")


def drop_unset(fields: dict[str, Any]) -> dict[str, Any]:
    """Without the arguments that are None or zero."""
    return {name: value for name, value in fields.items() if value is not None and value != 0}
