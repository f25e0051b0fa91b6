"""Exits of child processes, for native threads: gevent watches children in the main thread's event loop only."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

import gevent
import gevent.os
from gevent import monkey
from gevent.monkey import get_original

from gsched.event_loop.forks import on_fork
from gsched.event_loop.threads import is_main_thread
from gsched.event_loop.threadsafe_calls import threadsafe_calls
from gsched.times.clock import Clock

_allocate_lock = get_original("_thread", "allocate_lock")
_KEPT_SECONDS: Final = 60.0  # how long an exit is kept for a later `call_at_exit`; gevent keeps its own as long
_LAG_SECONDS: Final = 0.2  # the main event loop reaps a child a little before it reports the exit


class ChildExits:
    """Passes the exit of every child process that the main event loop reaps on to other threads.

    gevent's event loop reaps each child, whichever thread started it. A watcher for process 0 gets all exits. It is
    made when a thread is about to start its first child: from then on nothing else in the process can wait for a child
    natively, as `os.system` does in a thread.

    Create it in the thread of the main event loop.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loop = gevent.get_hub().loop
        self._calls = threadsafe_calls()
        self._lock = _allocate_lock()
        self._waiting: dict[int, list[Callable[[int], object]]] = {}
        self._recent: dict[int, tuple[int, float]] = {}  # wait status and time, in order of time
        self._watcher: Any = None

    def watch(self) -> None:
        """Get the exit of every child that is started from now on. Called in another thread; waits for the main one."""
        if self._watcher is None:
            done = _allocate_lock()
            done.acquire()
            self._calls.put(self._begin, done)
            done.acquire()

    def _begin(self, done: Any) -> None:
        if self._watcher is None:
            self._watcher = self._loop.child(0, ref=False)
            self._watcher.start(self._reaped)
        done.release()

    def _reaped(self) -> None:
        pid, status, now = self._watcher.rpid, self._watcher.rstatus, self._clock.monotonic()
        with self._lock:
            self._forget_until(now - _KEPT_SECONDS)
            self._recent[pid] = status, now
            waiting = self._waiting.pop(pid, ())
        for callback in waiting:
            callback(status)

    def _forget_until(self, then: float) -> None:
        while self._recent:
            pid = next(iter(self._recent))
            if self._recent[pid][1] > then:
                return
            del self._recent[pid]

    def call_at_exit(self, pid: int, callback: Callable[[int], object]) -> None:
        """Call `callback(status)` once, with the wait status of the child `pid`: now if it has ended, or when it ends.

        The call may come in any thread.
        """
        with self._lock:
            ended = self._recent.get(pid)
            if ended is None:
                self._waiting.setdefault(pid, []).append(callback)
        if ended is not None:
            callback(ended[0])

    def status_of(self, pid: int) -> int | None:
        """The wait status of a child that the main event loop may have reaped, or None. It waits a moment."""
        if self._watcher is None:
            return None
        found: list[int] = []
        answered = _allocate_lock()
        answered.acquire()

        def note(status: int) -> None:
            found.append(status)
            answered.release()

        self.call_at_exit(pid, note)
        answered.acquire(timeout=_LAG_SECONDS)
        return found[0] if found else None


_exits: ChildExits | None = None


def watch_from_here(clock: Clock) -> None:
    """Let other threads get the exits of child processes, if the calling thread has the main event loop."""
    global _exits
    if _exits is None and gevent.get_hub().loop.default:
        _exits = ChildExits(clock)
        if monkey.is_object_patched("os", "waitpid"):
            os.waitpid = _waitpid


def _waitpid(pid: int, options: int) -> tuple[int, int]:
    """gevent's os.waitpid, which knows only the children that gevent has started.

    For other children, such as those of multiprocessing's "spawn", the main event loop may be faster than a thread that
    waits.
    """
    try:
        return gevent.os.waitpid(pid, options)  # type: ignore[no-any-return]
    except ChildProcessError:
        status = None if _exits is None or is_main_thread() else _exits.status_of(pid)
        if status is None:
            raise
        return pid, status


def child_exits() -> ChildExits | None:
    """The exits of child processes, for other threads; None if no thread with the main event loop passes them on."""
    return _exits


def _after_fork() -> None:
    """The main event loop may not turn in a child that another thread has forked."""
    global _exits
    _exits = None


on_fork(after_in_child=_after_fork)


class ChildWatcher:
    """What gevent expects of a watcher of a child process, for a loop that is not the main one.

    :ivar rpid: the process, once it has ended
    :ivar rstatus: its wait status then
    """

    def __init__(self, loop: Any, exits: ChildExits, pid: int, ref: bool) -> None:
        self.loop = loop
        self.pid = pid
        self.rpid = self.rstatus = 0
        self._exits = exits
        self._wakeup = loop.async_(ref=ref)

    def start(self, callback: Callable[..., object], *args: Any) -> None:
        """Call `callback(*args)` in the loop when the process has ended."""
        self._wakeup.start(callback, *args)
        self._exits.call_at_exit(self.pid, self._ended)

    def _ended(self, status: int) -> None:
        self.rpid, self.rstatus = self.pid, status
        if self._wakeup.active:
            self._wakeup.send()

    @property
    def active(self) -> bool:
        return bool(self._wakeup.active)

    def stop(self) -> None:
        self._wakeup.stop()

    def close(self) -> None:
        self._wakeup.close()

    def __enter__(self) -> ChildWatcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
