"""What retries.py runs."""

from __future__ import annotations

from collections import Counter

from gsched import current_run

attempts: Counter[int] = Counter()  # how many began, by number


def fail_once() -> None:
    """Fail in the first attempt."""
    attempt = current_run().attempt
    attempts[attempt] += 1
    if attempt == 1:
        raise ConnectionError("as it is meant to")
