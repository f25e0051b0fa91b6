"""Batches: many items, as many at a time as one round trip takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, TypeVar

T = TypeVar("T")

BATCH: Final = 1000  # jobs or documents per round trip


def batches(items: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """The items, in order, in lists of `size`; the last may be shorter."""
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch
