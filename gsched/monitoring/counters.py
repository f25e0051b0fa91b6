"""Counters: how many instants ended in each outcome, how late runs started, and how long they took."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final

from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome, Result, Span
from gsched.jobs.run import Run
from gsched.monitoring.histogram import BUCKETS, Histogram

UNTAGGED: Final = ""
OTHER: Final = "other"  # stands for the tags, and the reasons, beyond the number that is told apart
MOST_TAGS: Final = 100
MOST_REASONS: Final = 20

_SKIPPED: Final = Outcome.SKIPPED  # used for every run if too much is due
_SLICES: Final = (0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 25, 50, 100, 250, 1000)  # milliseconds


class _ByTag(dict[str, dict[Outcome, int]]):
    """Outcomes by tag. A missing tag gets its counts when it is first looked up, or shares those of OTHER."""

    def __missing__(self, tag: str) -> dict[Outcome, int]:
        return self.setdefault(self.told_apart(tag), dict.fromkeys(Outcome, 0))

    def told_apart(self, tag: str) -> str:
        """Under which tag this one counts."""
        return tag if tag in self or len(self) < MOST_TAGS else OTHER


class _ByPool(dict[str, list[int]]):
    """Counts of how late runs were, by the alias of their executor."""

    def __missing__(self, alias: str) -> list[int]:
        return self.setdefault(alias, [0] * (len(BUCKETS) + 1))


class Counters:
    """What a scheduler did since it started, and since the last summary.

    A job counts under its first tag, so that the tags add up to the whole. Instants that end without a run are spans; a
    span counts once, for how many instants it holds only its trigger knows.

    :ivar started: runs that a worker began to execute
    :ivar by_tag: how many instants ended in each outcome, for at most MOST_TAGS tags, and OTHER
    :ivar skipped: how often runs were skipped, by tag and reason
    :ivar late_by_pool: how many runs of each executor started how late, for the buckets of
        `gsched.monitoring.histogram`
    :ivar duration: how long runs took, from start to finish
    :ivar slices: how long the hub greenlet worked before it gave other greenlets a turn
    """

    def __init__(self) -> None:
        self.started = 0
        self.by_tag = _ByTag()
        self.skipped: dict[tuple[str, str], int] = {}
        self.late_by_pool = _ByPool()
        self.duration = Histogram()
        self.slices = Histogram(_SLICES)
        self._reasons: set[str] = set()
        self._late_total = 0
        self._long = self.duration.counts
        self._start_period()

    @property
    def lateness(self) -> Histogram:
        """How late all runs started."""
        empty = [0] * (len(BUCKETS) + 1)
        made = Histogram.of(map(sum, zip(empty, *self.late_by_pool.values(), strict=True)))
        made.total = self._late_total
        return made

    @property
    def outcomes(self) -> dict[Outcome, int]:
        """How many instants ended in each outcome."""
        counted = list(self.by_tag.values())
        return {outcome: sum(counts[outcome] for counts in counted) for outcome in Outcome}

    def _start_period(self) -> None:
        self._outcomes_before = self.outcomes
        self._started_before = self.started
        self._lateness_before = list(self.lateness.counts)
        self._slowest: Run | None = None
        self._slowest_ms = -1

    def count(self, run: Run, result: Result) -> None:
        """Count a run that has ended."""
        job = run.job
        tags = job.tags
        self.by_tag[tags[0] if tags else UNTAGGED][result.outcome] += 1
        started, finished = run.started_ms, run.finished_ms
        if started is None or finished is None:
            if result.outcome is Outcome.SKIPPED:
                self._count_skipped(job, result.reason)
            return
        late = started - (run.due_ms or run.scheduled_ms)
        self.late_by_pool[job.executor][bisect_left(BUCKETS, late) if late > 1 else 0] += 1
        self._late_total += late
        if (duration := finished - started) > self._slowest_ms:
            self._slowest, self._slowest_ms = run, duration
        self._long[bisect_left(BUCKETS, duration) if duration > 1 else 0] += 1
        self.duration.total += duration

    def count_span(self, job: Job, span: Span) -> None:
        """Count instants of the job that ended without a run."""
        self.by_tag[_tag_of(job)][span.outcome] += 1
        if span.outcome is _SKIPPED:
            self._count_skipped(job, span.reason)

    def _count_skipped(self, job: Job, reason: str | None) -> None:
        why = str(reason)
        if why not in self._reasons and len(self._reasons) >= MOST_REASONS:
            why = OTHER
        self._reasons.add(why)
        key = self.by_tag.told_apart(_tag_of(job)), why
        self.skipped[key] = self.skipped.get(key, 0) + 1

    def summary(self) -> dict[str, Any]:
        """What happened since the last summary. A new period begins."""
        recent = Histogram.of(now - before for now, before in zip(self.lateness.counts, self._lateness_before))
        summary: dict[str, Any] = {"started": self.started - self._started_before}
        summary |= {
            str(outcome): count - self._outcomes_before[outcome] for outcome, count in self.outcomes.items()
        }
        summary |= {f"lateness_p{share * 100:.0f}": recent.percentile(share) for share in (0.5, 0.95, 0.99)}
        if self._slowest is not None:
            summary["slowest_job"], summary["slowest_duration"] = self._slowest.job.id, self._slowest.duration
        self._start_period()
        return summary


def _tag_of(job: Job) -> str:
    return job.tags[0] if job.tags else UNTAGGED
