"""The activity of the schedulers of a store, as each of them publishes it, and the overview of a store."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gsched.jobs.outcomes import Outcome
from gsched.monitoring.groups import GroupActivity
from gsched.monitoring.histogram import BUCKETS, Histogram
from gsched.monitoring.loop_shares import LoopShares
from gsched.monitoring.nodes import NodeInfo
from gsched.monitoring.overdue import Overdue
from gsched.monitoring.pauses import PauseGroup
from gsched.monitoring.troubles import JobTrouble, LongRun, TroubleGroup
from gsched.times.clock import Clock

PERIOD_SECONDS: Final = 60.0  # what counts as recent
MOST_DUE: Final = 5000  # jobs due in the next minute are counted up to here


_EMPTY: Final = (0,) * (len(BUCKETS) + 1)


@dataclass(frozen=True, slots=True)
class Period:
    """What happened within a period.

    :ivar outcomes: how many instants ended in each outcome
    :ivar by_tag: the same by the jobs' first tag, "" for jobs without tags
    :ivar lateness: how many runs started how late, for the buckets of `gsched.monitoring.histogram`
    :ivar duration: how many runs took how long, for the same buckets
    :ivar late_by_pool: `lateness` by executor
    """

    seconds: float
    outcomes: Mapping[str, int]
    by_tag: Mapping[str, Mapping[str, int]]
    lateness: Sequence[int] = _EMPTY
    duration: Sequence[int] = _EMPTY
    late_by_pool: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @property
    def runs(self) -> int:
        """How many runs that had started have ended."""
        return sum(self.duration)

    @property
    def runs_per_second(self) -> float:
        return self.runs / self.seconds if self.seconds else 0.0

    @property
    def failures(self) -> int:
        """How many runs failed, timed out, were cancelled or lost. Attempts that others followed are not among them."""
        good = (Outcome.SUCCEEDED, Outcome.COALESCED, Outcome.SKIPPED, Outcome.MISSED, Outcome.RETRIED)
        return sum(count for outcome, count in self.outcomes.items() if outcome not in good)

    @property
    def skips(self) -> int:
        """How many due instants were skipped."""
        return self.outcomes.get(Outcome.SKIPPED, 0)

    @property
    def misses(self) -> int:
        """How many due instants were missed."""
        return self.outcomes.get(Outcome.MISSED, 0)

    def late(self, share: float, pool: str | None = None) -> float | None:
        """The lateness in seconds within which this share of the runs started; None if there were none.

        :param pool: only of the runs of this executor
        """
        counts = self.lateness if pool is None else self.late_by_pool[pool]
        return Histogram.of(counts).percentile(share)

    def long(self, share: float) -> float | None:
        """The duration in seconds within which this share of the runs ended; None if there were none."""
        return Histogram.of(self.duration).percentile(share)


def together(periods: Iterable[Period]) -> Period:
    """The sum of several schedulers' periods; it is as long as the longest of them."""
    each = list(periods)
    outcomes: Counter[str] = Counter()
    by_tag: dict[str, Counter[str]] = {}
    for period in each:
        outcomes.update(period.outcomes)
        for tag, counts in period.by_tag.items():
            by_tag.setdefault(tag, Counter()).update(counts)
    pools = dict.fromkeys(pool for period in each for pool in period.late_by_pool)
    return Period(
        max((period.seconds for period in each), default=0.0),
        outcomes,
        by_tag,
        _summed(period.lateness for period in each),
        _summed(period.duration for period in each),
        {pool: _summed(period.late_by_pool.get(pool, _EMPTY) for period in each) for pool in pools},
    )


def _summed(counts: Iterable[Sequence[int]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(_EMPTY, *counts)))


class LastMinute:
    """A scheduler's activity within the last minute: the difference of two samples of its counts since its start.

    :param activity: returns what it did since its start, as `gsched.hub.activity.activity_of` does
    """

    def __init__(self, clock: Clock, activity: Callable[[], Mapping[str, Any]]) -> None:
        self._clock = clock
        self._activity = activity
        self._samples: deque[tuple[float, Mapping[str, Any]]] = deque()  # of the last minute, by monotonic time

    def sample(self) -> Mapping[str, Any]:
        """Take a sample of the counts, and return it."""
        now, activity = self._clock.monotonic(), self._activity()
        self._samples.append((now, activity))
        while len(self._samples) > 2 and self._samples[1][0] <= now - PERIOD_SECONDS:
            self._samples.popleft()
        return activity

    def period(self) -> Period:
        """The activity between the oldest sample and the last one."""
        (began, before), (now, after) = self._samples[0], self._samples[-1]
        return grown(before, after, now - began)


def grown(before: Mapping[str, Any], after: Mapping[str, Any], seconds: float) -> Period:
    """The difference between two samples of a scheduler's totals."""
    pools, known = after.get("late_by_pool", {}), before.get("late_by_pool", {})
    by_tag = {tag: _grown(before["by_tag"].get(tag, {}), counts) for tag, counts in after["by_tag"].items()}
    return Period(
        seconds,
        _grown(before["outcomes"], after["outcomes"]),
        {tag: counts for tag, counts in by_tag.items() if counts},
        _more(before["lateness"], after["lateness"]),
        _more(before["duration"], after["duration"]),
        {pool: _more(known.get(pool, _EMPTY), counts) for pool, counts in pools.items()},
    )


def _grown(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    return {key: more for key, count in now.items() if (more := count - before.get(key, 0))}


def _more(before: Sequence[int], now: Sequence[int]) -> list[int]:
    return [new - old for old, new in zip(before, now, strict=True)]


@dataclass(frozen=True, slots=True)
class NodeActivity:
    """What one scheduler published of itself. Its runs of all stores count.

    :ivar age: how many seconds ago it published this
    :ivar paused: it claims nothing until it is resumed
    :ivar running: how many runs are in progress or wait for a worker
    :ivar waiting: how many of these wait for a worker
    :ivar pool_size: how many runs its executors execute at once
    :ivar due_soon: how many of its jobs are due within a minute, at most MOST_DUE
    :ivar recent: what it did within the last minute
    :ivar totals: how many instants ended in each outcome since it started
    :ivar groups: the groups with a limit or a pause whose jobs it owns; of many, those at which most jobs wait
    :ivar loop: who held its event loop; None while that is unknown
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
    groups: tuple[GroupActivity, ...] = ()
    loop: LoopShares | None = None


@dataclass(frozen=True, slots=True)
class Overview:
    """A store at a glance.

    :ivar jobs: how many jobs there are: total, paused, parked; None if counting took too long
    :ivar nodes: the nodes that are alive, or died within the last minutes
    :ivar activities: what the nodes that are alive are doing
    :ivar troubles: jobs that fail or take long, the worst first
    :ivar groups: recent failures, grouped by tag and error, the largest group first
    :ivar in_progress: the known runs in progress, those that were due first
    :ivar pauses: the jobs that are paused, those that are paused alike together
    :ivar overdue: the jobs that are overdue, the longest first
    :ivar is_shared: nodes share the store, so its jobs run only while one of them is alive
    """

    jobs: Mapping[str, int | None]
    nodes: tuple[NodeInfo, ...]
    activities: tuple[NodeActivity, ...]
    troubles: tuple[JobTrouble, ...]
    groups: tuple[TroubleGroup, ...] = ()
    in_progress: tuple[LongRun, ...] = ()
    pauses: tuple[PauseGroup, ...] = ()
    overdue: tuple[Overdue, ...] = ()
    is_shared: bool = True

    @property
    def recent(self) -> Period:
        """What all nodes together did within the last minute."""
        return together(activity.recent for activity in self.activities)

    @property
    def runs_per_second(self) -> float:
        """How many runs end in a second, on all nodes."""
        return sum(activity.recent.runs_per_second for activity in self.activities)
