"""Where the jobs of this machine are, and from where relative paths count."""

from __future__ import annotations

import os
from pathlib import Path

from gsched.config import Configuration, comes_from_file
from gsched.errors import ConfigurationError
from gsched.files.data_directory import absolute


def data_directory(configuration: Configuration) -> Path:
    """Where a SQLite store or a private MongoDB is: the place that is named, else the service's, root's or the user's.

    systemd names the directories of a unit's `StateDirectory=` in STATE_DIRECTORY; the first of them is the service's.

    Raises ConfigurationError if the user has no home directory.
    """
    if configuration.directory is not None:
        return absolute(configuration.directory, base_directory(configuration, "directory"))
    if service := os.environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(service)
    if os.getuid() == 0:
        return Path("/var/lib/gsched")
    return Path(os.environ.get("XDG_STATE_HOME") or _home() / ".local" / "state") / "gsched"


def base_directory(configuration: Configuration, name: str) -> Path:
    """From where a relative path counts: the directory of the file that sets this field, else the working directory."""
    if configuration.path is not None and comes_from_file(configuration, name):
        return Path(configuration.path).absolute().parent
    return Path.cwd()


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # Python's words name neither
        raise ConfigurationError(
            f"this process's user, {os.getuid()}, has no home directory: no entry in passwd, and HOME is not set; say "
            "where the jobs are (--data DIRECTORY, --store URL), or --memory"
        ) from None
