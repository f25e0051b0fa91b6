"""The native thread in which the hub of a scheduler turns, in programs without gevent."""

from __future__ import annotations

import threading
from collections.abc import Callable

from gevent import get_hub

from gsched.event_loop.native_threads import close_native_threads
from gsched.event_loop.threadsafe_calls import threadsafe_calls


class HubThread:
    """A native thread with gevent's event loop, for one scheduler.

    :param daemon: the program may end while the thread runs
    """

    def __init__(self, name: str, daemon: bool) -> None:
        self._thread = threading.Thread(target=self._live, name=name, daemon=daemon)
        self._has_begun = threading.Event()
        self._error: BaseException | None = None

    def run(self, begin: Callable[[], object], go_on: Callable[[], object]) -> None:
        """Start the thread, and return when it has called `begin`; then it calls `go_on`, and ends.

        Raises what `begin` raises.
        """
        self._begin, self._go_on = begin, go_on
        self._thread.start()
        self._has_begun.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the thread has ended, at most `timeout` seconds; True if it has. It does not wait for itself."""
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _live(self) -> None:
        try:
            try:
                self._begin()
            except BaseException as error:
                self._error = error
                return
            finally:
                self._has_begun.set()
            self._go_on()
        finally:
            close_native_threads()
            threadsafe_calls().close()
            get_hub().destroy(destroy_loop=True)
