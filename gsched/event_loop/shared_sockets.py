"""Sockets and poll objects of gevent that native threads pass to each other, as connection pools do."""

from __future__ import annotations

import select
import sys
from typing import Any

import gevent.select
import gevent.socket
from gevent import get_hub
from gevent.monkey import get_original

_thread_ident = get_original("_thread", "get_ident")
_READ, _WRITE = 1, 2  # libev's
# The class in which gevent's sockets, with and without TLS, wait until they can be read or written.
_Sockets: Any = next(each for each in gevent.socket.socket.__mro__ if "_wait" in vars(each))
_wait_at_home = _Sockets._wait


def share_sockets() -> None:
    """Let a thread wait for a socket, or with a poll object, that another thread has made."""
    _Sockets._wait = _wait
    if sys.platform != "win32" and select.poll is gevent.select.poll:
        select.poll = _SharedPoll  # type: ignore[misc]


def _wait(self: Any, watcher: Any, *timeout_error: Any, **named: Any) -> None:
    """Wait until the socket can be read or written, depending on `watcher`."""
    hub = self.hub
    if hub is None or hub.thread_ident == _thread_ident():
        _wait_at_home(self, watcher, *timeout_error, **named)
        return
    mine = get_hub().loop.io(self.fileno(), _READ if watcher is self._read_event else _WRITE)
    try:
        gevent.socket.wait(mine, self.timeout, *timeout_error, **named)
    finally:
        mine.close()


class _SharedPoll(gevent.select.poll):  # type: ignore[misc]
    def poll(self, timeout: float | None = None) -> Any:
        self.loop = get_hub().loop  # of the thread that polls now
        return super().poll(timeout)
