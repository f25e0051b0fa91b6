"""Writes occurrences to an outbox as notices, and sends the notices through the channels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

import gevent
from gevent.event import Event

from gsched.errors import StoreError
from gsched.event_loop.helpers import spawn
from gsched.event_loop.keyboard_interrupt import was_interrupt
from gsched.events import EVENT_STORE_FAILED, SchedulerEvent, error_fields
from gsched.jobs.job import Job
from gsched.notices.channels.channel import Channel
from gsched.notices.collector import Collector
from gsched.notices.message import Composer
from gsched.notices.notifier import Notifier
from gsched.notices.occurrences import Occurrence
from gsched.notices.outbox import DELAY_MS, Outbox
from gsched.notices.sender import Sender
from gsched.notices.waiting import wait_for
from gsched.times.clock import Clock

WRITE_SECONDS: Final = 1.0  # between two writes
LOOK_SECONDS: Final = 10.0  # between two reads of the failures that all nodes have written
MOST_FAILING: Final = 10_000  # failing jobs whose next success is reported
_EXPIRE_SECONDS: Final = 60.0


class Desk:
    """Writes notices to an outbox, at most once a second, and sends those that are due.

    One greenlet writes. Each notifier has a greenlet that sends.

    :param notifiers: by name; call `look_at_notifiers` after adding one
    :param watch: called with True when the next success of some job is to be reported, and with False when none is
    :param node: names this process among those that share the outbox
    """

    def __init__(
        self,
        notifiers: Mapping[str, Notifier],
        outbox: Outbox,
        composer: Composer,
        clock: Clock,
        emit: Callable[[SchedulerEvent], None],
        node: str,
        watch: Callable[[bool], None],
    ) -> None:
        self._notifiers = notifiers
        self._outbox = outbox
        self._composer = composer
        self._clock = clock
        self._emit = emit
        self._node = node
        self._watch = watch
        self._collector = Collector(notifiers.values, clock)
        self._senders: dict[str, Sender] = {}
        self._greenlets: list[gevent.Greenlet] = []
        self._wakeup = Event()
        self._ending = Event()
        self._look_at = self._expire_at = 0.0  # monotonic

    def start(self) -> None:
        """Write and send from now on."""
        self._greenlets.append(spawn(self._run))
        self.look_at_notifiers()

    def look_at_notifiers(self) -> None:
        """Start a sender for each new notifier."""
        for name, notifier in self._notifiers.items():
            if name not in self._senders and isinstance(notifier.channel, Channel):
                sender = self._senders[name] = Sender(
                    notifier, notifier.channel, self._outbox, self._composer, self._clock, self._emit, self._node
                )
                self._greenlets.append(spawn(sender.run))

    def note(self, occurrence: Occurrence) -> None:
        """Record an occurrence. It is written within about a second."""
        self._collector.note(occurrence)
        self._watch(self._collector.has_failing_jobs)
        if not self._collector.is_empty:
            self._wakeup.set()

    def note_success(self, job: Job) -> None:
        """Record that a run of the job has succeeded."""
        self._collector.note_success(job)
        if not self._collector.is_empty:
            self._wakeup.set()

    def stop(self) -> None:
        """Make the greenlets write the last notices, send what is due, and end. Does not wait for them."""
        self._ending.set()
        self._wakeup.set()

    def greenlets(self) -> Collection[gevent.Greenlet]:
        """The greenlets that write and send."""
        return self._greenlets

    def _run(self) -> None:
        while not self._ending.is_set():
            self._turn()
            wait_for(self._ending, WRITE_SECONDS, self._clock)
            if self._collector.is_empty:
                wait_for(self._wakeup, LOOK_SECONDS, self._clock)
            self._wakeup.clear()
        self._turn()
        for sender in self._senders.values():
            sender.stop()

    def _turn(self) -> None:
        try:
            self._write()
            self._look()
        except StoreError:
            pass  # the ownership greenlet reports that the database does not answer; the notices stay in memory
        except Exception as error:
            if not was_interrupt(error):
                self._emit(SchedulerEvent(EVENT_STORE_FAILED, **error_fields(error)))

    def _write(self) -> None:
        """Write the collected notices, and wake the senders."""
        notices, recovered = self._collector.take(), self._collector.take_recovered()
        if not notices and not recovered:
            return
        try:
            self._outbox.add(notices)
            if recovered:
                told = self._collector.recoveries(recovered, self._outbox.open_failures(MOST_FAILING))
                self._outbox.add(told)
                self._outbox.close(list(recovered))
                notices += told
        except BaseException:
            self._collector.give_back(notices, recovered)
            raise
        self._watch(self._collector.has_failing_jobs)
        for name in {notice.notifier for notice in notices} & self._senders.keys():
            self._clock.call_later(DELAY_MS / 1000, self._senders[name].wake)

    def _look(self) -> None:
        """Read which jobs fail on any node, and remove expired notices, each now and then."""
        now = self._clock.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._collector.know(self._outbox.open_failures(MOST_FAILING))
            self._watch(self._collector.has_failing_jobs)
        if now >= self._expire_at:
            self._expire_at = now + _EXPIRE_SECONDS
            self._outbox.expire(self._clock.now_ms())
