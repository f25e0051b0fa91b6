"""The bus: it delivers events to every listener in order, and no listener delays another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

import gevent

from gsched.event_loop.helpers import spawn
from gsched.event_loop.native_threads import NativeThreads
from gsched.event_loop.slices import Slice
from gsched.event_loop.threads import LoopInbox, thread_ident
from gsched.events import (
    EVENT_ALL,
    EVENT_EVENTS_DROPPED,
    EVENT_LISTENER_FAILED,
    EVENT_LISTENER_STALLED,
    SchedulerEvent,
    error_fields,
)
from gsched.jobs.callables import refuse_awaitable
from gsched.times.clock import Clock

STALLED_SECONDS: Final = 10.0  # a listener that is busy with one event for so long, while others wait, is reported
_AT_ONCE: Final = 1000  # events that a listener's thread gets at once

Listener = Callable[[Any], object]


class EventBus:
    """Delivers events to listeners, to each in a greenlet of its own, or in a native thread of its own.

    Events may be emitted in any thread. They are delivered after `attach`, and wait until then. A slow listener delays
    neither runs nor other listeners. A listener that raises is reported, and gets the next event. At most `limit`
    events wait for a listener; further ones are dropped, counted, and reported as one event.
    """

    def __init__(self, limit: int = 100_000) -> None:
        self.mask = 0  # the union of the listeners' masks; code that emits often reads it first
        self._limit = limit
        self._mailboxes: tuple[_Mailbox, ...] = ()
        self._early: deque[SchedulerEvent] = deque()  # events from before `attach`, for later listeners too
        self._early_drops = 0
        self._gone = (0, 0)  # dropped events and failures of removed listeners
        self._thread: int | None = None  # the thread that delivers in greenlets
        self._uses_threads = False

    @property
    def dropped(self) -> int:
        """How many events were dropped because too many waited for a listener."""
        return self._early_drops + self._gone[0] + sum(mailbox.dropped for mailbox in self._mailboxes)

    @property
    def failures(self) -> int:
        """How often listeners raised."""
        return self._gone[1] + sum(mailbox.failures for mailbox in self._mailboxes)

    def attach(self, clock: Clock, uses_threads: bool = False) -> None:
        """Deliver from now on, in greenlets of the calling thread.

        :param uses_threads: deliver to listeners that may block in a native thread for each
        """
        self._clock = clock
        self._uses_threads = uses_threads
        if self._thread != thread_ident():
            self._thread, self._inbox = thread_ident(), LoopInbox()
            for mailbox in self._mailboxes:
                mailbox.delivery = None
        early, self._early = self._early, deque()
        for event in early:
            self.emit(event)
        for mailbox in self._mailboxes if early else ():
            mailbox.report_drops(self._early_drops)
        self._start_deliveries()

    def detach(self) -> None:
        """Deliver no more: the calling thread ends. Events wait for the next `attach`."""
        self._thread = None
        for mailbox in self._mailboxes:
            mailbox.leave_thread()

    def add_listener(self, callback: Listener, mask: int = EVENT_ALL, blocks: bool = True) -> None:
        """Call `callback(event)` for each event whose code is in `mask`.

        :param blocks: it may block; False: it needs the thread that called `attach`
        """
        self._set_mailboxes((*self._mailboxes, _Mailbox(callback, mask, self._limit, self.emit, blocks)))

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
                    mailbox.start(self._clock, self._uses_threads)
        if not is_home:
            self._inbox.put(self._start_deliveries)

    def _put_aside(self, event: SchedulerEvent) -> None:
        if len(self._early) < self._limit:
            self._early.append(event)
        else:
            self._early_drops += 1

    def _start_deliveries(self) -> None:
        for mailbox in self._mailboxes:
            if mailbox.delivery is None and not mailbox.is_empty():
                mailbox.start(self._clock, self._uses_threads)

    def flush(self, timeout_seconds: float, caller: int) -> None:
        """Wait until all emitted events are delivered, at most so long. A listener does not wait for itself.

        :param caller: the native thread that wants it
        """
        with gevent.Timeout(timeout_seconds, False):
            while busy := [each.delivery for each in self._mailboxes if each.is_busy_for_others(caller)]:
                gevent.joinall(busy)

    def greenlets(self) -> list[gevent.Greenlet]:
        """The greenlets that deliver now."""
        return [mailbox.delivery for mailbox in self._mailboxes if mailbox.delivery is not None]

    def forked(self) -> None:
        """This is a forked copy of the process: the parent delivers the events that wait."""
        for mailbox in self._mailboxes:
            mailbox.clear()

    def at_rest(self) -> bool:
        """True if all emitted events are delivered, or wait for `attach`."""
        return not self.greenlets() and all(mailbox.is_empty() for mailbox in self._mailboxes)


class _Mailbox:
    """The events that wait for one listener, and the greenlet that delivers them.

    :param emit: publishes events about the listener itself
    :param blocks: the listener may block
    :ivar delivery: that greenlet; None while no event waits
    :ivar dropped: how many events were dropped because too many waited
    :ivar failures: how often the listener raised
    """

    def __init__(
        self, callback: Listener, mask: int, limit: int, emit: Callable[[SchedulerEvent], None], blocks: bool
    ) -> None:
        self._blocks = blocks
        self._threads: NativeThreads | None = None  # one thread, in which the listener is called
        self._called_in = 0  # the thread in which it was called last
        self.callback = callback
        self.mask = mask
        self.delivery: gevent.Greenlet | None = None
        self.dropped = self.failures = 0
        self._limit = limit
        self._emit = emit
        self._waiting: deque[SchedulerEvent] = deque()
        self._unreported_drops = 0
        self._busy_since: float | None = None  # monotonic; None: not busy, or reported already
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
            self._report(EVENT_LISTENER_STALLED, seconds=round(busy, 1))

    def report_drops(self, count: int) -> None:
        """Deliver an event about the dropped ones, after the events that wait."""
        self._unreported_drops += count

    def start(self, clock: Clock, uses_threads: bool) -> None:
        """Deliver the events that wait."""
        self._clock = clock
        if self._threads is None and uses_threads and self._blocks:
            self._threads = NativeThreads()
        self.delivery = spawn(self._deliver)

    def leave_thread(self) -> None:
        """The thread that delivers ends."""
        self.delivery = None
        if self._threads is not None:
            self._threads.close()
            self._threads = None

    def is_busy_for_others(self, caller: int) -> bool:
        """True if events are delivered now, unless the listener itself asks, or has called from the thread `caller`."""
        if self.delivery is None or self.delivery is gevent.getcurrent():
            return False
        return self._threads is None or self._called_in != caller

    def is_empty(self) -> bool:
        """True if no event waits."""
        return not self._waiting and not self._unreported_drops

    def clear(self) -> None:
        """Forget the events that wait, and the greenlet that delivers them."""
        self._waiting.clear()
        self._unreported_drops = 0
        self.delivery = None

    def close(self) -> None:
        """Deliver no more events."""
        self._is_closed = True

    def _deliver(self) -> None:
        pace = Slice()
        try:
            while not self._is_closed and not self.is_empty():
                if self._threads is None:
                    self._call(self._next())
                    pace.breathe()
                else:
                    count = min(len(self._waiting), _AT_ONCE) or 1
                    self._threads.call(self._call_some, [self._next() for _ in range(count)])
        finally:
            self.delivery = None

    def _next(self) -> SchedulerEvent:
        return self._waiting.popleft() if self._waiting else self._take_drops()

    def _call_some(self, some: list[SchedulerEvent]) -> None:
        """In the listener's own thread."""
        self._called_in = thread_ident()
        for event in some:
            if not self._is_closed:
                self._call(event)

    def _take_drops(self) -> SchedulerEvent:
        count, self._unreported_drops = self._unreported_drops, 0
        return SchedulerEvent(EVENT_EVENTS_DROPPED, count=count)

    def _call(self, event: SchedulerEvent) -> None:
        self._busy_since = self._clock.monotonic()
        try:
            refuse_awaitable(self.callback(event))
        except BaseException as error:  # nor may SystemExit in a listener end the program
            self.failures += 1
            if event.code != EVENT_LISTENER_FAILED:  # else a failing listener gets events about itself for ever
                self._report(EVENT_LISTENER_FAILED, event_name=event.name, **error_fields(error))
        finally:
            self._busy_since = None

    def _report(self, code: int, **details: Any) -> None:
        listener = getattr(self.callback, "__qualname__", repr(self.callback))
        self._emit(SchedulerEvent(code, listener=listener, **details))
