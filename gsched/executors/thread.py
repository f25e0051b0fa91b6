"""The thread executor: for functions that block without gevent's knowledge."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Context

from gevent.exceptions import InvalidThreadUseError

from gsched.clock import Clock
from gsched.executors.base import BaseExecutor, refuse_pool_kwargs, result_of
from gsched.executors.child_exits import watch_from_here
from gsched.executors.thread_worker import ThreadWorker, started_worker
from gsched.patching import THREADS_REMEDY, complete_patching, threads_are_patched, threads_warning
from gsched.run import Outcome, Result, Run, bind_log, log_reads_context, make_current
from gsched.threads import thread_ident

# Queues and events that modules make from now on can be shared with the threads. At the start it is often too late.
complete_patching()


class ThreadPoolExecutor(BaseExecutor):
    """Executes runs in native threads of its own, never in the hub's pool, which resolves host names.

    In a program that gevent has patched, each thread has an event loop of its own. Locks, queues, logging and client
    libraries work there as in the main thread. A run that waits for one of them is interrupted by its timeout or by its
    cancellation.

    Otherwise nothing can be raised inside a thread. A run that is timed out or cancelled can only look at
    `current_run().cancelled` and return. If the run does not, it is abandoned two seconds later; its thread goes on, is
    replaced, and ends with its function.

    Thread-local values are kept from run to run, as in every thread pool. docs/executors.md says what a job in a thread
    may do.

    :param max_workers: threads, started on demand
    :param max_waiting: runs that may wait for a thread on top of these
    :param pool_kwargs: only for compatibility with APScheduler, None or empty
    """

    _size_setting = "max_workers"

    def __init__(
        self, max_workers: int = 20, max_waiting: int = 100_000, pool_kwargs: Mapping[str, object] | None = None
    ) -> None:
        refuse_pool_kwargs(pool_kwargs)
        super().__init__(max_workers, max_waiting)
        self._open = False
        self._idle: list[ThreadWorker] = []

    def start(self, clock: Clock) -> None:
        super().start(clock)
        complete_patching()
        self._with_hubs = threads_are_patched()
        self.warning = threads_warning()
        if self._with_hubs:
            watch_from_here(clock)
        self._open = True

    def shutdown(self) -> None:
        self._open = False
        idle, self._idle = self._idle, []
        for worker in idle:
            worker.release()

    def forked(self) -> None:
        for run in self._executing:
            if run.worker is not None and run.worker.ident == thread_ident():
                self._forking = run
        self._idle.clear()  # a child has no other threads
        super().forked()

    def _begin(self, run: Run) -> None:
        try:
            worker = self._idle.pop() if self._idle else started_worker(self._with_hubs)
        except Exception as error:  # the system gives no more threads
            self._finish(run, Result(Outcome.FAILED, error=error))
            return
        run.worker = worker
        worker.assign(run, self._perform)

    def _throw(self, run: Run, error: BaseException) -> None:
        run.worker.throw(run, error)

    # -- in the thread ----------------------------------------------------------------------------------------

    def _perform(self, worker: ThreadWorker, run: Run) -> None:
        result = Context().run(self._call, run)
        if run is self._forking:
            self._end_copy(result)
        self._loop.run_callback_threadsafe(self._ended, worker, run, result)

    def _call(self, run: Run) -> Result:
        """Execute `run` in its own context."""
        if run.cancelled:  # before a thread took it
            return Result(Outcome.CANCELLED)
        make_current(run)
        if log_reads_context():
            bind_log(run)
        run.started_ms = self._time_of(run)
        self._loop.run_callback_threadsafe(self._started, run)
        try:
            args, kwargs = run.job.arguments()
            assert run.job.func is not None
            result = result_of(run.job.func(*args, **kwargs))
        except BaseException as error:  # SystemExit and the like end the run, never the thread
            if isinstance(error, InvalidThreadUseError):
                error.add_note(f"gevent's own events and queues belong to one native thread: {THREADS_REMEDY}")
            result = Result(Outcome.FAILED, error=error)
        if run.finished_ms is None:  # else it was abandoned
            run.finished_ms = self._time_of(run)
        return result

    # -- back in the scheduler's thread -----------------------------------------------------------------------

    def _ended(self, worker: ThreadWorker, run: Run, result: Result) -> None:
        if run in self._executing and self._open:
            self._idle.append(worker)
        else:  # the run was abandoned, and its thread replaced, or the executor was shut down
            worker.release()
        self._finish(run, result)
