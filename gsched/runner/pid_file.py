"""The pid file: who runs, and a lock that the kernel lets go of however that process ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gsched.errors import ConfigurationError
from gsched.runner.exits import CommandRefused, Exit
from gsched.runner.logs import runner_log


@contextmanager
def pid_file(name: str | None) -> Iterator[None]:
    """Inside the block the file has our process id; one that a process left behind is replaced.

    Forked children hold it, too: until the last of them has ended, nobody else gets it.

    :param name: None: no file
    :raises CommandRefused: if a live process has it (exit code 6)
    :raises ConfigurationError: if it cannot be written
    """
    if name is None:
        yield
        return
    path, owner = Path(name), os.getpid()
    try:
        descriptor = _locked(path)
    except OSError as error:
        raise ConfigurationError(f"pid file {path}: {error.strerror}") from error
    if stale := _content(descriptor):
        runner_log().warning("pid_file.replaced", path=str(path), left_by=stale)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{owner}\n".encode(), 0)
    try:
        yield
    finally:
        if os.getpid() == owner:
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"pid file {path}: process {_content(descriptor) or '?'} runs already"
            os.close(descriptor)
            raise CommandRefused(message, Exit.CONFLICT) from None
        if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
        os.close(descriptor)  # its owner has just removed it


def _content(descriptor: int) -> str:
    return os.pread(descriptor, 64, 0).decode(errors="replace").strip()
