"""The status of a scheduler at one moment. Health and metrics are made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gsched.monitoring.counters import Counters
from gsched.monitoring.groups import GroupActivity
from gsched.monitoring.loop_shares import LoopShares
from gsched.monitoring.store_report import StoreReport


class Pool(NamedTuple):
    """An executor's workers.

    :ivar size: runs at once
    :ivar in_progress: runs that execute now
    :ivar waiting: runs that wait for a worker
    :ivar saturated: for how many seconds runs have been waiting
    """

    size: int
    in_progress: int
    waiting: int
    saturated: float


@dataclass(frozen=True)
class SchedulerStatus:
    """A scheduler, read from memory. Counts begin when it is started.

    :ivar state: stopped, running, paused or stopping
    :ivar pools: executors by alias
    :ivar stores: job stores by alias
    :ivar dropped: events that were not delivered because listeners were too slow
    :ivar listener_errors: how often listeners raised
    :ivar stuck: for how many seconds the hub greenlet has been overdue for a turn; infinite if it was killed
    :ivar blocked: how often code held gevent's hub for too long
    :ivar counters: outcomes, lateness and durations of runs; None while it is stopped
    :ivar in_progress: runs that execute or wait for a worker
    :ivar jobs: how many of its jobs are scheduled, waiting (for a free instance) or parked
    :ivar groups: the groups with a limit or a pause whose jobs it owns; of many, those at which most jobs wait
    :ivar loop: who held gevent's event loop; None while that is unknown
    """

    state: str
    pools: Mapping[str, Pool]
    stores: Mapping[str, StoreReport]
    dropped: int
    listener_errors: int
    stuck: float = 0.0
    blocked: int = 0
    counters: Counters | None = None
    in_progress: int = 0
    jobs: Mapping[str, int] = field(default_factory=dict)
    groups: Sequence[GroupActivity] = ()
    loop: LoopShares | None = None
