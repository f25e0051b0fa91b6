"""A command's process: starts it in a session of its own, waits for it without blocking, ends it with its group."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from resource import RUSAGE_SELF, getrusage
from typing import Any, Final, NamedTuple

import gevent
from gevent import get_hub
from gevent.event import AsyncResult
from gevent.monkey import get_original
from gevent.os import make_nonblocking, nb_read, nb_write

from gsched.errors import ConfigurationError
from gsched.executors.interruption import GRACE_SECONDS
from gsched.runner.shell.groups import guard, unguard
from gsched.runner.shell.reaper import reaper

CHUNK_BYTES: Final = 65_536
REAP_SECONDS: Final = 0.5  # the wait after KILL: the kernel may hold a process for longer
_POLL_SECONDS: Final = 0.02
_UNIT_BYTES: Final = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
_UNSURE: Final = (1 << 20) // _UNIT_BYTES  # the kernel's figure for a running process may be wrong by so much
# Python or a shell's nohup may have ignored these; a command expects the defaults.
_DEFAULT_SIGNALS: Final = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


class Start(NamedTuple):
    """How a command's process starts.

    The process waits until it can read `opening`. So the command begins only when the guardian knows its group, and
    never if this process is killed before.

    :ivar arguments: the program's path and its arguments
    :ivar environment: its environment variables
    :ivar opening: what the process waits for
    :ivar opens_on_stdin: True: the process reads `opening` from its standard input, and the command's input comes on
        descriptor 3; False: the other way round
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    opening: bytes
    opens_on_stdin: bool


class Usage(NamedTuple):
    """What a command has used.

    :ivar user_seconds: CPU time in the processes themselves
    :ivar system_seconds: CPU time in the kernel
    :ivar peak_memory: bytes of the largest process; None if none was larger than this process has been
    """

    user_seconds: float
    system_seconds: float
    peak_memory: int | None

    @classmethod
    def read(cls, usage: Any, own_peak: int) -> Usage:
        """The kernel's figures. A process begins with the peak of its spawning process, so a smaller peak is not known.

        :param usage: as `os.wait4` gives it
        :param own_peak: the peak of this process when it spawned the command, in the kernel's unit
        """
        is_known = usage.ru_maxrss > own_peak + _UNSURE
        peak = usage.ru_maxrss * _UNIT_BYTES if is_known else None
        return cls(round(usage.ru_utime, 3), round(usage.ru_stime, 3), peak)


class CommandProcess:
    """A process and its group, with pipes as its standard streams.

    The process is spawned, not forked: a fork takes longer the more memory this process has, and runs its fork hooks.

    :ivar usage: what the process has used, once it has ended; None in the rare case that gevent's loop has reaped it
    :raises OSError: if the process cannot be started
    """

    _pid = 0

    def __init__(self, start: Start) -> None:
        loop = get_hub().loop
        if not loop.default:
            raise ConfigurationError("commands run in the program's main thread only: use a greenlet executor")
        loop.install_sigchld()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})  # this process's parent may have blocked it
        self._ended: AsyncResult[int] = AsyncResult()
        self.usage: Usage | None = None
        self._descriptors: set[int] = set()
        theirs: list[int] = []
        try:
            for _ in range(4):
                theirs += os.pipe()
            stdin, self._stdin, self._stdout, stdout, self._stderr, stderr, gate, self._opener = theirs
            first, fourth = (gate, stdin) if start.opens_on_stdin else (stdin, gate)
            self._pid = _spawn(start.arguments, start.environment, (first, stdout, stderr, fourth))
        except BaseException:
            self._descriptors.update(theirs)
            self.close()
            raise
        self._own_peak = getrusage(RUSAGE_SELF).ru_maxrss
        guard(self._pid)
        self._opening = start.opening
        self._watcher: Any = loop.child(self._pid)
        self._watcher.start(self._reaped_by_loop)
        reaper.watch(loop, self._pid, self._on_end)
        self._descriptors = {self._opener, self._stdin, self._stdout, self._stderr}
        for descriptor in (stdin, stdout, stderr, gate):
            os.close(descriptor)
        for descriptor in self._descriptors:
            make_nonblocking(descriptor)

    def begin(self, content: bytes) -> None:
        """Let the command begin, write its standard input, and close that. Input that it does not read is dropped."""
        self._feed(self._opener, self._opening)
        self._feed(self._stdin, content)

    def _feed(self, descriptor: int, content: bytes) -> None:
        with suppress(BrokenPipeError):
            while content:
                content = content[nb_write(descriptor, content) :]
        self._close(descriptor)

    def read_output(self) -> bytes:
        """The next bytes of the standard output; empty at its end."""
        chunk: bytes = nb_read(self._stdout, CHUNK_BYTES)
        return chunk

    def read_errors(self) -> bytes:
        """The next bytes of the standard error; empty at its end."""
        chunk: bytes = nb_read(self._stderr, CHUNK_BYTES)
        return chunk

    def wait(self) -> int:
        """Wait for the end. Gives the exit status, or minus the number of the signal that ended the process."""
        status: int = self._ended.get()
        return status

    def stop(self) -> None:
        """End the group: send TERM, then KILL after GRACE_SECONDS, or as soon as this wait is interrupted."""
        try:
            if self._signal(signal.SIGTERM):
                self._wait_for_group()
        finally:
            self._signal(signal.SIGKILL)
            self._ended.wait(REAP_SECONDS)

    def close(self) -> None:
        """Close the pipes. Background processes of the group go on."""
        if self._pid:
            unguard(self._pid)
        for descriptor in list(self._descriptors):
            self._close(descriptor)

    def _close(self, descriptor: int) -> None:
        if descriptor in self._descriptors:
            self._descriptors.discard(descriptor)
            os.close(descriptor)

    def _signal(self, number: int) -> bool:
        """Signal the group. False if it has no process any more."""
        try:
            os.killpg(self._pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:  # a setuid program
            pass
        return True

    def _wait_for_group(self) -> None:
        for _ in range(round(GRACE_SECONDS / _POLL_SECONDS)):
            if not self._signal(0):
                return
            gevent.sleep(_POLL_SECONDS)

    @property
    def status(self) -> int | None:
        """The exit status, or minus the number of the signal that ended the process; None while it runs."""
        return self._ended.get() if self._ended.ready() else None

    def _reaped_by_loop(self) -> None:
        reaper.forget(self._pid)
        self._on_end(self._watcher.rstatus, None)

    def _on_end(self, wait_status: int, usage: Any) -> None:
        status = os.waitstatus_to_exitcode(wait_status)
        self.usage = None if usage is None else Usage.read(usage, self._own_peak)
        self._watcher.close()
        if not self._signal(0):
            unguard(self._pid)
        self._ended.set(status)


def _spawn(arguments: Sequence[str], environment: Mapping[str, str], descriptors: Sequence[int]) -> int:
    pid: int = get_original("os", "posix_spawn")(
        arguments[0],
        arguments,
        environment,
        file_actions=[(os.POSIX_SPAWN_DUP2, ours, theirs) for theirs, ours in enumerate(descriptors)],
        setsid=True,
        setsigmask=(),
        setsigdef=_DEFAULT_SIGNALS,
    )
    return pid
