"""Vital signs: what a scheduler is doing at one moment. Health and metrics are made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gsched.figures import Figures
from gsched.stores.report import StoreReport


class Pool(NamedTuple):
    """An executor's workers.

    :ivar size: runs at once
    :ivar in_progress: runs that execute now
    :ivar waiting: runs that wait for a worker
    :ivar saturated: seconds for which some have been waiting
    """

    size: int
    in_progress: int
    waiting: int
    saturated: float


@dataclass(frozen=True)
class Vitals:
    """A scheduler, read from memory. Counts begin when it is started.

    :ivar state: stopped, running, paused or stopping
    :ivar pools: executors by alias
    :ivar stores: job stores by alias
    :ivar dropped: events that listeners were too slow for
    :ivar listener_errors: how often listeners raised
    :ivar stuck: seconds for which the hub greenlet should have had a turn and has not; infinite if it was killed
    :ivar blocked: how often code held gevent's hub for too long
    :ivar figures: what became of runs; None while it is stopped
    :ivar in_progress: runs that execute or wait for a worker
    :ivar jobs: jobs that it looks after now: scheduled, waiting (for a run of theirs to end), parked
    """

    state: str
    pools: Mapping[str, Pool]
    stores: Mapping[str, StoreReport]
    dropped: int
    listener_errors: int
    stuck: float = 0.0
    blocked: int = 0
    figures: Figures | None = None
    in_progress: int = 0
    jobs: Mapping[str, int] = field(default_factory=dict)
