"""Where the databases of tests have their files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

_MEMORY: Final = Path("/dev/shm")
_ROOM: Final = 4 * 1024**3  # bytes, for the databases of six workers


def database_parent() -> str | None:
    """A folder in memory, if it has room, so that databases wait for no disk; None: the folder for temporary files."""
    if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _ROOM:
        return str(_MEMORY)
    return None
