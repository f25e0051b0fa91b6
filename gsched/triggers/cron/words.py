"""Cron expressions in words: the common ones; others stay as they are written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from gsched.triggers.cron.fields import FIELD_NAMES

_ANY: Final = "*"
_NUMBER: Final = re.compile(r"\d{1,2}")
_NUMBERS: Final = re.compile(r"\d{1,2}(?:,\d{1,2})+")
_STEP: Final = re.compile(r"\*/(\d{1,2})")
_HOURS: Final = re.compile(r"(\d{1,2})-(\d{1,2})")
_WEEKDAYS: Final = re.compile(r"[a-z]{3}(?:[-,][a-z]{3})*")
_SECONDS: Final = re.compile(r"\*/(\d{1,2})|\*")


def in_words(written: Mapping[str, Any]) -> str:
    """A schedule in words: "every day at 02:30"; one that has no simple words as it is written.

    :param written: the arguments from which the schedule was made
    """
    crontab = written.get("crontab")
    if crontab is not None:
        parts = crontab.split()
        if len(parts) != 5:  # a nickname, or with seconds
            return str(crontab)
        fields = dict(zip(("minute", "hour", "day", "month", "day_of_week"), parts))
        return _words(fields) or str(crontab)
    fields = _all_fields(written)
    return _words(fields) or ", ".join(f"{name}={text}" for name, text in written.items())


def _all_fields(written: Mapping[str, Any]) -> dict[str, str]:
    """With the fields that were not given: any, above the smallest one that was given, and the least below it."""
    given = [name for name in FIELD_NAMES if name in written]
    smallest = FIELD_NAMES.index(given[-1]) if given else len(FIELD_NAMES)
    least = {"month": "1", "day": "1", "hour": "0", "minute": "0", "second": "0"}
    return {
        name: str(written[name]) if name in written else _ANY if place < smallest else least.get(name, _ANY)
        for place, name in enumerate(FIELD_NAMES)
    }


def _words(fields: Mapping[str, str]) -> str | None:
    if any(fields.get(name, _ANY) != _ANY for name in ("year", "month", "week")):
        return None
    days, times = _days(fields["day"], fields["day_of_week"]), _times(fields)
    if days is None or times is None:
        return None
    if times.startswith("every"):
        return times if days == "every day" else f"{times}, {days}"
    return f"{days} {times}"


def _days(day: str, weekday: str) -> str | None:
    if day == _ANY:
        return "every day" if weekday == _ANY else weekday if _WEEKDAYS.fullmatch(weekday) else None
    if weekday != _ANY:
        return None
    return f"on day {day} of the month" if _NUMBER.fullmatch(day) else None


def _times(fields: Mapping[str, str]) -> str | None:
    hour, minute, second = fields["hour"], fields["minute"], fields.get("second", "0")
    if minute == hour == _ANY and (step := _SECONDS.fullmatch(second)):
        return "every second" if step[1] is None else _every(step[1], 60, "s")
    if second != "0":
        return None
    if _NUMBER.fullmatch(minute):
        return _at(hour, int(minute))
    step = _STEP.fullmatch(minute)
    steps = "every minute" if minute == _ANY else _every(step[1], 60, "min") if step else None
    if steps is None or hour == _ANY:
        return steps
    hours = _HOURS.fullmatch(hour)
    return f"{steps} from {int(hours[1]):02}:00 to {int(hours[2]):02}:59" if hours else None


def _at(hour: str, minute: int) -> str | None:
    if hour == _ANY:
        return f"every hour at :{minute:02}"
    if step := _STEP.fullmatch(hour):
        every = _every(step[1], 24, "h")
        return every and f"{every} at :{minute:02}"
    if _NUMBER.fullmatch(hour) or _NUMBERS.fullmatch(hour):
        return f"at {', '.join(f'{int(each):02}:{minute:02}' for each in hour.split(','))}"
    return None


def _every(step: str, of: int, unit: str) -> str | None:
    """A step that divides its field: others have a shorter one at the end."""
    count = int(step)
    return f"every {count} {unit}" if count and of % count == 0 else None
