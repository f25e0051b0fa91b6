"""Time in a cluster: the database server's."""

from __future__ import annotations

from typing import NamedTuple

from gsched.clock import Clock
from gsched.events import EVENT_CLOCK_SKEWED, SchedulerEvent
from gsched.stores.base import HubSide, StoreTime
from gsched.stores.mongodb.cluster import Cluster

MOST_SKEW_SECONDS = 0.5
SLOW_ANSWER_SECONDS = 0.1
SLOWEST_FIRST_SECONDS = 0.5


class Answer(NamedTuple):
    """What the server said: how many seconds it took, and the server's time less our monotonic one, ms."""

    took: float
    base: int


class ServerTime:
    """Counts on from the server's time by elapsed time, which nobody can set."""

    def __init__(self, cluster: Cluster, clock: Clock, hub: HubSide) -> None:
        self._cluster = cluster
        self._clock = clock
        self._hub = hub
        self._base: int | None = None  # the server's time less our monotonic one, ms
        self._is_skewed = False

    @property
    def is_known(self) -> bool:
        """Whether it was measured; the time cannot be told before."""
        return self._base is not None

    def measure(self) -> None:
        """Ask the server, tell the hub, and report a machine's clock that is off. Raises StoreError."""
        answer = self._ask()
        if self.is_known and answer.took > SLOW_ANSWER_SECONDS:
            return  # half of that could be an error
        if answer.took > SLOWEST_FIRST_SECONDS:  # it has waited for the connection, or for the database
            answer = min(answer, self._ask(), self._ask())
        self._base = answer.base
        self._hub.post(StoreTime(self._base))
        self._report_skew((self._clock.now_ms() - self.now()) / 1000, answer.took / 2)

    def _ask(self) -> Answer:
        before = self._clock.monotonic()
        server = self._cluster.time()
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
