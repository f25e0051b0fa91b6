"""What people hear of a store that takes part: whether it answers, and what went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from gsched.clock import Clock
from gsched.events import EVENT_STORE_CONNECTED, EVENT_STORE_DISCONNECTED, SchedulerEvent, error_fields
from gsched.stores.base import HubSide
from gsched.stores.mongodb.cluster import NodeRecord
from gsched.stores.mongodb.server_time import ServerTime
from gsched.stores.mongodb.tenure import Tenure
from gsched.stores.report import StoreReport
from gsched.wording import without_noise

MOST_SAID = 200  # characters of an error, to which the driver adds all that it knows
MOST_FAILURES = 10  # more are not counted: retries do not get slower


class Standing:
    """How the store is, over all incarnations of a node.

    :param ttl: the database answers while it has done so within half of it, seconds
    :ivar failures: turns that have failed since one succeeded
    :ivar is_idle: nobody owns anything, as far as it can be seen
    """

    def __init__(self, clock: Clock, hub: HubSide, ttl: float) -> None:
        self._clock = clock
        self._hub = hub
        self._ttl = ttl
        self.failures = 0
        self.is_idle = False
        self._connected = True
        self._error: str | None = None  # the last one
        self._failed: Counter[tuple[str, str]] = Counter()  # turns, by error
        self._answered: float | None = None  # when an advance was confirmed last, monotonic
        self._census: dict[str, int] = {}  # how many nodes are in which state

    def report(self, tenure: Tenure | None, time: ServerTime) -> StoreReport:
        """How things are, from memory."""
        now = self._clock.monotonic()
        answered = None if self._answered is None else now - self._answered
        idle = "this node is alone and owns no slots: nothing is run" if self.is_idle else None
        return StoreReport(
            connected=self._connected and answered is not None and answered < self._ttl / 2 and idle is None,
            error=idle or self._error,
            answered=answered,
            slots=0 if tenure is None else len(tenure.slots),
            watermark_age=None if tenure is None else max(0, time.at(now) - tenure.watermark) / 1000,
            nodes=self._census,
            errors=dict(self._failed),
        )

    def note_answer(self) -> None:
        """The database has confirmed an advance."""
        self._answered = self._clock.monotonic()

    def note_nodes(self, nodes: Iterable[NodeRecord]) -> None:
        """These are the nodes that the database has."""
        states = ("draining" if node.draining else "alive" for node in nodes if node.alive)
        self._census = {"alive": 0, "draining": 0, "dead": self._census.get("dead", 0), **Counter(states)}

    def note_dead(self, count: int) -> None:
        """So many have died, and are known still."""
        self._census["dead"] = count

    def note_success(self) -> None:
        """A turn has come to its end."""
        self.failures = 0
        if not self._connected:
            self._connected = True
            self._hub.emit(SchedulerEvent(EVENT_STORE_CONNECTED))

    def note_failure(self, error: BaseException) -> None:
        """A turn has not."""
        self.failures = min(self.failures + 1, MOST_FAILURES)
        cause = error.__cause__ or error  # the driver's own words
        self._error = f"{type(cause).__name__}: {cause}"[:MOST_SAID]
        self._failed["claim", type(cause).__name__] += 1
        if self._connected:
            self._connected = False
            said = {**error_fields(error), "error_message": without_noise(str(cause))}
            self._hub.emit(SchedulerEvent(EVENT_STORE_DISCONNECTED, **said))
