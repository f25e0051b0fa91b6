"""The asyncio executor: coroutine functions as tasks on an application's event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context
from functools import partial
from typing import Any

from gsched.errors import ConfigurationError, RunCancelled
from gsched.event_loop.threads import LoopInbox
from gsched.executors.base import BaseExecutor, result_of
from gsched.jobs.callables import makes_coroutine
from gsched.jobs.outcomes import Outcome, Result
from gsched.jobs.run import Run, bind_log, log_reads_context, make_current
from gsched.times.clock import Clock


class AsyncIOExecutor(BaseExecutor):
    """Executes coroutine functions as tasks on an event loop, and other functions in that loop's default executor.

    A task is cancelled by its job's timeout and by `cancel_run`: asyncio.CancelledError is raised in the coroutine. A
    function in a thread cannot be interrupted. It can look at `current_run().cancelled` and return; otherwise it is
    abandoned two seconds later.

    Each run gets a fresh contextvars context, in which `current_run()` is the run.

    :param event_loop: the loop; None: the one on which AsyncIOScheduler was started
    :param size: how many runs execute at once. Of functions that are no coroutines, the loop's default executor runs
        fewer at once
    :param max_waiting: how many further runs may wait
    """

    awaits = True

    def __init__(
        self, event_loop: asyncio.AbstractEventLoop | None = None, size: int = 10_000, max_waiting: int = 100_000
    ) -> None:
        super().__init__(size, max_waiting)
        self._given_loop = event_loop
        self.event_loop = event_loop
        self._orders: deque[Run] = deque()  # filled in the scheduler's thread, emptied on the event loop
        self._is_called = False  # True: a call of `_take_orders` is to come, which will see what is there before it

    def lend_loop(self, event_loop: asyncio.AbstractEventLoop) -> None:
        """Use this event loop from now on, unless one was given. The executor is not started yet, or was shut down."""
        if self._given_loop is None:
            self.event_loop = event_loop

    def start(self, clock: Clock) -> None:
        if self.event_loop is None:
            raise ConfigurationError(
                "asyncio executor: it has no event loop: use it in AsyncIOScheduler, or give it event_loop"
            )
        super().start(clock)
        self._inbox = LoopInbox()
        self._orders.clear()
        self._is_called = False

    def _begin(self, run: Run) -> None:
        self._orders.append(run)
        if not self._is_called:
            self._is_called = True
            self._call(self._take_orders)

    def _throw(self, run: Run, error: BaseException) -> None:
        if run.worker is not None:  # otherwise it has not begun, and sees that it is cancelled; or it is in a thread
            self._call(run.worker.cancel)

    def _call(self, step: Any) -> None:
        assert self.event_loop is not None
        try:
            self.event_loop.call_soon_threadsafe(step)
        except RuntimeError as error:  # the loop is closed
            self._is_called = False
            while self._orders:
                self._finish(self._orders.popleft(), Result(Outcome.FAILED, error=error))

    # -- on the event loop --------------------------------------------------------------------------------------

    def _take_orders(self) -> None:
        self._is_called = False  # first: what is ordered from now on calls again
        while self._orders:
            self._execute(self._orders.popleft())

    def _execute(self, run: Run) -> None:
        """Start the run's task, or its function in a thread."""
        if run.cancelled:
            self._report(run, Result(Outcome.CANCELLED))
            return
        assert self.event_loop is not None and run.job.func is not None
        context = Context()
        context.run(_enter, run)
        run.started_ms = self._time_of(run)
        self._inbox.put(self._started, run)
        try:
            args, kwargs = run.job.arguments()
            call = partial(run.job.func, *args, **kwargs)
            if makes_coroutine(run.job.func):
                run.worker = self.event_loop.create_task(_awaited(call), context=context)
                run.worker.add_done_callback(partial(self._ended, run))
                if run.cancelled:  # since the look above
                    run.worker.cancel()
            else:
                in_thread = self.event_loop.run_in_executor(None, context.run, _called, call)
                in_thread.add_done_callback(partial(self._ended, run))
        except BaseException as error:
            self._report(run, Result(Outcome.FAILED, error=error))

    def _ended(self, run: Run, ended: asyncio.Future[Result]) -> None:
        if ended.cancelled():  # before it began
            self._report(run, _CANCELLED)
        else:
            self._report(run, ended.result())

    def _report(self, run: Run, result: Result) -> None:
        if run.finished_ms is None:  # otherwise it was abandoned
            run.finished_ms = self._time_of(run)
        self._inbox.put(self._finish, run, result)


_CANCELLED = Result(Outcome.CANCELLED, error=RunCancelled("its task was cancelled"))


def _enter(run: Run) -> None:
    make_current(run)
    if log_reads_context():
        bind_log(run)


async def _awaited(call: partial[Any]) -> Result:
    """The result of a coroutine function. No error leaves it: asyncio lets SystemExit of a task end the event loop."""
    try:
        return result_of(await call())
    except asyncio.CancelledError:
        return _CANCELLED
    except BaseException as error:
        return Result(Outcome.FAILED, error=error)


def _called(call: partial[Any]) -> Result:
    """The result of a function, in a thread."""
    try:
        return result_of(call())
    except BaseException as error:
        return Result(Outcome.FAILED, error=error)
