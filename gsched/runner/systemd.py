"""Reports to systemd: sd_notify(3) and the watchdog. If systemd has not asked for reports, nothing is sent."""

from __future__ import annotations

import os
import socket


class SystemdReporter:
    """Sends READY, RELOADING, STOPPING, STATUS and WATCHDOG to the service manager.

    Removes systemd's variables from the environment: processes that jobs start must not send reports.

    :ivar watchdog_seconds: the longest time between two calls of `alive`; None: there is no watchdog
    """

    def __init__(self) -> None:
        self._address = os.environ.pop("NOTIFY_SOCKET", None)
        period, pid = os.environ.pop("WATCHDOG_USEC", ""), os.environ.pop("WATCHDOG_PID", str(os.getpid()))
        is_asked = period.isdecimal() and int(period) > 0 and pid == str(os.getpid())
        self.watchdog_seconds = int(period) / 1e6 if is_asked and self._address else None

    def ready(self, status: str) -> None:
        """The runner runs; also called after `reloading`."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self, monotonic: float) -> None:
        """The runner reads its configuration again.

        :param monotonic: the time (monotonic, seconds)
        """
        self._send("RELOADING=1", f"MONOTONIC_USEC={int(monotonic * 1e6)}")

    def stopping(self, status: str) -> None:
        """The runner drains."""
        self._send("STOPPING=1", f"STATUS={status}")

    def alive(self) -> None:
        """Feed the watchdog."""
        if self.watchdog_seconds is not None:
            self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if self._address is None:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(1)
                sender.sendto("\n".join(lines).encode(), address)
        except OSError:
            pass  # systemd ends a service that does not report
