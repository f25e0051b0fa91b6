"""Time in a database: the database server's."""

from __future__ import annotations

from typing import NamedTuple

from gsched.events import EVENT_CLOCK_SKEWED, SchedulerEvent
from gsched.stores.claims.database import ClaimDatabase
from gsched.stores.messages import HubPort, StoreTime
from gsched.times.clock import Clock

MOST_SKEW_SECONDS = 0.5
SLOW_ANSWER_SECONDS = 0.1
SLOWEST_FIRST_SECONDS = 0.5


class Answer(NamedTuple):
    """The server's answer.

    :ivar took: seconds until it came
    :ivar base: the server's time minus the clock's monotonic time, ms
    """

    took: float
    base: int


class ServerTime:
    """The server's time, measured now and then and counted on by elapsed time, which nobody can set."""

    def __init__(self, database: ClaimDatabase, clock: Clock, hub: HubPort) -> None:
        self._database = database
        self._clock = clock
        self._hub = hub
        self._base: int | None = None  # the server's time minus the clock's monotonic time, ms
        self._is_skewed = False

    @property
    def is_known(self) -> bool:
        """The time was measured. Before that, `now` and `at` must not be called."""
        return self._base is not None

    def measure(self) -> None:
        """Ask the server for the time, pass it to the hub, and emit an event if this machine's clock is wrong.

        :raises StoreError: if the database does not answer
        """
        answer = self._ask()
        if self.is_known and answer.took > SLOW_ANSWER_SECONDS:
            return  # the answer may be wrong by half of that
        if answer.took > SLOWEST_FIRST_SECONDS:  # the question has waited for a connection or for the database
            answer = min(answer, self._ask(), self._ask())
        self._base = answer.base
        self._hub.post(StoreTime(self._base))
        self._report_skew((self._clock.now_ms() - self.now()) / 1000, answer.took / 2)

    def _ask(self) -> Answer:
        before = self._clock.monotonic()
        server = self._database.time()
        after = self._clock.monotonic()
        return Answer(after - before, server - round((before + after) / 2 * 1000))

    def _report_skew(self, seconds: float, error: float) -> None:
        is_skewed, was_skewed = abs(seconds) - error > MOST_SKEW_SECONDS, self._is_skewed
        self._is_skewed = is_skewed
        if is_skewed and not was_skewed:
            off = round(seconds, 3)
            self._hub.emit(SchedulerEvent(EVENT_CLOCK_SKEWED, seconds=off, reference="the database server"))

    def now(self) -> int:
        """The server's time, ms."""
        return self.at(self._clock.monotonic())

    def at(self, monotonic: float) -> int:
        """The server's time, ms, at a monotonic time of the clock."""
        assert self._base is not None
        return self._base + int(monotonic * 1000)
