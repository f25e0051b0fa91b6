"""The line between a supervisor and each of its processes.

One byte is one message. The end of the line means that the other process is gone.
"""

from __future__ import annotations

import socket
from typing import Final

from gsched.event_loop.helpers import spawn
from gsched.runner.signals import ProcessRequests, Request

READY: Final = b"r"
TICK: Final = b"t"
ORDERS: Final = {b"d": Request.DRAIN, b"c": Request.CANCEL, b"h": Request.RELOAD, b"s": Request.STACKS}
DRAIN, CANCEL, RELOAD, STACKS = ORDERS


class Lifeline:
    """A process's end of the line: gets the supervisor's requests, and reports to the supervisor in place of systemd.

    :param descriptor: of the socket
    :ivar watchdog_seconds: how often the supervisor wants to hear from us
    """

    def __init__(self, descriptor: int, watchdog_seconds: float | None) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self.watchdog_seconds = watchdog_seconds

    def follow(self, requests: ProcessRequests) -> None:
        """Pass the supervisor's requests on. If the supervisor is gone, ask for a drain."""
        spawn(self._follow, requests)

    def ready(self, status: str) -> None:
        """The scheduler runs."""
        self._send(READY)

    def reloading(self, monotonic: float) -> None:
        """The supervisor says so itself."""

    def stopping(self, status: str) -> None:
        """The supervisor says so itself."""

    def alive(self) -> None:
        """The scheduler has had its turn."""
        self._send(TICK)

    def _follow(self, requests: ProcessRequests) -> None:
        while order := self._receive():
            requests.note(ORDERS[order])
        requests.note(Request.DRAIN)

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(1)
        except OSError:
            return b""

    def _send(self, message: bytes) -> None:
        try:
            self._socket.send(message)
        except OSError:
            pass  # it is gone: we shall read that
