"""Signals: a handler only notes a request and wakes the greenlet that answers it."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Any, Final

from gevent.event import Event

from gsched.event_loop.forks import hand_on_handlers, keep_handlers


class Request(Enum):
    """The requests that signals make of a runner."""

    END = "end"  # drain; at the second request, cancel
    DRAIN = "drain"
    CANCEL = "cancel"
    RELOAD = "reload"
    STACKS = "stacks"
    OVER = "over"  # the scheduler has ended


ALONE: Final[Mapping[signal.Signals, Request | None]] = {
    signal.SIGTERM: Request.END,
    signal.SIGINT: Request.END,
    signal.SIGHUP: Request.RELOAD,
    signal.SIGUSR1: Request.STACKS,
}
# A supervisor passes requests on to its processes. Ctrl-C and a hang-up reach all processes of a terminal, and
# systemd's TERM reaches all processes of a service. A request must not count twice, so these signals ask for less here.
SUPERVISED: Final[Mapping[signal.Signals, Request | None]] = {
    signal.SIGTERM: Request.DRAIN,
    signal.SIGINT: None,
    signal.SIGHUP: None,
    signal.SIGUSR1: Request.STACKS,
}


class ProcessRequests:
    """The requests to this process, in order.

    :param meanings: the request of each signal; None: the signal is ignored
    """

    def __init__(self, meanings: Mapping[signal.Signals, Request | None] = ALONE) -> None:
        self._meanings = meanings
        self._noted: deque[Request] = deque()
        self._wakeup = Event()

    @contextmanager
    def from_signals(self) -> Iterator[None]:
        """Inside the block, signals are noted and do nothing else. In a forked child they do what they did before."""
        before = {number: signal.signal(number, self._handle) for number in self._meanings}
        hand_on_handlers(before)
        try:
            yield
        finally:
            keep_handlers(before)
            for number, handler in before.items():
                signal.signal(number, handler)

    def note(self, request: Request) -> None:
        """Add a request. Never waits, and may be called from a signal's handler."""
        self._noted.append(request)
        self._wakeup.set()

    def __iter__(self) -> Iterator[Request]:
        """Wait for one request after the other, until OVER."""
        while True:
            while self._noted:
                if (request := self._noted.popleft()) is Request.OVER:
                    return
                yield request
            self._wakeup.clear()
            if not self._noted:  # a handler may interrupt this code anywhere
                self._wakeup.wait()

    def _handle(self, number: int, _: Any) -> None:
        request = self._meanings[signal.Signals(number)]
        if request is not None:
            self.note(request)
