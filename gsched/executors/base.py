"""The contract of executors: take runs, execute a bounded number at once, and return each run's result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Mapping
from typing import Any

import gevent
from gevent import get_hub

from gsched.checks import written_whole
from gsched.errors import ConfigurationError, RunCancelled
from gsched.event_loop.forks import end_process
from gsched.event_loop.slices import Slice
from gsched.executors.interruption import Interruption
from gsched.executors.turns import RunsInTurn
from gsched.jobs.callables import refuse_awaitable
from gsched.jobs.outcomes import SUCCEEDED_WITH_NONE, Outcome, Reason, Result
from gsched.jobs.policy import NO_POLICY
from gsched.jobs.run import Run, log_reads_context
from gsched.times.clock import Clock

_SOON = 1e-6  # seconds: a timer, so that the event loop serves I/O before the next slice


class BaseExecutor(ABC):
    """Executes at most `size` runs at once; further runs wait, without a worker: in order, and groups take turns.

    - All methods are called in the scheduler's thread. Only `shutdown` may block.
    - Each submitted run comes back by exactly one `run.owner.run_finished(run, result)`, after its worker is free.
    - A run that finds `max_waiting` others waiting is returned as skipped ("pool_full"); one that waited beyond its
      job's misfire_grace_time is returned as missed.
    - A run that exceeds its job's timeout, or is cancelled, is interrupted in steps (see Interruption).

    Subclasses say how a run begins (`_begin`), is interrupted (`_throw`) and is given up (`_abandon`).

    :param size: how many runs execute at once, at least 1
    :param max_waiting: how many further runs may wait, at least 0
    """

    alias: str  # its name in the scheduler
    warning: str | None = None  # what its jobs must not do in this program, and the remedy; known after `start`
    awaits = False  # True: it awaits the coroutine that a job's function returns
    _size_setting = "size"  # the name of `size` in the subclass

    def __init__(self, size: int, max_waiting: int = 100_000) -> None:
        self.size = written_whole(self._size_setting, size, 1)
        self.max_waiting = written_whole("max_waiting", max_waiting, 0)
        self._most = size  # runs that are begun; beyond `size` they wait for the next free worker
        self.abandoned = 0  # workers given up so far, because their runs would not stop
        self._queue: deque[Run] | RunsInTurn = deque()
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
        return min(len(self._executing), self.size)

    @property
    def waiting(self) -> int:
        """Runs that wait for a worker."""
        return len(self._queue) + max(0, len(self._executing) - self.size)

    @property
    def saturated_seconds(self) -> float:
        """For how many seconds runs have been waiting for a free worker; 0 while none waits."""
        since = self._saturated
        return 0.0 if since is None or not self._queue else self._clock.monotonic() - since

    @property
    def starting(self) -> bool:
        """True while waiting runs are given to free workers."""
        return self._draining

    def runs(self) -> list[Run]:
        """Runs that execute or wait, in no particular order."""
        return [*self._executing, *self._queue]

    def submit(self, run: Run) -> None:
        """Execute `run` as soon as a worker is free."""
        if len(self._queue) >= self.max_waiting and self._is_full():
            run.owner.run_finished(run, Result(Outcome.SKIPPED, reason=Reason.POOL_FULL))
            return
        if run.job.policy is not NO_POLICY and len(self._queue) + len(self._executing) >= self.size:
            self._take_turns(run)
        self._queue.append(run)
        if not self._draining:
            self._wake()

    def _take_turns(self, run: Run) -> None:
        """Let groups take turns, from the first run of a group on that finds no free worker, as long as runs wait."""
        if run.job.policy.group is not None and not isinstance(self._queue, RunsInTurn):
            self._queue = RunsInTurn(self._queue)

    def _is_full(self) -> bool:
        return len(self._executing) + len(self._queue) >= self.size + self.max_waiting

    def cancel(self, run: Run, reason: Reason | None = None) -> bool:
        """Cancel `run`, whether it waits or executes; False if this executor does not have it.

        :param reason: why; None: somebody asked for it
        """
        if run in self._executing:
            if self._withdraw(run):
                self._finish(run, _cancelled_before_start(reason))
            else:
                self._interruption(run).begin(Outcome.CANCELLED, reason)
            return True
        if run in self._queue:
            self._queue.remove(run)
            self._note_saturation()
            run.cancelled = True
            run.owner.run_finished(run, _cancelled_before_start(reason))
            return True
        return False

    def abandon_all(self) -> None:
        """Report every executing run as ended, though its function may go on."""
        for run in list(self._executing):
            self._give_up(run)

    def retire(self) -> None:
        """Give up the workers after the last run. No further run will be submitted."""
        self._retiring = True
        self._shut_down_if_retired()

    def _shut_down_if_retired(self) -> None:
        if not self._executing and not self._queue:
            self.shutdown()

    def greenlets(self) -> Collection[gevent.Greenlet]:
        """The greenlets that execute runs. In a forked copy of the process only the one that forked goes on."""
        return ()

    def forked(self) -> None:
        """This is a forked copy of the process: start no run in it, and report none.

        A run that forked goes on in the copy. The copy ends when the function of that run ends.
        """
        self._queue.clear()
        self._draining = False  # for a start in the copy
        for run in self._executing:
            if run is not self._forking:
                run.cancelled = True  # a run whose worker is just starting does not start
        self._executing.clear()

    def shutdown(self) -> None:
        """Give up the workers. The caller has waited for the runs, or cancelled them."""

    # -- for subclasses ---------------------------------------------------------------------------------------

    @abstractmethod
    def _begin(self, run: Run) -> None:
        """Have a free worker execute `run` and call `_finish` at its end. Called in gevent's Hub: no blocking."""

    def _withdraw(self, run: Run) -> bool:
        """Take back a run that was begun, if no worker has taken it; True if none will."""
        return False

    def _throw(self, run: Run, error: BaseException) -> None:
        """Raise `error` inside the run, if that is possible. Called in gevent's Hub."""

    def _abandon(self, run: Run) -> None:
        """Replace the worker of a run that does not stop. The run is reported as ended afterwards."""

    def _time_of(self, run: Run) -> int:
        """Now, ms, in the time that scheduled the run, which may be a store's own. Call it in any thread."""
        return self._clock.now_ms() + run.clock_offset

    def _finish(self, run: Run, result: Result) -> None:
        """The worker is free: forget the run, report its result to its owner, and start the next run.

        A run that was given up has been reported before.
        """
        if run not in self._executing:
            if run is self._forking:
                self._end_copy(result)
            return
        self._executing.remove(run)
        if run.finished_ms is None:  # otherwise its thread has set it
            run.finished_ms = self._clock.now_ms() + run.clock_offset  # _time_of, without a call for every run
        if run.interruption is not None:
            result = run.interruption.conclude(result)
        run.owner.run_finished(run, result)
        if self._queue and not self._draining:
            self._wake()
        if self._retiring:
            self._shut_down_if_retired()

    def _end_copy(self, result: Result) -> None:
        """End this copy of the process: the function that forked it has ended.

        Otherwise a second copy of the whole program would go on, its main function included.
        """
        end_process(result.error)

    # -- the queue --------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        self._draining = True
        self._loop.run_callback(self._drain)

    def _drain(self) -> None:
        """Start waiting runs while there are free workers."""
        pace = Slice()
        self._binds_log = log_reads_context()  # read once for many runs
        while self._queue and (len(self._executing) < self.size or self._may_begin_ahead()):
            run = self._queue.popleft()
            if run.job.misfire_grace_ms is None or not self._too_late(run, run.job.misfire_grace_ms):
                self._executing.add(run)
                self._begin(run)
            if pace.used_up():
                self._continue_soon()
                return
        self._draining = False
        self._note_saturation()

    def _may_begin_ahead(self) -> bool:
        """True if the next run may be handed to the workers, though all are busy. One that may not be late waits here.
        """
        return len(self._executing) < self._most and self._queue[0].job.misfire_grace_ms is None

    def _note_saturation(self) -> None:
        if not self._queue:
            self._saturated = None
            if isinstance(self._queue, RunsInTurn):  # it is slower than a plain queue
                self._queue = deque()
        elif self._saturated is None:
            self._saturated = self._clock.monotonic()

    def _continue_soon(self) -> None:
        timer = self._loop.timer(_SOON)
        timer.start(self._drain_after, timer)

    def _drain_after(self, timer: Any) -> None:
        timer.close()
        self._drain()

    def _too_late(self, run: Run, grace_ms: int) -> bool:
        due = run.scheduled_ms if run.due_ms is None else run.due_ms
        if self._time_of(run) - due <= grace_ms:
            return False
        run.owner.run_finished(run, Result(Outcome.MISSED, reason=Reason.WAITED))
        return True

    # -- timeouts and cancellation ----------------------------------------------------------------------------

    def _started(self, run: Run) -> None:
        """Note that `run` starts now, and start its timeout."""
        if run.started_ms is None:  # otherwise its thread has set it
            run.started_ms = self._clock.now_ms() + run.clock_offset  # _time_of, without a call for every run
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


def _cancelled_before_start(reason: Reason | None) -> Result:
    return Result(Outcome.CANCELLED, error=RunCancelled(f"{reason or 'cancelled'} before it started"), reason=reason)


def refuse_pool_kwargs(pool_kwargs: Mapping[str, Any] | None) -> None:
    """Raises ConfigurationError for APScheduler's `pool_kwargs`, unless they are empty."""
    if pool_kwargs:
        names = ", ".join(sorted(pool_kwargs))
        raise ConfigurationError(f"pool_kwargs: the pools of concurrent.futures are not used here, remove {names}")


def result_of(value: Any) -> Result:
    """The result of a function that returned `value`. Raises NothingRanError for a coroutine or another awaitable."""
    if value is None:
        return SUCCEEDED_WITH_NONE
    refuse_awaitable(value)
    return Result(Outcome.SUCCEEDED, value)
