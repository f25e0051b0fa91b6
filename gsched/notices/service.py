"""Notifications of one scheduler: turns its events into occurrences, and gives each to an outbox."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, Final

import gevent

from gsched.events import EVENT_JOB_EXECUTED, EVENT_STORE_CONNECTED, EVENT_STORE_DISCONNECTED, SchedulerEvent
from gsched.events.bus import EventBus
from gsched.notices.channels.channel import SECONDS
from gsched.notices.desk import Desk
from gsched.notices.memory_outbox import MemoryOutbox
from gsched.notices.message import Composer
from gsched.notices.notice import OUTPUT, RECOVERED
from gsched.notices.notifier import Notifier
from gsched.notices.occurrences import MASK, Occurrence, occurrence_of
from gsched.notices.outbox import Outbox
from gsched.notices.reports import MASK as RUNS_MASK, Reports
from gsched.times.clock import Clock, Timer

AWAY_SECONDS: Final = 30.0  # if a store answers again before, nothing is reported
_CLOSE_SECONDS: Final = SECONDS + 2


class Notices:
    """Reports a scheduler's events through its notifiers. All methods are called in the scheduler's thread.

    A store that does not answer cannot keep the notice about that. Each node keeps such notices in its own memory.

    :param notifiers: by name; call `look_at_notifiers` after adding one
    :param outbox: the outbox of the scheduler's default store
    """

    def __init__(
        self, notifiers: Mapping[str, Notifier], outbox: Outbox, composer: Composer, clock: Clock, bus: EventBus
    ) -> None:
        self._clock = clock
        self._bus = bus
        self._away: dict[str, Timer | None] = {}  # stores that do not answer; None: it is reported
        self._notifiers = notifiers
        self._watches = False
        self._wants_output = False
        node = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        make = partial(Desk, notifiers, composer=composer, clock=clock, emit=bus.emit, node=node)
        self._kept = make(outbox=outbox, watch=self._watch_successes)
        self._own = make(outbox=MemoryOutbox(), watch=lambda wanted: None)
        self._desks = self._kept, self._own
        self._reports = Reports(notifiers, outbox, clock, bus.emit)
        self._reports_runs = False

    def start(self) -> None:
        """Listen to events, and start to send."""
        for desk in self._desks:
            desk.start()
        self._report_runs()
        self._look_for_output()
        self._bus.add_listener(self._on_event, MASK, blocks=False)

    def look_at_notifiers(self) -> None:
        """Start to send for new notifiers."""
        for desk in self._desks:
            desk.look_at_notifiers()
        self._report_runs()
        self._look_for_output()

    def _look_for_output(self) -> None:
        self._wants_output = any(OUTPUT in notifier.events for notifier in self._notifiers.values())
        self._watch_successes(self._watches)

    def _report_runs(self) -> None:
        """Listen to the events of each run only if a notifier reports each run."""
        if self._reports.look_at_notifiers() and not self._reports_runs:
            self._bus.add_listener(self._reports.on_event, RUNS_MASK, blocks=False)
            self._reports_runs = True

    def stop(self) -> None:
        """Write the last notices, send what is due, and end."""
        self._bus.remove_listener(self._on_event)
        self._bus.remove_listener(self._reports.on_event)
        self._wants_output = False
        self._watch_successes(False)
        self._reports.stop()
        for timer in self._away.values():
            if timer is not None:
                timer.cancel()
        for desk in self._desks:
            desk.stop()
        gevent.joinall(self.greenlets(), timeout=_CLOSE_SECONDS)

    def greenlets(self) -> Collection[gevent.Greenlet]:
        """The greenlets that write and send."""
        return [*self._kept.greenlets(), *self._own.greenlets(), *self._reports.greenlets()]

    def note(self, occurrence: Occurrence) -> None:
        """Report an occurrence that is no event of this scheduler."""
        self._kept.note(occurrence)

    def _on_event(self, event: SchedulerEvent) -> None:
        if event.code == EVENT_STORE_CONNECTED:
            self._note_answer(event.alias or "")
        elif (occurrence := occurrence_of(event)) is None:
            pass
        elif event.code != EVENT_STORE_DISCONNECTED:
            self._kept.note(occurrence)
        elif occurrence.what not in self._away:
            self._away[occurrence.what] = self._clock.call_later(AWAY_SECONDS, self._note_away, occurrence)

    def _note_away(self, occurrence: Occurrence) -> None:
        self._away[occurrence.what] = None
        self._own.note(occurrence)

    def _note_answer(self, alias: str) -> None:
        if alias in self._away:
            timer = self._away.pop(alias)
            if timer is None:
                self._own.note(Occurrence(RECOVERED, what=alias))
            else:
                timer.cancel()

    def _on_success(self, event: Any) -> None:
        self._kept.note_success(event.job)
        if (output := event.run.output) is not None and not output.is_empty:
            self._kept.note(Occurrence(OUTPUT, event.job, instant=event.run.scheduled_ms, run_id=event.run_id))

    def _watch_successes(self, wanted: bool) -> None:
        """Listen to successful runs only while a notifier needs them: there may be very many."""
        wanted = wanted or self._wants_output
        if wanted and not self._watches:
            self._bus.add_listener(self._on_success, EVENT_JOB_EXECUTED, blocks=False)
        elif self._watches and not wanted:
            self._bus.remove_listener(self._on_success)
        self._watches = wanted
