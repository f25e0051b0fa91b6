"""The greenlet executor: thousands of I/O-bound runs at once, on reused greenlets."""

from __future__ import annotations

import sys
from contextvars import Context
from typing import Final

import gevent
from gevent import GreenletExit, get_hub

from gsched.errors import ConfigurationError
from gsched.event_loop.forks import ParentsGreenlet
from gsched.event_loop.keyboard_interrupt import was_interrupt
from gsched.event_loop.patch import is_patched
from gsched.event_loop.threads import is_main_thread
from gsched.executors.base import BaseExecutor, result_of
from gsched.jobs.outcomes import SUCCEEDED_WITH_NONE, Outcome, Reason, Result
from gsched.jobs.run import Run, bind_log, make_current
from gsched.times.clock import Clock

BLOCKING_REMEDY: Final = (
    "gevent has not patched this program, and jobs in greenlets share the scheduler's thread: one that blocks stops all"
    " others and the scheduler; use a ThreadPoolExecutor for them"
)


class GreenletPoolExecutor(BaseExecutor):
    """Executes runs in a bounded pool of greenlets that are reused.

    Switching to a parked worker costs a twentieth of spawning one. Each run gets a fresh contextvars context.
    A gevent.Timeout that a job starts and leaves behind stays with the worker and hits a later run: use it in a `with`
    block.

    In a patched program, thread-local values are greenlet-local ones. No run sees those of an earlier run, because a
    worker that has any is replaced.

    :param size: how many runs execute at once
    :param max_waiting: how many further runs may wait for a worker
    :param fresh_locals: False keeps greenlet-local values in the worker from run to run, as a thread pool does. Then
        database connections that SQLAlchemy or Django keep there stay open, and a run sees what another job has left
    """

    def __init__(self, size: int = 10_000, max_waiting: int = 100_000, fresh_locals: bool = True) -> None:
        super().__init__(size, max_waiting)
        if not isinstance(fresh_locals, bool):
            raise ConfigurationError(f"fresh_locals: expected True or False, got {fresh_locals!r}")
        self.fresh_locals = fresh_locals
        self._idle: list[GreenletWorker] = []

    def start(self, clock: Clock) -> None:
        super().start(clock)
        if not is_patched() and not is_main_thread():
            self.warning = BLOCKING_REMEDY

    def shutdown(self) -> None:
        idle, self._idle = self._idle, []
        gevent.killall(idle, block=False)

    def greenlets(self) -> list[gevent.Greenlet]:
        return [run.worker for run in self._executing if run.worker is not None]

    def forked(self) -> None:
        for run in self._executing:
            if run.worker is gevent.getcurrent():
                self._forking = run
        self._idle.clear()  # they are the parent's
        super().forked()

    def _begin(self, run: Run) -> None:
        if self._idle:
            worker = self._idle.pop()
            worker.assigned = run
            worker.switch()
        else:
            GreenletWorker(self, run).start()

    def _throw(self, run: Run, error: BaseException) -> None:
        if run.worker is not None:  # otherwise its worker is just starting, and sees that the run is cancelled
            run.worker.throw(error)

    def _abandon(self, run: Run) -> None:
        if run.worker is not None:
            run.worker.retired = True

    def forget(self, worker: GreenletWorker) -> None:
        """Remove a parked worker that user code killed."""
        if worker in self._idle:
            self._idle.remove(worker)

    def execute(self, worker: GreenletWorker, run: Run) -> None:
        """Execute `run` in `worker`, in the run's own context."""
        run.worker = worker
        worker.job_id = run.job.id
        if run.cancelled:
            result = Result(Outcome.CANCELLED)
        else:
            make_current(run)
            if self._binds_log:
                bind_log(run)
            self._started(run)
            job = run.job
            if job.copies_arguments:
                args, kwargs = job.arguments()
            else:  # the commonest case, without a call
                args, kwargs = job.args, job.kwargs
            try:
                value = job.func(*args, **kwargs) if kwargs else job.func(*args)  # type: ignore[misc]
                result = SUCCEEDED_WITH_NONE if value is None else result_of(value)
            except GreenletExit as error:
                worker.retired = True  # the code that killed it may wait for its end
                result = Result(Outcome.CANCELLED, error=error, reason=Reason.KILLED)
            except BaseException as error:  # SystemExit and the like end the run, never the program
                result = Result(Outcome.FAILED, error=error)
        if len(worker.__dict__) > worker.most_attributes:
            worker.retired = True  # the greenlet-local values of the run go with it
        if not worker.retired:
            self._idle.append(worker)
        self._finish(run, result)


class GreenletWorker(ParentsGreenlet):
    """A greenlet that executes one run after the other and is parked in between.

    :ivar job_id: of the run that it executes, or executed last
    """

    def __init__(self, pool: GreenletPoolExecutor, run: Run) -> None:
        super().__init__()
        self.assigned: Run | None = run
        self.job_id = run.job.id
        self.retired = False  # it ends after its run
        self._pool = pool
        self.most_attributes = sys.maxsize
        if pool.fresh_locals:  # gevent.local adds an attribute for each object that a run uses
            self.most_attributes = len(self.__dict__)

    def _run(self) -> None:
        while not self.retired:
            run, self.assigned = self.assigned, None
            if run is not None:  # otherwise it was a stray switch that an earlier run left behind
                Context().run(self._pool.execute, self, run)
            elif not self._sleep():
                return

    def _sleep(self) -> bool:
        """Wait for the next run; False if the worker was killed, or hit by a timer that an earlier run left behind."""
        try:
            get_hub().switch()
        except BaseException as error:
            was_interrupt(error)
            self._pool.forget(self)
            return self.assigned is not None
        return True
