"""A worker process of the process executor: a plain loop that executes one run after the other.

It shares one socket with its parent. A frame is a length (8 bytes, network order) and a pickled (kind, number,
payload); the number tells the runs of a worker apart. The payload is a pickle of its own, so that what it holds can
fail to be loaded without breaking the conversation. These pickles never come from anywhere but the other end.

The parent sends PREPARE once, RUN, and STOP while a run executes; the worker answers the first two by RETURNED or
RAISED.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import struct
import sys
import traceback
from _thread import get_ident, interrupt_main, start_new_thread
from collections.abc import Callable
from contextvars import Context
from socket import socket
from time import sleep
from types import SimpleNamespace
from typing import Any, NamedTuple

from gsched.errors import FuncRefError, RunCancelled, RunInterrupted, RunTimedOut, error_names
from gsched.event_loop.forks import end_process, hand_on_handlers, on_fork
from gsched.executors.main_module import hint, import_main_module
from gsched.executors.worker_socket import inherited_socket
from gsched.jobs.callables import refuse_awaitable
from gsched.jobs.funcref import resolve
from gsched.jobs.run import Run, bind_log, log_reads_context, make_current

PREPARE, RUN, STOP = "prepare", "run", "stop"
RETURNED, RAISED = "returned", "raised"

_HEADER = struct.Struct("!Q")
_CHUNK = 1 << 20  # bytes
_GRACE_SECONDS = 1.0  # for `finally` blocks once the parent has gone


class Order(NamedTuple):
    """A run that the parent wants executed, with the fields of its Run."""

    func: Callable[..., Any] | str  # a reference if the job has one
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    job_id: str
    job_name: str
    timeout_seconds: float | None
    scheduled_ms: int
    started_ms: int | None
    fence: int
    attempt: int
    request: str | None


class Failure(NamedTuple):
    """An exception as it travels to the parent."""

    pickled: bytes | None  # None if that could not be done
    description: str
    traceback: str
    names: frozenset[str]  # see `error_names`


def frame(kind: str, number: int, payload: bytes = b"") -> bytes:
    """A message between the scheduler and a worker process."""
    message = pickle.dumps((kind, number, payload), pickle.HIGHEST_PROTOCOL)
    return _HEADER.pack(len(message)) + message


def read_frame(receive: Callable[[int], bytes]) -> tuple[str, int, bytes] | None:
    """The next (kind, number, payload), or None when the other end has gone.

    :param receive: reads up to so many bytes, like a socket's recv
    """
    try:
        header = _read(receive, _HEADER.size)
        message: tuple[str, int, bytes] = pickle.loads(_read(receive, _HEADER.unpack(header)[0]))
    except (EOFError, OSError):
        return None
    return message


def _read(receive: Callable[[int], bytes], size: int) -> bytearray:
    whole = bytearray()
    while len(whole) < size:
        chunk = receive(min(size - len(whole), _CHUNK))
        if not chunk:
            raise EOFError
        whole += chunk
    return whole


def main(argument: str) -> None:
    """Serve the parent until it has gone.

    :param argument: what the parent gave this process, see `inherited_socket`
    """
    _OrderLoop(inherited_socket(argument)).serve()


class _OrderLoop:
    """Executes the orders of the parent. A second thread listens, because orders to stop arrive during a run.

    It imports the standard library before the main module of the parent, which may monkey-patch.
    """

    def __init__(self, ours: socket) -> None:
        self._socket = ours
        self._pid = os.getpid()
        self._inbox: queue.SimpleQueue[tuple[str, int, bytes] | None] = queue.SimpleQueue()
        self._main_thread = get_ident()
        self._number = 0  # of the latest run
        self._run: Run | None = None  # while its function is being called
        self._to_stop: tuple[int, RunInterrupted] | None = None

    def serve(self) -> None:
        signal.signal(signal.SIGINT, _ignore)  # Ctrl-C goes to all processes of a terminal: the parent decides
        signal.signal(signal.SIGTERM, self._interrupt)
        start_new_thread(self._listen, ())
        on_fork(after_in_child=self._socket.close)
        hand_on_handlers({signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL})
        try:
            while (message := self._inbox.get()) is not None:
                self._socket.sendall(self._answer(*message))
        except OSError:
            return  # the parent has gone

    def _answer(self, kind: str, number: int, payload: bytes) -> bytes:
        try:
            if kind == PREPARE:
                import_main_module(pickle.loads(payload))
                value = None
            else:
                value = Context().run(self._execute, number, payload)
            self._end_copy(None)
            return frame(RETURNED, number, _pickled_result(value))
        except BaseException as error:  # SystemExit and the like end the run, never the worker
            self._end_copy(error)
            return frame(RAISED, number, pickle.dumps(_failure(error)))

    def _end_copy(self, error: BaseException | None) -> None:
        """The function has ended. In a process that it forked, this process ends."""
        if os.getpid() != self._pid:
            end_process(error)

    def _execute(self, number: int, payload: bytes) -> Any:
        order = _loaded_order(payload)
        func = _resolved(order.func) if isinstance(order.func, str) else order.func
        run = _run_of(order)
        make_current(run)
        if log_reads_context():
            bind_log(run)
        signal.signal(signal.SIGTERM, self._interrupt)  # an earlier run may have set its own
        try:
            self._number, self._run = number, run
            self._interrupt()  # the order to stop may have arrived before
            value = func(*order.args, **order.kwargs)
            refuse_awaitable(value)
            return value
        finally:
            self._run = None

    # -- orders to stop ---------------------------------------------------------------------------------------

    def _listen(self) -> None:
        while (message := read_frame(self._socket.recv)) is not None:
            kind, number, payload = message
            if kind == STOP:
                self._stop(number, pickle.loads(payload))
            else:
                self._inbox.put(message)
        self._leave()

    def _leave(self) -> None:
        """The parent has gone: end the run, whose result has no receiver."""
        self._inbox.put(None)
        self._stop(self._number, None)
        sleep(_GRACE_SECONDS)
        os._exit(1)

    def _stop(self, number: int, timeout_seconds: float | None) -> None:
        """Raise inside run `number`: a signal also ends a blocking call, which nothing else can.

        Windows has no such signal: there a blocking call ends with the process.
        """
        error = RunCancelled("cancelled") if timeout_seconds is None else RunTimedOut(timeout_seconds)
        self._to_stop = (number, error)
        if sys.platform == "win32":
            interrupt_main(signal.SIGTERM)
        else:
            signal.pthread_kill(self._main_thread, signal.SIGTERM)

    def _interrupt(self, *_: Any) -> None:
        """The signal's handler. A signal from another process, or one that is too late for its run, has no effect."""
        to_stop = self._to_stop
        if to_stop is None or self._run is None or to_stop[0] != self._number:
            return
        self._to_stop = None
        self._run.cancelled = True
        gevent = sys.modules.get("gevent")
        if gevent is None or gevent.getcurrent().parent is None:
            raise to_stop[1]
        # The run waits in gevent, and the signal arrived in its hub or in another greenlet.
        hub = gevent.get_hub()
        hub.loop.run_callback(hub.parent.throw, to_stop[1])


def _ignore(*_: Any) -> None:
    """Do nothing. Programs that a run starts inherit SIG_IGN, but no handler."""


def _loaded_order(payload: bytes) -> Order:
    try:
        return Order(*pickle.loads(payload))
    except Exception as error:
        raise pickle.UnpicklingError(
            f"the job's function or arguments cannot be loaded in a worker process: {error!r}{hint(error)}"
        ) from error


def _resolved(ref: str) -> Callable[..., Any]:
    try:
        return resolve(ref)
    except FuncRefError as error:
        raise FuncRefError(f"{error}{hint(error)}") from error


def _run_of(order: Order) -> Run:
    """The run for current_run() in this process: without its scheduler, its job reduced to the fields of the order."""
    job: Any = SimpleNamespace(id=order.job_id, name=order.job_name, timeout_seconds=order.timeout_seconds)
    owner: Any = None
    run = Run(job, order.scheduled_ms, owner, fence=order.fence, attempt=order.attempt, request=order.request)
    run.started_ms = order.started_ms
    return run


def _pickled_result(value: Any) -> bytes:
    try:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        kind = type(value).__qualname__
        raise pickle.PicklingError(f"the result, a {kind}, cannot be sent by pickle: {error}") from error


def _failure(error: BaseException) -> tuple[Any, ...]:
    try:
        pickled = pickle.dumps(error)
    except Exception:
        pickled = None
    description = "".join(traceback.format_exception_only(type(error), error)).strip()
    return tuple(Failure(pickled, description, "".join(traceback.format_exception(error)), error_names(error)))
