"""The directory of this machine's jobs, and the directory from which relative paths count."""

from __future__ import annotations

import os
from pathlib import Path

from gsched.config import Configuration, comes_from_file
from gsched.errors import ConfigurationError
from gsched.files.data_directory import absolute


def data_directory(configuration: Configuration) -> Path:
    """The directory of a SQLite store or a private MongoDB: the configured one, else that of the service, root or user.

    The service's directory is the first in STATE_DIRECTORY, which systemd sets if the unit has `StateDirectory=`.

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
    """The start of a relative path: the directory of the file that sets this field, else the working directory."""
    if configuration.path is not None and comes_from_file(configuration, name):
        return Path(configuration.path).absolute().parent
    return Path.cwd()


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # Python's message names neither the user nor the remedy
        raise ConfigurationError(
            f"this process's user, {os.getuid()}, has no home directory: no entry in passwd, and HOME is not set; name "
            "the place of the jobs (--data DIRECTORY, --store URL), or --memory"
        ) from None
