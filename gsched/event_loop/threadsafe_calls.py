"""Calls into an event loop from other native threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from gevent import get_hub

_SPARE: Final = 1_000


class ThreadsafeCalls:
    """Has an event loop make calls for any thread, in order. It serves instead of the loop's `run_callback_threadsafe`.

    gevent's loop counts what keeps it going. `run_callback_threadsafe` adds to that count in the calling thread while
    the loop's own thread may count, too, and no lock keeps them apart. With each addition that is lost, the loop ends
    sooner: in the end with a LoopExit, though it still has something to wait for. libev's async watcher is made for
    other threads, and counts nothing.

    Create it in the thread of the loop.
    """

    def __init__(self, loop: Any) -> None:
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._watcher = loop.async_(ref=False)
        self._watcher.start(self._make_calls)

    def put(self, call: Callable[..., object], *args: Any) -> None:
        """Have the loop call `call(*args)` soon. Nothing happens if the loop has ended.

        :param call: it must not block
        """
        self._calls.append((call, args))
        try:
            self._watcher.send()
        except ValueError:  # the loop was destroyed
            pass

    def _make_calls(self) -> None:
        try:
            for _ in range(len(self._calls)):
                call, args = self._calls.popleft()
                call(*args)
        finally:  # a call may raise, and a KeyboardInterrupt may come anywhere
            if self._calls:
                self._watcher.send()

    def close(self) -> None:
        """Make no more calls: the loop ends. Called in its thread."""
        self._watcher.close()


class SpareCount:
    """Keeps an event loop from ending while other threads set gevent's own locks and events.

    gevent wakes the loop for them by `run_callback_threadsafe`, which may lose count (see `ThreadsafeCalls`). So the
    count gets so much to spare that the loop goes on, whatever is lost.

    Create it, and give it back, in the thread of the loop.
    """

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        for _ in range(_SPARE):
            loop.ref()

    def give_back(self) -> None:
        for _ in range(_SPARE):
            self._loop.unref()


def threadsafe_calls() -> ThreadsafeCalls:
    """Those into the event loop of the calling thread."""
    hub = get_hub()  # they are kept in it, so that they go with it
    calls: ThreadsafeCalls | None = vars(hub).get("gsched_calls")
    if calls is None:
        calls = vars(hub)["gsched_calls"] = ThreadsafeCalls(hub.loop)
    return calls
