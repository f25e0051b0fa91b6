"""The process we run in: its interpreter, what gevent has patched, and whether it was forked."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGINT, default_int_handler, getsignal, signal
from typing import Final, Protocol
from weakref import WeakSet

import gevent
from gevent import monkey

PATCH_REMEDY: Final = "call gevent.monkey.patch_all() on the first line of the program, before other imports"
_NEEDED: Final = ("socket", "ssl", "time", "select", "threading", "subprocess")


def interpreter() -> str:
    """The interpreter's program: under uWSGI and its like, sys.executable is not it."""
    if "py" in Path(sys.executable or "").name:
        return sys.executable
    return os.path.join(sys.exec_prefix, "bin", "python3")


def unpatched_modules() -> list[str]:
    """Modules whose blocking calls would stop every greenlet, because gevent has not patched them."""
    return [module for module in _NEEDED if not monkey.is_module_patched(module)]


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
