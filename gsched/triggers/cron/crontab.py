"""Crontab lines, as crontab(5) of Debian's cron describes them, with L, W, #, ? and H beside: text -> schedule."""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import Final

from gsched.errors import InvalidTriggerError
from gsched.triggers.cron.days import ALL_WEEKS, ALL_YEARS, DayRule, days_of
from gsched.triggers.cron.fields import MONTHS, Field, plain_text, union
from gsched.triggers.cron.hashed import hashed, why_no_hash
from gsched.triggers.cron.schedule import Schedule, make_schedule
from gsched.triggers.cron.special_days import SpecialDays, special_day, special_weekday, why_misplaced
from gsched.triggers.cron.times import times_of

REBOOT: Final = "@reboot"
_NICKNAMES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
FIELDS: Final = ("minute", "hour", "day of month", "month", "day of week")
_ARGUMENTS: Final = {name: name.replace(" of month", "").replace(" ", "_") for name in ("second", *FIELDS)}
SPANS: Final = {
    "second": (0, 59),
    "minute": (0, 59),
    "hour": (0, 23),
    "day of month": (1, 31),
    "month": (1, 12),
    "day of week": (0, 7),
}
_NAMES: Final = {
    "month": {name: number for number, name in enumerate(MONTHS, 1)},
    "day of week": {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))},
}
_EXPRESSION = re.compile(r"(?:\*|([0-9]{1,9}|[a-z]+)(?:-([0-9]{1,9}|[a-z]+))?)(?:/([0-9]{1,9}))?")
_TILDE: Final = "'~' (a random value) is not standard; use jitter, or H"


_LONGEST: Final = 5_000  # characters of all fields


@lru_cache(maxsize=16_384)
def compile_crontab(text: str, seconds: bool = False, hash_key: str | None = None) -> Schedule:
    """The schedule of a crontab line's time fields, or of a nickname such as @daily.

    :param seconds: whether a field for seconds comes first
    :param hash_key: what chooses the values of H
    :raises InvalidTriggerError: naming the field, the text and the reason
    """
    if len(text) > _LONGEST:
        raise InvalidTriggerError(f"crontab: expected at most {_LONGEST} characters, got {len(text)}")
    fields = {name: _field(name, value, hash_key or "") for name, value in _split(text, seconds).items()}
    day, weekday = fields["day of month"], fields["day of week"]
    rule = DayRule(
        years=ALL_YEARS,
        months=fields["month"].values,
        days=day.values,
        from_end=day.special.from_end,
        nearest=day.special.nearest,
        places=frozenset(),
        weeks=ALL_WEEKS,
        weekdays=frozenset((number - 1) % 7 for number in weekday.values),
        weekday_places=weekday.special.places,
        either=not day.text.startswith("*") and not weekday.text.startswith("*"),
    )
    hour, minute, second = fields["hour"], fields["minute"], fields["second"]
    shown = [fields[name] for name in (("second", *FIELDS) if seconds else FIELDS)]
    written = nickname_in(text) or " ".join(field.text for field in shown)
    return make_schedule(
        days_of(rule),
        times_of(hour.values, minute.values, second.values),
        every_hour=len(hour.values) == 24,
        wildcard=hour.text.startswith("*") or minute.text.startswith("*"),
        written={"crontab": written, "seconds": True} if seconds else {"crontab": written},
        resolved=" ".join(map(plain_text, shown)) if any(field.resolved for field in shown) else None,
        hash_key=hash_key,
    )


def fields_of(written: str, seconds: bool) -> dict[str, str]:
    """The expressions of a crontab's fields, by the names of CronTrigger's arguments."""
    values = _split(written, seconds)
    return {_ARGUMENTS[name]: text for name, text in values.items() if seconds or name != "second"}


def nickname_in(text: str) -> str | None:
    """The nickname that a crontab's text is; None if it has fields."""
    word = text.strip().lower()
    return word if word.startswith("@") else None


def _split(text: str, seconds: bool) -> dict[str, str]:
    if nickname := nickname_in(text):
        return _split_nickname(text, nickname, seconds)
    names = ("second", *FIELDS) if seconds else FIELDS
    values = text.split()
    if len(values) != len(names):
        hint = "; pass seconds=True if the first is for seconds" if len(values) == 6 else ""
        hint += "; an expression of Quartz: quartz=, or from_quartz()" if len(values) in (6, 7) else ""
        raise InvalidTriggerError(
            f"crontab {text!r}: {len(values)} fields, expected {len(names)} ({', '.join(names)}){hint}"
        )
    return {"second": "0", **dict(zip(names, values))}


def _split_nickname(text: str, nickname: str, seconds: bool) -> dict[str, str]:
    if nickname not in _NICKNAMES:
        known = ", ".join((*_NICKNAMES, REBOOT))
        raise InvalidTriggerError(f"crontab {text!r}: not one of {known}")
    if seconds:
        raise InvalidTriggerError(f"crontab {text!r}: a nickname has no field for seconds")
    return {"second": "0", **dict(zip(FIELDS, _NICKNAMES[nickname].split()))}


def _field(name: str, text: str, hash_key: str) -> Field:
    lower = "*" if text == "?" and name.startswith("day") else text.lower()
    try:
        return union([_expression(name, part, hash_key) for part in lower.split(",")])
    except ValueError as reason:
        raise InvalidTriggerError(f"crontab: {name} {text!r}: {reason}") from None


def _expression(name: str, text: str, hash_key: str) -> Field:
    if special := _special(name, text):
        return Field(special.text, special=special)
    if found := hashed(_ARGUMENTS[name], text, hash_key, partial(_number, name)):
        return Field(found.text, _values(name, found.plain), resolved=found.plain)
    return Field(text, _values(name, text))


def _special(name: str, text: str) -> SpecialDays | None:
    if name == "day of week":
        return special_weekday(text, lambda weekday: (_number(name, weekday) - 1) % 7)
    return special_day(text) if name == "day of month" else None


def _values(name: str, text: str) -> frozenset[int]:
    match = _EXPRESSION.fullmatch(text)
    if match is None:
        raise ValueError(_why_not(name, text))
    first_text, last_text, step_text = match.groups()
    low, high = SPANS[name]
    if first_text is None:
        return frozenset(range(low, high + 1)[:: _step(step_text)])
    first = _number(name, first_text)
    if last_text is None:
        if step_text is not None:
            raise ValueError(f"a step needs a range: write {first_text}-{6 if high == 7 else high}/{step_text}")
        return frozenset({first})
    return frozenset(_wrapped(name, first, _number(name, last_text))[:: _step(step_text)])


def _wrapped(name: str, first: int, last: int) -> list[int]:
    """The values from `first` to `last`, past the end of the hour, day, month, week or year if need be."""
    low, high = SPANS[name]
    if first == 7 and name == "day of week":
        first, last = 0, last % 7
    if first <= last:
        return list(range(first, last + 1))
    high = min(high, 6) if name == "day of week" else high
    return [*range(first, high + 1), *range(low, last + 1)]


def _step(text: str | None) -> int:
    if text is None:
        return 1
    if int(text) == 0:
        raise ValueError("the step must be at least 1")
    return int(text)


def _number(name: str, text: str) -> int:
    low, high = SPANS[name]
    if not text.isdigit():
        names = _NAMES.get(name, {})
        if text not in names:
            raise ValueError(_why_not(name, text))
        return names[text]
    number = int(text)
    if not low <= number <= high:
        raise ValueError(f"{number} is not from {low} to {high}")
    return number


def _why_not(name: str, text: str) -> str:
    if not text:
        return "an expression is empty"
    misplaced = why_misplaced(text, name == "day of month", name == "day of week") or why_no_hash(text)
    return misplaced or (_TILDE if "~" in text else f"{text!r} is not understood")
