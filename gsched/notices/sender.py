"""Sends the notices of one notifier. The nodes that share an outbox take turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from gevent.event import Event

from gsched.errors import StoreError
from gsched.event_loop.keyboard_interrupt import was_interrupt
from gsched.events import (
    EVENT_NOTIFIER_FAILED,
    EVENT_NOTIFIER_RECOVERED,
    EVENT_STORE_FAILED,
    SchedulerEvent,
    error_fields,
)
from gsched.notices.channels.channel import Channel, ChannelError
from gsched.notices.message import Composer, batches_of
from gsched.notices.notice import Notice
from gsched.notices.notifier import Notifier
from gsched.notices.outbox import BURST, OUTPUT_DELAY_MS, ChannelState, Outbox
from gsched.notices.sending import carry_out
from gsched.notices.waiting import wait_for
from gsched.times.clock import Clock

LOOK_SECONDS: Final = 10.0  # between two looks for notices that other nodes have left
HELD_MS: Final = 120_000  # if a node dies while it sends, another one takes over after so long
MOST_AT_ONCE: Final = 500  # notices
_BUSY_SECONDS: Final = 1.0  # until the next look while another node sends


class Sender:
    """Sends what is due for one notifier, in a greenlet of its own.

    :param node: names this process among those that share the outbox
    """

    def __init__(
        self,
        notifier: Notifier,
        channel: Channel,
        outbox: Outbox,
        composer: Composer,
        clock: Clock,
        emit: Callable[[SchedulerEvent], None],
        node: str,
    ) -> None:
        self._notifier = notifier
        self._channel = channel
        self._outbox = outbox
        self._composer = composer
        self._clock = clock
        self._emit = emit
        self._node = node
        self._wakeup = Event()
        self._stopped = False

    def run(self) -> None:
        """Send until `stop` is called, then once more what is due."""
        is_last = False
        while not is_last:
            is_last = self._stopped
            self._wakeup.clear()
            seconds = self._turn()
            if not self._stopped:
                wait_for(self._wakeup, seconds, self._clock)

    def wake(self) -> None:
        """Look now."""
        self._wakeup.set()

    def stop(self) -> None:
        """Send what is due, and end."""
        self._stopped = True
        self._wakeup.set()

    def _turn(self) -> float:
        """Send what is due. Gives the seconds until the next look."""
        try:
            return self._send_due()
        except StoreError:
            return LOOK_SECONDS  # the ownership greenlet reports that the database does not answer
        except Exception as error:
            if not was_interrupt(error):
                self._emit(SchedulerEvent(EVENT_STORE_FAILED, **error_fields(error)))
            return LOOK_SECONDS

    def _send_due(self) -> float:
        name, every_ms, now = self._notifier.name, self._notifier.every_ms, self._clock.now_ms()
        due, broken = self._outbox.due(name, now + OUTPUT_DELAY_MS if self._stopped else now, MOST_AT_ONCE)
        for complaint in broken:
            self._emit(SchedulerEvent(EVENT_STORE_FAILED, error_type="StoreError", error_message=complaint))
        if not due:
            return LOOK_SECONDS
        state = next((each for each in self._outbox.states() if each.notifier == name), ChannelState(name))
        if state.next_at > now:
            return (state.next_at - now) / 1000
        if state.holder not in ("", self._node) and state.held_until > now:
            return _BUSY_SECONDS
        tokens = state.tokens_now(now, every_ms)
        batches = batches_of(due, tokens)
        if not batches:
            return (1 - tokens) * every_ms / BURST / 1000 + 0.001
        taken = state.taken(self._node, now + HELD_MS)
        if not self._outbox.swap_state(taken):
            return _BUSY_SECONDS
        self._outbox.swap_state(self._send_batches(taken, batches).freed())
        return 0.0

    def _send_batches(self, state: ChannelState, batches: Sequence[Sequence[Notice]]) -> ChannelState:
        """Send a message for each batch, until one cannot be sent. Gives the channel's state after that."""
        every_ms = self._notifier.every_ms
        for batch in batches:
            try:
                carry_out(self._channel.secrets, self._channel.send, self._composer.compose(batch))
            except ChannelError as error:
                if state.failing_since is None:
                    self._report(EVENT_NOTIFIER_FAILED, error_type="ChannelError", error_message=str(error))
                return state.failed(self._clock.now_ms(), str(error))
            if state.failing_since is not None:
                self._report(EVENT_NOTIFIER_RECOVERED)
            now = self._clock.now_ms()
            self._outbox.told(batch, now + every_ms)
            state = state.sent(now, every_ms)
        return state

    def _report(self, code: int, **details: Any) -> None:
        self._emit(SchedulerEvent(code, notifier=self._notifier.name, **details))
