"""APScheduler 3's cron expressions: text -> the values a field admits."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from gsched.errors import InvalidTriggerError
from gsched.triggers.cron.hashed import hashed, why_no_hash
from gsched.triggers.cron.special_days import (
    LAST,
    NOTHING_SPECIAL,
    SpecialDays,
    special_day,
    special_weekday,
    why_misplaced,
)

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
    """As written, without spare blanks and zeros; letters are small, but for L, W and H."""
    values: frozenset[int] = frozenset()
    special: SpecialDays = NOTHING_SPECIAL
    resolved: str | None = None
    """The text with a value for each H; None if there is no H."""


LONGEST: Final = 1_000
"""How many characters a field may have; all seconds of a minute, in a list, are 169."""


def parse_field(name: str, text: str, hash_key: str | None = None) -> Field:
    """The field `name` of a cron trigger from its text, a comma-separated list of expressions.

    :param hash_key: what chooses the values of H
    :raises InvalidTriggerError: naming the field, the text and the reason; no part of a wrong field counts
    """
    if len(text) > LONGEST:
        raise InvalidTriggerError(f"cron trigger: {name}: expected at most {LONGEST} characters, got {len(text)}")
    lower = "*" if text.strip() == "?" and name.startswith("day") else text.lower()
    try:
        return union([_expression(name, part.strip(), hash_key or "") for part in lower.split(",")])
    except ValueError as reason:
        raise InvalidTriggerError(f"cron trigger: {name} {text!r}: {reason}") from None


def union(fields: list[Field]) -> Field:
    """The field of a list of expressions. Raises ValueError if one of them must stand alone."""
    if len(fields) == 1:
        return fields[0]
    if any(field.special.nearest for field in fields):
        raise ValueError("'W' takes one day, alone in its field: write a trigger for each such day")
    return Field(
        text=",".join(field.text for field in fields),
        values=frozenset().union(*(field.values for field in fields)),
        special=SpecialDays(
            "",
            from_end=frozenset().union(*(field.special.from_end for field in fields)),
            places=frozenset().union(*(field.special.places for field in fields)),
        ),
        resolved=",".join(map(plain_text, fields)) if any(field.resolved for field in fields) else None,
    )


def plain_text(field: Field) -> str:
    """The text with a value for each H."""
    return field.resolved or field.text


def _expression(name: str, text: str, hash_key: str) -> Field:
    if match := _EVERY.fullmatch(text):
        return _every(name, match["step"])
    if special := _special(name, text):
        return Field(special.text, special=special)
    if found := hashed(name, text, hash_key, partial(_number, name)):
        return replace(_expression(name, found.plain, ""), text=found.text, resolved=found.plain)
    if match := _RANGE.fullmatch(text):
        return _range(name, match["first"], match["last"], match["step"])
    raise ValueError(_why_not(name, text))


def _special(name: str, text: str) -> SpecialDays | None:
    if name == "day_of_week":
        return special_weekday(text, partial(_number, "day_of_week"))
    if name != "day":
        return None
    if text == "last":
        return SpecialDays("last", from_end=frozenset({0}))
    if match := _PLACE.fullmatch(text):
        weekday = _number("day_of_week", match["weekday"])
        return SpecialDays(
            f"{match['place']} {match['weekday']}", places=frozenset({(_PLACES[match["place"]], weekday)})
        )
    return special_day(text)


def _why_not(name: str, text: str) -> str:
    if not text:
        return "an expression is empty"
    foreign = _foreign(name, text)
    return f"{text!r} is not understood" + (f": {foreign}" if foreign else "")


def _foreign(name: str, text: str) -> str | None:
    return why_misplaced(text, name == "day", name == "day_of_week") or why_no_hash(text)


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
    if names is not None and text in names:
        return names[text]
    if names is None or _foreign(name, text):
        raise ValueError(_why_not(name, text))
    raise ValueError(f"{text!r} is not one of {', '.join(names)}")


def _canonical(text: str) -> str:
    return str(int(text)) if text.isdigit() else text
