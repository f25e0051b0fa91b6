"""Patching by gevent, completed for programs in which native threads share what gevent has patched.

gevent's queues and its Event belong to one native thread: a waiter in another one is never woken, or gets an error. The
standard library's own classes, written in Python, stand on locks, and gevent's locks work between native threads.

A socket of gevent's waits in the event loop of the thread that has made it, and connection pools hand sockets from one
thread to another. So a socket that another thread has made waits in the event loop of the thread that uses it.
"""

from __future__ import annotations

import queue
import sys
import threading
from typing import Any, Final

from gevent import monkey

PATCH_REMEDY: Final = "call gevent.monkey.patch_all() on the first line of the program, before other imports"
THREADS_REMEDY: Final = (
    "on the first line of the program, before other imports, call gsched.patch_all() instead of"
    " gevent.monkey.patch_all()"
)
HUB_REMEDIES: Final = (
    "Either patch first: `from gevent import monkey; monkey.patch_all()` on the first line of the program."
    " Or use BackgroundScheduler, which has a thread of its own, or AsyncIOScheduler."
    " Or only add jobs here, to a MongoDBJobStore and without start(), and let `gsched run` run them."
)

_NEEDED: Final = ("socket", "ssl", "time", "select", "threading", "subprocess")
_QUEUES: Final = ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue")
_MOST_NAMED: Final = 5


def patch_all(**which: bool) -> None:
    """Call `gevent.monkey.patch_all`, then make queues and events work between native threads, too.

    A program calls this on its first line, before other imports. In a program that gevent has patched already, only the
    second step is done.

    :param which: arguments of `gevent.monkey.patch_all`, such as `ssl=False`
    """
    if not is_patched():
        monkey.patch_all(**which)
    complete_patching()


def is_patched() -> bool:
    """True if gevent has patched any module whose blocking calls would stop every greenlet."""
    return any(map(monkey.is_module_patched, _NEEDED))


def unpatched_modules() -> list[str]:
    """Modules whose blocking calls would stop every greenlet, because gevent has not patched them."""
    return [module for module in _NEEDED if not monkey.is_module_patched(module)]


def threads_are_patched() -> bool:
    """True if locks and threads of the standard library are gevent's."""
    return bool(monkey.is_module_patched("threading"))


def complete_patching() -> None:
    """Let native threads share queues, events and sockets, in a program that gevent has patched.

    The standard library's queues and Event come back. They stay cooperative, for they use the locks that gevent has
    patched.
    """
    if not threads_are_patched():
        return
    for name in _QUEUES:
        if monkey.is_object_patched("queue", name):
            setattr(queue, name, _own(name))
    if monkey.is_object_patched("threading", "Event"):
        threading.Event = monkey.get_original("threading", "Event")  # type: ignore[misc]
    if monkey.is_module_patched("socket"):
        from gsched.event_loop.shared_sockets import (
            share_sockets,  # it imports gevent's sockets, which must be made after the patching
        )

        share_sockets()


def _own(name: str) -> Any:
    # The original SimpleQueue is written in C and blocks the native thread.
    return queue._PySimpleQueue if name == "SimpleQueue" else monkey.get_original("queue", name)  # type: ignore[attr-defined]


def threads_warning() -> str | None:
    """The warning for a program with native threads, with the remedy; None if there is nothing to warn of.

    That is each name in a loaded module that stands for one of gevent's queues, or for an object of one. The module was
    imported before the patching was completed. A native thread that waits for such a queue is never woken.
    """
    names = _names_of_gevents_queues() if threads_are_patched() else []
    if not names:
        return None
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    shown = ", ".join(names[:_MOST_NAMED]) + more
    return f"gevent's own queues do not wake native threads that wait for them: {shown}; {THREADS_REMEDY}"


def _names_of_gevents_queues() -> list[str]:
    from gevent import queue as gevents  # only after the patching

    kinds = {getattr(gevents, name) for name in _QUEUES}
    return [
        f"{module_name}.{name}"
        for module_name, module in sorted(sys.modules.items())
        if module is not None and module_name.partition(".")[0] != "gevent"
        for name, value in list(vars(module).items())
        if type(value) in kinds or (isinstance(value, type) and value in kinds)
    ]
