"""What a store says of itself, from memory: for health checks and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gsched.histogram import Histogram


@dataclass(frozen=True)
class StoreReport:
    """How a store that takes part is. Durations are seconds; None is what such a store does not have, or not yet.

    :ivar connected: whether it answers
    :ivar error: why not, or the last error
    :ivar answered: how long ago it answered last
    :ivar feed: how it hears of what others change: connected (at once), polling, or lost (it is being opened)
    :ivar feed_lag: how long the last change took to get here
    :ivar slots: how many partitions of the jobs are this process's
    :ivar watermark_age: how far what is claimed lies behind the time; 0 when it is ahead, as it should be
    :ivar nodes: how many processes share the store, by state: alive, draining, dead
    :ivar operations: how long its database took, by operation
    :ivar errors: how often its database failed, by operation and error; "claim" is a turn of the claim protocol, which
        fails also where nothing could be sent
    """

    connected: bool = True
    error: str | None = None
    answered: float | None = None
    feed: str | None = None
    feed_lag: float | None = None
    slots: int | None = None
    watermark_age: float | None = None
    nodes: Mapping[str, int] = field(default_factory=dict)
    operations: Mapping[str, Histogram] = field(default_factory=dict)
    errors: Mapping[tuple[str, str], int] = field(default_factory=dict)
