"""A bench: a scheduler on a clock that the test moves, with a record of what happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event
from gevent.monkey import get_original

from gsched import GeventScheduler
from gsched.testing import Driver, Ledger, ManualClock
from gsched.times.instants import to_ms

START = "2026-03-02 12:00"  # a Monday


class Bench:
    """A scheduler, its clock and driver. Not started yet, so that a test may prepare it; see `start`.

    :ivar ran: what `note` recorded: seconds since the bench was made, and what it was called with
    """

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock(START)
        self.start_ms = to_ms(self.clock.now)
        self.scheduler = GeventScheduler(
            **{"clock": self.clock, "timezone": "UTC", "blocked_hub_after": None, **settings}
        )
        self.driver = Driver(self.scheduler, self.clock)
        self.ledger = Ledger(self.scheduler)
        self.ran: list[Any] = []
        self.gate = Event()

    # -- driving --------------------------------------------------------------------------------------------------

    def start(self, paused: bool = False) -> Bench:
        self.scheduler.start(paused)
        self.driver.settle()
        return self

    def advance(self, seconds: float) -> None:
        self.driver.advance(seconds=seconds)

    def settle(self) -> None:
        self.driver.settle()

    def close(self) -> None:
        self.gate.set()
        if self.scheduler.running:
            self.settle()
            self.scheduler.shutdown(wait=False)

    def in_thread(self, func: Callable[[], Any]) -> Any:
        """What `func()` gives in a native thread that has no gevent of its own."""
        outcome: list[Any] = []

        def call() -> None:
            try:
                outcome.append((func(), None))
            except BaseException as error:
                outcome.append((None, error))

        get_original("_thread", "start_new_thread")(call, ())
        with gevent.Timeout(10):
            while not outcome:
                gevent.sleep(0.001)
        value, error = outcome[0]
        if error is not None:
            raise error
        return value

    # -- jobs -----------------------------------------------------------------------------------------------------

    def add(self, func: Any = None, trigger: Any = None, **options: Any) -> Any:
        return self.scheduler.add_job(self.note if func is None else func, trigger, **options)

    def every(self, seconds: float, func: Any = None, **options: Any) -> Any:
        return self.add(func, "interval", seconds=seconds, **options)

    def note(self, *what: Any) -> None:
        """A job that records when it ran and with what."""
        self.ran.append((self.elapsed, *what) if what else self.elapsed)

    def wait(self) -> None:
        """A job that lasts until the gate is opened."""
        self.note()
        self.gate.wait()

    def open_gate(self) -> None:
        self.gate.set()
        self.settle()

    # -- looking --------------------------------------------------------------------------------------------------

    @property
    def elapsed(self) -> float:
        """Seconds since the bench was made, as the wall clock shows."""
        elapsed = (self.clock.now_ms() - self.start_ms) / 1000
        return int(elapsed) if elapsed == int(elapsed) else elapsed

    def at(self, seconds: float) -> int:
        """Milliseconds since the epoch of so many seconds after the bench was made."""
        return self.start_ms + round(seconds * 1000)

    def due(self, job_id: str) -> float | None:
        """Seconds after the bench was made at which the job is due next."""
        handle = self.scheduler.get_job(job_id)
        when = handle.next_run_time
        return None if when is None else (to_ms(when) - self.start_ms) / 1000

    def names(self, prefix: str = "run.") -> list[str]:
        return self.driver.names(prefix)

    def events(self, name: str) -> list[Any]:
        return [event for event in self.driver.events if event.name == name]

    def ids(self, **query: Any) -> list[str]:
        return [job.id for job in self.scheduler.get_jobs(**query)]
