"""H: a value that a hash of the job's id chooses, as in Jenkins. Many jobs with one text are spread over the range."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple
from zlib import crc32

_HASHED = re.compile(r"h(?:\((?P<first>[0-9]{1,9}|[a-z]+)-(?P<last>[0-9]{1,9}|[a-z]+)\))?(?:/(?P<step>[0-9]{1,9}))?")
# Without a range: only days and weeks that every month and year has.
_SPANS: Final = {
    "month": (1, 12),
    "day": (1, 28),
    "week": (1, 52),
    "day_of_week": (0, 6),
    "hour": (0, 23),
    "minute": (0, 59),
    "second": (0, 59),
}


class Hashed(NamedTuple):
    """An expression with H.

    :ivar text: in canonical form
    :ivar plain: the expression that it stands for, for one key
    """

    text: str
    plain: str


def hashed(field: str, text: str, key: str, number: Callable[[str], int]) -> Hashed | None:
    """The meaning of H, H(0-29), H/15 or H(0-29)/10; None for other expressions.

    :param field: the name of CronTrigger's argument
    :param text: in lower case
    :param key: what is hashed: the job's id
    :param number: reads an end of the range
    :raises ValueError: with the reason
    """
    match = _HASHED.fullmatch(text)
    if match is None:
        return None
    if field not in _SPANS:
        raise ValueError(f"'H' cannot choose a {field}")
    low, high = _SPANS[field]
    canonical = "H"
    if match["first"] is not None:
        low, high = number(match["first"]), number(match["last"])
        if low > high:
            raise ValueError(f"the range {match['first']}-{match['last']} is reversed")
        canonical = f"H({match['first']}-{match['last']})"
    size = high - low + 1
    code = crc32(f"{key}:{field}".encode())
    if match["step"] is None:
        return Hashed(canonical, str(low + code % size))
    step = _step(int(match["step"]), low, high)
    first = low + code % step
    plain = f"{first}-{high}/{step}" if first + step <= high else str(first)
    return Hashed(f"{canonical}/{step}", plain)


def why_no_hash(text: str) -> str | None:
    """What is wrong with an expression that was not understood, if it has an H; text in lower case."""
    if re.match(r"h(?![a-z])|h[lw]", text) is None:
        return None
    return "'H' stands alone or as H(0-29), H/15, H(0-29)/10"


def _step(step: int, low: int, high: int) -> int:
    if step < 2:
        raise ValueError(f"'H/{step}': the step must be at least 2; for every value write '*'")
    if step > high - low + 1:
        raise ValueError(f"the step {step} is larger than the range {low}-{high}")
    return step
