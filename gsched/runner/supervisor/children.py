"""A supervisor's view of its processes."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterable
from typing import Final

from gsched.event_loop.backoff import backoff
from gsched.runner.exit_codes import Exit
from gsched.runner.supervisor.lifeline import READY

FIRST_PAUSE: Final = 0.5  # seconds at most, before a process that died is started again
LONGEST_PAUSE: Final = 30.0  # the same for a process that keeps dying
LONG_LIFE: Final = 30.0  # a process that lived for so many seconds counts as started well


class Child:
    """One of the supervised places for a process. When its process ends, a new one is started there.

    :ivar index: the number of the place, from 0
    :ivar pid: the id of its process; None while there is none
    :ivar is_ready: the process's scheduler runs
    :ivar was_ready: the scheduler of this process or of an earlier one has run
    :ivar start_at: the monotonic time before which no new process is started
    :ivar heard_at: the monotonic time of the process's last sign of life
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self.pid: int | None = None
        self.line: socket.socket | None = None
        self.is_ready = self.was_ready = False
        self.start_at = self.heard_at = self._started_at = 0.0
        self._short_lives = 0

    def fork(self, now: float) -> socket.socket | None:
        """Start a process. Gives None here, and the process's end of the line in the new process."""
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            return theirs
        theirs.close()
        ours.setblocking(False)
        self.pid, self.line, self.is_ready = pid, ours, False
        self._started_at = self.heard_at = now
        return None

    def tell(self, order: bytes) -> None:
        """Send the process a message."""
        if self.line is not None:
            try:
                self.line.send(order)
            except OSError:
                pass  # the process is gone or does not read; the supervisor will notice

    def listen(self, now: float) -> None:
        """Read the process's messages."""
        try:
            said = self.line.recv(4096) if self.line is not None else b""
        except OSError:
            said = b""
        if said:
            self.heard_at = now
        elif self.line is not None:
            self.hang_up()
        if READY in said:
            self.is_ready = self.was_ready = True

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send the process a signal."""
        if self.pid is not None:
            os.kill(self.pid, number)

    def ended(self, now: float) -> None:
        """Record the process's end. The pause before the next start grows with each early end, and has jitter."""
        self.hang_up()
        self.pid, self.is_ready = None, False
        self._short_lives = 0 if now - self._started_at > LONG_LIFE else self._short_lives + 1
        self.start_at = now + backoff(FIRST_PAUSE, self._short_lives, LONGEST_PAUSE)

    def hang_up(self) -> None:
        """Close the line. To the process, that means that the supervisor is gone."""
        if self.line is not None:
            self.line.close()
            self.line = None


def worst(codes: Iterable[int]) -> int:
    """The exit code that stands for many: the first that is neither success nor a drain that timed out."""
    seen = list(codes)
    telling = [code if code > 0 else Exit.FAILED for code in seen if code not in (Exit.OK, Exit.DRAIN_TIMED_OUT)]
    if telling:
        return telling[0]
    return Exit.DRAIN_TIMED_OUT if Exit.DRAIN_TIMED_OUT in seen else Exit.OK
