"""Forked copies of the process: they freeze the scheduler's greenlets, and stop what else must not go on.

os.fork copies all greenlets, and gevent lets them go on in the child. There they would do their work a second time, and
read data for the parent from shared sockets. They cannot be ended: that runs their `finally` blocks, which use the same
sockets. So they are frozen: whenever one is switched to, it switches back to the event loop.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, NoReturn, Protocol
from weakref import WeakSet

import gevent
from gevent import get_hub
from gevent.exceptions import LoopExit
from greenlet import getcurrent, gettrace, greenlet, settrace


def on_fork(**hooks: Callable[[], object]) -> None:
    """`os.register_at_fork` where processes can fork. On Windows they cannot, and nothing happens."""
    if sys.platform != "win32":
        os.register_at_fork(**hooks)


class Forkable(Protocol):
    """Something that must stop in a forked copy of its process. Neither method may block."""

    def greenlets(self) -> Iterable[greenlet] | None:
        """The greenlets of this thread that must not go on in a child that is about to be forked.

        None: all but the calling one.
        """

    def forked(self) -> None:
        """Called in the child, right after the fork."""


_watched: WeakSet[Forkable] = WeakSet()


def watch_forks(what: Forkable) -> None:
    """Let `what` stop in every child process that is forked from now on."""
    _watched.add(what)


def forget_forks(what: Forkable) -> None:
    """Undo `watch_forks`."""
    _watched.discard(what)


class ParentsGreenlet(gevent.Greenlet):  # type: ignore[misc]
    """A greenlet that does not go on in a forked child, if it is started before all fork hooks have run there.

    Fork hooks of others may switch greenlets: what the event loop was about to start in the parent starts then.
    """


class _Freezer:
    """Keeps greenlets from going on in a child. It begins before the fork: other fork hooks may switch greenlets."""

    def __init__(self, greenlets: Iterable[greenlet] | None) -> None:
        self._parent = os.getpid()
        self._hub = get_hub()
        self._forking = getcurrent()
        self._root = _root_of(self._forking)
        self._before = gettrace()
        self._started: set[greenlet] = set()  # in the child
        self._frozen = None if greenlets is None else set(greenlets)
        settrace(self._switched)

    def _switched(self, event: str, switch: Any) -> None:
        """Called in the greenlet that was switched to, before it goes on."""
        if self._before is not None:
            self._before(event, switch)
        target = switch[1]
        if os.getpid() == self._parent or not self._is_frozen(target):
            return
        if event == "throw" and target is self._root:  # the event loop has nothing more to wait for
            self._forking.throw(
                LoopExit("this process was forked, and waits for what only greenlets of its parent could do")
            )
        while True:
            with suppress(BaseException):  # nor does an error have an effect that is raised in a frozen greenlet
                self._hub.switch()

    def _is_frozen(self, target: greenlet) -> bool:
        if target is self._forking or target in self._started:
            return False
        if self._frozen is not None:
            return target in self._frozen or isinstance(target, ParentsGreenlet)
        return target is self._root or isinstance(target, gevent.Greenlet)

    def stop(self) -> None:
        """Called in the parent, after the fork."""
        settrace(self._before)

    def go_on(self) -> None:
        """Called in the child: greenlets that start there are not frozen."""
        gevent.Greenlet.add_spawn_callback(self._started.add)


def _root_of(each: greenlet) -> greenlet:
    while each.parent is not None:
        each = each.parent
    return each


# -- signals ----------------------------------------------------------------------------------------------------

_handlers: dict[int, Any] = {}  # the handlers of signals in children, if they differ from the parent's


def hand_on_handlers(handlers: Mapping[Any, Any]) -> None:
    """Let these signals have `handlers` in forked children, instead of this process's own handlers."""
    _handlers.update(handlers)


def keep_handlers(signals: Iterable[signal.Signals]) -> None:
    """Undo `hand_on_handlers`."""
    for number in signals:
        _handlers.pop(number, None)


# -- the fork ---------------------------------------------------------------------------------------------------

_freezer: _Freezer | None = None  # during a fork
_mask: set[int] | None = None  # during a fork: the signals that were blocked before it


def _greenlets_to_freeze() -> list[greenlet] | None:
    found: list[greenlet] = []
    for what in _watched:
        greenlets = what.greenlets()
        if greenlets is None:
            return None
        found.extend(greenlets)
    return found


def _before_fork() -> None:
    global _freezer, _mask
    greenlets = _greenlets_to_freeze()
    _freezer = None if greenlets == [] else _Freezer(greenlets)
    # In the child, Python forgets signals that came before its own fork hook.
    if sys.platform != "win32":
        _mask = signal.pthread_sigmask(signal.SIG_BLOCK, _handlers) if _handlers else None


def _after_in_parent() -> None:
    global _freezer
    if _freezer is not None:
        _freezer.stop()
        _freezer = None
    _unblock()


def _after_in_child() -> None:
    if _freezer is not None:
        _freezer.go_on()
    for number, handler in _handlers.items():
        signal.signal(number, handler)
    _unblock()
    for each in list(_watched):
        each.forked()


def _unblock() -> None:
    if sys.platform != "win32" and _mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _mask)


on_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)


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
