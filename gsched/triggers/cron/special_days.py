"""Days that no number names: L, W and #, as Quartz has them, for both grammars of cron fields."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

LAST: Final = 0
"""The place of the last one among the 1st, 2nd ... of a weekday in a month."""

_LAST_DAY = re.compile(r"l(?:-(?P<before>[0-9]{1,9}))?(?P<nearest>w?)")
_NEAREST = re.compile(r"(?P<day>[0-9]{1,9})w")
_LAST_WEEKDAY = re.compile(r"(?P<weekday>[0-9]{1,9}|[a-z]{3})l")
_PLACE = re.compile(r"(?P<weekday>[0-9]{1,9}|[a-z]+)#(?P<place>[0-9]{1,9})")
_L_SIGN = re.compile(r"(?:[0-9]|\b)l\b|\b[a-z]{3}l\b|\bl-")  # not the letter in "jul"
_W_SIGN = re.compile(r"(?:[0-9]|\b)w\b|\blw\b")


class SpecialDays(NamedTuple):
    """The days that one special expression admits.

    :ivar text: in canonical form
    :ivar from_end: days of the month, counted back from the last one, which is 0
    :ivar nearest: days of the month whose nearest weekday is meant; 0, -1 ... are counted from the last one
    :ivar places: (which one in the month, weekday): 5#2 is (2, 4), friL is (LAST, 4)
    """

    text: str
    from_end: frozenset[int] = frozenset()
    nearest: frozenset[int] = frozenset()
    places: frozenset[tuple[int, int]] = frozenset()


NOTHING_SPECIAL: Final = SpecialDays("")


def special_day(text: str) -> SpecialDays | None:
    """The days that L, L-3, LW, L-3W or 15W admits in the field `day`; None for other expressions.

    :param text: in lower case
    :raises ValueError: with the reason
    """
    if match := _LAST_DAY.fullmatch(text):
        before = 0 if match["before"] is None else _within(int(match["before"]), 1, 30, "days before the last one")
        canonical = f"L-{before}" if before else "L"
        if match["nearest"]:
            return SpecialDays(f"{canonical}W", nearest=frozenset({-before}))
        return SpecialDays(canonical, from_end=frozenset({before}))
    if match := _NEAREST.fullmatch(text):
        day = _within(int(match["day"]), 1, 31, "the day")
        return SpecialDays(f"{day}W", nearest=frozenset({day}))
    return None


def special_weekday(text: str, weekday: Callable[[str], int]) -> SpecialDays | None:
    """The days that 5L, friL, 5#2 or fri#2 admits in the field `day_of_week`; None for other expressions.

    :param text: in lower case
    :param weekday: from a weekday as it is written to its number, 0 is Monday
    :raises ValueError: with the reason
    """
    if match := _LAST_WEEKDAY.fullmatch(text):
        return SpecialDays(f"{match['weekday']}L", places=frozenset({(LAST, weekday(match["weekday"]))}))
    if match := _PLACE.fullmatch(text):
        number = weekday(match["weekday"])
        place = _within(int(match["place"]), 1, 5, "the number after #")
        return SpecialDays(f"{match['weekday']}#{place}", places=frozenset({(place, number)}))
    return None


def why_misplaced(text: str, is_day: bool, is_weekday: bool) -> str | None:
    """What is wrong with an expression that was not understood, if it has one of these signs; text in lower case."""
    if "?" in text:
        return "'?' stands alone, in a field for days; write '*'"
    if "#" in text:
        return "'#' stands between a weekday and 1-5: fri#2" if is_weekday else "'#' stands in day of week only"
    if _W_SIGN.search(text):
        return "'W' takes one day, alone in its field: 15W or LW" if is_day else "'W' stands in day of month only"
    if not _L_SIGN.search(text):
        return None
    if is_weekday:
        return "'L' takes a weekday before it: friL is the last Friday of the month; for Saturday write sat"
    return "'L' stands alone or as L-3, LW" if is_day else "'L' stands in the fields for days only"


def _within(number: int, low: int, high: int, what: str) -> int:
    if not low <= number <= high:
        raise ValueError(f"{number} is not from {low} to {high} ({what})")
    return number
