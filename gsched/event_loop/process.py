"""The process we run in: its interpreter and its Ctrl-C."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGINT, default_int_handler, getsignal, signal

from gevent import get_hub, getcurrent

from gsched.event_loop.forks import hand_on_handlers, keep_handlers
from gsched.event_loop.helpers import spawn


def interpreter() -> str:
    """The interpreter's program: under uWSGI and its like, sys.executable is not it."""
    if "py" in Path(sys.executable or "").name:
        return sys.executable
    return os.path.join(sys.exec_prefix, "bin", "python3")


@contextmanager
def on_interrupt(call: Callable[[], object]) -> Iterator[None]:
    """Inside the block, the first Ctrl-C calls `call` as a signal handler; a second one is a KeyboardInterrupt.

    A KeyboardInterrupt is raised in the greenlet that happens to run, and may end a job's run instead of the program.
    Nothing changes in a program that handles SIGINT itself, nor in a thread that is not the main one.
    """
    if threading.current_thread() is not threading.main_thread() or getsignal(SIGINT) is not default_int_handler:
        yield
        return

    def interrupted(*_: object) -> None:
        signal(SIGINT, default_int_handler)
        call()

    signal(SIGINT, interrupted)
    hand_on_handlers({SIGINT: default_int_handler})
    try:
        yield
    finally:
        keep_handlers([SIGINT])
        signal(SIGINT, default_int_handler)


@contextmanager
def ctrl_c_reaches_main_greenlet() -> Iterator[None]:
    """Inside the block, a Ctrl-C is a KeyboardInterrupt in the main greenlet.

    Python alone raises it in the greenlet that happens to run. If that is a library's thread, `threading` prints it
    and goes on, and the program never hears of it.
    """
    hub = get_hub()

    def raise_there() -> None:
        if getcurrent() is hub.parent:  # it may be blocked in a read of the terminal, where the hub cannot reach it
            raise KeyboardInterrupt
        spawn(hub.handle_system_error, KeyboardInterrupt, KeyboardInterrupt())

    with on_interrupt(raise_there):
        yield
