"""Waits for an event, for a time that a clock measures."""

from __future__ import annotations

import gevent
from gevent.event import Event

from gsched.times.clock import Clock


def wait_for(event: Event, seconds: float, clock: Clock) -> None:
    """Wait until the event is set, or until so many seconds have passed by this clock. Does not clear the event."""
    over = Event()
    timer = clock.call_later(seconds, over.set)
    gevent.wait([event, over], count=1)
    timer.cancel()
