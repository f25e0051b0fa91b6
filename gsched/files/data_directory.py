"""A directory in which a store of this machine keeps its jobs: whose it is, and which store is in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from gsched.errors import ConfigurationError
from gsched.files.rights import REMEDY, open_to_others

SQLITE_FILE: Final = "jobs.sqlite"
MONGODB_FOLDER: Final = "db"

_OTHER_STORE: Final = """\
{directory} holds the jobs of {found}; {wanted} would begin there without them
  to go on with them: {flag}, {key} = true, or GeventScheduler.{method}(path)
  to move them: gsched store export jobs.jsonl {flag} --data {directory}
                move {files} away, and import jobs.jsonl with gsched store import
  to leave them: name another directory (--data)"""
_MONGODB: Final = {
    "found": "a private MongoDB", "wanted": "a SQLite store", "flag": "--embedded-mongodb",
    "key": "store.embedded_mongodb", "method": "embedded_mongodb", "files": f"the folder {MONGODB_FOLDER} in there",
}  # fmt: skip
_SQLITE: Final = {
    "found": "a SQLite store", "wanted": "a private MongoDB", "flag": "--embedded",
    "key": "store.embedded", "method": "embedded", "files": f"{SQLITE_FILE}* in there",
}  # fmt: skip


def absolute(path: str | os.PathLike[str], base: Path = Path()) -> Path:
    """The directory that `path` names, `~` included; a relative path counts from `base`.

    :raises ConfigurationError: if it names none
    """
    if not os.fspath(path):  # an unset variable, perhaps: Path takes it for the current directory
        raise ConfigurationError("the data directory has no name; write '.' for the current directory")
    try:
        return (base / Path(path).expanduser()).absolute()
    except RuntimeError:  # "~", and the user has none
        raise ConfigurationError(f"the data directory {path}: the user has no home directory; write it out") from None
    except OSError as error:  # a relative path in a deleted working directory
        raise ConfigurationError(f"the data directory {path} cannot be used: {error}") from error


def make_data_directory(directory: Path) -> None:
    """Make the directory, and those above it that are missing, for this user alone.

    :raises ConfigurationError: if that fails, or if others than this user and root may write what is in there
    """
    try:
        _make(directory)
    except OSError as error:
        raise ConfigurationError(f"the data directory {directory} cannot be used: {error}") from error
    for path in (directory, directory / MONGODB_FOLDER, directory / SQLITE_FILE):
        if (reason := open_to_others(path)) is not None:
            raise ConfigurationError(
                f"the data directory {directory} cannot be used: {reason}; who can write there can run commands as this"
                f" user: run this as the directory's owner, or {REMEDY}"
            )
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"the data directory {directory} cannot be used: this user may not write there; change its owner or mode,"
            " or name another one (--data)"
        )


def _make(directory: Path) -> None:
    if not directory.is_dir():
        if not directory.parent.is_dir():
            _make(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)


def holds_mongodb(directory: Path) -> bool:
    """True if a private MongoDB has data in the directory."""
    return os.path.exists(directory / MONGODB_FOLDER / "WiredTiger")


def holds_sqlite(directory: Path) -> bool:
    """True if a SQLite store is in the directory."""
    return os.path.exists(directory / SQLITE_FILE)


def refuse_mongodb(directory: Path) -> None:
    """Raise ConfigurationError if the jobs in the directory are those of a private MongoDB."""
    if holds_mongodb(directory):
        raise ConfigurationError(_OTHER_STORE.format(directory=directory, **_MONGODB))


def refuse_sqlite(directory: Path) -> None:
    """Raise ConfigurationError if the jobs in the directory are those of a SQLite store."""
    if holds_sqlite(directory):
        raise ConfigurationError(_OTHER_STORE.format(directory=directory, **_SQLITE))
