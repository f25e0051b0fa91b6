"""Jobs that several load tests use.

This file imports nothing from gsched, because compare_workloads.py uses it with other versions of the package.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

_runs = 0


def counted() -> None:
    """A no-op that is counted."""
    global _runs
    _runs += 1


def runs_so_far() -> int:
    """How often `counted` was called."""
    return _runs


def every_second(func: Callable[..., Any], count: int, delay_seconds: float) -> Iterator[dict[str, Any]]:
    """Definitions of `count` jobs that recur every second, spread over it, the first due after `delay_seconds`."""
    start = datetime.now(UTC) + timedelta(seconds=delay_seconds)
    for number in range(count):
        phase = start + timedelta(milliseconds=number % 1000)
        yield {"func": func, "trigger": "interval", "seconds": 1, "start_date": phase, "id": f"job-{number}"}


def freeze() -> None:
    """Spare the garbage collector looking at the jobs again and again; those of the case before are gone."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
