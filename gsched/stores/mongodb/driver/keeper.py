"""Restarts the private MongoDB of a store when it has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gevent.event import Event

from gsched.event_loop.keyboard_interrupt import was_interrupt
from gsched.events import EVENT_STORE_FAILED, SchedulerEvent, error_fields

if TYPE_CHECKING:
    from gsched.embedded import EmbeddedMongo

LOOK_SECONDS: Final = 2.0


class Keeper:
    """Starts the server again when it has ended, in a greenlet of its own. A full disk or lack of memory can end it.

    :param mongo: this process's share in the server
    :param emit: publishes an event if the server cannot be started
    """

    def __init__(self, mongo: EmbeddedMongo, emit: Callable[[SchedulerEvent], None]) -> None:
        self._mongo = mongo
        self._emit = emit
        self._stopped = Event()

    def run(self) -> None:
        """Look after the server until `stop`."""
        while not self._stopped.wait(LOOK_SECONDS):
            try:
                self._mongo.start_again()
            except BaseException as error:  # whatever it is, the next attempt may succeed
                if not was_interrupt(error):
                    self._emit(SchedulerEvent(EVENT_STORE_FAILED, **error_fields(error)))

    def stop(self) -> None:
        """Stop looking after the server."""
        self._stopped.set()
