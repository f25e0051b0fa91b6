"""Who else may change a file or directory that decides what we execute."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = 0
REMEDY: Final = "give it to this user or root, and take the write permission from all others (chown, chmod go-w)"
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def open_to_others(path: str | os.PathLike[str]) -> str | None:
    """Why users other than this one and root can decide what is at `path`; None if they cannot, or nothing is there.

    Looked at are the file or directory itself, each directory on the way to it, and each symbolic link. What is on a
    file system that is mounted read-only is in nobody's hands.
    """
    for step in _steps(Path(path)):
        try:
            status = step.lstat()
        except OSError:
            return None
        is_last = step == Path(os.path.realpath(path))
        if (reason := _reason(step, status, is_last)) is not None and not _is_read_only(step):
            return reason
    return None


def _reason(step: Path, status: os.stat_result, is_last: bool) -> str | None:
    if status.st_uid not in (ROOT, os.geteuid()):
        return f"{step} belongs to the user {_user_name(status.st_uid)}"
    # Where a directory on the way is sticky, others cannot replace what is not theirs.
    is_safe = stat.S_ISLNK(status.st_mode) or (not is_last and status.st_mode & stat.S_ISVTX)
    if status.st_mode & _OTHERS_WRITE and not is_safe:
        return f"{step} may be written by other users (mode {stat.S_IMODE(status.st_mode):04o})"
    return None


def _steps(path: Path) -> Iterator[Path]:
    """All that decides what the path names, from the root on: directories, symbolic links and where these lead."""
    here, *rest = Path(path.absolute().anchor), *reversed(path.absolute().parts[1:])
    links = 0
    yield here
    while rest:
        name = rest.pop()
        here = here.parent if name == ".." else here / name
        yield here
        if here.is_symlink():
            if (links := links + 1) > 40:  # as many as the kernel follows
                return
            target = here.readlink()
            rest += reversed(target.parts[1:] if target.is_absolute() else target.parts)
            here = Path(target.anchor) if target.is_absolute() else here.parent


def _is_read_only(step: Path) -> bool:
    try:
        return bool(os.statvfs(step).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
