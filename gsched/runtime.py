"""The process we run in: what gevent has patched, and whether it was forked."""

from __future__ import annotations

import os
from typing import Final, Protocol
from weakref import WeakSet

from gevent import monkey

PATCH_REMEDY: Final = "call gevent.monkey.patch_all() on the first line of the program, before other imports"
_NEEDED: Final = ("socket", "ssl", "time", "select", "threading", "subprocess")


def unpatched_modules() -> list[str]:
    """Modules whose blocking calls would stop every greenlet, because gevent has not patched them."""
    return [module for module in _NEEDED if not monkey.is_module_patched(module)]


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
