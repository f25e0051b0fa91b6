"""Rights: other users who may change a file or directory that decides what is executed."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from errno import EPERM
from pathlib import Path
from typing import Final

ROOT: Final = 0
REMEDY: Final = "give it to this user or root, and take the write permission from all others (chown, chmod go-w)"
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def open_to_others(path: str | os.PathLike[str]) -> str | None:
    """Why users other than this one and root can change the file `path`; None if they cannot, or if it does not exist.

    Looked at are the file or directory itself, each directory on the way to it, and each symbolic link. What is on a
    file system that is mounted read-only cannot be changed. On Windows, who may change a file is not looked at.
    """
    if user_id() is None:
        return None
    for step in _steps(Path(path)):
        try:
            status = step.lstat()
        except OSError:
            return None
        is_last = step == Path(os.path.realpath(path))
        if (reason := _reason(step, status, is_last)) is not None and not _is_read_only(step):
            return reason
    return None


def user_id() -> int | None:
    """The number of the user whose rights this process has; None on Windows, where files have no such owner."""
    if sys.platform == "win32":
        return None
    return os.geteuid()


def keep_rights(path: str, descriptor: int) -> None:
    """Give an open file the owner and the mode of the one at `path`, if there is one. On Windows, do nothing."""
    if sys.platform == "win32":
        return
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return
    if user_id() == ROOT:
        os.fchown(descriptor, status.st_uid, status.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))


def refuse_foreign_link(path: str | os.PathLike[str]) -> None:
    """Raises PermissionError for another user's symbolic link: it leads where that user wants us to write."""
    if user_id() is not None and os.path.islink(path) and os.lstat(path).st_uid not in (ROOT, user_id()):
        raise PermissionError(EPERM, "it is another user's symbolic link", os.fspath(path))


def _reason(step: Path, status: os.stat_result, is_last: bool) -> str | None:
    if status.st_uid not in (ROOT, user_id()):
        return f"{step} belongs to the user {_user_name(status.st_uid)}"
    # In a sticky directory, other users cannot replace files that they do not own.
    is_safe = stat.S_ISLNK(status.st_mode) or (not is_last and status.st_mode & stat.S_ISVTX)
    if status.st_mode & _OTHERS_WRITE and not is_safe and not _only_own_group_writes(status):
        return f"{step} may be written by other users (mode {stat.S_IMODE(status.st_mode):04o})"
    return None


def _only_own_group_writes(status: os.stat_result) -> bool:
    """True if the group that may write is the one of this user alone, which many systems make for each user.

    They also set the umask 0002, so that such a group may write all directories that its user makes.
    """
    if sys.platform == "win32" or status.st_mode & stat.S_IWOTH:
        return False
    import grp  # few programs need them
    import pwd

    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    is_own = user.pw_gid == status.st_gid and group.gr_name == user.pw_name
    return is_own and user.pw_uid != ROOT and set(group.gr_mem) <= {user.pw_name}


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
    if sys.platform == "win32":
        return False
    try:
        return bool(os.statvfs(step).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _user_name(uid: int) -> str:
    if sys.platform == "win32":
        return str(uid)
    import pwd  # few programs need it

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
