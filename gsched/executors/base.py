"""What an executor is: it takes runs, executes a bounded number at once, and returns how each one ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Mapping
from typing import Any

import gevent
from gevent import get_hub

from gsched.callables import refuse_awaitable
from gsched.clock import Clock
from gsched.errors import ConfigurationError, RunCancelled
from gsched.executors.interruption import Interruption
from gsched.forks import end_process
from gsched.run import SUCCEEDED_WITH_NONE, Outcome, Reason, Result, Run, log_reads_context
from gsched.slices import Slice

_SOON = 1e-6  # seconds: a timer, so that the event loop serves I/O before the next slice


class BaseExecutor(ABC):
    """Executes at most `size` runs at once; more wait in order, without a worker.

    - All methods are called in the scheduler's thread, and none blocks but `shutdown`.
    - Each submitted run comes back by exactly one `run.owner.run_finished(run, result)`, its worker already free.
    - A run that finds `max_waiting` others waiting is returned as skipped ("pool_full"); one that waited beyond its
      job's misfire_grace_time is returned as missed.
    - A run that exceeds its job's timeout, or is cancelled, is interrupted in steps (see Interruption).

    Subclasses say how a run begins (`_begin`), is interrupted (`_throw`) and is given up (`_abandon`).

    :param size: runs at once, at least 1
    :param max_waiting: runs that may wait on top, at least 0
    """

    alias: str  # under which its scheduler has it
    warning: str | None = None  # what its jobs must not do in this program, and the remedy; known after `start`
    _size_setting = "size"  # what users of the subclass call it

    def __init__(self, size: int, max_waiting: int = 100_000) -> None:
        self.size = _whole_number(size, self._size_setting, 1)
        self.max_waiting = _whole_number(max_waiting, "max_waiting", 0)
        self.abandoned = 0  # workers given up so far, because their runs would not stop
        self._queue: deque[Run] = deque()
        self._executing: set[Run] = set()
        self._draining = False
        self._saturated: float | None = None  # since when runs wait because all workers are busy; monotonic
        self._retiring = False
        self._binds_log = False
        self._forking: Run | None = None  # in a forked child: the run that has forked it
        self._clock: Clock

    def start(self, clock: Clock) -> None:
        """Get ready to execute, in the calling thread's gevent hub."""
        self._clock = clock
        self._loop = get_hub().loop

    @property
    def in_progress(self) -> int:
        """Runs that execute now."""
        return len(self._executing)

    @property
    def waiting(self) -> int:
        """Runs that wait for a worker."""
        return len(self._queue)

    @property
    def saturated_seconds(self) -> float:
        """For how long runs have been waiting because all workers were busy; 0 while none waits."""
        since = self._saturated
        return 0.0 if since is None or not self._queue else self._clock.monotonic() - since

    @property
    def starting(self) -> bool:
        """Whether waiting runs are just being given to free workers."""
        return self._draining

    def runs(self) -> list[Run]:
        """Runs that execute or wait, in no particular order."""
        return [*self._executing, *self._queue]

    def submit(self, run: Run) -> None:
        """Execute `run` as soon as a worker is free."""
        if len(self._executing) + len(self._queue) >= self.size + self.max_waiting:
            run.owner.run_finished(run, Result(Outcome.SKIPPED, reason=Reason.POOL_FULL))
            return
        self._queue.append(run)
        if not self._draining:
            self._wake()

    def cancel(self, run: Run) -> bool:
        """Stop `run`, whether it waits or executes; False if it is not here (any more)."""
        if run in self._executing:
            self._interruption(run).begin(Outcome.CANCELLED)
            return True
        if run in self._queue:
            self._queue.remove(run)
            self._note_saturation()
            run.cancelled = True
            run.owner.run_finished(run, Result(Outcome.CANCELLED, error=RunCancelled("cancelled before it started")))
            return True
        return False

    def abandon_all(self) -> None:
        """Report every run that executes as ended, whatever its function still does."""
        for run in list(self._executing):
            self._give_up(run)

    def retire(self) -> None:
        """Give up the workers as soon as the last run has ended; no more will be submitted."""
        self._retiring = True
        self._shut_down_if_retired()

    def _shut_down_if_retired(self) -> None:
        if not self._executing and not self._queue:
            self.shutdown()

    def greenlets(self) -> Collection[gevent.Greenlet]:
        """Those that execute runs. In a forked copy of the process only the one that has forked goes on."""
        return ()

    def forked(self) -> None:
        """This is a forked copy of the process: begin no run in it, and report none.

        A run that has forked goes on in the copy. The copy ends when the function of that run ends.
        """
        self._queue.clear()
        for run in self._executing:
            if run is not self._forking:
                run.cancelled = True  # one whose worker is just starting does not begin
        self._executing.clear()

    def shutdown(self) -> None:
        """Give up the workers. Runs that still execute were cancelled or waited for by the caller before."""

    # -- for subclasses ---------------------------------------------------------------------------------------

    @abstractmethod
    def _begin(self, run: Run) -> None:
        """Have a free worker execute `run` and call `_finish` at its end. Called in gevent's Hub: no blocking."""

    def _throw(self, run: Run, error: BaseException) -> None:
        """Raise `error` inside the run, where that is possible. Called in gevent's Hub."""

    def _abandon(self, run: Run) -> None:
        """The run would not stop, and is about to be reported as ended: replace its worker."""

    def _time_of(self, run: Run) -> int:
        """Now, ms, in the time that scheduled the run, which may be a store's own. In whatever thread."""
        return self._clock.now_ms() + run.clock_offset

    def _finish(self, run: Run, result: Result) -> None:
        """The worker is free: take the run off the books, tell its owner, let the next one begin.

        Of a run that was given up before, the owner has heard already.
        """
        if run not in self._executing:
            if run is self._forking:
                self._end_copy(result)
            return
        self._executing.remove(run)
        if run.finished_ms is None:  # else its thread noted it
            run.finished_ms = self._time_of(run)
        if run.interruption is not None:
            result = run.interruption.conclude(result)
        run.owner.run_finished(run, result)
        if self._queue and not self._draining:
            self._wake()
        if self._retiring:
            self._shut_down_if_retired()

    def _end_copy(self, result: Result) -> None:
        """The function that has forked this copy of the process has ended in it: so does the copy.

        Else a second copy of the whole program would go on, its main function included.
        """
        end_process(result.error)

    # -- the queue --------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        self._draining = True
        self._loop.run_callback(self._drain)

    def _drain(self) -> None:
        """Let waiting runs begin while there are free workers."""
        pace = Slice()
        self._binds_log = log_reads_context()  # asked once for many runs
        while self._queue and len(self._executing) < self.size:
            run = self._queue.popleft()
            if run.job.misfire_grace_ms is None or not self._too_late(run, run.job.misfire_grace_ms):
                self._executing.add(run)
                self._begin(run)
            if pace.used_up():
                self._continue_soon()
                return
        self._draining = False
        self._note_saturation()

    def _note_saturation(self) -> None:
        if not self._queue:
            self._saturated = None
        elif self._saturated is None:
            self._saturated = self._clock.monotonic()

    def _continue_soon(self) -> None:
        timer = self._loop.timer(_SOON)
        timer.start(self._drain_after, timer)

    def _drain_after(self, timer: Any) -> None:
        timer.close()
        self._drain()

    def _too_late(self, run: Run, grace_ms: int) -> bool:
        if self._time_of(run) - run.scheduled_ms <= grace_ms:
            return False
        run.owner.run_finished(run, Result(Outcome.MISSED, reason=Reason.WAITED))
        return True

    # -- timeouts and cancellation ----------------------------------------------------------------------------

    def _started(self, run: Run) -> None:
        """Note that `run` begins now, and watch over its timeout."""
        if run.started_ms is None:  # else its thread noted it
            run.started_ms = self._time_of(run)
        if run.job.timeout_seconds is not None:
            self._interruption(run).begin_after(run.job.timeout_seconds)
        run.owner.run_started(run)

    def _interruption(self, run: Run) -> Interruption:
        interruption: Interruption | None = run.interruption
        if interruption is None:
            interruption = run.interruption = Interruption(run, self._clock, self._throw, self._give_up)
        return interruption

    def _give_up(self, run: Run) -> None:
        self.abandoned += 1
        run.cancelled = True
        self._abandon(run)
        self._finish(run, Result(Outcome.FAILED, reason=Reason.ABANDONED))


def refuse_pool_kwargs(pool_kwargs: Mapping[str, Any] | None) -> None:
    """Raises ConfigurationError for APScheduler's `pool_kwargs`, unless there is nothing in them."""
    if pool_kwargs:
        names = ", ".join(sorted(pool_kwargs))
        raise ConfigurationError(f"pool_kwargs: the pools of concurrent.futures are not used here, remove {names}")


def result_of(value: Any) -> Result:
    """The result of a function that returned `value`. Raises NothingRanError for a coroutine or another awaitable."""
    if value is None:
        return SUCCEEDED_WITH_NONE
    refuse_awaitable(value)
    return Result(Outcome.SUCCEEDED, value)


def _whole_number(value: object, setting: str, least: int) -> int:
    """A number of at least `least`; settings files write it as text, too."""
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise ConfigurationError(f"{setting}: expected a whole number from {least}, got {value!r}")
    return number
