"""Drives a scheduler by hand: moves its clock, lets due jobs run, and keeps the events."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import gevent

from gsched.errors import ConfigurationError
from gsched.event_loop.slices import give_way
from gsched.events import (
    CATALOGUE,
    EVENT_ALL,
    EVENT_JOB_INTERRUPTED,
    EVENT_JOB_STARTED,
    EVENT_JOB_SUBMITTED,
    SchedulerEvent,
)
from gsched.schedulers.engine import engine_of
from gsched.schedulers.gevent import GeventScheduler
from gsched.testing.manual_clock import ManualClock

_LONGEST_STEP_MS = 10_000
_QUIET_TURNS = 4  # of the event loop, until a run that can go on without the clock has gone on
_OUTCOMES = tuple(
    code
    for code, kind in CATALOGUE.items()
    if kind.name.startswith("run.") and code not in (EVENT_JOB_STARTED, EVENT_JOB_SUBMITTED, EVENT_JOB_INTERRUPTED)
)


class Driver:
    """Starts a scheduler, moves its clock and records its events; shuts it down at the end of the `with` block.

    :param scheduler: a scheduler that was made with `clock`
    :param mask: which events to keep in `events`
    :raises ConfigurationError: if the scheduler has another clock: then nothing would ever be due
    """

    def __init__(self, scheduler: GeventScheduler, clock: ManualClock, mask: int = EVENT_ALL) -> None:
        if scheduler.clock is not clock:
            raise ConfigurationError("the scheduler has another clock: make it with GeventScheduler(clock=clock)")
        self.scheduler = scheduler
        self.clock = clock
        self.events: list[Any] = []
        scheduler.add_listener(self._record, mask)

    def __enter__(self) -> Driver:
        if not self.scheduler.running:
            self.scheduler.start()
        self.settle()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.scheduler.running:
            stopping = gevent.spawn(self.scheduler.shutdown, wait=False)
            self._turn(_QUIET_TURNS)
            while not stopping.ready():  # timers cancel the runs in progress, and only we move the clock
                self.clock.step(_LONGEST_STEP_MS)
                self._turn(_QUIET_TURNS)
            stopping.get()

    def _turn(self, times: int) -> None:
        for _ in range(times):
            give_way()

    def _record(self, event: SchedulerEvent) -> None:
        self.events.append(event)

    def advance(self, **duration: float) -> None:
        """Move the clock by a duration, given as timedelta's arguments, through all due instants.

        When it returns, all runs have ended that wait only for the clock and for each other.
        """
        remaining = round(timedelta(**duration) / timedelta(milliseconds=1))
        self.settle()
        while (moved := self.clock.step(remaining)) is not None:
            remaining -= moved
            self.settle()
        self.clock.skip(remaining)
        self.settle()

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, and let the scheduler notice."""
        self.clock.jump(seconds)
        engine_of(self.scheduler).wake()
        self.settle()

    def settle(self) -> None:
        """Let everything happen that can happen without the clock moving."""
        quiet = 0
        while quiet < _QUIET_TURNS:
            give_way()
            quiet = quiet + 1 if engine_of(self.scheduler).at_rest() else 0

    def wait_for(self, condition: Callable[[], object], timeout_seconds: float = 10.0) -> None:
        """Let real time pass until `condition()` is true: for runs in threads and processes, and for real I/O.

        Raises TimeoutError with what happened so far.
        """
        with gevent.Timeout(timeout_seconds, False):
            while not condition():
                gevent.sleep(0.002)
            return
        raise TimeoutError(f"{condition!r} did not come true; events: {self.names()}")

    def names(self, prefix: str = "run.") -> list[str]:
        """The names of the recorded events that begin with `prefix`. For "run.", only the outcomes."""
        return [
            event.name
            for event in self.events
            if event.name.startswith(prefix) and (prefix != "run." or event.code in _OUTCOMES)
        ]

    def of(self, code: int) -> list[Any]:
        """The recorded events with this code."""
        return [event for event in self.events if event.code == code]
