"""A rig for executors without a scheduler: runs of plain functions, a recording owner, and a clock the test moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
from gevent.event import Event

from gsched.executors import BaseExecutor
from gsched.jobs.funcref import ref_of
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome, Result
from gsched.jobs.run import Run
from gsched.triggers.date import DateTrigger

WAIT_SECONDS = 60.0  # a bound for waiting, never a delay
NEVER = DateTrigger("2100-01-01T00:00:00Z")


class ManualClock:
    """Time stands still until `advance`."""

    longest_sleep = 1.0

    def __init__(self) -> None:
        self._now = 1_000_000.0
        self._timers: list[_ManualTimer] = []

    def now_ms(self) -> int:
        return int(self._now * 1000)

    def monotonic(self) -> float:
        return self._now

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> _ManualTimer:
        timer = _ManualTimer(self._now + seconds, callback, args)
        self._timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        """Let time pass; what falls due is called in gevent's Hub, as the real clock does."""
        self._now += seconds
        due = [timer for timer in self._timers if timer.at <= self._now]
        self._timers = [timer for timer in self._timers if timer.at > self._now]
        for timer in due:
            called = Event()
            gevent.get_hub().loop.run_callback(timer.call, called)
            assert called.wait(WAIT_SECONDS)

    def pending(self) -> int:
        """Timers that may still call."""
        return sum(not timer.cancelled for timer in self._timers)


class _ManualTimer:
    def __init__(self, at: float, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.at = at
        self.cancelled = False
        self._callback, self._args = callback, args

    def call(self, called: Event) -> None:
        try:
            if not self.cancelled:
                self._callback(*self._args)
        finally:
            called.set()

    def cancel(self) -> None:
        self.cancelled = True


class Rig:
    """Submits runs to one executor and records what becomes of them."""

    def __init__(self, executor: BaseExecutor) -> None:
        self.executor = executor
        self.clock = ManualClock()
        self.started: list[Run] = []
        self.steps: list[str] = []
        self.results: dict[Run, Result] = {}
        self.finished: list[Run] = []
        self.hubs: set[Any] = set()  # those in which the owner was called
        self._changed = Event()
        executor.start(self.clock)

    # -- the owner --------------------------------------------------------------------------------------------

    def run_started(self, run: Run) -> None:
        self.started.append(run)
        self._change()

    def run_interrupted(self, run: Run, step: str) -> None:
        self.steps.append(step)
        self._change()

    def run_finished(self, run: Run, result: Result) -> None:
        assert run not in self.results, "a run has finished twice"
        assert run not in self.executor.runs()
        self.results[run] = result
        self.finished.append(run)
        self._change()

    def _change(self) -> None:
        self.hubs.add(gevent.get_hub())
        self._changed.set()

    # -- the test ---------------------------------------------------------------------------------------------

    def run_of(self, func: Callable[..., Any], *args: Any, **options: Any) -> Run:
        """A run of `func(*args, **kwargs)` that is due now; `options` are Job's fields."""
        options.setdefault("id", "job")
        job = Job(func=func, func_ref=ref_of(func), trigger=NEVER, args=args, **options)
        return Run(job, self.clock.now_ms(), self, fence=7, attempt=2)

    def submit(self, func: Callable[..., Any], *args: Any, **options: Any) -> Run:
        run = self.run_of(func, *args, **options)
        self.executor.submit(run)
        return run

    def begin(self, func: Callable[..., Any], *args: Any, **options: Any) -> Run:
        """Submit, and wait until the run has started."""
        run = self.submit(func, *args, **options)
        self.wait(lambda: run in self.started)
        return run

    def finish(self, func: Callable[..., Any], *args: Any, **options: Any) -> Result:
        """Submit, wait for the end, and return the result."""
        return self.result(self.submit(func, *args, **options))

    def result(self, run: Run) -> Result:
        self.wait(lambda: run in self.results)
        return self.results[run]

    def outcome(self, run: Run) -> Outcome:
        return self.result(run).outcome

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition`, which depends on what the owner was told, holds."""
        with gevent.Timeout(WAIT_SECONDS):
            while not condition():
                self._changed.clear()
                self._changed.wait()

    def step(self, step: str, after: float) -> None:
        """Let `after` seconds pass, and wait until an interruption has come to `step`."""
        self.clock.advance(after)
        self.clock.advance(0)
        self.wait(lambda: step in self.steps)


@contextmanager
def rig_of(executor: BaseExecutor) -> Iterator[Rig]:
    """A rig for `executor`. Nothing may go wrong in gevent's Hub meanwhile, where errors are only printed."""
    errors: list[Any] = []
    hub = gevent.get_hub()
    before, hub.handle_error = hub.handle_error, lambda *error: errors.append(error)
    try:
        yield Rig(executor)
    finally:
        executor.shutdown()
        hub.handle_error = before
    assert not errors
