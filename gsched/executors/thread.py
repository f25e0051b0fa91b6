"""The thread executor: for functions that block without gevent's knowledge."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Context
from typing import Any

from gevent import get_hub
from gevent.threadpool import ThreadPool

from gsched.clock import Clock
from gsched.executors.base import BaseExecutor, refuse_pool_kwargs, succeeded
from gsched.run import Outcome, Result, Run, bind_log, log_reads_context, make_current


class ThreadPoolExecutor(BaseExecutor):
    """Executes runs in native threads of its own, never in the hub's pool, which resolves host names.

    Nothing can be raised inside a thread: a run that is timed out or cancelled can only look at
    `current_run().cancelled` and return. One that does not is abandoned two seconds later; its thread goes on, is
    replaced, and ends with its function.

    :param max_workers: threads, started on demand
    :param max_waiting: runs that may wait for a thread on top of these
    :param pool_kwargs: only for compatibility with APScheduler, None or empty
    """

    _size_setting = "max_workers"

    def __init__(
        self, max_workers: int = 20, max_waiting: int = 100_000, pool_kwargs: Mapping[str, Any] | None = None
    ) -> None:
        refuse_pool_kwargs(pool_kwargs)
        super().__init__(max_workers, max_waiting)
        self._pool: Any = None

    def start(self, clock: Clock) -> None:
        super().start(clock)
        self._pool = ThreadPool(self.size, hub=get_hub())

    def shutdown(self) -> None:
        pool, self._pool = self._pool, None
        for _ in range(pool.size if pool is not None else 0):
            pool.task_queue.put(None)  # a thread that takes it ends; kill() would wait for abandoned ones

    def _begin(self, run: Run) -> None:
        run.worker = self._pool
        try:
            answer = self._pool.spawn(self._execute, run)
        except Exception as error:  # the system gives no more threads
            self._finish(run, Result(Outcome.FAILED, error=error))
            return
        # By the time of its links, the pool has a thread free again: the next spawn never blocks.
        answer.rawlink(lambda answer: self._ended(run, answer.value))

    def _execute(self, run: Run) -> Result:
        """In the thread: execute `run` in a fresh context."""
        return Context().run(self._call, run)

    def _call(self, run: Run) -> Result:
        if run.cancelled:  # before a thread took it
            return Result(Outcome.CANCELLED)
        make_current(run)
        if log_reads_context():
            bind_log(run)
        run.started_ms = self._time_of(run)
        self._loop.run_callback_threadsafe(self._started, run)
        job = run.job
        try:
            assert job.func is not None
            result = succeeded(job.func(*job.args, **job.kwargs))
        except BaseException as error:  # SystemExit and the like end the run, never the thread
            result = Result(Outcome.FAILED, error=error)
        if run.finished_ms is None:  # else it was abandoned
            run.finished_ms = self._time_of(run)
        return result

    def _ended(self, run: Run, result: Result) -> None:
        if run in self._executing:
            self._finish(run, result)
        else:  # it was abandoned
            run.worker.maxsize -= 1

    def _abandon(self, run: Run) -> None:
        run.worker.maxsize += 1
