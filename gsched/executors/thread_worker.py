"""The native threads of the thread executor: plain ones, and ones with an event loop of their own."""

from __future__ import annotations

import atexit
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import gevent
from gevent import get_hub
from gevent.hub import Hub, set_hub
from gevent.monkey import get_original
from gevent.resolver.blocking import Resolver

from gsched.event_loop.forks import on_fork
from gsched.event_loop.threads import start_native_thread, thread_ident
from gsched.event_loop.threadsafe_calls import ThreadsafeCalls
from gsched.executors.child_exits import ChildWatcher, child_exits
from gsched.jobs.run import Run

_allocate_lock = get_original("_thread", "allocate_lock")
_SimpleQueue = get_original("queue", "SimpleQueue")
_STOP_SECONDS: Final = 0.2  # how long the end of the program waits for threads to stand still

Perform = Callable[["ThreadWorker", Run], object]
"""Executes a run and reports its result, in the worker's thread. It must not raise."""


class ThreadWorker:
    """A native thread that executes one run after the other.

    :ivar ident: the thread's, once it runs
    """

    def __init__(self) -> None:
        self.ident: int | None = None
        self._inbox: Any = _SimpleQueue()

    def start(self) -> None:
        """Start the thread. Raises RuntimeError if the system gives no further thread."""
        start_native_thread(self._serve)

    def assign(self, run: Run, perform: Perform) -> None:
        """Execute the run in the thread. The worker must be free."""
        self._put((run, perform))

    def throw(self, run: Run, error: BaseException) -> None:
        """Raise `error` inside the run, if that is possible: in a plain thread it is not."""

    def release(self) -> None:
        """Release the thread: its executor does not need it any more."""
        self._put(None)

    def _put(self, order: tuple[Run, Perform] | None) -> None:
        self._inbox.put(order)

    # -- in the thread ----------------------------------------------------------------------------------------

    def _serve(self) -> None:
        self.ident = thread_ident()
        while (order := self._next()) is not None:
            run, perform = order
            perform(self, run)

    def _next(self) -> tuple[Run, Perform] | None:
        order: tuple[Run, Perform] | None = self._inbox.get()
        return order


class HubThreadWorker(ThreadWorker):
    """A worker for programs that gevent has patched. Its event loop turns whenever its run waits, and between runs.

    What gevent has patched, such as locks and sleep, needs a turning event loop in the thread that waits. A run that
    waits in this way can be interrupted, too. Runs execute in the main greenlet of the thread, so that thread-local
    values are kept from run to run.

    The thread lives as long as the process. "Threads" that a library starts in a run are greenlets of this thread, and
    the library may use and join them long after the run. A released worker is there for the next executor.
    """

    def __init__(self) -> None:
        super().__init__()
        self._inbox = deque()
        self._wakeup: Any = None  # set when the event loop is there
        self._executing: Run | None = None

    def _put(self, order: tuple[Run, Perform] | None) -> None:
        self._inbox.append(order)
        if self._wakeup is not None:  # otherwise the thread looks at its inbox when it is ready
            self._wakeup.send()

    def throw(self, run: Run, error: BaseException) -> None:
        if self._wakeup is not None:  # otherwise the run has not started, and sees that it is cancelled
            self._loop.run_callback_threadsafe(self._throw, run, error)

    def release(self) -> None:
        _released.append(self)

    # -- in the thread ----------------------------------------------------------------------------------------

    def _serve(self) -> None:
        self._loop = _loops[thread_ident()] = _thread_loop()
        hub = Hub(loop=self._loop)
        hub.resolver = Resolver(hub)  # gevent's own would start further threads
        set_hub(hub)
        self._greenlet = gevent.getcurrent()
        wakeup = self._loop.async_()  # it also keeps the event loop going
        wakeup.start(self._wake)
        self._wakeup = wakeup
        super()._serve()

    def _next(self) -> tuple[Run, Perform] | None:
        self._executing = None
        while not self._inbox:
            try:
                get_hub().switch()
            except BaseException:  # a gevent.Timeout that an earlier run left behind
                pass
        order: tuple[Run, Perform] = self._inbox.popleft()
        self._executing = order[0]
        return order

    def _wake(self) -> None:
        if self._executing is None:  # otherwise it has taken the order already, and may wait for something else
            self._greenlet.switch()

    def _throw(self, run: Run, error: BaseException) -> None:
        """Called in the event loop, so the run waits for something."""
        if self._executing is run:
            self._greenlet.throw(error)


_released: list[HubThreadWorker] = []
_loops: dict[int, Any] = {}  # the event loops of threads, by their idents


def started_worker(with_hub: bool) -> ThreadWorker:
    """A free worker, with a hub in a program that gevent has patched. Raises RuntimeError if there is no thread."""
    if with_hub and _released:
        return _released.pop()
    worker = HubThreadWorker() if with_hub else ThreadWorker()
    worker.start()
    return worker


def _thread_loop() -> Any:
    """An event loop for another thread than the main one, in which child processes can be watched, too."""

    class ThreadLoop(gevent.config.loop):  # type: ignore[misc]
        def install_sigchld(self) -> None:
            """Called before a child process is started."""
            if (exits := child_exits()) is not None:
                exits.watch()

        def child(self, pid: int, trace: int = 0, ref: bool = True) -> Any:
            exits = child_exits()
            return super().child(pid, trace, ref) if exits is None else ChildWatcher(self, exits, pid, ref)

        def run_callback_threadsafe(self, func: Callable[..., object], *args: Any) -> None:
            """gevent's locks and events call it, too, when another thread releases or sets them."""
            self.calls.put(func, *args)

    loop = ThreadLoop(default=False)
    loop.calls = ThreadsafeCalls(loop)
    return loop


# -- forks and the end of the program ---------------------------------------------------------------------------


def _before_fork() -> None:
    loop = _loops.get(thread_ident())
    if loop is not None:
        loop.install_sigchld()


def _after_fork() -> None:
    """A child has no other threads."""
    _released.clear()
    for ident in _loops.keys() - {thread_ident()}:
        del _loops[ident]


on_fork(before=_before_fork, after_in_child=_after_fork)


@atexit.register
def _stand_still() -> None:
    """Stop the threads. A thread with greenlets that wakes up while the interpreter ends would abort the process."""
    waiting = []
    for ident, loop in list(_loops.items()):
        if ident != thread_ident():
            still = _allocate_lock()
            still.acquire()
            loop.run_callback_threadsafe(_stop_for_ever, still)
            waiting.append(still)
    for still in waiting:
        still.acquire(timeout=_STOP_SECONDS / len(waiting))


def _stop_for_ever(still: Any) -> None:
    still.release()
    never = _allocate_lock()
    never.acquire()
    never.acquire()
