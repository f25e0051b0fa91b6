"""The change feed: which jobs other processes have changed, heard of within milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final, Protocol

from pymongo import errors as driver

from gsched.clock import Clock
from gsched.events import EVENT_FEED_LOST, EVENT_FEED_OPENED, EVENT_FEED_UNSUPPORTED, SchedulerEvent
from gsched.instants import to_ms
from gsched.interrupts import was_interrupt
from gsched.stores.mongodb.connection import Connection
from gsched.stores.mongodb.streams import backoff, changes_in, is_unsupported, opened, wait, why_unsupported
from gsched.wording import without_noise

_RETRY_SECONDS: Final = (0.1, 5.0)  # the first and the longest wait before the stream is opened again
_POLL_SECONDS: Final = 2.0  # where there are no change streams
_ASK_AGAIN_SECONDS: Final = 60.0  # where change streams are not to be had: they may come

# Only what the API writes changes `rev`; what owners note down in their jobs is no news.
_PIPELINE: Final[list[dict[str, Any]]] = [
    {
        "$match": {
            "$or": [
                {"operationType": {"$ne": "update"}},
                {"updateDescription.updatedFields.rev": {"$exists": True}},
            ]
        }
    },
    {"$project": {"operationType": 1, "documentKey": 1, "wallTime": 1}},
]

CONNECTED: Final = "connected"  # changes are heard of at once
POLLING: Final = "polling"  # there are no change streams
LOST: Final = "lost"  # the stream is being opened (again)


class Audience(Protocol):
    """Who wants to know."""

    def look_at(self, job_ids: Iterable[str]) -> None:
        """These jobs may have changed."""

    def rescan(self) -> None:
        """Any job may have changed."""


class ChangeFeed:
    """Reads one change stream in a greenlet of its own.

    It only says which jobs to look at again. No resume token is kept: after any doubt the stream is opened anew from
    now on, and everything is looked at. Where there are no change streams (a standalone server, a user without the
    privilege) it says so once, and has the audience look at everything every few seconds.

    :ivar state: connected, polling or lost
    :ivar heard: when the last change was made (ms, the server's time), and when it got here (monotonic)
    """

    def __init__(
        self, connection: Connection, audience: Audience, clock: Clock, emit: Callable[[SchedulerEvent], None]
    ) -> None:
        self._connection = connection
        self._audience = audience
        self._clock = clock
        self._emit = emit
        self.state = LOST
        self.heard: tuple[int, float] | None = None
        self._stopping = False
        self._unsupported = False
        self._failures = 0

    def run(self) -> None:
        """Listen until `stop`."""
        while not self._stopping:
            try:
                self._listen()
                self._lost("the stream was closed by the server")
            except driver.OperationFailure as error:
                if is_unsupported(error):
                    self._go_without(error)
                else:
                    self._lost(str(error))
            except BaseException as error:  # whatever it is, changes must still be heard of
                was_interrupt(error)
                self._lost(str(error) or type(error).__name__)

    def stop(self) -> None:
        """Listen no more; never by killing the greenlet, which may be inside the driver."""
        self._stopping = True

    def _is_stopping(self) -> bool:
        return self._stopping

    def _listen(self) -> None:
        with opened(self._connection.control()[self._connection.name], _PIPELINE) as stream:
            self._audience.rescan()  # after the stream is open: what was written before is found by looking
            self._failures, self._unsupported = 0, False
            self.state = CONNECTED
            self._emit(SchedulerEvent(EVENT_FEED_OPENED))
            for change in changes_in(stream, self._is_stopping):
                self._tell(change)

    def _tell(self, change: dict[str, Any]) -> None:
        made = change.get("wallTime")  # servers tell from 6.0 on
        if isinstance(made, datetime):
            self.heard = to_ms(made), self._clock.monotonic()
        if "documentKey" in change:
            job_id = change["documentKey"]["_id"]
            if isinstance(job_id, str):  # anything else is no job of ours
                self._audience.look_at([job_id])
        else:
            self._audience.rescan()  # the collection was dropped or renamed

    def _lost(self, reason: str) -> None:
        self.state = LOST
        if self._stopping:
            return
        if not self._failures:
            self._emit(SchedulerEvent(EVENT_FEED_LOST, reason=without_noise(reason)))
        self._failures += 1
        first, longest = _RETRY_SECONDS
        wait(backoff(first, self._failures, longest), self._is_stopping)

    def _go_without(self, error: driver.OperationFailure) -> None:
        self.state = POLLING
        if not self._unsupported:
            self._unsupported = True
            self._emit(SchedulerEvent(EVENT_FEED_UNSUPPORTED, reason=why_unsupported(error)))
        for _ in range(round(_ASK_AGAIN_SECONDS / _POLL_SECONDS)):
            self._audience.rescan()
            wait(_POLL_SECONDS, self._is_stopping)
