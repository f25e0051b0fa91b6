"""Waiting for an event, and no longer than the clock says."""

from __future__ import annotations

import gevent
from gevent.event import Event

from gsched.times.clock import Clock


def wait_for(event: Event, seconds: float, clock: Clock) -> None:
    """Wait for the event, at most so long by this clock. The event stays as it is."""
    over = Event()
    timer = clock.call_later(seconds, over.set)
    gevent.wait([event, over], count=1)
    timer.cancel()
