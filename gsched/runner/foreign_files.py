"""Files that decide what a runner executes, and that others may change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from gsched.config import Configuration
from gsched.errors import ConfigurationError
from gsched.files.data_directory import MONGODB_FOLDER, SQLITE_FILE
from gsched.files.rights import REMEDY, ROOT, open_to_others
from gsched.monitoring.doctor import OK, PROBLEM, WARNING, Finding
from gsched.runner.data_directory import data_directory
from gsched.runner.sqlite_url import is_sqlite, sqlite_file


def foreign_files(configuration: Configuration) -> Iterator[str]:
    """A reason for each file through which other users may decide what this configuration's runner executes."""
    for path in (configuration.path, configuration.crontab, *_data(configuration)):
        if path is not None and (reason := open_to_others(path)) is not None:
            yield reason


def _data(configuration: Configuration) -> Iterator[Path]:
    """The files of a store whose commands run: a SQLite file or a private MongoDB, and its directory."""
    if is_sqlite(configuration.store):
        file = sqlite_file(configuration)
        yield from (file.parent, file)
    elif configuration.store is None and not configuration.memory:
        directory = data_directory(configuration)
        yield from (directory, directory / MONGODB_FOLDER, directory / SQLITE_FILE)


def refuse_foreign_files(configuration: Configuration) -> None:
    """Raises ConfigurationError if this is root, and others may change one of these files."""
    if os.geteuid() == ROOT:
        for reason in foreign_files(configuration):
            raise ConfigurationError(f"{reason}; root does not execute what others may write: {REMEDY}")


def file_rights(configuration: Configuration) -> Finding:
    """The doctor's check of these files."""
    reasons = list(foreign_files(configuration))
    if not reasons:
        return Finding("file rights", OK, "nobody else may change what a runner executes")
    verdict = PROBLEM if os.geteuid() == ROOT else WARNING
    return Finding("file rights", verdict, "; ".join(dict.fromkeys(reasons)), REMEDY)
