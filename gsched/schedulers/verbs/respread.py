"""The verb that spreads stored jobs evenly anew."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from heapq import merge
from typing import NamedTuple

from gsched.event_loop.batches import batches
from gsched.event_loop.slices import paced
from gsched.jobs.job import Job
from gsched.policies.spreading import Series, begin_of, even_phases, possible_series
from gsched.schedulers.acting import act
from gsched.schedulers.engine import CHANGED_AT_ONCE, Engine, modified_event
from gsched.schedulers.spreading import moved
from gsched.schedulers.verbs.pause import Selection
from gsched.schedulers.verbs.verbs import Verbs
from gsched.stores import BaseJobStore, JobQuery


class RespreadVerbs(Verbs):
    """The verb that spreads stored jobs evenly anew."""

    def respread(
        self,
        ids: Iterable[str] | None = None,
        *,
        tag: str | None = None,
        prefix: str | None = None,
        group: str | None = None,
        everything: bool = False,
        jobstore: str | None = None,
        dry_run: bool = False,
    ) -> int:
        """Give the jobs with these ids, with this tag, whose ids begin so, of this group, or all jobs, phases at equal
        distances; name one of the five.

        Intervals are spread over their length, whether they were spread before or not. Jobs with other triggers are
        spread over what their option `spread` says. All other jobs stay as they are: intervals with a start date or a
        window, and triggers that are not spread.

        The order of the phases stays, so that few jobs move far, and a repeated call moves none.

        :param jobstore: only jobs of this store; default: of all stores
        :param dry_run: change no job
        :return: how many jobs have moved, or would move
        :raises InvalidJobError: unless the jobs are named in one way
        """
        chosen = Selection(ids, tag, prefix, everything, group)
        return sum(1 for _ in respread_each(self._engine, chosen, jobstore, dry_run=dry_run))


def respread_each(engine: Engine, chosen: Selection, jobstore: str | None, *, dry_run: bool) -> Iterator[Job]:
    """Spread these jobs evenly, and give those that have moved, or would move."""
    for alias in engine.aliases(jobstore):
        phases = engine.call(_new_phases, engine.stores[alias], chosen, dry_run)
        move = partial(_moved, phases, engine.now_ms())
        if not dry_run:
            done = act("job.change", engine.now_ms())
            yield from engine.change_jobs(phases, move, alias, modified_event, done, chosen.words)
            continue
        stored = engine.call(_read, engine.stores[alias], phases)
        yield from (changed for job in stored if (changed := move(job)) is not None)


class _Member(NamedTuple):
    """A job of a series. Members sort by their phases, counted from the beginning of the series."""

    place: int
    job_id: str
    phase: int | None  # None: it is not spread yet


def _new_phases(store: BaseJobStore, chosen: Selection, dry_run: bool) -> dict[str, tuple[Series, int]]:
    """The series and the new phase of each chosen job that has to move, by its id."""
    found: defaultdict[Series, list[Job]] = defaultdict(list)
    for job in paced(_chosen(store, chosen)):
        if (series := possible_series(job)) is not None:
            found[series].append(job)
    # Those that were not spread before are numbered, so that later jobs of the series get phases between all of them.
    new = {series: sum(job.trigger.spread_ms is None for job in jobs) for series, jobs in found.items()}
    numbers = store.take_numbers(dict.fromkeys(new, 0) if dry_run else new)
    return {
        job_id: (series, phase)
        for series, jobs in found.items()
        for job_id, phase in _moves(series, numbers[series].rank, jobs)
    }


def _moves(series: Series, rank: int, jobs: list[Job]) -> Iterator[tuple[str, int]]:
    """The ids and the new phases of those jobs that have another phase, or are not spread yet."""
    begin = begin_of(series, rank)
    some = (sorted(_member(job, begin, series.span_ms) for job in part) for part in paced(batches(jobs)))
    for member, phase in paced(zip(merge(*some), even_phases(series, rank, len(jobs)))):
        if member.phase != phase:
            yield member.job_id, phase


def _member(job: Job, begin: int, span: int) -> _Member:
    trigger = job.trigger
    place = ((trigger.phase_ms or 0) - begin) % span
    return _Member(place, job.id, None if trigger.spread_ms is None else trigger.phase_ms)


def _chosen(store: BaseJobStore, chosen: Selection) -> Iterable[Job]:
    if chosen.ids is not None:
        return _read(store, chosen.ids)
    return store.find(JobQuery(tag=chosen.tag, prefix=chosen.prefix, group=chosen.group))


def _read(store: BaseJobStore, job_ids: Iterable[str]) -> list[Job]:
    """The jobs with these ids, several in a round trip."""
    found: list[Job] = []
    for some in batches(job_ids, CHANGED_AT_ONCE):
        store.change_many(some, found.append)  # which gives None, so that nothing changes
    return found


def _moved(phases: Mapping[str, tuple[Series, int]], now: int, job: Job) -> Job | None:
    """The job with its new phase; None if its trigger has changed meanwhile."""
    series, phase = phases[job.id]
    return moved(job, phase, now) if possible_series(job) == series else None
