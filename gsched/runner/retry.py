"""Waits for a store that does not answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from gevent.event import Event

from gsched.errors import StoreUnreachableError
from gsched.event_loop.backoff import backoff

FIRST_PAUSE: Final = 1.0  # seconds between two attempts
LONGEST_PAUSE: Final = 30.0

T = TypeVar("T")


def retry_until_answered(do: Callable[[], T], stopped: Event) -> T:
    """Call `do` again and again, with ever longer pauses, until the store answers. Gives what `do` returns.

    :raises StoreUnreachableError: if the store does not answer before `stopped` is set; other errors pass through
    """
    failures = 0
    while True:
        try:
            return do()
        except StoreUnreachableError:
            if stopped.wait(backoff(FIRST_PAUSE, failures, LONGEST_PAUSE)):
                raise
            failures += 1
