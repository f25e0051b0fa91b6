"""Activity: what the schedulers of a store are doing, as each of them publishes it, and the store's overview."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from gsched.histogram import BUCKETS, Histogram
from gsched.nodes import NodeInfo

PERIOD_SECONDS: Final = 60.0  # what counts as recent
MOST_DUE: Final = 5000  # jobs due in the next minute are counted up to here


@dataclass(frozen=True, slots=True)
class Period:
    """What happened within some time.

    :ivar outcomes: how often each outcome came about
    :ivar by_tag: the same by the jobs' first tag, "" for those without one
    :ivar lateness: how many runs were how late, for the buckets of `gsched.histogram`
    :ivar duration: how many runs took how long
    """

    seconds: float
    outcomes: Mapping[str, int]
    by_tag: Mapping[str, Mapping[str, int]]
    lateness: tuple[int, ...] = (0,) * (len(BUCKETS) + 1)
    duration: tuple[int, ...] = (0,) * (len(BUCKETS) + 1)

    @property
    def runs(self) -> int:
        """How many runs ended that had begun."""
        return sum(self.duration)

    @property
    def runs_per_second(self) -> float:
        return self.runs / self.seconds if self.seconds else 0.0

    @property
    def failures(self) -> int:
        """How many due instants ended badly."""
        return sum(count for outcome, count in self.outcomes.items() if outcome not in ("succeeded", "coalesced"))

    def late(self, share: float) -> float | None:
        """The lateness in seconds within which this share of the runs began; None if there were none."""
        return Histogram.of(self.lateness).percentile(share)

    def long(self, share: float) -> float | None:
        """The duration in seconds within which this share of the runs ended; None if there were none."""
        return Histogram.of(self.duration).percentile(share)


def together(periods: Iterable[Period]) -> Period:
    """What several schedulers did, in the longest of their periods."""
    each = list(periods)
    outcomes: Counter[str] = Counter()
    by_tag: dict[str, Counter[str]] = {}
    for period in each:
        outcomes.update(period.outcomes)
        for tag, counts in period.by_tag.items():
            by_tag.setdefault(tag, Counter()).update(counts)
    empty = (0,) * (len(BUCKETS) + 1)
    return Period(
        max((period.seconds for period in each), default=0.0),
        outcomes,
        by_tag,
        tuple(map(sum, zip(empty, *(period.lateness for period in each)))),
        tuple(map(sum, zip(empty, *(period.duration for period in each)))),
    )


@dataclass(frozen=True, slots=True)
class Activity:
    """What one scheduler said of itself a moment ago. Its runs of all stores count.

    :ivar age: how many seconds ago it said so
    :ivar paused: whether it claims nothing until it is resumed
    :ivar running: runs in progress or waiting for a worker
    :ivar waiting: those of them that wait for a worker
    :ivar pool_size: how many runs its executors execute at once
    :ivar due_soon: how many of its jobs are due within a minute, at most MOST_DUE
    :ivar recent: what it did within the last minute
    :ivar totals: how often each outcome came about since it started
    """

    node: str
    age: float
    paused: bool
    running: int
    waiting: int
    pool_size: int
    due_soon: int
    recent: Period
    totals: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class JobTrouble:
    """What the history says of a job within the last minutes.

    :ivar failures: how many due instants ended badly
    :ivar longest: of its runs that are on record the longest, seconds; successes below 3 s mostly are not
    :ivar last_error: what the last failure said
    """

    job_id: str
    failures: int
    longest: float | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Overview:
    """A store at a glance.

    :ivar jobs: how many there are: total, paused, parked; None where counting took too long
    :ivar nodes: the nodes that live, or died within the last minutes
    :ivar activities: what the living ones are doing
    :ivar troubles: jobs that fail or take long, the worst first
    """

    jobs: Mapping[str, int | None]
    nodes: tuple[NodeInfo, ...]
    activities: tuple[Activity, ...]
    troubles: tuple[JobTrouble, ...]

    @property
    def recent(self) -> Period:
        """What all nodes together did within the last minute."""
        return together(activity.recent for activity in self.activities)

    @property
    def runs_per_second(self) -> float:
        """How many runs end in a second, on all nodes."""
        return sum(activity.recent.runs_per_second for activity in self.activities)
