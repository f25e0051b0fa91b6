"""Checks of values that users give, for all who take whole numbers."""

from __future__ import annotations

import re
from typing import Final, TypeGuard

from gsched.errors import ConfigurationError, GschedError

_SIZE: Final = re.compile(r"(\d{1,15}) ?(B|KiB|MiB|GiB)")
_UNITS: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def is_whole(value: object, least: int | None = None) -> TypeGuard[int]:
    """True for a whole number of at least `least`. True and False are no numbers here."""
    return isinstance(value, int) and not isinstance(value, bool) and (least is None or value >= least)


def checked_whole(what: str, value: object, least: int, error: type[GschedError] = ConfigurationError) -> int:
    """The whole number of at least `least`. Raises `error`, naming it by `what`, for any other value."""
    if not is_whole(value, least):
        raise error(f"{what}: expected a whole number from {least}, got {value!r}")
    return value


def written_whole(what: str, value: object, least: int) -> int:
    """The same for settings, which files and variables may also write as text."""
    given = int(value) if isinstance(value, str) and value.isdecimal() else value
    return checked_whole(what, given if is_whole(given, least) else value, least)


def checked_bytes(
    what: str, value: object, least: int, most: int, error: type[GschedError] = ConfigurationError
) -> int:
    """The size that a number of bytes, or a text such as "64KiB", means. Raises `error`, naming it by `what`, for any
    other value, and for a size that is too small or too large."""
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    size = value if found is None else int(found[1]) * _UNITS[found[2]]
    if not is_whole(size, least) or size > most:
        bounds = f"from {written_bytes(least)} to {written_bytes(most)}"
        raise error(f'{what}: expected a size {bounds}, such as "64KiB" or "1MiB", got {value!r}')
    return size


def written_bytes(size: int) -> str:
    """A size in the largest unit in which it is a whole number: "64KiB"."""
    unit = next(unit for unit in reversed(_UNITS) if size % _UNITS[unit] == 0 and (size or unit == "B"))
    return f"{size // _UNITS[unit]}{unit}"
