"""The pid file: the id of the running process, and a lock that the kernel releases however the process ends."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gsched.errors import ConfigurationError
from gsched.runner.exit_codes import CommandRefused, Exit
from gsched.runner.logs import runner_log


@contextmanager
def pid_file(name: str | None) -> Iterator[None]:
    """Inside the block the file has the id of this process. A file that a dead process left is replaced.

    Forked children hold the lock, too: no other process gets it before the last of them has ended. Only this user can
    open the file, because a user that can read it can lock it.

    :param name: the file's path; None: no file is written
    :raises CommandRefused: if a live process has the file (exit code 6)
    :raises ConfigurationError: if the file cannot be written, or is no pid file of this user
    """
    if name is None:
        yield
        return
    path, owner = Path(name), os.getpid()
    try:
        descriptor = _locked(path)
        os.fchmod(descriptor, 0o600)
    except OSError as error:
        said = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise ConfigurationError(f"pid file {path}: {said}") from error
    if stale := _content(descriptor):
        runner_log().warning("pid_file.replaced", path=str(path), left_by=stale)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{owner}\n".encode(), 0)
    try:
        yield
    finally:
        if os.getpid() == owner and _is_at(path, descriptor):
            path.unlink()
        os.close(descriptor)


def _locked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        try:
            _refuse_foreign(path, descriptor)
        except ConfigurationError:
            os.close(descriptor)
            raise
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"pid file {path}: process {_content(descriptor) or '?'} runs already"
            os.close(descriptor)
            raise CommandRefused(message, Exit.CONFLICT) from None
        if _is_at(path, descriptor):
            return descriptor
        os.close(descriptor)  # its owner has just removed the file


def _refuse_foreign(path: Path, descriptor: int) -> None:
    """Refuse a file that is no pid file of this user, because writing would destroy its content."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        raise ConfigurationError(f"pid file {path}: it is no regular file, or has a second name; name another file")
    if status.st_uid != os.geteuid():
        raise ConfigurationError(f"pid file {path}: it belongs to another user; name another one, or remove it")
    content = _content(descriptor)  # files of the kernel have content and no size
    if content and not content.isdecimal():
        raise ConfigurationError(f"pid file {path}: it holds no process id; name another file, or remove this one")


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _content(descriptor: int) -> str:
    return os.pread(descriptor, 64, 0).decode(errors="replace").strip()
