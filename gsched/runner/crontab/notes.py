"""Notes on a cron expression that may surprise."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, timedelta, tzinfo
from typing import Final

from gsched.runner.crontab.words import is_both_required
from gsched.times.instants import from_ms, timezone_name
from gsched.triggers import BaseTrigger, CronTrigger
from gsched.triggers.cron.crontab import FIELDS, SPANS
from gsched.triggers.reboot import RebootTrigger
from gsched.triggers.zones import DAY, Stretch, stretch_at

_BEYOND_CRON: Final = re.compile(
    r"[?#]|\bh(?![a-z])|(?:[0-9]|\b)l\b|\b[a-z]{3}l\b|\bl-|[0-9]w\b|\blw\b", re.IGNORECASE
)
_LOOK_AHEAD: Final = 400 * DAY


def surprises(expression: str, trigger: BaseTrigger, now: int) -> Iterator[str]:
    """The notes on a valid expression.

    :param trigger: the trigger of the expression
    :param now: milliseconds since the epoch; the notes cover clock changes of the year that follows
    """
    if isinstance(trigger, RebootTrigger):
        yield "in a store that processes share: when the first runner starts after the machine has; else at each start"
        return
    text = " ".join(expression.lower().replace("?", "*").split())
    fields = dict(zip(reversed(FIELDS), reversed(text.split(" ")))) if not text.startswith("@") else {}
    yield from beyond_cron(expression)
    yield from _about_fields(fields)
    yield from about_clock_changes(trigger, now)


def beyond_cron(expression: str) -> Iterator[str]:
    """What Debian's cron makes of each expression that it does not know."""
    parts = (part for field in expression.split() for part in field.split(","))
    for part in dict.fromkeys(part for part in parts if _BEYOND_CRON.search(part)):
        if "#" in part:
            yield f"Debian's cron reads {part} as {part.partition('#')[0]}, every such weekday"
        else:
            yield f"Debian's cron refuses {part}"


def _about_fields(fields: dict[str, str]) -> Iterator[str]:
    if not fields:
        return
    yield from _about_days(fields["day of month"], fields["day of week"])
    if fields["minute"] == "*" and fields["hour"] != "*":
        yield "every minute of these hours: for once in each of them, write a number for the minute"
    for name, text in fields.items():
        for part in text.split(","):
            yield from _about_step(name, part)
            yield from _about_special_day(part)
            if _runs_backwards(part):
                yield f"{name} {part} goes past the end and on from the start, as in Debian's cron; others refuse it"


def _about_days(day: str, weekday: str) -> Iterator[str]:
    if day != "*" and weekday != "*":
        if is_both_required(day, weekday):
            yield "a day must fit both day fields, because one of them begins with *"
        else:
            yield "a day that fits either of the two day fields is enough, not both, as with cron"
    if "7" in weekday.replace("/7", "").replace("-", ",").split(","):
        yield "7 is Sunday, as is 0"
    days = [part for part in day.split(",") if part.isdigit()]
    days += [day[:-1]] if day.endswith("w") and day[:-1].isdigit() else []
    if days and min(map(int, days)) > 28 and len(days) == day.count(",") + 1 and weekday == "*":
        yield f"months that have no day {' or '.join(days)} are left out"


def _about_special_day(part: str) -> Iterator[str]:
    if part.endswith("#5"):
        yield f"{part}: months that have only four are left out"
    if part.endswith("w"):
        yield f"{part.upper()} stays in its month; holidays are not known"


def _about_step(name: str, part: str) -> Iterator[str]:
    values, _, step = part.partition("/")
    if values != "*" or not step or name == "day of week":
        return
    low, high = SPANS[name]
    count, every = high - low + 1, int(step)
    if every >= count:
        yield f"{name} {part} is {name} {low} only"
    elif name == "day of month":
        yield f"{part} starts anew on day 1 of each month"
    elif count % every:
        last = low + (count - 1) // every * every
        yield f"{part} starts anew at {name} {low}: from {last} to {low} it is only {high + 1 - last}"


def _runs_backwards(part: str) -> bool:
    first, _, last = part.partition("/")[0].partition("-")
    return first.isdigit() and last.isdigit() and int(first) > int(last)


def about_clock_changes(trigger: BaseTrigger, now: int) -> Iterator[str]:
    """Notes on the next clock change of each kind in the trigger's zone; none if the trigger admits every hour.

    :param now: milliseconds since the epoch
    """
    if not isinstance(trigger, CronTrigger) or not trigger.has_times:
        return
    hours = next(field.text for field in trigger.fields if field.name == "hour")
    if hours in ("*", "*/1", "0-23"):
        return
    on_the_wall = CronTrigger.from_fields({**trigger.to_fields(), "timezone": UTC})
    seen = set()
    for stretch in _changes(trigger.timezone, now // 1000):
        forward = stretch.before < stretch.offset
        walls = sorted((stretch.start + stretch.before, stretch.start + stretch.offset))
        if forward not in seen and _is_due_within(on_the_wall, *walls):
            yield _said_of_change(stretch, trigger, forward)
        seen.add(forward)


def _changes(zone: tzinfo, now: int) -> Iterator[Stretch]:
    instant = now
    while instant < now + _LOOK_AHEAD:
        stretch = stretch_at(zone, instant)
        if stretch.before != stretch.offset and stretch.start > now:
            yield stretch
        instant = stretch.end


def _is_due_within(trigger: BaseTrigger, start: int, end: int) -> bool:
    found = trigger.next_ms(start * 1000 - 1)
    return found is not None and found < end * 1000


def _said_of_change(stretch: Stretch, trigger: BaseTrigger, forward: bool) -> str:
    change = from_ms(stretch.start * 1000, trigger.timezone)
    length = timedelta(seconds=abs(stretch.offset - stretch.before))
    zone = f"{change:%Y-%m-%d} in {timezone_name(trigger.timezone)}"
    if not forward:
        twice = f"{change:%H:%M} to {change + length:%H:%M} comes twice on {zone}"
        again = trigger.next_ms(stretch.start * 1000 - 1)
        both = again is not None and again < (stretch.start + length.total_seconds()) * 1000
        return f"{twice}: it runs {'both times' if both else 'the first time only'}"
    gap = f"{change - length:%H:%M} to {change:%H:%M} does not exist on {zone}"
    if _is_due_within(trigger, stretch.start, stretch.start + 1):
        return f"{gap}: what is due then runs at {change:%H:%M}"
    return f"{gap}: it goes on after that"
