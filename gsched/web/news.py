"""What happens in the stores, for the feed: an overview every two seconds, and what people would want to know at once.

It begins when somebody looks on, and ends a minute after the last one has gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from math import inf
from typing import Any, Final

from gevent.monkey import get_original

from gsched import events
from gsched.errors import GschedError
from gsched.event_loop.beside import run_beside
from gsched.event_loop.slices import pause
from gsched.monitoring.activity import Overview
from gsched.monitoring.cluster_events import StoreEvent
from gsched.schedulers.base import BaseScheduler
from gsched.schedulers.engine import engine_of
from gsched.shapes.overview import PULSE
from gsched.shapes.shape import as_json, as_object
from gsched.shapes.stores import EVENT
from gsched.times.instants import from_ms
from gsched.web.feed import Feed
from gsched.web.overview import LocalOverview
from gsched.web.reader import StoreReader
from gsched.web.redaction import Redact, Redaction
from gsched.web.refusals import RequestRefused
from gsched.web.trouble import log_failure

EVERY_SECONDS: Final = 2.0
UNWANTED_SECONDS: Final = 60.0  # after the last look
MOST_FACTS: Final = 20  # a second
SERIES_KEPT: Final = 300  # samples

_SILENT_SECONDS: Final = 10.0  # whoever has sampled nothing for so long is gone: with its thread, or a fork
_TOLD: Final = ("job.", "jobs.", "node.")
_TOLD_RUNS: Final = ("run.failed", "run.timed_out", "run.lost", "run.missed")
_DETAILS: Final = ("run_id", "reason", "by", "until", "cause", "error_type", "error_message")
_LISTENED: Final = (
    events.EVENT_JOB_ADDED | events.EVENT_JOB_MODIFIED | events.EVENT_JOB_REMOVED | events.EVENT_JOB_PAUSED
    | events.EVENT_JOB_RESUMED | events.EVENT_JOB_PARKED | events.EVENT_JOB_HEALED | events.EVENT_ALL_JOBS_REMOVED
    | events.EVENT_JOB_ERROR | events.EVENT_JOB_TIMED_OUT | events.EVENT_JOB_LOST | events.EVENT_JOB_MISSED
)  # fmt: skip
_allocate_lock = get_original("_thread", "allocate_lock")


class LiveNews:
    """Publishes overviews and facts.

    :param changed: called when something has changed, so that no old answer is given
    """

    def __init__(
        self, scheduler: BaseScheduler, feed: Feed, reader: StoreReader, redact: Redact, changed: Callable[[], None]
    ) -> None:
        self._scheduler = scheduler
        self._monotonic = scheduler.clock.monotonic
        self._feed = feed
        self._reader = reader
        self._redact = redact
        self._changed = changed
        self._lock = _allocate_lock()  # of the times below
        self._wanted_at = -inf
        self._sampled_at = -inf
        self._is_closed = False
        self._times_begun = 0
        self._listener: Callable[[events.SchedulerEvent], None] | None = None
        self._local: LocalOverview | None = None
        self._series: dict[str, deque[Mapping[str, Any]]] = {}  # by store
        self._facts = _Bound(MOST_FACTS, self._monotonic)

    # -- for those who look on --------------------------------------------------------------------------------------

    def want(self) -> None:
        """Somebody looks on: publish from now on."""
        now = self._monotonic()
        with self._lock:
            self._wanted_at = now
            if self._is_closed or now - self._sampled_at < _SILENT_SECONDS:
                return
            self._sampled_at = now
            self._times_begun += 1
        self._begin(self._times_begun)

    def close(self) -> None:
        """Publish no more."""
        self._is_closed = True
        if self._local is not None:
            self._local.stop()

    def overview(self, jobstore: str | None = None) -> Overview:
        """The overview of a store, at most two seconds old."""
        return self._reader.ask(("overview", jobstore), EVERY_SECONDS, lambda: self._overview(jobstore))

    def series(self, jobstore: str | None = None) -> dict[str, list[Any]]:
        """The overviews of a store since somebody looks on, as columns."""
        kept = list(self._series.get(jobstore or next(iter(self._scheduler.stores), ""), ()))
        return {name: [sample[name] for sample in kept] for name in ("at", *_SERIES)}

    # -- the overview -------------------------------------------------------------------------------------------------

    def _overview(self, jobstore: str | None) -> Overview:
        stores = self._scheduler.stores
        alone = stores.get(jobstore or "default") if jobstore or len(stores) == 1 else None
        if alone is None or alone.shared or not self._scheduler.running:
            return self._scheduler.admin.get_overview(jobstore)
        return engine_of(self._scheduler).call(self._own_overview, jobstore)

    def _own_overview(self, jobstore: str | None) -> Overview:
        """The overview of a store in this process: what its scheduler does, and its jobs."""
        if self._local is None:
            self._local = LocalOverview(self._scheduler)
        whole = self._local.read()
        if len(self._scheduler.stores) == 1:
            return whole
        of_store = self._scheduler.admin.get_overview(jobstore)
        return replace(whole, jobs=of_store.jobs, overdue=of_store.overdue, pauses=of_store.pauses)

    # -- publishing ---------------------------------------------------------------------------------------------------

    def _begin(self, number: int) -> None:
        """Publish for the `number`-th time. Whoever published before, and is only slow, ends."""
        engine = engine_of(self._scheduler)
        engine.call(run_beside, partial(self._sample, number))  # in the scheduler's thread, if it runs
        followed = [alias for alias, store in self._scheduler.stores.items() if store.shared]
        for alias in followed:
            engine.call(run_beside, partial(self._follow, number, alias))
        if len(followed) < len(self._scheduler.stores) and self._listener is None:
            self._listener = self._listen
            self._scheduler.add_listener(self._listener, _LISTENED)

    def _is_over(self, number: int) -> bool:
        is_unwanted = self._monotonic() - self._wanted_at > UNWANTED_SECONDS
        return self._is_closed or is_unwanted or number != self._times_begun

    def _sample(self, number: int) -> None:
        while not self._is_over(number):
            with self._lock:
                self._sampled_at = self._monotonic()
            for alias in list(self._scheduler.stores):
                try:
                    self._publish_overview(alias)
                except (GschedError, RequestRefused) as error:
                    self._feed.publish("away", {"jobstore": alias, "reason": Redaction(self._redact).whole(str(error))})
                except Exception as error:
                    log_failure(error, self._redact)
            pause(EVERY_SECONDS)
        with self._lock:
            if number == self._times_begun:
                self._sampled_at = -inf

    def _publish_overview(self, alias: str) -> None:
        now = self._scheduler.clock.now_ms()
        pulse = as_object(PULSE, self.overview(alias if len(self._scheduler.stores) > 1 else None))
        as_of = as_json(from_ms(now, self._scheduler.timezone))
        series = self._series.setdefault(alias, deque(maxlen=SERIES_KEPT))
        series.append({"at": as_of, **{name: read(pulse) for name, read in _SERIES.items()}})
        self._feed.publish("overview", {"jobstore": alias, **pulse, "as_of": as_of})

    def _follow(self, number: int, alias: str) -> None:
        """Tell what any process does to a shared store."""
        while not self._is_over(number):
            try:
                for event in self._scheduler.admin.follow(alias, partial(self._is_over, number)):
                    self._tell(event)
            except GschedError:  # the samples tell that the store is away
                pause(EVERY_SECONDS)

    def _listen(self, event: events.SchedulerEvent) -> None:
        """Tell what the scheduler does to a store of its own."""
        if self._is_over(self._times_begun):
            listener, self._listener = self._listener, None
            if listener is not None:
                self._scheduler.remove_listener(listener)
            return
        known = event.fields()
        details = {name: known[name] for name in _DETAILS if known.get(name) is not None}
        at = from_ms(self._scheduler.clock.now_ms())
        self._tell(StoreEvent(at, event.name, known.get("job_id"), details=details))

    def _tell(self, event: StoreEvent) -> None:
        if event.name.startswith(_TOLD):
            self._changed()
        elif event.name not in _TOLD_RUNS:
            return
        may, dropped = self._facts.take()
        if dropped:
            self._feed.publish("dropped", {"facts": dropped})
        if may:
            self._feed.publish("fact", Redaction(self._redact).whole(as_object(EVENT, event)))


_SERIES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "runs_per_second": lambda pulse: pulse["runs_per_second"],
    "failures": lambda pulse: pulse["failures"],
    "p50": lambda pulse: pulse["lateness"]["p50"],
    "p95": lambda pulse: pulse["lateness"]["p95"],
    "p99": lambda pulse: pulse["lateness"]["p99"],
}


class _Bound:
    """At most so many a second; the rest is counted."""

    def __init__(self, most: int, monotonic: Callable[[], float]) -> None:
        self._most = most
        self._monotonic = monotonic
        self._began = -inf
        self._taken = 0
        self._dropped = 0

    def take(self) -> tuple[bool, int]:
        """True if there is room for one more, and how many were dropped since the last time that was told."""
        now, dropped = self._monotonic(), 0
        if now - self._began >= 1:
            self._began, self._taken = now, 0
            dropped, self._dropped = self._dropped, 0
        self._taken += 1
        if self._taken > self._most:
            self._dropped += 1
            return False, dropped
        return True, dropped
