"""Refusals: a server that has come to refuse a client's connections may take those of a new client.

PyMongo authenticates a connection once. If its user is dropped, the server refuses the connection from then on, also
when there is a user of that name again. Certificates are read once, too: those that have expired are shown for ever.
"""

from __future__ import annotations

from typing import Any, Final

from pymongo.errors import OperationFailure
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandSucceededEvent, ServerHeartbeatListener

_UNAUTHORIZED: Final = 13
_UNAUTHENTICATED: Final = "requires authentication"
_BY_TLS: Final = "SSL"  # in what the driver says of a handshake that failed


_OPEN_TO_ALL: Final = frozenset({"hello", "isMaster", "ping"})  # commands that need no user


class Refusals(CommandListener, ServerHeartbeatListener):
    """Listens to one client of PyMongo. Where the user was never let in, another client would not be either.

    :ivar noted: whether the server has come to refuse its connections
    """

    def __init__(self) -> None:
        self.noted = False
        self._was_let_in = False

    def started(self, event: Any) -> None:
        """Nothing is refused yet."""

    def succeeded(self, event: Any) -> None:
        if isinstance(event, CommandSucceededEvent) and event.command_name not in _OPEN_TO_ALL:
            self._was_let_in = True

    def failed(self, event: Any) -> None:
        if isinstance(event, CommandFailedEvent):
            self.noted |= self._was_let_in and _is_unauthenticated(event.failure)
        else:
            self.noted |= _BY_TLS in str(event.reply)


def is_refusal(error: OperationFailure) -> bool:
    """Whether the server refused the connection, and not what was asked for."""
    return _is_unauthenticated(error.details or {})


def _is_unauthenticated(failure: Any) -> bool:
    return failure.get("code") == _UNAUTHORIZED and _UNAUTHENTICATED in str(failure.get("errmsg"))
