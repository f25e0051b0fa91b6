"""Cron expressions in words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Final

NICKNAMES: Final = {
    "@reboot": "once after each start of the machine",
    "@hourly": "at the start of every hour",
    "@daily": "every day at 00:00",
    "@midnight": "every day at 00:00",
    "@weekly": "at 00:00, on Sunday",
    "@monthly": "at 00:00, on day 1 of the month",
    "@yearly": "at 00:00, on day 1 of the month, in January",
    "@annually": "at 00:00, on day 1 of the month, in January",
}
HASHED: Final = re.compile(r"\bh(?![a-z])")  # in lower case
_HASHED_NAMES: Final = {"month": "month ", "day of week": "weekday "}
_WORKING_DAY: Final = "weekday (Monday to Friday)"
_MOST_TIMES: Final = 6  # of day, that are written out
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November"),
    "December",
)
_WEEKDAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def in_words(expression: str) -> str:
    """A valid expression of five or six fields, or a nickname, in words."""
    text = " ".join(expression.lower().split())
    if text in NICKNAMES:
        return NICKNAMES[text]
    *seconds, minute, hour, day, month, weekday = text.split(" ")
    second = seconds[0] if seconds else "0"
    names = ("second", "minute", "hour", "day", "month", "day_of_week")
    return fields_in_words(dict(zip(names, (second, minute, hour, day, month, weekday))))


def fields_in_words(fields: Mapping[str, str]) -> str:
    """Valid fields in words, given by the names of CronTrigger's arguments; weekdays as in a crontab, or by name."""
    text = {name: value.lower().replace("?", "*") for name, value in fields.items()}
    parts = [_time(text["second"], text["minute"], text["hour"]), _day(text["day"], text["day_of_week"])]
    if text["month"] != "*":
        parts.append(f"in {_listed('month', text['month'])}")
    if text.get("year", "*") != "*":
        parts.append(f"in {_listed('year', text['year'])}")
    if any(map(HASHED.search, text.values())):
        parts.append("where H is a value that the job's id chooses")
    return ", ".join(filter(None, parts))


def _time(second: str, minute: str, hour: str) -> str:
    times = list(product(hour.split(","), minute.split(",")))
    if second == "0" and (minute + hour).replace(",", "").isdigit() and len(times) <= _MOST_TIMES:
        return "at " + _joined([f"{int(h):02}:{int(m):02}" for h, m in sorted(times, key=_as_numbers)])
    words = [_unit("minute", minute)]
    if second != "0":
        words.insert(0, _unit("second", second))
    if hour != "*":
        words.append(_unit("hour", hour))
    elif minute != "*" and not minute.startswith("*/"):
        words.append("every hour")
    return " of ".join(words) if words[0].startswith("every") else "at " + " of ".join(words)


def _as_numbers(time: Sequence[str]) -> tuple[int, ...]:
    return tuple(map(int, time))


def _unit(name: str, text: str) -> str:
    if text == "*":
        return f"every {name}"
    said = _listed(name, text)
    return said if said.startswith("every") else f"{name} {said}"


def _day(day: str, weekday: str) -> str:
    days = f"on {_days(day)}" if day != "*" else ""
    weekdays = f"on {_listed('day of week', weekday)}" if weekday != "*" else ""
    if not (days and weekdays):
        return days or weekdays
    return f"{days} {'if that is also' if is_both_required(day, weekday) else 'and also'} {weekdays}"


def is_both_required(day: str, weekday: str) -> bool:
    """True if a day must fit both day fields, for one of them begins with *."""
    return day.startswith("*") or weekday.startswith("*")


def _days(text: str) -> str:
    special = [_special_day(part) for part in text.split(",") if _is_special(part)]
    plain = [part for part in text.split(",") if not _is_special(part)]
    if plain:
        said = _listed("day of month", ",".join(plain))
        special.insert(0, f"{said} of the month" if said.startswith("every") else f"day {said} of the month")
    return _joined(special)


def _is_special(part: str) -> bool:
    return part.startswith("l") or part.endswith("w")


def _special_day(text: str) -> str:
    day, nearest, _ = text.partition("w")
    last, _, before = day.partition("-")
    if day == "l":
        return f"the last {_WORKING_DAY if nearest else 'day'} of the month"
    said = f"the {_ordinal(int(before))} day before the last one" if last == "l" else f"day {day}"
    return f"the {_WORKING_DAY} nearest to {said} of the month" if nearest else f"{said} of the month"


def _listed(name: str, text: str) -> str:
    return _joined([_expression(name, part) for part in text.split(",")])


def _expression(name: str, text: str) -> str:
    weekday, place, number = text.partition("#")
    if place:
        return f"the {_ordinal(int(number))} {_value(name, weekday)} of the month"
    if name == "day of week" and text.endswith("l"):
        return f"the last {_value(name, text[:-1])} of the month"
    values, _, step = text.partition("/")
    if HASHED.match(values):
        return _hashed(name, values.removeprefix("h").strip("()"), step)
    first, _, last = values.partition("-")
    unit = "day" if name.startswith("day") else name
    span = "" if values == "*" else f"{_value(name, first)} through {_value(name, last)}" if last else ""
    if step and int(step) > 1:
        span = span or ("" if values == "*" else _value(name, first))
        return f"every {_ordinal(int(step))} {unit}" + (f" from {span}" if span else "")
    return span or (f"every {unit}" if values == "*" else _value(name, first))


def _hashed(name: str, span: str, step: str) -> str:
    first, _, last = span.partition("-")
    within = f" in {_value(name, first)} through {_value(name, last)}" if span else ""
    if not step:
        return f"{_HASHED_NAMES.get(name, '')}H{within}"
    return f"every {_ordinal(int(step))} {'day' if name.startswith('day') else name} from H{within}"


def _value(name: str, text: str) -> str:
    if name == "month":
        return _MONTHS[int(text) - 1] if text.isdigit() else _full(_MONTHS, text)
    if name == "day of week":
        return _WEEKDAYS[int(text)] if text.isdigit() else _full(_WEEKDAYS, text)
    return str(int(text))


def _full(names: Sequence[str], short: str) -> str:
    return next(name for name in names if name.lower().startswith(short))


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _joined(parts: Sequence[str]) -> str:
    *others, last = parts
    return f"{', '.join(others)} and {last}" if others else last
