"""Writes what a node did in each minute."""

from __future__ import annotations

from collections.abc import Callable

from gevent.event import Event

from gsched.event_loop.keyboard_interrupt import was_interrupt
from gsched.monitoring.rates import MinuteCounter, NotedMinute
from gsched.stores.messages import HubPort
from gsched.times.clock import Clock


class MinuteWriter:
    """Writes, in a greenlet of its own, one document a minute. One that cannot be written is left out.

    :param write: writes what a node did in a minute
    :param node: gives the node's id; None while there is no node
    """

    def __init__(
        self,
        write: Callable[[str, NotedMinute], None],
        clock: Clock,
        hub: HubPort,
        node: Callable[[], str | None],
    ) -> None:
        self._write = write
        self._clock = clock
        self._hub = hub
        self._node = node
        self._wakeup = Event()
        self._stopping = False

    def run(self) -> None:
        """Write until `stop`, then what was done since the last minute ended."""
        counter, node = MinuteCounter(self._clock, self._hub.activity), None
        while not self._stopping:
            timer = self._clock.call_later(counter.seconds_left(), self._wakeup.set)
            self._wakeup.wait()
            timer.cancel()
            self._wakeup.clear()
            node = self._node() or node
            minute = counter.rest() if self._stopping else counter.ended()
            if minute is not None and node is not None:
                self._try_to_write(node, minute)

    def stop(self) -> None:
        """Write what is left, then end."""
        self._stopping = True
        self._wakeup.set()

    def _try_to_write(self, node: str, minute: NotedMinute) -> None:
        try:
            self._write(node, minute)
        except BaseException as error:
            was_interrupt(error)  # an error of the database is the ownership greenlet's to report
