"""Where a private MongoDB has its data."""

from __future__ import annotations

import os
from pathlib import Path

from gsched.config import Configuration
from gsched.errors import ConfigurationError


def data_directory(configuration: Configuration) -> Path:
    """Where the private MongoDB has its data: the configured place, else the service's, the system's or the user's.

    systemd names the directories of a unit's `StateDirectory=` in STATE_DIRECTORY; the first of them is the service's.

    Raises ConfigurationError if the user has no home directory.
    """
    if configuration.directory is not None:
        return Path(configuration.directory)
    if service := os.environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(service)
    if os.getuid() == 0:
        return Path("/var/lib/gsched")
    return Path(os.environ.get("XDG_STATE_HOME") or _home() / ".local" / "state") / "gsched"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # Python's words name neither
        raise ConfigurationError(
            f"this process's user, {os.getuid()}, has no home directory: no entry in passwd, and HOME is not set; say "
            "where the jobs are (--data DIRECTORY, --store URL), or --memory"
        ) from None
