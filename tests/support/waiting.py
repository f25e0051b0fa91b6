"""Waiting in tests for what others do: greenlets, threads, processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

LONGEST_SECONDS: Final = 90.0  # a bound for what hangs, never a delay
_POLL_SECONDS: Final = 0.02


def wait_until(
    condition: Callable[[], Any],
    what: str | Callable[[], object] = "it",
    seconds: float = LONGEST_SECONDS,
    sleep: Callable[[float], object] = time.sleep,
    every: float = _POLL_SECONDS,
) -> Any:
    """Wait for `condition` to give something true, and give it. Fails after `seconds`, saying what was waited for.

    :param every: seconds between two looks
    :param sleep: `gevent.sleep` lets greenlets go on here; an event loop that watches children also reaps all others
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for: {what() if callable(what) else what}")
        sleep(every)
    return value
