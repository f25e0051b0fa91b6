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

    :ivar state: "alive"; "draining": it gives its jobs away and ends; "silent": it has not been heard of for the
        store's `node_ttl`, and no other node has declared it dead yet; or "dead"
    :ivar watermark: everything due up to then, in its slots, it has claimed
    :ivar watermark_age: how far the watermark lies behind the time; below 0 in a node that is well, and grows in one
        that is paused, draining or dead
    :ivar beat_age: how long ago it was heard of; None before its first beat
    :ivar acked: everything due up to then has ended, but for runs that are written down
    :ivar slots: how many partitions of the jobs it owns
    :ivar left: whether it ended by itself; False while it lives, and if others declared it dead
    :ivar drain_requested: when somebody asked it to drain
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
        """Whether it is alive, or still finishes what it has begun."""
        return self.state in (ALIVE, DRAINING)
