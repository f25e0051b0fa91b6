"""Notices a server that refuses a client's connections, so that a new client can take its place.

PyMongo authenticates a connection once. If its user is dropped, the server refuses the connection from then on, even if
the user is created again. PyMongo also reads certificates once, and goes on showing them after they have expired.
"""

from __future__ import annotations

from typing import Any, Final

from pymongo.errors import OperationFailure
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandSucceededEvent, ServerHeartbeatListener

_UNAUTHORIZED: Final = 13
_UNAUTHENTICATED: Final = "requires authentication"
_BY_TLS: Final = "SSL"  # in the driver's message about a handshake that failed
_OPEN_TO_ALL: Final = frozenset({"hello", "isMaster", "ping"})  # commands that need no user


class Refusals(CommandListener, ServerHeartbeatListener):
    """Listens to one client of PyMongo.

    A client whose user the server never accepted is left alone: a new client would not be accepted either.

    :ivar noted: the server refuses the client's connections
    """

    def __init__(self) -> None:
        self.noted = False
        self._was_let_in = False

    def started(self, event: Any) -> None:
        """A command begins; the listener's interface needs this method."""

    def succeeded(self, event: Any) -> None:
        if isinstance(event, CommandSucceededEvent) and event.command_name not in _OPEN_TO_ALL:
            self._was_let_in = True

    def failed(self, event: Any) -> None:
        if isinstance(event, CommandFailedEvent):
            self.noted |= self._was_let_in and _is_unauthenticated(event.failure)
        else:
            self.noted |= _BY_TLS in str(event.reply)


def is_refusal(error: OperationFailure) -> bool:
    """True if the server refused the connection itself, not only the command."""
    return _is_unauthenticated(error.details or {})


def _is_unauthenticated(failure: Any) -> bool:
    return failure.get("code") == _UNAUTHORIZED and _UNAUTHENTICATED in str(failure.get("errmsg"))
