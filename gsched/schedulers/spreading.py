"""Gives jobs that are to be spread a phase, when they are stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Final

from gsched.event_loop.slices import paced
from gsched.jobs.job import Job
from gsched.policies.pauses import paused
from gsched.policies.spreading import Series, awaits_phase, phases, series_of
from gsched.schedulers.job_builder import with_jitter
from gsched.stores import BaseJobStore
from gsched.triggers import IntervalTrigger

MOST_TOGETHER: Final = 1000  # jobs of one call, before a warning
SPREAD: Final = "spread=True gives each of them a phase of its own"


class Spreader:
    """Gives phases to the jobs of one call. The counters of their series are raised once.

    :param store: numbers the jobs of each series
    :param now: gives the time, milliseconds since the epoch: storing many jobs takes a while
    """

    def __init__(self, store: BaseJobStore, now: Callable[[], int]) -> None:
        self._store = store
        self._now = now
        self._phases: dict[Series, Iterator[int]] = {}

    def expect(self, jobs: Iterable[Job]) -> None:
        """Number those of these jobs that await a phase. The first jobs of a series are spaced evenly."""
        counts = Counter(map(series_of, filter(awaits_phase, paced(jobs))))
        numbers = self._store.take_numbers(counts)
        self._phases |= {series: phases(series, numbers[series], count) for series, count in counts.items()}

    def spread(self, job: Job) -> Job:
        """The job, with the next phase of its series if it awaits one. It was among those that were expected."""
        if not awaits_phase(job):
            return job
        return moved(job, next(self._phases[series_of(job)]), self._now())

    def after(self, change: Callable[[Job], Job]) -> Callable[[Job], Job]:
        """A change of a job that spreads it, too. If it is made again, the job gets the same phase."""
        known: dict[Series, int] = {}

        def changed(job: Job) -> Job:
            new = change(job)
            if not awaits_phase(new):
                return new
            series = series_of(new)
            if series not in known:
                self.expect([new])
                known[series] = next(self._phases[series])
            return moved(new, known[series], self._now())

        return changed


def spread_out(jobs: list[Job], store: BaseJobStore, now: Callable[[], int]) -> list[Job]:
    """The jobs, each that awaits a phase with one."""
    if not any(map(awaits_phase, jobs)):
        return jobs
    spreader = Spreader(store, now)
    spreader.expect(jobs)
    return [spreader.spread(job) for job in paced(jobs)]


def number(jobs: Iterable[Job], store: BaseJobStore) -> None:
    """Number jobs that came with their phases, so that later jobs of their series get others."""
    spread = Counter(series_of(job) for job in jobs if job.trigger.spread_ms is not None)
    if spread:
        store.take_numbers(spread)


def moved(job: Job, phase_ms: int, now: int) -> Job:
    """The job with this phase, due next at its first instant from `now` (ms) on. A paused job stays paused."""
    trigger = job.trigger.with_phase(phase_ms)
    retimed = with_jitter(job.evolve(trigger=trigger, next_run_ms=trigger.next_ms(now - 1), pause=None))
    pause = job.pause_at(now)
    return retimed if pause is None else paused(retimed, pause, now)


class Crowds:
    """Counts the interval jobs of one call that are due at the same moments."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[int, int]] = Counter()
        self._first: dict[tuple[int, int], Job] = {}

    def count(self, jobs: Iterable[Job]) -> None:
        """Count these jobs. Those that jitter delays are not due at the same moments."""
        for _, alike in groupby(jobs, lambda job: id(job.trigger)):
            job = next(alike)
            trigger = job.trigger
            if isinstance(trigger, IntervalTrigger) and trigger.by_elapsed_time and not trigger.jitter_ms:
                self._counts[trigger.moments] += 1 + sum(1 for _ in alike)
                self._first.setdefault(trigger.moments, job)

    def largest(self) -> tuple[Job, int] | None:
        """The first job and the number of the most jobs that are due together; None if these are few."""
        for moments, count in self._counts.most_common(1):
            return (self._first[moments], count) if count > MOST_TOGETHER else None
        return None
