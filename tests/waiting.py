"""Waiting in tests for what others do: greenlets, threads, processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import gevent

LONGEST_SECONDS: Final = 40.0  # a bound for what hangs, never a delay
_POLL_SECONDS: Final = 0.02


def wait_until(
    condition: Callable[[], Any], what: str | Callable[[], object] = "it", seconds: float = LONGEST_SECONDS
) -> Any:
    """Wait for `condition` to give something true, and give it. Fails after `seconds`, saying what was waited for."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for: {what() if callable(what) else what}")
        gevent.sleep(_POLL_SECONDS)
    return value
