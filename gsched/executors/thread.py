"""The thread executor: for functions that block without gevent's knowledge."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextvars import Context

from gevent.exceptions import InvalidThreadUseError

from gsched.event_loop.patch import THREADS_REMEDY, complete_patching, threads_are_patched, threads_warning
from gsched.event_loop.threads import LoopInbox, thread_ident
from gsched.event_loop.threadsafe_calls import SpareCount
from gsched.executors.base import BaseExecutor, refuse_pool_kwargs, result_of
from gsched.executors.child_exits import watch_from_here
from gsched.executors.thread_worker import ThreadWorker, started_worker
from gsched.jobs.outcomes import Outcome, Result
from gsched.jobs.run import Run, bind_log, log_reads_context, make_current
from gsched.times.clock import Clock

# Queues and events that modules make from now on can be shared with the threads. At the start it is often too late.
complete_patching()


class ThreadPoolExecutor(BaseExecutor):
    """Executes runs in native threads of its own. The hub's pool stays free to resolve host names.

    In a program that gevent has patched, each thread has an event loop of its own. Locks, queues, logging and client
    libraries work there as in the main thread. A run that waits for one of them is interrupted by its timeout or by its
    cancellation.

    Otherwise nothing can be raised inside a thread. A run that is timed out or cancelled can only look at
    `current_run().cancelled` and return. If the run does not, it is abandoned two seconds later; its thread goes on, is
    replaced, and ends with its function.

    Thread-local values are kept from run to run, as in every thread pool. docs/executors.md explains what a job in a
    thread may do.

    :param max_workers: how many threads, started on demand
    :param max_waiting: how many further runs may wait for a thread
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
        self._threads = 0  # that serve this executor
        self._abandoned: set[ThreadWorker] = set()  # whose runs were given up; they are replaced
        self._spare: SpareCount | None = None
        self._ahead: deque[Run] = deque()  # runs for the next free workers, which take them without waiting for the hub

    def start(self, clock: Clock) -> None:
        super().start(clock)
        self._inbox = LoopInbox()
        complete_patching()
        self._with_hubs = threads_are_patched()
        self.warning = threads_warning()
        if self._with_hubs:
            watch_from_here(clock)
            self._spare = SpareCount(self._loop)
        else:
            self._most = 2 * self.size
        self._open = True

    def shutdown(self) -> None:
        self._open = False
        self._give_back()
        idle, self._idle = self._idle, []
        for worker in idle:
            self._release(worker)

    def forked(self) -> None:
        for run in self._executing:
            if run.worker is not None and run.worker.ident == thread_ident():
                self._forking = run
        self._give_back()
        self._idle.clear()  # a child has no other threads
        self._threads = 0
        self._ahead.clear()
        super().forked()

    def _give_back(self) -> None:
        if self._spare is not None:
            self._spare.give_back()
            self._spare = None

    def _begin(self, run: Run) -> None:
        if not self._idle and self._threads >= self.size:
            self._ahead.append(run)
            return
        try:
            worker = self._idle.pop() if self._idle else self._started_worker()
        except Exception as error:  # the system gives no more threads
            self._finish(run, Result(Outcome.FAILED, error=error))
            return
        self._assign(worker, run)

    def _assign(self, worker: ThreadWorker, run: Run) -> None:
        run.worker = worker
        worker.assign(run, self._perform)

    def _started_worker(self) -> ThreadWorker:
        worker = started_worker(self._with_hubs)
        self._threads += 1
        return worker

    def _release(self, worker: ThreadWorker) -> None:
        self._threads -= 1
        worker.release()

    def _withdraw(self, run: Run) -> bool:
        run.cancelled = True  # first: a thread that takes the run now sees it
        return run.worker is None

    def _throw(self, run: Run, error: BaseException) -> None:
        run.worker.throw(run, error)

    def _abandon(self, run: Run) -> None:
        if run.worker is not None:  # otherwise no thread has taken it
            self._threads -= 1
            self._abandoned.add(run.worker)
            if (following := self._next_ahead()) is not None:
                self._begin(following)

    # -- in the thread ----------------------------------------------------------------------------------------

    def _perform(self, worker: ThreadWorker, run: Run) -> None:
        """Execute a run, and those that are there for the next free worker."""
        following: Run | None = run
        while following is not None:
            run, result = following, Context().run(self._call, following)
            if run is self._forking:
                self._end_copy(result)
            following = self._take_ahead(worker) if worker not in self._abandoned else None
            self._inbox.put(self._ended, worker, run, result, following is None)

    def _take_ahead(self, worker: ThreadWorker) -> Run | None:
        run = self._next_ahead()
        if run is not None:
            run.worker = worker
        return run

    def _next_ahead(self) -> Run | None:
        """Called in all threads."""
        try:
            return self._ahead.popleft()
        except IndexError:
            return None

    def _call(self, run: Run) -> Result:
        """Execute `run` in its own context."""
        if run.cancelled:  # before a thread took it
            return Result(Outcome.CANCELLED)
        make_current(run)
        if log_reads_context():
            bind_log(run)
        run.started_ms = self._time_of(run)
        self._inbox.put(self._started, run)
        try:
            args, kwargs = run.job.arguments()
            assert run.job.func is not None
            result = result_of(run.job.func(*args, **kwargs))
        except BaseException as error:  # SystemExit and the like end the run, never the thread
            if isinstance(error, InvalidThreadUseError):
                error.add_note(f"gevent's own events and queues belong to one native thread: {THREADS_REMEDY}")
            result = Result(Outcome.FAILED, error=error)
        if run.finished_ms is None:  # otherwise it was abandoned
            run.finished_ms = self._time_of(run)
        return result

    # -- back in the scheduler's thread -----------------------------------------------------------------------

    def _ended(self, worker: ThreadWorker, run: Run, result: Result, is_free: bool) -> None:
        if is_free:
            self._use(worker)
        self._finish(run, result)

    def _use(self, worker: ThreadWorker) -> None:
        """Give a free worker what to do."""
        if worker in self._abandoned:  # its thread was replaced
            self._abandoned.discard(worker)
            worker.release()
        elif not self._open:
            self._release(worker)
        elif (run := self._take_ahead(worker)) is not None:  # it came while the worker was ending
            self._assign(worker, run)
        else:
            self._idle.append(worker)
