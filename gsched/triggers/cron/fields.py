"""APScheduler 3's cron expressions: text -> the values a field admits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from gsched.errors import InvalidTriggerError

FIELD_NAMES: Final = ("year", "month", "day", "week", "day_of_week", "hour", "minute", "second")
LIMITS: Final = {
    "year": (1970, 9999),
    "month": (1, 12),
    "day": (1, 31),
    "week": (1, 53),
    "day_of_week": (0, 6),
    "hour": (0, 23),
    "minute": (0, 59),
    "second": (0, 59),
}
MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
NAMES: Final = {
    "month": {name: number for number, name in enumerate(MONTHS, 1)},
    "day_of_week": {name: number for number, name in enumerate(WEEKDAYS)},
}
LAST: Final = 0  # the place of "last" among 1st, 2nd ...
_PLACES: Final = {"1st": 1, "2nd": 2, "3rd": 3, "4th": 4, "5th": 5, "last": LAST}

_EVERY = re.compile(r"\*(?:/(?P<step>[0-9]{1,9}))?")
_RANGE = re.compile(r"(?P<first>[0-9]{1,9}|[a-z]+)(?:-(?P<last>[0-9]{1,9}|[a-z]+))?(?:/(?P<step>[0-9]{1,9}))?")
_PLACE = re.compile(r"(?P<place>1st|2nd|3rd|4th|5th|last) +(?P<weekday>[a-z]+)")


@dataclass(frozen=True)
class CronField:
    """A field as APScheduler 3 shows it; its text is its expression.

    :ivar is_default: True if it was not given
    """

    name: str
    text: str
    is_default: bool

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Field:
    """One field of a cron trigger, understood."""

    text: str
    """As written, in lower case and without spare blanks and zeros."""
    values: frozenset[int] = frozenset()
    last_day: bool = False
    places: frozenset[tuple[int, int]] = frozenset()
    """(which one in the month, weekday): 2nd fri is (2, 4), last sun is (LAST, 6)."""


LONGEST: Final = 1_000
"""How many characters a field may have; all seconds of a minute, in a list, are 169."""


def parse_field(name: str, text: str) -> Field:
    """The field `name` of a cron trigger from its text, a comma-separated list of expressions.

    :raises InvalidTriggerError: naming the field, the text and the reason; no part of a wrong field counts
    """
    if len(text) > LONGEST:
        raise InvalidTriggerError(f"cron trigger: {name}: expected at most {LONGEST} characters, got {len(text)}")
    try:
        return _union([_expression(name, part.strip().lower()) for part in text.split(",")])
    except ValueError as reason:
        raise InvalidTriggerError(f"cron trigger: {name} {text!r}: {reason}") from None


def _union(fields: list[Field]) -> Field:
    return Field(
        text=",".join(field.text for field in fields),
        values=frozenset().union(*(field.values for field in fields)),
        last_day=any(field.last_day for field in fields),
        places=frozenset().union(*(field.places for field in fields)),
    )


def _expression(name: str, text: str) -> Field:
    if match := _EVERY.fullmatch(text):
        return _every(name, match["step"])
    if name == "day" and text == "last":
        return Field("last", last_day=True)
    if name == "day" and (match := _PLACE.fullmatch(text)):
        weekday = _number("day_of_week", match["weekday"])
        return Field(f"{match['place']} {match['weekday']}", places=frozenset({(_PLACES[match["place"]], weekday)}))
    if match := _RANGE.fullmatch(text):
        return _range(name, match["first"], match["last"], match["step"])
    raise ValueError(f"{text!r} is not understood" if text else "an expression is empty")


def _every(name: str, step: str | None) -> Field:
    low, high = LIMITS[name]
    if step is None:
        return Field("*", frozenset(range(low, high + 1)))
    return Field(f"*/{int(step)}", frozenset(range(low, high + 1, _step(step, low, high))))


def _range(name: str, first_text: str, last_text: str | None, step_text: str | None) -> Field:
    first = _number(name, first_text)
    if last_text is None and step_text is None:
        return Field(_canonical(first_text), frozenset({first}))
    last = LIMITS[name][1] if last_text is None else _number(name, last_text)
    if first > last:
        raise ValueError(f"the range {first_text}-{last_text} is reversed")
    text = _canonical(first_text)
    if last_text is not None and last != first:
        text += f"-{_canonical(last_text)}"
    if step_text is None:
        return Field(text, frozenset(range(first, last + 1)))
    return Field(f"{text}/{int(step_text)}", frozenset(range(first, last + 1, _step(step_text, first, last))))


def _step(text: str, first: int, last: int) -> int:
    step = int(text)
    if step == 0:
        raise ValueError("the step must be at least 1")
    if step > last - first:
        raise ValueError(f"the step {step} is larger than the range {first}-{last}")
    return step


def _number(name: str, text: str) -> int:
    low, high = LIMITS[name]
    if not text.isdigit():
        return _named(name, text)
    number = int(text)
    if number < low:
        raise ValueError(f"{number} is below the lowest {name}, {low}")
    if number > high:
        raise ValueError(f"{number} is above the highest {name}, {high}")
    return number


def _named(name: str, text: str) -> int:
    names = NAMES.get(name)
    if names is None:
        raise ValueError(f"{text!r} is not understood")
    if text not in names:
        raise ValueError(f"{text!r} is not one of {', '.join(names)}")
    return names[text]


def _canonical(text: str) -> str:
    return str(int(text)) if text.isdigit() else text
