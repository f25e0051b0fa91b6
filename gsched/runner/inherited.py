"""Streams, files and signal masks that a process inherits, set to a known state."""

from __future__ import annotations

import os
import signal
import sys

_DESCRIPTORS = "/proc/self/fd"


def open_missing_streams() -> None:
    """Open standard streams that are closed on /dev/null, so that no other file gets their descriptors, here or in
    child processes."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest that is free is this one
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def keep_to_ourselves() -> None:
    """Let no child process inherit more than the standard streams: a lock file of our parent's, say, which a daemon
    that a command leaves would hold for ever."""
    for descriptor in _open_descriptors():
        try:
            os.set_inheritable(descriptor, False)
        except OSError:  # the one that the directory was read by
            pass


def unblock_signals() -> None:
    """Receive all signals. A parent that blocks TERM and CHLD leaves them blocked: nothing ends then."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _open_descriptors() -> list[int]:
    try:
        names = os.listdir(_DESCRIPTORS)
    except OSError:  # no /proc
        return list(range(3, 1024))
    return [number for number in map(int, names) if number > 2]
