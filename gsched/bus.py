"""The bus: events reach every listener in the order in which things happened, and no listener delays another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

import gevent
from gevent import get_hub

from gsched.callables import refuse_awaitable
from gsched.clock import Clock
from gsched.events import (
    EVENT_ALL,
    EVENT_EVENTS_DROPPED,
    EVENT_LISTENER_FAILED,
    EVENT_LISTENER_STALLED,
    SchedulerEvent,
    error_fields,
)
from gsched.helpers import spawn
from gsched.slices import Slice
from gsched.threads import thread_ident

STALLED_SECONDS: Final = 10.0  # busy with one event for so long while others wait, a listener is reported

Listener = Callable[[Any], object]


class EventBus:
    """Delivers events to listeners, to each in a greenlet of its own.

    Events may be emitted in any thread; they are delivered in the one that called `attach`, and wait until then. A
    listener that is slow delays neither runs nor other listeners; one that raises is reported, and hears the next
    event. At most `limit` events wait for a listener; what comes on top is counted and reported as one event.
    """

    def __init__(self, limit: int = 100_000) -> None:
        self.mask = 0  # what somebody listens to: whoever emits often looks here first
        self._limit = limit
        self._mailboxes: tuple[_Mailbox, ...] = ()
        self._early: deque[SchedulerEvent] = deque()  # waits for `attach`, and for listeners that come until then
        self._early_drops = 0
        self._gone = (0, 0)  # what listeners that were removed have missed, and how often they raised
        self._thread: int | None = None  # the one that delivers

    @property
    def dropped(self) -> int:
        """How many events did not reach a listener, because too many waited for it."""
        return self._early_drops + self._gone[0] + sum(mailbox.dropped for mailbox in self._mailboxes)

    @property
    def failures(self) -> int:
        """How often listeners raised."""
        return self._gone[1] + sum(mailbox.failures for mailbox in self._mailboxes)

    def attach(self, clock: Clock) -> None:
        """Deliver in the calling thread from now on."""
        self._clock = clock
        if self._thread != thread_ident():
            self._thread, self._loop = thread_ident(), get_hub().loop
            for mailbox in self._mailboxes:
                mailbox.delivery = None
        early, self._early = self._early, deque()
        for event in early:
            self.emit(event)
        for mailbox in self._mailboxes if early else ():
            mailbox.report_drops(self._early_drops)
        self._start_deliveries()

    def add_listener(self, callback: Listener, mask: int = EVENT_ALL) -> None:
        """Call `callback(event)` for each event whose code is in `mask`."""
        self._set_mailboxes((*self._mailboxes, _Mailbox(callback, mask, self._limit, self.emit)))

    def remove_listener(self, callback: Listener) -> None:
        """Stop calling `callback`; nothing happens if it does not listen."""
        for mailbox in self._mailboxes:
            if mailbox.callback == callback:
                mailbox.close()
                self._gone = self._gone[0] + mailbox.dropped, self._gone[1] + mailbox.failures
        self._set_mailboxes(tuple(each for each in self._mailboxes if each.callback != callback))

    def _set_mailboxes(self, mailboxes: tuple[_Mailbox, ...]) -> None:
        self._mailboxes, self.mask = mailboxes, 0
        for mailbox in mailboxes:
            self.mask |= mailbox.mask

    def emit(self, event: SchedulerEvent) -> None:
        """Queue an event for its listeners; returns at once."""
        code = event.code
        if not code & self.mask:
            return
        if self._thread is None:
            self._put_aside(event)
            return
        is_home = thread_ident() == self._thread
        for mailbox in self._mailboxes:
            if code & mailbox.mask:
                mailbox.put(event)
                if is_home and mailbox.delivery is None:
                    mailbox.start(self._clock)
        if not is_home:
            self._loop.run_callback_threadsafe(self._start_deliveries)

    def _put_aside(self, event: SchedulerEvent) -> None:
        if len(self._early) < self._limit:
            self._early.append(event)
        else:
            self._early_drops += 1

    def _start_deliveries(self) -> None:
        for mailbox in self._mailboxes:
            if mailbox.delivery is None and not mailbox.is_empty():
                mailbox.start(self._clock)

    def flush(self, timeout_seconds: float) -> None:
        """Wait until all that was emitted is delivered, at most so long. A listener does not wait for itself."""
        with gevent.Timeout(timeout_seconds, False):
            while busy := [each for each in self.greenlets() if each is not gevent.getcurrent()]:
                gevent.joinall(busy)

    def greenlets(self) -> list[gevent.Greenlet]:
        """Those that deliver now."""
        return [mailbox.delivery for mailbox in self._mailboxes if mailbox.delivery is not None]

    def forked(self) -> None:
        """This is a forked copy of the process: what waits is delivered in the parent."""
        for mailbox in self._mailboxes:
            mailbox.clear()

    def at_rest(self) -> bool:
        """Whether everything emitted so far is delivered, or waits for `attach`."""
        return not self.greenlets() and all(mailbox.is_empty() for mailbox in self._mailboxes)


class _Mailbox:
    """What waits for one listener, and the greenlet that delivers it.

    :param emit: publishes what there is to say about the listener itself
    :ivar delivery: that greenlet, None while nothing waits
    :ivar dropped: events that came while too many waited
    :ivar failures: how often the listener raised
    """

    def __init__(self, callback: Listener, mask: int, limit: int, emit: Callable[[SchedulerEvent], None]) -> None:
        self.callback = callback
        self.mask = mask
        self.delivery: gevent.Greenlet | None = None
        self.dropped = self.failures = 0
        self._limit = limit
        self._emit = emit
        self._waiting: deque[SchedulerEvent] = deque()
        self._unreported_drops = 0
        self._busy_since: float | None = None  # with one event, monotonic; None: not busy, or reported already
        self._is_closed = False

    def put(self, event: SchedulerEvent) -> None:
        """Queue an event."""
        if len(self._waiting) < self._limit:
            self._waiting.append(event)
        else:
            self.dropped += 1
            self.report_drops(1)
        if self._busy_since is not None and (busy := self._clock.monotonic() - self._busy_since) > STALLED_SECONDS:
            self._busy_since = None
            self._say(EVENT_LISTENER_STALLED, seconds=round(busy, 1))

    def report_drops(self, count: int) -> None:
        """Tell the listener, when it has heard what waits, that events are missing."""
        self._unreported_drops += count

    def start(self, clock: Clock) -> None:
        """Deliver what waits."""
        self._clock = clock
        self.delivery = spawn(self._deliver)

    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting and not self._unreported_drops

    def clear(self) -> None:
        """Forget what waits, and the greenlet that delivers it."""
        self._waiting.clear()
        self._unreported_drops = 0
        self.delivery = None

    def close(self) -> None:
        """Deliver nothing more."""
        self._is_closed = True

    def _deliver(self) -> None:
        pace = Slice()
        try:
            while not self._is_closed and not self.is_empty():
                self._call(self._waiting.popleft() if self._waiting else self._take_drops())
                pace.breathe()
        finally:
            self.delivery = None

    def _take_drops(self) -> SchedulerEvent:
        count, self._unreported_drops = self._unreported_drops, 0
        return SchedulerEvent(EVENT_EVENTS_DROPPED, count=count)

    def _call(self, event: SchedulerEvent) -> None:
        self._busy_since = self._clock.monotonic()
        try:
            refuse_awaitable(self.callback(event))
        except BaseException as error:  # SystemExit in a listener must not end the program either
            self.failures += 1
            if event.code != EVENT_LISTENER_FAILED:  # else a failing listener would hear of itself for ever
                self._say(EVENT_LISTENER_FAILED, event_name=event.name, **error_fields(error))
        finally:
            self._busy_since = None

    def _say(self, code: int, **details: Any) -> None:
        listener = getattr(self.callback, "__qualname__", repr(self.callback))
        self._emit(SchedulerEvent(code, listener=listener, **details))
