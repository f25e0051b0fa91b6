"""The watch of `gsched web` for runners: when no runner is alive, no runner can report that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import gevent
from gevent.event import Event

from gsched.errors import StoreError
from gsched.event_loop.helpers import spawn
from gsched.events import EVENT_NOTIFIER_FAILED, EVENT_NOTIFIER_RECOVERED
from gsched.events.bus import EventBus
from gsched.events.log import LogSink
from gsched.notices import Notifier
from gsched.notices.notice import NO_RUNNER, RECOVERED
from gsched.notices.occurrences import Occurrence
from gsched.notices.waiting import wait_for
from gsched.schedulers.engine import engine_of
from gsched.schedulers.gevent import GeventScheduler
from gsched.schedulers.notifications import make_notices

LOOK_SECONDS: Final = 15.0
GONE_SECONDS: Final = 60.0  # a restart takes less


class RunnerWatch:
    """Reports when no runner has been alive for a minute, and sends the notices that dead runners have left.

    :param scheduler: has the store, and does not run
    :param notifiers: by name
    """

    def __init__(self, scheduler: GeventScheduler, notifiers: Mapping[str, Notifier]) -> None:
        self._scheduler = scheduler
        self._clock = scheduler.clock
        engine = engine_of(scheduler)
        for notifier in notifiers.values():
            engine.add_notifier(notifier)
        bus = EventBus()
        bus.attach(self._clock)
        bus.add_listener(
            LogSink(self._clock, engine.name), EVENT_NOTIFIER_FAILED | EVENT_NOTIFIER_RECOVERED, blocks=False
        )
        self._notices = make_notices(engine, bus)
        self._gone_since: float | None = None  # monotonic
        self._is_told = False
        self._ending = Event()
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """Look for runners every few seconds."""
        self._notices.start()
        self._greenlet = spawn(self._run)

    def stop(self) -> None:
        """Stop looking for runners, and send the last notices."""
        self._ending.set()
        if self._greenlet is not None:
            self._greenlet.join()
        self._notices.stop()

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self._look()
            except StoreError:
                pass  # the next look may know whether a runner is alive
            wait_for(self._ending, LOOK_SECONDS, self._clock)

    def _look(self) -> None:
        now = self._clock.monotonic()
        nodes = self._scheduler.admin.get_nodes("default")
        if any(node.runs_jobs for node in nodes):
            self._gone_since = None
            if self._is_told:
                self._is_told = False
                self._notices.note(Occurrence(RECOVERED, what=NO_RUNNER))
        elif self._gone_since is None:
            self._gone_since = now
        elif now - self._gone_since >= GONE_SECONDS and not self._is_told:
            self._is_told = True
            self._notices.note(Occurrence(NO_RUNNER))
