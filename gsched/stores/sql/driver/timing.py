"""Counts the transactions, how long they take and how they fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Final

from gsched.errors import StoreError
from gsched.monitoring.histogram import Histogram

_BOUNDS: Final = (1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000)  # milliseconds


class TransactionTiming:
    """See `gsched.stores.durable.answers.CommandTiming`; the names are "read" and "write"."""

    def __init__(self) -> None:
        self.durations: dict[str, Histogram] = {}
        self.errors: dict[tuple[str, str], int] = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Count what happens inside, as one transaction."""
        began = perf_counter()
        try:
            yield
        except StoreError as error:
            key = name, type(error).__name__
            self.errors[key] = self.errors.get(key, 0) + 1
            raise
        durations = self.durations.get(name)
        if durations is None:
            durations = self.durations[name] = Histogram(_BOUNDS)
        durations.count((perf_counter() - began) * 1000)
