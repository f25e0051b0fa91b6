"""Reaps the processes of commands, to learn what they have used.

gevent's event loop reaps every child of this process, and drops the kernel's figures of time and memory. So the reaper
looks for children that have ended before the loop does: in a check watcher, which the loop calls first after a wait.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

OnEnd = Callable[[int, Any], object]

_FIRST: Final = 2  # the highest priority of libev: before the loop reaps


class _Reaper:
    """Waits for children of this process, in the main event loop."""

    def __init__(self) -> None:
        self._on_end: dict[int, OnEnd] = {}
        self._check: Any = None

    def watch(self, loop: Any, pid: int, on_end: OnEnd) -> None:
        """Call `on_end(status, usage)` when the child has ended, unless the loop reaps it first."""
        if self._check is None:
            self._check = loop.check(ref=False, priority=_FIRST)
            self._check.start(self._look)
        self._on_end[pid] = on_end

    def forget(self, pid: int) -> None:
        """Stop waiting for this child."""
        self._on_end.pop(pid, None)
        if not self._on_end and self._check is not None:
            self._check.close()
            self._check = None

    def _look(self) -> None:
        if not _some_child_has_ended():
            return
        for pid, on_end in list(self._on_end.items()):
            try:
                ended, status, usage = os.wait4(pid, os.WNOHANG)
            except ChildProcessError:  # the loop was faster, and reports the status
                continue
            if ended:
                self.forget(pid)
                on_end(status, usage)


def _some_child_has_ended() -> bool:
    """True if a child of this process waits to be reaped. Takes one system call, however many children there are."""
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False


reaper: Final = _Reaper()
