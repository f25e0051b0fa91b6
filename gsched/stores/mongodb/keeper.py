"""Keeps the private MongoDB of a store running."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gevent.event import Event

from gsched.embedded import EmbeddedMongo
from gsched.events import EVENT_STORE_FAILED, SchedulerEvent, error_fields
from gsched.interrupts import was_interrupt

LOOK_SECONDS: Final = 2.0


class Keeper:
    """Starts the server again when it has ended, in a greenlet of its own. A full disk ends it, and lack of memory.

    :param mongo: the share in the server
    :param emit: publishes why the server cannot be started
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
            except BaseException as error:  # whatever it is, the next look may find it gone
                if not was_interrupt(error):
                    self._emit(SchedulerEvent(EVENT_STORE_FAILED, **error_fields(error)))

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
