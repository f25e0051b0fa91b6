"""Quartz's cron expressions: text -> the arguments of CronTrigger."""

from __future__ import annotations

import re
from typing import Final

from gsched.errors import InvalidTriggerError
from gsched.triggers.cron.fields import LIMITS, NAMES, WEEKDAYS

_FIELDS: Final = ("second", "minute", "hour", "day", "month", "day_of_week", "year")
_SUNDAY_FIRST: Final = ("sun", *WEEKDAYS[:-1])  # in Quartz, 1 is Sunday
_WEEKS: Final = {WEEKDAYS[first:last] for first in range(7) for last in range(first + 1, 8)}  # from Monday on, unbroken
_LONGEST: Final = 5_000  # characters of all fields

_STEPS = re.compile(r"(?:\*|(?P<first>[0-9]{1,9}|[a-z]{3}))?/(?P<step>[0-9]{1,9})")
_RANGE = re.compile(r"(?P<first>[0-9]{1,9}|[a-z]{3})-(?P<last>[0-9]{1,9}|[a-z]{3})(?:/(?P<step>[0-9]{1,9}))?")
_WEEKDAY_NUMBER = re.compile(r"(?<![0-9#/])[0-9]{1,9}")


def quartz_fields(text: str) -> dict[str, str]:
    """The arguments of CronTrigger for an expression of Quartz.

    They admit the same values: ranges that wrap become lists, and weekdays get their names.

    :raises InvalidTriggerError: naming the field, the text and the reason; what CronTrigger refuses is left to it
    """
    if len(text) > _LONGEST:
        raise InvalidTriggerError(f"quartz: expected at most {_LONGEST} characters, got {len(text)}")
    written = text.split()
    if len(written) not in (6, 7):
        names = "second, minute, hour, day of month, month, day of week and, if it is wanted, year"
        raise InvalidTriggerError(f"quartz {text!r}: {len(written)} fields, expected 6 or 7 ({names})")
    given = dict(zip(_FIELDS, written))
    _check_days(text, given["day"], given["day_of_week"])
    fields = {name: _field(name, value) for name, value in given.items()}
    return {name: value for name, value in fields.items() if value != "*" or name == "second"}


def _check_days(text: str, day: str, weekday: str) -> None:
    if (day == "?") == (weekday == "?"):
        which = "both are" if day == "?" else "neither is"
        raise InvalidTriggerError(
            f"quartz {text!r}: exactly one of day of month and day of week must be '?', and {which}"
        )


def _field(name: str, text: str) -> str:
    if text == "?" and name.startswith("day"):
        return "*"
    try:
        return ",".join(_expression(name, part) for part in text.split(","))
    except ValueError as reason:
        raise InvalidTriggerError(f"quartz: {name} {text!r}: {reason}") from None


def _expression(name: str, text: str) -> str:
    low, high = _span(name)
    if match := _STEPS.fullmatch(text.lower()):
        first = low if match["first"] is None else _number(name, match["first"])
        return _stepping(name, first, high, _step(match["step"], high))
    if match := _RANGE.fullmatch(text.lower()):
        first, last = _number(name, match["first"]), _number(name, match["last"])
        return _range(name, first, last, _step(match["step"] or "1", high))
    if name != "day_of_week":
        return text
    return "sat" if text.lower() == "l" else _WEEKDAY_NUMBER.sub(lambda found: _named(_number(name, found[0])), text)


def _stepping(name: str, first: int, high: int, step: int) -> str:
    """Every n-th value from `first`: as from a star if it begins with the lowest, for then it goes round."""
    if first == _span(name)[0] and step <= high - first and name != "day_of_week":
        return f"*/{step}"
    return _range(name, first, high, step)


def _range(name: str, first: int, last: int, step: int) -> str:
    low, high = _span(name)
    if name == "day_of_week":
        days = [_named((first - 1 + each) % 7 + 1) for each in range(0, (last - first) % 7 + 1, step)]
        return f"{days[0]}-{days[-1]}" if tuple(days) in _WEEKS and len(days) > 2 else ",".join(days)
    if first <= last:
        return f"{first}-{last}/{step}" if 1 < step <= last - first else f"{first}-{last}" if step == 1 else str(first)
    if name == "year":
        raise ValueError(f"the range {first}-{last} is reversed")
    return ",".join(map(str, [*range(first, high + 1), *range(low, last + 1)][::step]))


def _step(text: str, highest: int) -> int:
    if not 1 <= int(text) <= highest:
        raise ValueError(f"the step {int(text)} is not from 1 to {highest}")
    return int(text)


def _span(name: str) -> tuple[int, int]:
    return (1, 7) if name == "day_of_week" else LIMITS[name]


def _named(number: int) -> str:
    return _SUNDAY_FIRST[number - 1]


def _number(name: str, text: str) -> int:
    names = _SUNDAY_FIRST if name == "day_of_week" else tuple(NAMES.get(name, ()))
    if not text.isdigit():
        if text not in names:
            raise ValueError(f"{text!r} is not understood")
        return names.index(text) + 1
    low, high = _span(name)
    if not low <= int(text) <= high:
        raise ValueError(f"{int(text)} is not from {low} to {high}")
    return int(text)
