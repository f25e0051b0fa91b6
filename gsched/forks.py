"""Forked copies of the process: which greenlets do not go on in them, and what else stops.

os.fork copies all greenlets, and gevent lets them go on in the child. There they would do their work a second time, and
take from shared sockets what is meant for the parent. They cannot be ended: that runs their `finally` blocks, which use
the same sockets. So they are frozen: whenever one is switched to, it switches back to the event loop.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from signal import SIG_BLOCK, SIG_SETMASK, Signals, pthread_sigmask, signal
from typing import Any, NoReturn, Protocol
from weakref import WeakSet

import gevent
from gevent import get_hub
from gevent.exceptions import LoopExit
from greenlet import getcurrent, gettrace, greenlet, settrace


class Forkable(Protocol):
    """Something that must stop in a forked copy of its process. Neither method may block."""

    def greenlets(self) -> Iterable[greenlet] | None:
        """Those that must not go on in a child that is about to be forked; None: all but the calling one."""

    def forked(self) -> None:
        """Called in the child, right after the fork."""


_watched: WeakSet[Forkable] = WeakSet()


def watch_forks(what: Forkable) -> None:
    """Have `what` stop in every child process that is forked from now on."""
    _watched.add(what)


def forget_forks(what: Forkable) -> None:
    """Undo `watch_forks`."""
    _watched.discard(what)


class _Freezer:
    """Keeps greenlets from going on in a child. It begins before the fork: other fork hooks may switch greenlets."""

    def __init__(self) -> None:
        self._parent = os.getpid()
        self._hub = get_hub()
        self._forking = getcurrent()
        self._root = _root_of(self._forking)
        self._before = gettrace()
        self._started: set[greenlet] = set()  # in the child
        self._frozen: set[greenlet] | None = set()
        for what in _watched:
            greenlets = what.greenlets()
            if greenlets is None:
                self._frozen = None
                break
            self._frozen.update(greenlets)
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
            with suppress(BaseException):  # what others raise in a frozen greenlet has no effect, either
                self._hub.switch()

    def _is_frozen(self, target: greenlet) -> bool:
        if target is self._forking or target in self._started:
            return False
        if self._frozen is not None:
            return target in self._frozen
        return target is self._root or isinstance(target, gevent.Greenlet)

    def stop(self) -> None:
        """This is the parent, after the fork."""
        settrace(self._before)

    def go_on(self) -> None:
        """This is the child: what it starts is not frozen."""
        gevent.Greenlet.add_spawn_callback(self._started.add)


def _root_of(each: greenlet) -> greenlet:
    while each.parent is not None:
        each = each.parent
    return each


# -- signals ----------------------------------------------------------------------------------------------------

_handlers: dict[int, Any] = {}  # of signals that mean something else in children


def hand_on_handlers(handlers: Mapping[Any, Any]) -> None:
    """Let these signals do in forked children what `handlers` say: those of this process are for itself."""
    _handlers.update(handlers)


def keep_handlers(signals: Iterable[Signals]) -> None:
    """Undo `hand_on_handlers`."""
    for number in signals:
        _handlers.pop(number, None)


# -- the fork ---------------------------------------------------------------------------------------------------

_freezer: _Freezer | None = None  # while a fork is under way
_mask: set[int] | None = None  # the same; the signals that were blocked before it


def _before_fork() -> None:
    global _freezer, _mask
    _freezer = _Freezer() if _watched else None
    # Python forgets in the child what came before its own fork hook there.
    _mask = pthread_sigmask(SIG_BLOCK, _handlers) if _handlers else None


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
        signal(number, handler)
    _unblock()
    for each in list(_watched):
        each.forked()


def _unblock() -> None:
    if _mask is not None:
        pthread_sigmask(SIG_SETMASK, _mask)


os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)


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
