"""An HTTP server that strangers cannot exhaust: bounded connections, bounded requests, bounded time."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, Final

import gevent
import structlog
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer

from gsched.web.address import is_address, is_loopback, name_in

MOST_CONNECTIONS: Final = 64
CONNECTION_SECONDS: Final = 5.0  # for a connection's only request and the answer
MOST_HEADER_BYTES: Final = 16_384
PAUSE_SECONDS: Final = 0.5  # before connections are accepted again, after there was no descriptor for one
_SHORTAGES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_BAD_REQUEST: Final = ("400", b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")


class Connections(Pool):  # type: ignore[misc]
    """The greenlets of connections; one too many ends the oldest of those that may be ended."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self._by_age: dict[gevent.Greenlet, None] = {}

    def spawn(self, *args: Any) -> gevent.Greenlet:
        if len(self) >= self._most and self._by_age:
            self._end(next(iter(self._by_age)))
        made = super().spawn(*args)
        self.may_end(made)
        made.rawlink(self.must_not_end)
        return made

    def may_end(self, connection: gevent.Greenlet) -> None:
        """From now on another connection may take its place."""
        self._by_age[connection] = None

    def must_not_end(self, connection: gevent.Greenlet) -> None:
        """No other connection takes its place: it is at work, or gone."""
        self._by_age.pop(connection, None)

    def end_all_that_may(self) -> None:
        """End those that are not at work."""
        for connection in list(self._by_age):
            self._end(connection)

    def _end(self, connection: gevent.Greenlet) -> None:
        self.must_not_end(connection)
        connection.kill(block=False)


class RequestHandler(WSGIHandler):  # type: ignore[misc]
    """Serves one request on each connection, in `CONNECTION_SECONDS` at most."""

    def handle(self) -> None:
        with gevent.Timeout(CONNECTION_SECONDS, False):
            super().handle()

    def MessageClass(self, file: Any, *args: Any) -> Any:
        return super().MessageClass(_Head(file), *args)

    def read_request(self, raw_requestline: str) -> Any:
        is_read = super().read_request(raw_requestline)
        self.close_connection = True
        return is_read

    def _handle_client_error(self, ex: Exception) -> tuple[str, bytes]:
        """A client's mistake is not worth a line: any number of them may come."""
        return _BAD_REQUEST

    def _log_error(self, kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if issubclass(kind, Exception):  # else the connection has taken too long, or was one too many
            structlog.get_logger("gsched").error("probe.failed", exc_info=(kind, error, trace))


class _Head:
    """A connection's file while headers are read."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._room = MOST_HEADER_BYTES

    def readline(self, limit: int) -> bytes:
        line: bytes = self._file.readline(min(limit, self._room + 1))
        self._room -= len(line)
        if self._room < 0:
            raise ValueError("the headers are too large")
        return line


class BoundedServer(WSGIServer):  # type: ignore[misc]
    """Serves a WSGI application, one request a connection.

    - `MOST_CONNECTIONS` are open at once. A further one ends the one that has been open for longest, so that
      clients that send half a request keep no other client out.
    - A connection lasts `CONNECTION_SECONDS` at most.
    - A request whose headers have more than `MOST_HEADER_BYTES` is refused with status 400.
    - While the process has no free file descriptor, new connections wait; one line of the log says so.

    :ivar is_private: only this machine reaches it; known once it listens
    :param host: where to listen
    :param port: 0: the system chooses one
    """

    max_accept = 16  # so many connections may come on top before the oldest are gone

    most_connections = MOST_CONNECTIONS
    handler_class = RequestHandler

    def __init__(self, host: str, port: int, application: Callable[..., Any]) -> None:
        self.connections = Connections(self.most_connections)
        super().__init__((host, port), application, log=None, error_log=None, spawn=self.connections)
        self._host = host.lower()
        self._is_short = False  # of descriptors, as of the last connection

    def do_read(self) -> Any:
        """The next connection; None, and a pause, if the system has no room for it."""
        try:
            connection = super().do_read()
        except OSError as error:  # gevent would print a traceback for each attempt
            if error.errno not in _SHORTAGES:
                raise
            self._pause(error)
            return None
        self._is_short = False
        return connection

    def _pause(self, error: OSError) -> None:
        """Accept nothing for a while: a connection that waits would wake the event loop again at once."""
        self.stop_accepting()
        self._timer = self.loop.timer(PAUSE_SECONDS)
        self._timer.start(self._start_accepting_if_started)
        if not self._is_short:
            self._is_short = True
            structlog.get_logger("gsched").error("probe.failed", reason=f"connections wait: {error.strerror}")

    def init_socket(self) -> None:
        """Listen. While it stops, connections go on, and the socket is no more."""
        super().init_socket()
        self.is_private = is_loopback(self.socket.getsockname()[0])

    def is_named_by(self, host_header: str) -> bool:
        """True if a request's Host is an address, localhost, or the name that the server listens on.

        A page in a user's browser may have pointed any other name to this machine.
        """
        name = name_in(host_header)
        return name in ("", "localhost", self._host) or is_address(name)
