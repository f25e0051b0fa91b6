"""How long to wait before the next attempt after failures."""

from __future__ import annotations

from collections.abc import Callable
from random import random
from typing import Final

from gsched.event_loop.slices import pause

_ASK_SECONDS: Final = 0.5
_MOST_DOUBLINGS: Final = 60  # beyond any longest pause; a float holds 1,023


def backoff(first: float, failures: int, longest: float) -> float:
    """Seconds until the next attempt after so many failures: doubled each time, with jitter, up to `longest`."""
    return min(first * 2.0 ** min(failures, _MOST_DOUBLINGS), longest) * (0.5 + random() / 2)


def wait(seconds: float, stop: Callable[[], bool]) -> None:
    """Wait for so long, or until `stop()`, which is asked twice a second."""
    while seconds > 0 and not stop():
        pause(min(seconds, _ASK_SECONDS))
        seconds -= _ASK_SECONDS
