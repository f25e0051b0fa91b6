"""The name of this machine's time zone, from the TZ variable or /etc/localtime, as in libc; on Windows, its setting."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gsched.errors import ConfigurationError

LOCALTIME: Final = Path("/etc/localtime")
TIMEZONE: Final = Path("/etc/timezone")  # Debian's; libc does not read it, so that it may be out of date
_POSIX: Final = re.compile(r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)([+-]?)(\d{1,2})(?::(\d\d))?(?::(\d\d))?")


def local_zone_name() -> str:
    """A name in the time zone database, or UTC±HH:MM.

    Raises ConfigurationError if it is neither; the result is UTC only if libc uses UTC.
    """
    given = os.environ.get("TZ")
    name = _name_of_machine() if given is None else _name_in_variable(given.removeprefix(":"))
    if name is None:
        machine = LOCALTIME if sys.platform != "win32" else "this machine's setting"
        source = machine if given is None else f"TZ={given!r}"
        raise ConfigurationError(
            f"timezone: {source} is neither in the time zone database nor a fixed offset; pass timezone=, such as "
            f"'Europe/Berlin'"
        )
    return name


def _name_of_machine() -> str | None:
    if sys.platform == "win32":
        return _name_in_settings()
    if os.path.lexists(LOCALTIME):
        return _name_of_file(LOCALTIME)
    return _name_in_text() or "UTC"


def _name_in_settings() -> str | None:
    """The zone of Windows' settings, by its name in the time zone database."""
    from tzlocal import get_localzone_name  # no other platform needs it

    try:
        return _known(get_localzone_name())
    except (LookupError, OSError):
        return None


def _name_in_variable(value: str) -> str | None:
    if posix := _POSIX.fullmatch(value):
        sign, hours, minutes, seconds = posix.groups("0")
        west = timedelta(hours=int(hours), minutes=int(minutes), seconds=int(seconds))
        return str(timezone(west if sign == "-" else -west)) if west < timedelta(days=1) else None
    if value.startswith("/"):
        return _name_of_file(Path(value))
    return _known(value) if value else "UTC"


def _name_of_file(path: Path) -> str | None:
    """The zone of a file, by its place in the database or, if it is a copy, by its content."""
    _, _, name = os.path.realpath(path).replace("zoneinfo.default/", "zoneinfo/").partition("zoneinfo/")  # macOS
    if name and _known(name):
        return name
    try:
        with path.open("rb") as file:
            copied = ZoneInfo.from_file(file)
    except (OSError, ValueError):
        return None
    fixed = copied.utcoffset(None)
    if fixed is not None:
        return str(timezone(fixed))
    days = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in range(25_000)]
    offsets = [day.astimezone(copied).utcoffset() for day in days]
    for name in _candidates():
        zone = ZoneInfo(name)
        if all(day.astimezone(zone).utcoffset() == offset for day, offset in zip(days, offsets)):
            return name
    return None


def _candidates() -> Iterator[str]:
    """The zone in /etc/timezone, then one name of each zone that has differed since 1970."""
    from importlib.resources import files  # only copies need it

    if name := _name_in_text():
        yield name
    for line in files("tzdata").joinpath("zoneinfo/zone1970.tab").read_text().splitlines():
        if not line.startswith("#"):
            yield line.split("\t")[2]


def _name_in_text() -> str | None:
    try:
        return _known(TIMEZONE.read_text().strip())
    except (OSError, ValueError):
        return None


def _known(name: str) -> str | None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
    return name
