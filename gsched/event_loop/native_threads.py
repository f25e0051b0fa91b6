"""Native threads for code that blocks, so that it never holds up gevent's hub.

gevent's own pool of threads cannot be used: it fails if a thread is busy while its hub ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from gevent import get_hub
from gevent.event import Event
from gevent.monkey import get_original

from gsched.event_loop.slices import has_event_loop
from gsched.event_loop.threads import LoopInbox, start_native_thread

_SimpleQueue = get_original("queue", "SimpleQueue")

T = TypeVar("T")


class NativeThreads:
    """Runs functions in native threads, while other greenlets of the calling thread go on.

    Each thread with gevent's hub gets native threads of its own. A thread without it has no other greenlets, and runs
    the function itself.

    :param size: how many functions run at once for one hub
    """

    def __init__(self, size: int = 1) -> None:
        self._size = size

    def call(self, func: Callable[..., T], *args: Any) -> T:
        """The result of `func(*args)`; it raises what that raises.

        If the calling greenlet stops waiting, the function goes on in its thread.
        """
        if not has_event_loop():
            return func(*args)
        task = _Task(lambda: func(*args))
        self._crew().put(task)
        task.done.wait()
        return task.result()  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the threads of the calling thread's hub after what they are doing; the next call makes new ones."""
        if has_event_loop():
            crew = _crews_here().pop(self, None)
            if crew is not None:
                crew.close()

    def _crew(self) -> _Crew:
        crews = _crews_here()
        crew = crews.get(self)
        if crew is None or crew.made_in != os.getpid():  # a forked child has none of the threads
            crew = crews[self] = _Crew(self._size)
        return crew


def close_native_threads() -> None:
    """End all native threads of the calling thread's hub, which ends itself."""
    crews = _crews_here()
    while crews:
        crews.popitem()[1].close()


def _crews_here() -> WeakKeyDictionary[NativeThreads, _Crew]:
    """The crews of the calling thread's hub. They are kept in the hub, so that they go with it."""
    crews: WeakKeyDictionary[NativeThreads, _Crew] = vars(get_hub()).setdefault("gsched_crews", WeakKeyDictionary())
    return crews


class _Task:
    """A function that a thread of a crew calls.

    :ivar done: set in the event loop when the function has ended
    """

    def __init__(self, func: Callable[[], Any]) -> None:
        self._func = func
        self._value: Any = None
        self._error: BaseException | None = None
        self.done = Event()

    def perform(self) -> None:
        """Call the function, in a native thread."""
        try:
            self._value = self._func()
        except BaseException as error:
            self._error = error

    def result(self) -> Any:
        """The result of the function. Raises what the function has raised."""
        if self._error is not None:
            raise self._error
        return self._value


class _Crew:
    """The native threads of one hub, started when they are needed. They end with it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._tasks: Any = _SimpleQueue()
        self._inbox = LoopInbox()
        self._threads = 0
        self._unfinished = 0  # tasks
        self._is_closed = False
        self._waits = get_hub().loop.async_(ref=False)  # with ref, the event loop waits, though for nothing of its own
        self._waits.start(lambda: None)
        self.made_in = os.getpid()

    def put(self, task: _Task) -> None:
        """Have a thread perform the task."""
        self._unfinished += 1
        self._waits.ref = True
        if self._threads < min(self._unfinished, self._size):
            start_native_thread(_serve, self._tasks, self._inbox)
            self._threads += 1
        self._tasks.put((task, self._ended))

    def _ended(self, task: _Task) -> None:
        self._unfinished -= 1
        self._waits.ref = self._unfinished > 0
        task.done.set()
        if self._is_closed and not self._unfinished:
            self._waits.close()

    def close(self) -> None:
        """End the threads after what they are doing. Called in the thread of the hub."""
        self._end_threads()
        self._is_closed = True
        if not self._unfinished:
            self._waits.close()

    def _end_threads(self) -> None:
        while self._threads:
            self._threads -= 1
            self._tasks.put(None)

    __del__ = _end_threads  # a hub that nobody closes ends as garbage


def _serve(tasks: Any, inbox: LoopInbox) -> None:
    """In a native thread: perform tasks until there is a None. The thread must not hold the crew."""
    while (order := tasks.get()) is not None:
        task, ended = order
        task.perform()
        inbox.put(ended, task)
        del order, task, ended
