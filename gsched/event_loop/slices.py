"""Slices: how long loops on gevent's hub may work before they give other greenlets a turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import islice
from time import perf_counter
from typing import TypeVar

import gevent
from gevent._hub_local import get_hub_if_exists
from gevent.monkey import get_original

_native_sleep = get_original("time", "sleep")

T = TypeVar("T")

SLICE_SECONDS = 0.002
_SORTED_AT_ONCE = 1000


class Slice:
    """Paces a loop: call `breathe` once a step; it yields when the slice is used up.

    :param note: called with the seconds that each slice took, when it ends
    """

    __slots__ = ("_end", "_note")

    def __init__(self, note: Callable[[float], object] | None = None) -> None:
        self._note = note
        self.restart()

    def restart(self) -> None:
        """Begin a new slice."""
        self._end = perf_counter() + SLICE_SECONDS

    def used_up(self) -> bool:
        """True if it is time to yield."""
        return perf_counter() >= self._end

    def breathe(self) -> bool:
        """Yield to the event loop if the slice is used up; True if it was."""
        if perf_counter() < self._end:
            return False
        self.end()
        give_way()
        self.restart()
        return True

    def end(self) -> None:
        """End the slice, used up or not."""
        if self._note is not None:
            self._note(perf_counter() - self._end + SLICE_SECONDS)


def paced(items: Iterable[T]) -> Iterator[T]:
    """The items; other greenlets have turns between them."""
    pace = Slice()
    for item in items:
        pace.breathe()
        yield item


def sorted_in_slices(items: Iterable[T]) -> Iterator[T]:
    """The items in order, as `sorted` gives them; other greenlets have turns while they are sorted and taken."""
    source, pace, parts = iter(items), Slice(), list[list[T]]()
    while part := list(islice(source, _SORTED_AT_ONCE)):
        parts.append(sorted(part))  # type: ignore[type-var]
        pace.breathe()
    return paced(merge(*parts))  # type: ignore[type-var]


def give_way() -> None:
    """Let the event loop turn once, its I/O and timers included.

    `gevent.sleep(0)` does not do that: gevent serves up to 50 such callbacks before it looks at I/O again, so that
    slices of 3 ms became pauses of 150 ms for other greenlets. A timer, however short, comes after I/O.

    A thread without an event loop has no other greenlets. It lets other threads have Python's lock, for which they
    would have to wait longer than a slice.
    """
    if get_hub_if_exists() is not None:  # as `has_event_loop` says, without a call
        gevent.sleep(1e-6)
    else:
        _native_sleep(0)


def pause(seconds: float) -> None:
    """Wait while other greenlets go on, if there are any."""
    if has_event_loop():
        gevent.sleep(seconds)
    else:
        _native_sleep(seconds)


def has_event_loop() -> bool:
    """True if the calling thread has gevent's hub already."""
    return get_hub_if_exists() is not None
