"""The process we run in: its interpreter, its Ctrl-C, and whether it was forked."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import SIGINT, default_int_handler, getsignal, signal
from typing import Any, NoReturn, Protocol
from weakref import WeakSet

import gevent


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

    process = os.getpid()

    def interrupted(number: int, frame: Any) -> None:
        signal(SIGINT, default_int_handler)
        if os.getpid() != process:  # a forked copy has nothing to call
            default_int_handler(number, frame)
        gevent.spawn(call)

    signal(SIGINT, interrupted)
    try:
        yield
    finally:
        signal(SIGINT, default_int_handler)


class Forkable(Protocol):
    """Something that must stop in a forked copy of its process."""

    def forked(self) -> None:
        """Called in the child, right after the fork; must not block."""


_watched: WeakSet[Forkable] = WeakSet()


def watch_forks(what: Forkable) -> None:
    """Have `what.forked()` called in every child process that is forked from now on."""
    _watched.add(what)


def forget_forks(what: Forkable) -> None:
    """Undo `watch_forks`."""
    _watched.discard(what)


def _after_fork() -> None:
    for each in list(_watched):
        each.forked()


os.register_at_fork(after_in_child=_after_fork)


def end_process(error: BaseException | None) -> NoReturn:
    """End a forked copy of the process, as Python would at the end of a program that raised `error`.

    Nothing else is done: exit handlers are the parent's.
    """
    status: object = 0
    if isinstance(error, SystemExit):
        status = error.code
        if status is not None and not isinstance(status, int):
            print(status, file=sys.stderr)
            status = 1
    elif error is not None:
        traceback.print_exception(error)
        status = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # it may be closed, or None
            stream.flush()
    os._exit(status if isinstance(status, int) else 0)
