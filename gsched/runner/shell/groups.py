"""The process groups of running commands. A guardian process, which outlives this process, knows them."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Any, Final

from gevent import get_hub
from gevent.monkey import get_original

from gsched.event_loop.process import interpreter
from gsched.runner.shell import guardian

_ROOM: Final = 4096  # bytes that a pipe takes before its other end reads


class _Groups:
    """The groups of one process. Their guardian is started with the first group, and again if it was killed."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._groups: set[int] = set()
        self._pipe: int | None = None
        self._may_restart = False  # once for each command: a guardian that cannot run is not started endlessly

    def add(self, group: int) -> None:
        self._groups.add(group)
        self._may_restart = True
        if self._pipe is None:
            self._start()
        else:
            self._tell(f"+{group}\n")

    def discard(self, group: int) -> None:
        if group in self._groups:
            self._groups.discard(group)
            self._tell(f"-{group}\n")

    def close(self) -> None:
        """Close the pipe to the guardian, which ends then. A forked child closes its copy of its parent's pipe."""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None

    def _start(self) -> None:
        theirs, self._pipe = os.pipe()
        groups = "".join(f"+{group}\n" for group in self._groups)
        self._tell(groups[:_ROOM])  # before the guardian starts: this process may be killed at any moment
        watcher = get_hub().loop.child(_spawn_guardian(theirs), ref=False)
        watcher.start(self._on_end, watcher)
        os.close(theirs)
        self._tell(groups[_ROOM:])

    def _on_end(self, watcher: Any) -> None:
        """The guardian was killed: start another one."""
        watcher.close()
        self.close()
        if self._groups and self._may_restart:
            self._may_restart = False
            self._start()

    def _tell(self, lines: str) -> None:
        """Write lines to the guardian. It reads at once, so this does not block. `_on_end` replaces a dead one."""
        if self._pipe is not None:
            with suppress(BrokenPipeError):
                os.write(self._pipe, lines.encode())


def _spawn_guardian(stdin: int) -> int:
    pid: int = get_original("os", "posix_spawn")(
        interpreter(),
        [interpreter(), "-I", "-S", guardian.__file__],
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
    return pid


_groups: Final = [_Groups()]


def guard(group: int) -> None:
    """Have the guardian end `group` if this process ends first."""
    if _groups[0].owner != os.getpid():
        _groups[0].close()
        _groups[0] = _Groups()
    _groups[0].add(group)


def unguard(group: int) -> None:
    """Undo `guard`; nothing happens for a group that is not guarded."""
    _groups[0].discard(group)
