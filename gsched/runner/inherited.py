"""Sets what a process inherits to a known state: streams, files and the signal mask."""

from __future__ import annotations

import os
import signal
import sys

_DESCRIPTORS = "/proc/self/fd"


def open_missing_streams() -> None:
    """Open closed standard streams as /dev/null.

    Otherwise another file would get the descriptor, in this process or in a child.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest free one
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def keep_to_ourselves() -> None:
    """Let child processes inherit nothing but the standard streams.

    Otherwise a daemon that a command leaves would keep open what this process's parent has opened, such as a lock file.
    """
    for descriptor in _open_descriptors():
        try:
            os.set_inheritable(descriptor, False)
        except OSError:  # the descriptor with which the directory was read
            pass


def unblock_signals() -> None:
    """Receive all signals. If the parent has blocked TERM and CHLD, neither the runner nor a command would end."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _open_descriptors() -> list[int]:
    try:
        names = os.listdir(_DESCRIPTORS)
    except OSError:  # no /proc
        return list(range(3, 1024))
    return [number for number in map(int, names) if number > 2]
