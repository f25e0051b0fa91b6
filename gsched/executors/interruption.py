"""Stops a run that takes too long or is cancelled: raise, then kill, then abandon."""

from __future__ import annotations

from collections.abc import Callable

from gevent import GreenletExit

from gsched.errors import RunCancelled, RunTimedOut
from gsched.jobs.outcomes import Outcome, Reason, Result
from gsched.jobs.run import Run
from gsched.times.clock import Clock, Timer

GRACE_SECONDS = 1.0  # between two steps: time for `finally` blocks to close what they opened


class Interruption:
    """Stops one run, step by step, each step an event.

    1. raise: RunTimedOut or RunCancelled inside the run;
    2. kill: GreenletExit, for a run that swallowed the first;
    3. abandon: the run is reported as ended and its worker replaced; what the function still does has no effect here.

    :param throw: raises an error inside a run
    :param give_up: abandons a run
    """

    __slots__ = ("_clock", "_error", "_give_up", "_outcome", "_reason", "_run", "_throw", "_timer")

    def __init__(
        self, run: Run, clock: Clock, throw: Callable[[Run, BaseException], None], give_up: Callable[[Run], None]
    ) -> None:
        self._run = run
        self._clock = clock
        self._throw = throw
        self._give_up = give_up
        self._timer: Timer | None = None
        self._outcome: Outcome | None = None
        self._error: BaseException | None = None
        self._reason: Reason | None = None

    def begin_after(self, timeout_seconds: float) -> None:
        """Stop the run as timed out after so many seconds, unless it ends or is stopped before."""
        if self._outcome is None:
            self._timer = self._clock.call_later(timeout_seconds, self.begin, Outcome.TIMED_OUT)

    def begin(self, outcome: Outcome, reason: Reason | None = None) -> None:
        """Stop the run as timed out or cancelled; nothing happens if it is being stopped already."""
        if self._outcome is not None:
            return
        self._outcome, self._reason = outcome, reason
        self._run.cancelled = True
        timeout = self._run.job.timeout_seconds
        if outcome is Outcome.TIMED_OUT and timeout is not None:
            self._error = RunTimedOut(timeout)
        else:
            self._error = RunCancelled(str(reason or "cancelled"))
        self._then(0.0, self._raise)

    def conclude(self, result: Result) -> Result:
        """The run has ended: stop the timers, and return its result.

        Decided by our own record, not by what came out of the function: it may have swallowed our error, turned it
        into another one, or still have returned.
        """
        if self._timer is not None:
            self._timer.cancel()
        if self._outcome is None:
            return result
        return Result(self._outcome, result.value, self._error, self._reason or result.reason)

    def _raise(self) -> None:
        assert self._error is not None
        self._then(GRACE_SECONDS, self._kill)
        self._run.owner.run_interrupted(self._run, "raise")
        self._throw(self._run, self._error)

    def _kill(self) -> None:
        self._then(GRACE_SECONDS, self._abandon)
        self._run.owner.run_interrupted(self._run, "kill")
        self._throw(self._run, GreenletExit())

    def _abandon(self) -> None:
        self._run.owner.run_interrupted(self._run, "abandon")
        self._give_up(self._run)

    def _then(self, seconds: float, step: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.call_later(seconds, step)
