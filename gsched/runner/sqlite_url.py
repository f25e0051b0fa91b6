"""The URL of a SQLite store, and the file that it names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from gsched.config import Configuration, origin
from gsched.errors import ConfigurationError
from gsched.runner.data_directory import base_directory

_SCHEME: Final = "sqlite:"
_PREFIX: Final = "sqlite:///"


def is_sqlite(url: str | None) -> bool:
    """True for a URL of a SQLite file, even for one with a mistake."""
    return url is not None and url.startswith(_SCHEME)


def sqlite_file(configuration: Configuration) -> Path:
    """The file of the configured store.

    A relative path counts from the directory of the configuration file that names it, else from the working directory.

    :raises ConfigurationError: if the URL names no file
    """
    url = str(configuration.store)
    name = unquote(url.removeprefix(_PREFIX))
    if not url.startswith(_PREFIX) or not name or name == ":memory:" or "?" in name:
        where = origin(configuration, "store")
        raise ConfigurationError(f"{where}: expected sqlite:///FILE, for example sqlite:///jobs.sqlite; got {url}")
    return Path(os.path.abspath(base_directory(configuration, "store") / name))
