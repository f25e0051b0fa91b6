"""The parts that need POSIX: elsewhere they are refused in one line."""

from __future__ import annotations

import sys
from typing import Final

from gsched.errors import ConfigurationError, GschedError

IS_POSIX: Final = sys.platform != "win32"


def require_posix(what: str, error: type[GschedError] = ConfigurationError) -> None:
    """Raises `error` on Windows, which says that `what` needs Linux or macOS."""
    if not IS_POSIX:
        raise error(f"{what} needs Linux or macOS; the library works here: see docs/platforms.md")
