"""Nodes: the schedulers that share a store, as users see them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

ALIVE: Final = "alive"
DRAINING: Final = "draining"
SILENT: Final = "silent"
DEAD: Final = "dead"


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A scheduler that takes part, or did within the last day. Times are aware UTC datetimes, ages seconds.

    Ages are by the database server's clock, whatever this machine's says.

    :ivar state: "alive"; "draining": it hands its jobs over and ends; "silent": its last beat is older than the store's
        `node_ttl`, and no other node has declared it dead yet; or "dead"
    :ivar watermark: it has claimed all instants in its slots up to this time
    :ivar watermark_age: how far the watermark is behind the time; below 1 in a healthy node; it grows while the node is
        paused, draining or dead
    :ivar beat_age: how long ago its last beat was; None before its first beat
    :ivar acked: all instants up to this time have ended, except recorded runs in progress
    :ivar slots: how many slots (partitions of the jobs) it owns
    :ivar left: it ended by itself; False while it is alive, and if another node declared it dead
    :ivar drain_requested: when it was asked to drain
    """

    id: str
    host: str
    pid: int | None
    state: str
    started_at: datetime
    ended_at: datetime | None
    watermark: datetime
    watermark_age: float
    beat_age: float | None
    acked: datetime
    slots: int
    left: bool
    drain_requested: datetime | None

    @property
    def runs_jobs(self) -> bool:
        """True while it is alive, or finishes its runs."""
        return self.state in (ALIVE, DRAINING)
