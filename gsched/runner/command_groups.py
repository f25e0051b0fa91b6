"""The process groups of commands in progress, told to a guardian that outlives this process."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Final

from gevent import get_hub
from gevent.monkey import get_original

from gsched.runner import command_guardian


class _Groups:
    """The groups of one process. Its guardian is started for the first of them, and again if it was killed."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._groups: set[int] = set()
        self._pipe: int | None = None

    def add(self, group: int) -> None:
        self._groups.add(group)
        if self._pipe is None or not self._tell(f"+{group}\n"):
            self._start()

    def discard(self, group: int) -> None:
        if group in self._groups:
            self._groups.discard(group)
            self._tell(f"-{group}\n")

    def forget(self) -> None:
        """In a forked child: the guardian is the parent's, which must not seem alive through us."""
        if self._pipe is not None:
            os.close(self._pipe)

    def _start(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
        theirs, self._pipe = os.pipe()
        _spawn_guardian(theirs)
        os.close(theirs)
        self._tell("".join(f"+{group}\n" for group in self._groups))

    def _tell(self, lines: str) -> bool:
        """Whether the guardian is there to be told; it reads at once, so that this does not block."""
        assert self._pipe is not None
        try:
            os.write(self._pipe, lines.encode())
        except BrokenPipeError:
            return False
        return True


def _spawn_guardian(stdin: int) -> None:
    pid = get_original("os", "posix_spawn")(
        _python(),
        [_python(), "-I", "-S", command_guardian.__file__],
        {},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, stdin, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=(signal.SIGPIPE,),
    )
    watcher = get_hub().loop.child(pid, ref=False)  # reaps it if it is killed
    watcher.start(watcher.close)


def _python() -> str:
    """The interpreter's program: under uWSGI and its like, sys.executable is not it."""
    if "py" in Path(sys.executable or "").name:
        return sys.executable
    return os.path.join(sys.exec_prefix, "bin", "python3")


_groups: Final = [_Groups()]


def guard(group: int) -> None:
    """Have `group` ended when this process ends before it."""
    if _groups[0].owner != os.getpid():
        _groups[0].forget()
        _groups[0] = _Groups()
    _groups[0].add(group)


def unguard(group: int) -> None:
    """Undo `guard`; nothing happens for a group that is not guarded."""
    _groups[0].discard(group)
