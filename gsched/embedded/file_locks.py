"""Advisory locks on files, taken without ever blocking the hub. The kernel releases them however a process ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gevent

from gsched.errors import EmbeddedMongoError

POLL_SECONDS = 0.02
SHARED = fcntl.LOCK_SH
EXCLUSIVE = fcntl.LOCK_EX


class Deadline:
    """A limit for loops that wait: `pause()` sleeps a little, or raises when `seconds` have passed."""

    def __init__(self, seconds: float, message: str) -> None:
        self._end = time.monotonic() + seconds
        self._message = f"{message} within {seconds:g} s"

    def pause(self) -> None:
        if time.monotonic() > self._end:
            raise EmbeddedMongoError(self._message)
        gevent.sleep(POLL_SECONDS)


def try_lock(path: Path, kind: int) -> int | None:
    """The descriptor that holds the lock, until it is closed; None when others hold it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def take_lock(path: Path, kind: int, deadline: Deadline) -> int:
    """The descriptor that holds the lock; raises EmbeddedMongoError at the deadline."""
    while (descriptor := try_lock(path, kind)) is None:
        deadline.pause()
    return descriptor


@contextmanager
def locked(path: Path, deadline: Deadline) -> Iterator[None]:
    """Hold the lock alone inside the block."""
    descriptor = take_lock(path, EXCLUSIVE, deadline)
    try:
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path, against: int) -> bool:
    """True while others hold the lock in a way that keeps out a lock of the kind `against`."""
    descriptor = try_lock(path, against)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False
