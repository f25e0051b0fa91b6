"""The supervisor of several runner processes: it forks them, restarts those that end, and passes requests on.

It is a plain loop without gevent: a process is forked before there is an event loop that it could inherit.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from gsched.config import Configuration, read_again, taken_over
from gsched.errors import ConfigurationError
from gsched.runner.exit_codes import Exit
from gsched.runner.logs import configure_logging, runner_log
from gsched.runner.supervisor.children import Child, worst
from gsched.runner.supervisor.lifeline import CANCEL, DRAIN, RELOAD, STACKS
from gsched.runner.systemd import SystemdReporter
from gsched.times.clock import SystemClock

MARGIN_SECONDS: Final = 20.0  # on top of the drain timeout: cancelled runs clean up, stores are closed
LONGEST_WAIT: Final = 1.0
_HANDLED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)
_FATAL: Final = frozenset({Exit.FAILED, Exit.USAGE, Exit.INVALID, Exit.CONFLICT})  # trying again would not help


class Part(NamedTuple):
    """What a forked process needs to run jobs.

    :ivar number: the number of the process, from 0
    :ivar line: the descriptor of its lifeline
    """

    configuration: Configuration
    number: int
    line: int
    watchdog_seconds: float | None


class Supervisor:
    """Runs `configuration.processes` processes until a signal asks for the end.

    The first process starts alone: an error of the application shows once, and the others find the store ready.
    """

    def __init__(self, configuration: Configuration, notifier: SystemdReporter) -> None:
        self._configuration = configuration
        self._notifier = notifier
        self._clock = SystemClock()
        self._children = [Child(index) for index in range(configuration.processes)]
        self._codes: list[int] = []  # of processes whose end counts for the supervisor's
        self._kill_at: float | None = None  # while it drains: when the rest is killed
        self._is_announced = False

    def run(self) -> int | Part:
        """Supervise the processes. Gives the exit code, or in each forked process its part."""
        with _signal_pipe() as signals:
            runner_log().info("supervisor.started", processes=len(self._children))
            while not self._is_over():
                part = self._start_due()
                if part is not None:
                    return part
                self._wait(signals)
                self._end_hung()
                self._announce()
            code = worst(self._codes)
            runner_log().info("supervisor.stopped", code=int(code))
            return code

    # -- processes ------------------------------------------------------------------------------------------------

    def _start_due(self) -> Part | None:
        now = self._clock.monotonic()
        for child in self._children:
            if child.pid is None and self._kill_at is None and now >= child.start_at and self._may_start(child):
                line = child.fork(now)
                if line is not None:
                    for other in self._children:
                        other.hang_up()
                    return Part(self._configuration, child.index, line.detach(), self._notifier.watchdog_seconds)
                runner_log().info("process.started", process=child.index, started=child.pid)
        return None

    def _may_start(self, child: Child) -> bool:
        return child.index == 0 or self._children[0].was_ready

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for child in self._children:
                if child.pid == pid:
                    self._note_end(child, os.waitstatus_to_exitcode(status))

    def _note_end(self, child: Child, code: int) -> None:
        how = {"code": code} if code >= 0 else {"signal": signal.Signals(-code).name}
        is_fatal = code in _FATAL and not child.was_ready
        log = runner_log().info if self._kill_at is not None else runner_log().warning
        log("process.ended", process=child.index, ended=child.pid, **how)
        child.ended(self._clock.monotonic())
        if self._kill_at is not None or is_fatal:
            self._codes.append(code)
        if is_fatal:
            self._drain()

    def _end_hung(self) -> None:
        """Kill processes that do not drain, and, if systemd's watchdog is on, those whose event loop hangs."""
        now, period = self._clock.monotonic(), self._notifier.watchdog_seconds
        for child in self._children:
            is_silent = period is not None and child.is_ready and now - child.heard_at > period
            is_late = self._kill_at is not None and now > self._kill_at
            if child.pid is not None and (is_silent or is_late):
                runner_log().error("process.killed", process=child.index, killed=child.pid, silent=is_silent)
                child.kill()
                child.heard_at = now  # once is enough

    def _is_over(self) -> bool:
        return self._kill_at is not None and all(child.pid is None for child in self._children)

    # -- signals and messages -------------------------------------------------------------------------------------

    def _wait(self, signals: int) -> None:
        now = self._clock.monotonic()
        lines = {child.line.fileno(): child for child in self._children if child.line is not None}
        starts = [child.start_at - now for child in self._children if child.pid is None and self._may_start(child)]
        seconds = max(0.0, min([LONGEST_WAIT, *starts]))
        ready, _, _ = select.select([signals, *lines], [], [], seconds)
        for line in ready:
            if line == signals:
                for number in os.read(signals, 4096):
                    self._act(signal.Signals(number))
            else:
                lines[line].listen(self._clock.monotonic())

    def _act(self, number: signal.Signals) -> None:
        if number == signal.SIGCHLD:
            self._reap()
        elif number == signal.SIGHUP:
            self._reload()
        elif number == signal.SIGUSR1:
            self._tell(STACKS)
        elif self._kill_at is None:
            self._drain()
        else:
            self._kill_at = self._clock.monotonic() + MARGIN_SECONDS
            self._tell(CANCEL)

    def _drain(self) -> None:
        if self._kill_at is not None:
            return
        self._kill_at = self._clock.monotonic() + self._configuration.drain_timeout + MARGIN_SECONDS
        self._notifier.stopping("draining")
        self._tell(DRAIN)
        for child in self._children:
            if not child.is_ready:  # it may be importing for long
                child.kill(signal.SIGTERM)

    def _reload(self) -> None:
        self._notifier.reloading(self._clock.monotonic())
        try:
            wanted = read_again(self._configuration)
        except ConfigurationError:
            pass  # the processes say so
        else:
            self._configuration, _ = taken_over(self._configuration, wanted)
            configure_logging(self._configuration)
        self._tell(RELOAD)
        self._notifier.ready("running")

    def _tell(self, order: bytes) -> None:
        for child in self._children:
            child.tell(order)

    def _announce(self) -> None:
        """Report to systemd once that all processes run, and regularly that the supervisor is alive."""
        if not self._is_announced and all(child.was_ready for child in self._children):
            self._is_announced = True
            self._notifier.ready(f"{len(self._children)} processes")
        self._notifier.alive()


@contextmanager
def _signal_pipe() -> Iterator[int]:
    """A descriptor from which the numbers of signals are read, inside the block."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before: dict[int, Any] = {number: signal.signal(number, _nothing) for number in _HANDLED}
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


def _nothing(*_: object) -> None:
    """A signal's handler: the number of the signal is in the pipe already."""
