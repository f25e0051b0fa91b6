"""Checks of values that users give, for all who take whole numbers."""

from __future__ import annotations

from typing import TypeGuard

from gsched.errors import ConfigurationError, GschedError


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
