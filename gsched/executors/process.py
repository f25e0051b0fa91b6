"""The process executor: for CPU-bound functions, in processes that know nothing of gevent."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import gevent
from gevent import GreenletExit, get_hub, monkey
from gevent.lock import BoundedSemaphore

from gsched.errors import ConfigurationError, GschedError, RemoteTraceback, RunTimedOut, WorkerDiedError
from gsched.event_loop.helpers import spawn
from gsched.executors.base import BaseExecutor, refuse_pool_kwargs, result_of
from gsched.executors.main_module import end_import
from gsched.executors.process_worker import PREPARE, RAISED, RUN, STOP, Failure, Order, frame, read_frame
from gsched.executors.worker_socket import start_with_socket
from gsched.jobs.outcomes import Outcome, Result
from gsched.jobs.run import Run
from gsched.times.clock import Clock

_START_SECONDS = 60.0  # for a new worker to import the main module
_END_SECONDS = 2.0  # for a worker to end once its socket is closed
_LOOK_SECONDS = 0.005  # between two looks at a worker that ends

_COMMAND = (
    "import sys; sys.path[:] = sys.argv[1:-1]; from gsched.executors.process_worker import main; main(sys.argv[-1])"
)


class RemoteError(GschedError):
    """An exception of a worker process that could not be sent back as it was; the message describes it."""

    names_in_worker: frozenset[str]  # see `error_names`


class ProcessPoolExecutor(BaseExecutor):
    """Executes runs in processes of its own, which are started on demand and reused.

    - Functions, arguments and results travel by pickle; a function that has a reference ("module:name") travels by it.
    - Workers import the program's main module, up to where its scheduler starts or looks into a database. Functions
      that are defined below are not there; put what starts the scheduler under `if __name__ == "__main__":` then.
    - In a worker, current_run() has the fields of the run, and of the job only `id`, `name` and `timeout_seconds`.
    - To stop a run, RunTimedOut or RunCancelled is raised inside it; its process is killed a second later.
    - A worker that ends during a run fails it with WorkerDiedError. Workers end with their parent, however it ends.

    :param max_workers: how many processes
    :param max_waiting: how many further runs may wait for a process
    :param pool_kwargs: only for compatibility with APScheduler, None or empty
    """

    _size_setting = "max_workers"

    def __init__(
        self, max_workers: int = 5, max_waiting: int = 100_000, pool_kwargs: Mapping[str, Any] | None = None
    ) -> None:
        refuse_pool_kwargs(pool_kwargs)
        super().__init__(max_workers, max_waiting)
        self._open = False
        self._idle: list[_WorkerProcess] = []
        self._busy: set[_WorkerProcess] = set()

    def start(self, clock: Clock) -> None:
        end_import()  # a worker that started workers would do so for ever
        if monkey.is_module_patched("subprocess") and not get_hub().loop.default:
            raise ConfigurationError("under monkey-patching, processes can only be started from the main thread")
        super().start(clock)
        self._open = True

    def shutdown(self) -> None:
        """End all workers and wait for their end, a second at most for those that execute a run."""
        self._open = False
        workers = [*self._idle, *self._busy]
        self._idle.clear()
        for worker in workers:
            worker.close()
        for worker in workers:
            worker.end()

    def forked(self) -> None:
        super().forked()
        for worker in [*self._idle, *self._busy]:
            worker.disown()

    def _begin(self, run: Run) -> None:
        spawn(self._execute, run)

    def _throw(self, run: Run, error: BaseException) -> None:
        if run.worker is None:  # its greenlet is just starting, and sees that the run is cancelled
            return
        if isinstance(error, GreenletExit):
            run.worker.kill()
        else:
            run.worker.stop(run.job.timeout_seconds if isinstance(error, RunTimedOut) else None)

    def _abandon(self, run: Run) -> None:
        if run.worker is not None:
            run.worker.kill()

    def _execute(self, run: Run) -> None:
        try:
            result = Result(Outcome.CANCELLED) if run.cancelled else self._run_in_worker(run)
        except BaseException as error:
            result = Result(Outcome.FAILED, error=error)
        self._finish(run, result)

    def _run_in_worker(self, run: Run) -> Result:
        worker = run.worker = self._worker()
        self._busy.add(worker)
        try:
            worker.get_ready()
            if run.cancelled:
                return Result(Outcome.CANCELLED)
            self._started(run)
            return worker.execute(run)
        finally:
            self._busy.discard(worker)
            if worker.failed or not self._open:
                worker.end()
            else:
                self._idle.append(worker)

    def _worker(self) -> _WorkerProcess:
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive():
                return worker
            worker.close()
        return _WorkerProcess()


class _WorkerProcess:
    """A worker process as its parent sees it. One greenlet at a time uses it, except for `stop` and `kill`."""

    def __init__(self) -> None:
        self.failed = False  # it cannot be used again
        self._ready = False
        self._number = 0  # of the run in progress
        self._sending = BoundedSemaphore()  # a frame goes out in one piece
        self._owned = True  # False in a forked copy of the parent
        self._socket, self._process = _start_process()

    def get_ready(self) -> None:
        """Wait until a new worker has imported the main module. Raises the import's error, or WorkerDiedError."""
        if self._ready:
            return
        self.failed = True
        too_slow = WorkerDiedError(f"the worker process took longer than {_START_SECONDS:g} s to start")
        with gevent.Timeout(_START_SECONDS, too_slow):
            result = self._ask(PREPARE, _main_module())
        if result.error is not None:
            raise result.error
        self.failed = False
        self._ready = True

    def execute(self, run: Run) -> Result:
        """Execute `run` in the process. Raises WorkerDiedError, or PicklingError for arguments that cannot be sent."""
        order = _pickled_order(run)
        self._number += 1
        return self._ask(RUN, order)

    def _ask(self, kind: str, payload: bytes) -> Result:
        try:
            self._send(kind, payload)
        except OSError:
            raise self._died() from None
        answer = read_frame(self._socket.recv)
        if answer is None:
            raise self._died()
        return _error_of(answer[2]) if answer[0] == RAISED else _value_of(answer[2])

    def _send(self, kind: str, payload: bytes) -> None:
        message = frame(kind, self._number, payload)
        with self._sending:
            self._socket.sendall(message)

    def _died(self) -> WorkerDiedError:
        self.failed = True
        self.end()
        return WorkerDiedError(f"the worker process {self._process.pid} {_how_it_ended(self._process.returncode)}")

    def stop(self, timeout_seconds: float | None) -> None:
        """Raise RunTimedOut inside the run in progress, or RunCancelled if `timeout_seconds` is None."""
        if self._ready:
            spawn(self._send_stop, frame(STOP, self._number, pickle.dumps(timeout_seconds)))
        else:
            self.kill()

    def _send_stop(self, message: bytes) -> None:
        try:
            with self._sending:
                self._socket.sendall(message)
        except OSError:
            pass  # it has died; the greenlet of the run notices

    def kill(self) -> None:
        if self._owned:
            self._process.kill()

    def is_alive(self) -> bool:
        return self._owned and self._process.poll() is None

    def disown(self) -> None:
        """Release the socket in a forked copy: there it would hide the parent's end, or take the worker's answers."""
        self._owned = False
        if self._socket.fileno() >= 0:
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, self._socket.fileno(), inheritable=False)  # close() would change the event loop
            os.close(nothing)

    def close(self) -> None:
        """Let the process end: it takes the closed socket for its parent's end."""
        self._socket.close()

    def end(self) -> None:
        """Close the socket, and wait for the end of the process; kill it if that takes long."""
        self.close()
        for _ in range(2):
            for _ in range(int(_END_SECONDS / _LOOK_SECONDS)):
                if not self.is_alive():
                    return
                gevent.sleep(_LOOK_SECONDS)
            self.kill()


def _start_process() -> tuple[Any, Any]:
    """A new worker process, and the socket to it."""
    from multiprocessing.spawn import get_executable

    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
    path = [entry or os.getcwd() for entry in sys.path]
    return start_with_socket([os.fsdecode(get_executable()), *flags, "-c", _COMMAND, *path])


def _main_module() -> bytes:
    """The data that multiprocessing.spawn.prepare needs to import the main module in a worker."""
    main = sys.modules["__main__"]
    preparation: dict[str, Any] = {"name": "gsched-worker", "sys_argv": sys.argv}
    spec, path = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:
        preparation["init_main_from_name"] = spec.name
    elif path is not None:
        preparation["init_main_from_path"] = os.path.abspath(path)
    return pickle.dumps(preparation)


def _pickled_order(run: Run) -> bytes:
    job = run.job
    assert job.func is not None
    order = Order(
        job.func_ref or job.func, job.args, dict(job.kwargs), job.id, job.name, job.timeout_seconds,
        run.scheduled_ms, run.started_ms, run.fence, run.attempt, run.request,
    )  # fmt: skip
    try:
        return pickle.dumps(tuple(order), pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise pickle.PicklingError(
            f"the job's function or arguments cannot be sent to a worker process: {error}"
        ) from error


def _value_of(payload: bytes) -> Result:
    try:
        return result_of(pickle.loads(payload))
    except Exception as error:
        unloadable = pickle.UnpicklingError(f"the result cannot be loaded from its pickle: {error!r}")
        unloadable.__cause__ = error
        return Result(Outcome.FAILED, error=unloadable)


def _error_of(payload: bytes) -> Result:
    failure = Failure(*pickle.loads(payload))
    error: Any = None
    if failure.pickled is not None:
        try:
            error = pickle.loads(failure.pickled)
        except Exception:  # its __init__ wants other arguments than it passed on
            pass
    if not isinstance(error, BaseException):
        error = RemoteError(failure.description)
        error.names_in_worker = failure.names
    error.__cause__ = RemoteTraceback(f"in the worker process:\n{failure.traceback}")
    return Result(Outcome.FAILED, error=error)


def _how_it_ended(returncode: int | None) -> str:
    if returncode is None:
        return "cannot be ended"
    if returncode < 0:
        return f"was ended by signal {-returncode} ({signal.strsignal(-returncode)})"
    return f"exited with status {returncode}"
