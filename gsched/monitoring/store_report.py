"""The state of a store, read from memory, for health checks and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gsched.monitoring.histogram import Histogram
from gsched.monitoring.overdue import OverdueReport


@dataclass(frozen=True)
class StoreReport:
    """The state of a store. Durations are seconds; None: such a store does not have this, or not yet.

    :ivar connected: its database answers
    :ivar error: the last error
    :ivar answered: how long ago its database answered last
    :ivar feed: how changes by other processes arrive: connected (at once), polling, or lost (it is being opened)
    :ivar feed_lag: how long the last change took to arrive
    :ivar slots: how many slots (partitions of the jobs) this process owns
    :ivar watermark_age: how far the watermark is behind the time; 0 if it is ahead, less than 1 s while
        this process is alone and has nothing to do
    :ivar nodes: how many processes share the store, by state: alive, draining, dead
    :ivar overdue: the store's last answer to the question which jobs are overdue, for the jobs of all processes
    :ivar operations: how long its database took, by operation
    :ivar errors: how often its database failed, by operation and error; "claim" is a turn of the claim protocol, which
        also fails if nothing could be sent
    """

    connected: bool = True
    error: str | None = None
    answered: float | None = None
    feed: str | None = None
    feed_lag: float | None = None
    slots: int | None = None
    watermark_age: float | None = None
    nodes: Mapping[str, int] = field(default_factory=dict)
    overdue: OverdueReport | None = None
    operations: Mapping[str, Histogram] = field(default_factory=dict)
    errors: Mapping[tuple[str, str], int] = field(default_factory=dict)
