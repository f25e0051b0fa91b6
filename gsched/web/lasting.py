"""A server for browsers: connections last, streams too, and strangers cannot exhaust it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import gevent
import structlog
from gevent.pywsgi import WSGIHandler

from gsched.web.server import BoundedServer, RequestHandler

MOST_CONNECTIONS: Final = 256
HEAD_SECONDS: Final = 5.0  # for the head of a request
IDLE_SECONDS: Final = 60.0  # until the next request of a connection
SOCKET_SECONDS: Final = 20.0  # for each read of a body, and each write


class LastingRequestHandler(RequestHandler):
    """Many requests a connection. Only one that waits for a request, or reads its head, gives its place to others."""

    def handle(self) -> None:
        self.socket.settimeout(SOCKET_SECONDS)
        WSGIHandler.handle(self)

    def read_requestline(self) -> Any:
        if not self.server.started:  # it is to end
            return ""
        self.server.connections.may_end(gevent.getcurrent())
        self.socket.settimeout(IDLE_SECONDS)
        try:
            return super().read_requestline()
        finally:
            self.socket.settimeout(SOCKET_SECONDS)

    def read_request(self, raw_requestline: str) -> Any:
        with gevent.Timeout(HEAD_SECONDS, ValueError("the head of the request takes too long")):
            is_read = WSGIHandler.read_request(self, raw_requestline)
        self.server.connections.must_not_end(gevent.getcurrent())
        return is_read

    def _log_error(self, kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if issubclass(kind, Exception) and not issubclass(kind, OSError):  # clients may go at any time
            structlog.get_logger("gsched").error("web.failed", error_type=kind.__name__)


class LastingServer(BoundedServer):
    """Serves a WSGI application to browsers.

    - `MOST_CONNECTIONS` are open at once. A further one ends the one that has waited longest for a request, or sends
      its head most slowly. One that is at work is never ended.
    - The head of a request may take `HEAD_SECONDS`, and each read or write after that `SOCKET_SECONDS`.
    """

    most_connections = MOST_CONNECTIONS
    handler_class = LastingRequestHandler

    def __init__(self, host: str, port: int, application: Callable[..., Any]) -> None:
        super().__init__(host, port, application)

    def stop(self, timeout: float | None = None) -> None:
        """Stop listening. Requests that are being answered have so many seconds to end."""
        self.close()
        self.connections.end_all_that_may()
        super().stop(timeout)
