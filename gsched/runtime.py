"""The process we run in: its interpreter and its Ctrl-C."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGINT, default_int_handler, getsignal, signal

from gsched.forks import hand_on_handlers, keep_handlers
from gsched.helpers import spawn


def interpreter() -> str:
    """The interpreter's program: under uWSGI and its like, sys.executable is not it."""
    if "py" in Path(sys.executable or "").name:
        return sys.executable
    return os.path.join(sys.exec_prefix, "bin", "python3")


@contextmanager
def on_interrupt(call: Callable[[], object]) -> Iterator[None]:
    """Inside the block the first Ctrl-C has `call` called in a greenlet; a second one is a KeyboardInterrupt.

    That one would be raised in whichever greenlet has the hub, and end a job's run instead of the program. A program
    that handles SIGINT itself is left alone, and so are other threads than the main one, which gets no signals.
    """
    if threading.current_thread() is not threading.main_thread() or getsignal(SIGINT) is not default_int_handler:
        yield
        return

    def interrupted(*_: object) -> None:
        signal(SIGINT, default_int_handler)
        spawn(call)

    signal(SIGINT, interrupted)
    hand_on_handlers({SIGINT: default_int_handler})
    try:
        yield
    finally:
        keep_handlers([SIGINT])
        signal(SIGINT, default_int_handler)
