"""The status of a store that takes part in the claim protocol: whether the database answers, and what went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from gsched.events import EVENT_STORE_CONNECTED, EVENT_STORE_DISCONNECTED, SchedulerEvent, error_fields
from gsched.monitoring.store_report import StoreReport
from gsched.stores.claims.database import NodeRecord
from gsched.stores.claims.holdings import Holdings
from gsched.stores.claims.server_time import ServerTime
from gsched.stores.messages import HubPort
from gsched.times.clock import Clock
from gsched.wording import without_noise

LONGEST_ERROR = 200  # characters: the driver adds all that it knows of its servers
MOST_FAILURES = 10  # the delay between retries grows with the failures up to here


class StatusTracker:
    """Collects the status, from one node of this process to the next.

    :param ttl: seconds; the store counts as connected if the last answer is younger than half of this
    :ivar failures: how many turns have failed since the last one that succeeded
    :ivar is_idle: this node sees no other node, and owns no slots
    """

    def __init__(self, clock: Clock, hub: HubPort, ttl: float) -> None:
        self._clock = clock
        self._hub = hub
        self._ttl = ttl
        self.failures = 0
        self.is_idle = False
        self._connected = True
        self._error: str | None = None  # the last one
        self._failed: Counter[tuple[str, str]] = Counter()  # how many turns have failed, by error
        self._answered: float | None = None  # monotonic time of the last confirmed advance
        self._census: dict[str, int] = {}  # how many nodes are in each state

    def report(self, holdings: Holdings | None, time: ServerTime) -> StoreReport:
        """The status now, from memory."""
        now = self._clock.monotonic()
        answered = None if self._answered is None else now - self._answered
        idle = "this node is alone and owns no slots: nothing is run" if self.is_idle else None
        return StoreReport(
            connected=self._connected and answered is not None and answered < self._ttl / 2 and idle is None,
            error=idle or self._error,
            answered=answered,
            slots=0 if holdings is None else len(holdings.slots),
            watermark_age=None if holdings is None else max(0, time.at(now) - holdings.watermark) / 1000,
            nodes=self._census,
            errors=dict(self._failed),
        )

    def note_answer(self) -> None:
        """The database has confirmed an advance."""
        self._answered = self._clock.monotonic()

    def note_nodes(self, nodes: Iterable[NodeRecord]) -> None:
        """Count the nodes that the database has, by state."""
        states = ("draining" if node.draining else "alive" for node in nodes if node.alive)
        self._census = {"alive": 0, "draining": 0, "dead": self._census.get("dead", 0), **Counter(states)}

    def note_dead(self, count: int) -> None:
        """Note how many nodes died and still have documents."""
        self._census["dead"] = count

    def note_success(self) -> None:
        """A turn has succeeded."""
        self.failures = 0
        if not self._connected:
            self._connected = True
            self._hub.emit(SchedulerEvent(EVENT_STORE_CONNECTED))

    def note_failure(self, error: BaseException) -> None:
        """A turn has failed."""
        self.failures = min(self.failures + 1, MOST_FAILURES)
        cause = error.__cause__ or error  # the driver's own words
        self._error = f"{type(cause).__name__}: {cause}"[:LONGEST_ERROR]
        self._failed["claim", type(cause).__name__] += 1
        if self._connected:
            self._connected = False
            fields = {**error_fields(error), "error_message": without_noise(str(cause))}
            self._hub.emit(SchedulerEvent(EVENT_STORE_DISCONNECTED, **fields))
