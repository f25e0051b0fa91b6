"""Statistics: what a store holds, and how large it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """What a store holds. A figure that the store does not have is empty or None.

    :ivar jobs: how many are scheduled, paused, parked
    :ivar records: how many records the history has, by outcome; "running" for recorded runs in progress
    :ivar oldest: the scheduled time of the oldest record, UTC
    :ivar nodes: how many nodes are known as alive, dead
    :ivar owned_slots: how many of the store's slots have an owner
    :ivar sizes: bytes on disk with indexes, by collection
    """

    jobs: Mapping[str, int]
    records: Mapping[str, int]
    oldest: datetime | None = None
    nodes: Mapping[str, int] = field(default_factory=dict)
    owned_slots: int | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
