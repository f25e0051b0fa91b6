"""The native threads of the thread executor: plain ones, and ones with an event loop of their own."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
from gevent import get_hub
from gevent.hub import Hub, set_hub
from gevent.monkey import get_original
from gevent.resolver.blocking import Resolver

from gsched.executors.child_exits import ChildExits, ChildWatcher
from gsched.run import Result, Run
from gsched.threads import thread_ident

_start_thread = get_original("_thread", "start_new_thread")
_SimpleQueue = get_original("queue", "SimpleQueue")


class ThreadWorker:
    """A native thread that executes one run after the other.

    :param execute: executes a run, in the thread; it must not raise
    :param report: takes the worker, the run and its result, in the thread
    """

    def __init__(
        self, execute: Callable[[Run], Result], report: Callable[[ThreadWorker, Run, Result], object]
    ) -> None:
        self._execute = execute
        self._report = report
        self._inbox: Any = _SimpleQueue()
        self.ident: int | None = None  # the thread's, once it runs

    def start(self) -> None:
        """Start the thread. Raises RuntimeError if the system gives no more of them."""
        _start_thread(self._serve, ())

    def assign(self, run: Run) -> None:
        """Have the run executed. The worker must be free."""
        self._inbox.put(run)

    def end(self) -> None:
        """Let the thread end after its run."""
        self._inbox.put(None)

    def throw(self, run: Run, error: BaseException) -> None:
        """Raise `error` inside the run, if that is possible: in a plain thread it is not."""

    # -- in the thread ----------------------------------------------------------------------------------------

    def _serve(self) -> None:
        self.ident = thread_ident()
        self._prepare()
        while (run := self._next()) is not None:
            self._report(self, run, self._execute(run))
        self._clean_up()

    def _prepare(self) -> None:
        """Get ready, before the first run."""

    def _clean_up(self) -> None:
        """Give back what `_prepare` took, after the last run."""

    def _next(self) -> Run | None:
        run: Run | None = self._inbox.get()
        return run


class HubThreadWorker(ThreadWorker):
    """A worker for programs that gevent has patched. Its event loop turns whenever its run waits.

    What gevent has patched, such as locks and sleep, needs a turning event loop in the thread that waits. A run that
    waits in this way can be interrupted, too. Runs execute in the main greenlet of the thread, so that thread-local
    values are kept from run to run.

    :param exits: where to hear of the exits of child processes; None if the main event loop is not ours to watch
    """

    def __init__(
        self,
        execute: Callable[[Run], Result],
        report: Callable[[ThreadWorker, Run, Result], object],
        exits: ChildExits | None,
    ) -> None:
        super().__init__(execute, report)
        self._inbox = deque()
        self._exits = exits
        self._wakeup: Any = None  # once the event loop is there
        self._executing: Run | None = None

    def assign(self, run: Run) -> None:
        self._put(run)

    def end(self) -> None:
        self._put(None)

    def _put(self, message: Run | None) -> None:
        self._inbox.append(message)
        if self._wakeup is not None:  # else the thread looks at its inbox when it is ready
            self._wakeup.send()

    def throw(self, run: Run, error: BaseException) -> None:
        if self._wakeup is not None:  # else the run has not begun, and finds that it was cancelled
            self._loop.run_callback_threadsafe(self._throw, run, error)

    # -- in the thread ----------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._loop = _loops[thread_ident()] = _thread_loop(self._exits)
        hub = Hub(loop=self._loop)
        hub.resolver = Resolver(hub)  # gevent's own would start further threads
        set_hub(hub)
        self._greenlet = gevent.getcurrent()
        wakeup = self._loop.async_()  # it keeps the event loop going between runs: the threads of libraries live there
        wakeup.start(self._greenlet.switch)
        self._wakeup = wakeup

    def _clean_up(self) -> None:
        del _loops[thread_ident()]
        self._wakeup.close()
        get_hub().destroy(destroy_loop=True)

    def _next(self) -> Run | None:
        self._executing = None
        while not self._inbox:
            try:
                get_hub().switch()
            except BaseException:  # a gevent.Timeout that an earlier run left behind
                pass
        run: Run | None = self._inbox.popleft()
        self._executing = run
        return run

    def _throw(self, run: Run, error: BaseException) -> None:
        """In the event loop: so the run waits for something."""
        if self._executing is run:
            self._greenlet.throw(error)


def _thread_loop(exits: ChildExits | None) -> Any:
    """An event loop for another thread than the main one, in which child processes can be watched, too."""

    class ThreadLoop(gevent.config.loop):  # type: ignore[misc]
        def install_sigchld(self) -> None:
            """Called before a child process is started."""
            if exits is not None:
                exits.watch()

        def child(self, pid: int, trace: int = 0, ref: bool = True) -> Any:
            return super().child(pid, trace, ref) if exits is None else ChildWatcher(self, exits, pid, ref)

    return ThreadLoop(default=False)


_loops: dict[int, Any] = {}  # of the threads that have one of their own, by their idents


def _before_fork() -> None:
    loop = _loops.get(thread_ident())
    if loop is not None:
        loop.install_sigchld()


os.register_at_fork(before=_before_fork)
