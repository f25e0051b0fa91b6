"""Refusals: a server that has come to refuse a client's connections may take those of a new client.

PyMongo authenticates a connection once. If its user is dropped, the server refuses the connection from then on, also
when there is a user of that name again. Certificates are read once, too: those that have expired are shown for ever.
"""

from __future__ import annotations

from typing import Any, Final

from pymongo.errors import OperationFailure
from pymongo.monitoring import CommandFailedEvent, CommandListener, ServerHeartbeatListener

_UNAUTHORIZED: Final = 13
_UNAUTHENTICATED: Final = "requires authentication"
_BY_TLS: Final = "SSL"  # in what the driver says of a handshake that failed


class Refusals(CommandListener, ServerHeartbeatListener):
    """Listens to one client of PyMongo.

    :ivar noted: whether the server has refused its connections
    """

    def __init__(self) -> None:
        self.noted = False

    def started(self, event: Any) -> None:
        """Nothing is refused yet."""

    def succeeded(self, event: Any) -> None:
        """Other connections of the client may be refused all the same."""

    def failed(self, event: Any) -> None:
        if isinstance(event, CommandFailedEvent):
            self.noted |= _is_unauthenticated(event.failure)
        else:
            self.noted |= _BY_TLS in str(event.reply)


def is_refusal(error: OperationFailure) -> bool:
    """Whether the server refused the connection, and not what was asked for."""
    return _is_unauthenticated(error.details or {})


def _is_unauthenticated(failure: Any) -> bool:
    return failure.get("code") == _UNAUTHORIZED and _UNAUTHENTICATED in str(failure.get("errmsg"))
