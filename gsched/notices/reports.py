"""Reports each run to dead man's switches: when it begins, and how it ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, NamedTuple

import gevent
from gevent.event import Event

from gsched import events
from gsched.errors import StoreError, message_of
from gsched.event_loop.helpers import spawn
from gsched.events import EVENT_NOTIFIER_FAILED, EVENT_NOTIFIER_RECOVERED, SchedulerEvent
from gsched.notices.channels.channel import ChannelError, PerRunChannel
from gsched.notices.notifier import Notifier
from gsched.notices.outbox import ChannelState, Outbox
from gsched.notices.sending import carry_out
from gsched.notices.waiting import wait_for
from gsched.times.clock import Clock

MOST_WAITING: Final = 1000  # reports of a notifier; beyond that the oldest are dropped
RETRY_SECONDS: Final = (5.0, 20.0)  # before the second and the third attempt; a later report would be of no use
_NOTE_MS: Final = 60_000  # between two writes to the outbox while reports get through

_STATES: Final = {
    events.EVENT_JOB_STARTED: "started",
    events.EVENT_JOB_EXECUTED: "succeeded",
    events.EVENT_JOB_ERROR: "failed",
    events.EVENT_JOB_TIMED_OUT: "failed",
    events.EVENT_JOB_CANCELLED: "failed",
    events.EVENT_JOB_LOST: "failed",
}
MASK: Final = sum(_STATES)


class _Report(NamedTuple):
    state: str
    run_id: str
    text: str


class Reports:
    """The reports to all notifiers with a PerRunChannel.

    A report that does not get through within half a minute is dropped. The service misses it, and alerts by itself.

    :param notifiers: by name; call `look_at_notifiers` after adding one
    :param outbox: keeps the state of the channels
    """

    def __init__(
        self,
        notifiers: Mapping[str, Notifier],
        outbox: Outbox,
        clock: Clock,
        emit: Callable[[SchedulerEvent], None],
    ) -> None:
        self._notifiers = notifiers
        self._outbox = outbox
        self._clock = clock
        self._emit = emit
        self._reporters: dict[str, _RunReporter] = {}
        self._greenlets: list[gevent.Greenlet] = []

    def look_at_notifiers(self) -> bool:
        """Start a reporter for each new notifier with a PerRunChannel. True if there is any such notifier."""
        for name, notifier in self._notifiers.items():
            if name not in self._reporters and isinstance(notifier.channel, PerRunChannel):
                reporter = _RunReporter(notifier, notifier.channel, self._outbox, self._clock, self._emit)
                self._reporters[name] = reporter
                self._greenlets.append(spawn(reporter.run))
        return bool(self._reporters)

    def on_event(self, event: Any) -> None:
        """Report that a run has begun or ended."""
        for reporter in self._reporters.values():
            if reporter.notifier.is_for(event.job):
                text = event.reason or "" if event.exception is None else message_of(event.exception)
                reporter.put(_Report(_STATES[event.code], event.run_id, text))

    def stop(self) -> None:
        """Make the greenlets try each report that waits once more, and end. Does not wait for them."""
        for reporter in self._reporters.values():
            reporter.stop()

    def greenlets(self) -> Collection[gevent.Greenlet]:
        """The greenlets that report."""
        return self._greenlets


class _RunReporter:
    """Reports to one notifier."""

    def __init__(
        self,
        notifier: Notifier,
        channel: PerRunChannel,
        outbox: Outbox,
        clock: Clock,
        emit: Callable[[SchedulerEvent], None],
    ) -> None:
        self.notifier = notifier
        self._channel = channel
        self._outbox = outbox
        self._clock = clock
        self._emit = emit
        self._waiting: deque[_Report] = deque(maxlen=MOST_WAITING)
        self._wakeup = Event()
        self._ending = Event()
        self._state = ChannelState(notifier.name)  # as this node knows it

    def put(self, report: _Report) -> None:
        self._waiting.append(report)
        self._wakeup.set()

    def stop(self) -> None:
        self._ending.set()
        self._wakeup.set()

    def run(self) -> None:
        while True:
            self._wakeup.wait()
            self._wakeup.clear()
            while self._waiting:
                self._report(self._waiting.popleft())
            if self._ending.is_set():
                return

    def _report(self, report: _Report) -> None:
        error = self._try(report)
        for seconds in RETRY_SECONDS:
            if error is None or self._ending.is_set():
                break
            wait_for(self._ending, seconds, self._clock)
            error = self._try(report)
        self._note(error)

    def _try(self, report: _Report) -> ChannelError | None:
        try:
            carry_out(self._channel.secrets, self._channel.report, *report)
        except ChannelError as error:
            return error
        return None

    def _note(self, error: ChannelError | None) -> None:
        """Record whether reports get through: when that changes, and about once a minute."""
        now, before = self._clock.now_ms(), self._state
        after = before.failed(now, str(error)) if error is not None else before.worked(now)
        if error is not None and before.failing_since is None:
            failed = {"error_type": "ChannelError", "error_message": str(error)}
            self._emit(SchedulerEvent(EVENT_NOTIFIER_FAILED, notifier=self.notifier.name, **failed))
        elif error is None and before.failing_since is not None:
            self._emit(SchedulerEvent(EVENT_NOTIFIER_RECOVERED, notifier=self.notifier.name))
        elif now - (before.sent_at or before.failed_at or 0) < _NOTE_MS:
            return
        self._state = after
        try:
            known = {each.notifier: each.rev for each in self._outbox.states()}
            self._outbox.swap_state(after.with_rev(known.get(self.notifier.name, 0) + 1))
        except StoreError:
            pass  # it is written after a later report
