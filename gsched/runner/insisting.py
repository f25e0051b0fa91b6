"""Waiting for a store that does not answer."""

from __future__ import annotations

from collections.abc import Callable
from random import uniform
from typing import Final, TypeVar

from gevent.event import Event

from gsched.errors import StoreUnreachableError

LONGEST_PAUSE: Final = 30.0  # seconds between two attempts

T = TypeVar("T")


def insist(do: Callable[[], T], stopped: Event) -> T:
    """Do it as soon as the store answers: again and again, with ever longer pauses.

    Raises StoreUnreachableError if it does not answer before `stopped` is set, and what else `do` raises.
    """
    pause = 1.0
    while True:
        try:
            return do()
        except StoreUnreachableError:
            if stopped.wait(pause * uniform(0.5, 1)):
                raise
            pause = min(2 * pause, LONGEST_PAUSE)
