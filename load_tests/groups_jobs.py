"""What groups.py runs."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import gevent

from gsched import current_run

SECONDS = 0.05  # of a fetch from a healthy host

late_ms: list[float] = []  # of each fetch from a healthy host
at_once: Counter[str] = Counter()  # fetches in progress, by host
most_at_once: Counter[str] = Counter()


def fetch(host: str, seconds: float) -> None:
    """Stands for a request that takes so long."""
    if seconds == SECONDS:
        late_ms.append(time.time() * 1000 - current_run().scheduled_ms)
    at_once[host] += 1
    most_at_once[host] = max(most_at_once[host], at_once[host])
    try:
        gevent.sleep(seconds)
    finally:
        at_once[host] -= 1


def definitions(func: Any, urls: int, hosts: int, every: float, slow_seconds: float | None) -> Any:
    """A job for each URL, in the group of its host. If there is a slow host, it is the first one."""
    for number in range(urls):
        host = f"host:{number % hosts}"
        seconds = slow_seconds if slow_seconds is not None and number % hosts == 0 else SECONDS
        yield {
            "func": func, "args": (host, seconds), "trigger": "interval", "seconds": every, "spread": True,
            "id": f"url-{number}", "group": host,
        }  # fmt: skip
