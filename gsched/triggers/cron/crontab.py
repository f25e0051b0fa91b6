"""Standard crontab lines, as crontab(5) of Debian's cron describes them: text -> schedule."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from gsched.errors import InvalidTriggerError
from gsched.triggers.cron.days import DayRule, days_of
from gsched.triggers.cron.fields import LIMITS, MONTHS
from gsched.triggers.cron.schedule import Schedule
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
_ARGUMENTS: Final = {"day of month": "day", "day of week": "day_of_week"}  # of CronTrigger, if they are named otherwise
FIELDS: Final = ("minute", "hour", "day of month", "month", "day of week")
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
_FOREIGN: Final = (
    (re.compile(r"\?"), "'?' is Quartz syntax; write '*'"),
    (re.compile(r"#"), "'#' is Quartz syntax; use CronTrigger(day='2nd fri')"),
    (re.compile(r"(?:\d|\b)l\b|\bl-"), "'L' is Quartz syntax; use CronTrigger(day='last') or day='last fri'"),
    (re.compile(r"\d+w\b|\blw\b"), "'W' is Quartz syntax; there is no nearest weekday in crontab"),
    (re.compile(r"~"), "'~' (a random value) is not standard; use jitter"),
    (re.compile(r"\bh\b"), "'H' (a hashed value) is Jenkins syntax; use jitter"),
)


_LONGEST: Final = 5_000  # characters of all fields


@lru_cache(maxsize=16_384)
def compile_crontab(text: str, seconds: bool = False) -> Schedule:
    """The schedule of a crontab line's time fields, or of a nickname such as @daily.

    :param seconds: whether a field for seconds comes first
    :raises InvalidTriggerError: naming the field, the text and the reason
    """
    if len(text) > _LONGEST:
        raise InvalidTriggerError(f"crontab: expected at most {_LONGEST} characters, got {len(text)}")
    written = " ".join(text.lower().split())
    values = _split(text, written, seconds)
    sets = {name: _values(name, value) for name, value in values.items()}
    weekdays = frozenset((number - 1) % 7 for number in sets["day of week"])
    first_year, last_year = LIMITS["year"]
    rule = DayRule(
        years=tuple(range(first_year, last_year + 1)),
        months=sets["month"],
        days=sets["day of month"],
        last_day=False,
        places=frozenset(),
        weeks=frozenset(range(1, 54)),
        weekdays=weekdays,
        either=not values["day of month"].startswith("*") and not values["day of week"].startswith("*"),
    )
    return Schedule(
        days_of(rule),
        times_of(sets["hour"], sets["minute"], sets["second"]),
        every_hour=len(sets["hour"]) == 24,
        wildcard=values["hour"].startswith("*") or values["minute"].startswith("*"),
        written={"crontab": written, "seconds": True} if seconds else {"crontab": written},
    )


def fields_of(written: str, seconds: bool) -> dict[str, str]:
    """The expressions of a crontab's fields, by the names of CronTrigger's arguments."""
    values = _split(written, written, seconds)
    return {_ARGUMENTS.get(name, name): text for name, text in values.items() if seconds or name != "second"}


def _split(text: str, written: str, seconds: bool) -> dict[str, str]:
    if written.startswith("@"):
        return _split_nickname(text, written, seconds)
    names = ("second", *FIELDS) if seconds else FIELDS
    values = written.split(" ") if written else []
    if len(values) != len(names):
        hint = "; pass seconds=True if the first is for seconds" if len(values) == 6 else ""
        raise InvalidTriggerError(
            f"crontab {text!r}: {len(values)} fields, expected {len(names)} ({', '.join(names)}){hint}"
        )
    return {"second": "0", **dict(zip(names, values))}


def _split_nickname(text: str, written: str, seconds: bool) -> dict[str, str]:
    if written not in _NICKNAMES:
        known = ", ".join((*_NICKNAMES, REBOOT))
        raise InvalidTriggerError(f"crontab {text!r}: not one of {known}")
    if seconds:
        raise InvalidTriggerError(f"crontab {text!r}: a nickname has no field for seconds")
    return {"second": "0", **dict(zip(FIELDS, _NICKNAMES[written].split()))}


def _values(name: str, text: str) -> frozenset[int]:
    try:
        return frozenset().union(*(_expression(name, part) for part in text.split(",")))
    except ValueError as reason:
        raise InvalidTriggerError(f"crontab: {name} {text!r}: {reason}") from None


def _expression(name: str, text: str) -> frozenset[int]:
    match = _EXPRESSION.fullmatch(text)
    if match is None:
        raise ValueError(_why_not(text))
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
            raise ValueError(_why_not(text))
        return names[text]
    number = int(text)
    if not low <= number <= high:
        raise ValueError(f"{number} is not from {low} to {high}")
    return number


def _why_not(text: str) -> str:
    for pattern, reason in _FOREIGN:
        if pattern.search(text):
            return reason
    return f"{text!r} is not understood" if text else "an expression is empty"
