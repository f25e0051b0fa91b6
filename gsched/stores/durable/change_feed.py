"""The change feed: finds out within milliseconds which jobs other processes have changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gsched.event_loop.backoff import backoff, wait
from gsched.event_loop.keyboard_interrupt import was_interrupt
from gsched.events import EVENT_FEED_LOST, EVENT_FEED_OPENED, EVENT_FEED_UNSUPPORTED, SchedulerEvent
from gsched.stores.durable.answers import Audience, ChangeNotice, News, NoNewsError
from gsched.times.clock import Clock
from gsched.wording import without_noise

_RETRY_SECONDS: Final = (0.1, 5.0)  # the first and the longest wait before listening again
_POLL_SECONDS: Final = 2.0  # between two rescans, if the database cannot report changes
_ASK_AGAIN_SECONDS: Final = 60.0  # then the feed tries again to listen

CONNECTED: Final = "connected"  # changes arrive at once
POLLING: Final = "polling"  # the database cannot report changes
LOST: Final = "lost"  # the feed is about to listen (again)


class ChangeFeed:
    """Listens to news in a greenlet of its own, and has the audience look again at changed jobs.

    After an error it listens from then on, and has the audience look at all jobs. If the database cannot report
    changes, it emits an event once, and has the audience look at all jobs every few seconds.

    :ivar state: connected, polling or lost
    :ivar last_change: when the last change was made (ms, the database's time), and when it arrived (monotonic)
    """

    def __init__(self, news: News, audience: Audience, clock: Clock, emit: Callable[[SchedulerEvent], None]) -> None:
        self._news = news
        self._audience = audience
        self._clock = clock
        self._emit = emit
        self.state = LOST
        self.last_change: tuple[int, float] | None = None
        self._stopping = False
        self._unsupported = False
        self._failures = 0

    def run(self) -> None:
        """Listen until `stop`."""
        while not self._stopping:
            try:
                self._listen()
                self._lost("the stream was closed by the server")
            except NoNewsError as error:
                self._go_without(str(error))
            except BaseException as error:  # whatever it is, the feed must go on
                was_interrupt(error)
                self._lost(str(error) or type(error).__name__)

    def stop(self) -> None:
        """Stop listening, soon. The greenlet is not killed, because it may be inside the driver."""
        self._stopping = True

    def _is_stopping(self) -> bool:
        return self._stopping

    def _listen(self) -> None:
        is_open = False
        for change in self._news.listen(self._is_stopping):
            self._pass_on(change)
            if not is_open:
                is_open = True
                self._failures, self._unsupported = 0, False
                self.state = CONNECTED
                self._emit(SchedulerEvent(EVENT_FEED_OPENED))

    def _pass_on(self, change: ChangeNotice) -> None:
        if change.made is not None:
            self.last_change = change.made, self._clock.monotonic()
        if change.limits:
            self._audience.look_at_limits()
        elif change.job_id is None:
            self._audience.rescan()
        else:
            self._audience.look_at([change.job_id])

    def _lost(self, reason: str) -> None:
        self.state = LOST
        if self._stopping:
            return
        if not self._failures:
            self._emit(SchedulerEvent(EVENT_FEED_LOST, reason=without_noise(reason)))
        self._failures += 1
        first, longest = _RETRY_SECONDS
        wait(backoff(first, self._failures, longest), self._is_stopping)

    def _go_without(self, reason: str) -> None:
        self.state = POLLING
        if not self._unsupported:
            self._unsupported = True
            self._emit(SchedulerEvent(EVENT_FEED_UNSUPPORTED, reason=reason))
        for _ in range(round(_ASK_AGAIN_SECONDS / _POLL_SECONDS)):
            self._audience.rescan()
            wait(_POLL_SECONDS, self._is_stopping)
