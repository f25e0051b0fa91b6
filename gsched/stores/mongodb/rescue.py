"""Rescue: what was in progress on nodes that died is run again, or said to be lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from gsched.batches import batches
from gsched.instants import from_ms
from gsched.job import Job
from gsched.planning import Span
from gsched.run import Outcome
from gsched.slices import paced
from gsched.stores.base import HubSide, Lost, Recovered
from gsched.stores.mongodb.cluster import Cluster, JobRecord, RunRecord
from gsched.stores.mongodb.tenure import Tenure
from gsched.stores.mongodb.uncertain import JobInSlot, parts_without, uncertain_spans
from gsched.triggers import DateTrigger
from gsched.triggers.base import TRIGGER_ERRORS

RUNS_AT_ONCE = 500  # written down together before they are run again
RESCUES_AT_ONCE = 1000  # between two heartbeats
MOST_RECOVERED = 1000  # instants of one job that are run again


class Rescue(NamedTuple):
    """Instants that were in progress on a node that died.

    :ivar run: the run, if it was written down
    """

    record: JobRecord
    span: Span
    run: RunRecord | None = None


class Decided(NamedTuple):
    """What becomes of a rescue: these runs begin again, and of these instants it is said what became of them."""

    again: list[RunRecord]
    ended: list[Span]


class Rescues:
    """What the hub does not know yet of what was in progress on dead nodes, for one tenure.

    :param keep_alive: called between steps, so that the watermark advances meanwhile
    """

    def __init__(self, cluster: Cluster, tenure: Tenure, hub: HubSide, keep_alive: Callable[[], None]) -> None:
        self._cluster = cluster
        self._tenure = tenure
        self._hub = hub
        self._keep_alive = keep_alive
        self._waiting: deque[Rescue] = deque()
        self._taken: set[RunRecord] = set()  # runs that were taken over, which is not noted in the database yet
        self._over: list[RunRecord] = []  # those of them that the hub knows

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def recovering(self) -> set[str]:
        """The jobs of which something is to run again."""
        return {rescue.record.job.id for rescue in self._waiting if rescue.record.job.recover}

    def written(self, runs: Sequence[RunRecord]) -> list[Rescue]:
        """Of these runs, which dead nodes wrote down, what is to be run again, or lost."""
        jobs = self._cluster.read_jobs({run.job_id for run in runs}) if runs else {}
        known = [jobs[run.job_id].job for run in runs if run.job_id in jobs]
        since = min((run.scheduled for run in runs), default=0)
        return [
            Rescue(
                jobs.get(run.job_id) or _stand_in(run, self._hub.alias),
                Span(Outcome.LOST, run.scheduled, run.scheduled + 1, request=run.request),
                run,
            )
            for run in self._without_superseded(runs, self._ended(known, since))
        ]

    def _without_superseded(self, runs: Sequence[RunRecord], ended: Iterable[RunRecord]) -> list[RunRecord]:
        """Without attempts that were followed by another one, which has ended."""
        last: dict[RunRecord, int] = {}
        for run in ended:
            which = run._replace(attempt=1)
            last[which] = max(run.attempt, last.get(which, 0))
        superseded = dict.fromkeys(run for run in runs if last.get(run._replace(attempt=1), 0) > run.attempt)
        self._over += superseded
        return [run for run in runs if run not in superseded]

    def uncertain(self, jobs: Iterable[JobInSlot], written: Iterable[Rescue]) -> list[Rescue]:
        """What was in progress when the slots lost their owner, but for the runs that were written down; and of what
        would run again, but for that of which it is written how it has ended."""
        rescues: list[Rescue] = []
        for job in paced(jobs):
            rescues += _uncertain(job)
        in_progress = _instants(rescue.run for rescue in written if rescue.run is not None)
        since = min((rescue.span.first for rescue in rescues), default=0)
        ended = _instants(self._ended((rescue.record.job for rescue in rescues), since))
        return [*_coalesced(_parts(rescues, in_progress, ended), in_progress)]

    def _ended(self, jobs: Iterable[Job], since: int) -> Iterator[RunRecord]:
        """The runs of these jobs since then of which it is written how they have ended; of jobs that are to recover."""
        for some in batches({job.id: None for job in jobs if job.recover}, RUNS_AT_ONCE):
            yield from self._cluster.ended_runs(some, since)

    def take(self, rescues: Iterable[Rescue]) -> None:
        """These are to be run again, or said to be lost, unless they are already."""
        seen: set[RunRecord] = set()
        for rescue in sorted(rescues, key=lambda rescue: -_attempt(rescue.run)):
            if rescue.run is None:
                self._waiting.append(rescue)
                continue
            if rescue.run in self._taken:
                continue
            self._taken.add(rescue.run)
            first = rescue.run._replace(attempt=1)
            if first in seen:  # who ran it again has died, too, before it said that this attempt is lost
                self._over.append(rescue.run)
            else:
                seen.add(first)
                self._waiting.append(rescue)

    def settle(self) -> None:
        """Run again what is to be run again, say of the rest that it is lost; note that in the database, once the hub
        has read it, which reads nothing more when it has stopped."""
        while self._waiting:
            self._settle_some()
        if self._over and not self._hub.unread():
            self._cluster.lose_runs(self._over)
            self._taken.difference_update(self._over)
            self._over = []

    def _settle_some(self) -> None:
        decided: list[Decided] = []
        runs: list[RunRecord] = []
        for rescue in paced(islice(self._waiting, RESCUES_AT_ONCE)):
            decided.append(_decide(rescue))
            runs += decided[-1].again
            if len(runs) >= RUNS_AT_ONCE:
                break
        if runs:
            self._cluster.record_runs(self._tenure.node, runs)  # first, or a second crash would lose them in silence
        self._keep_alive()  # if others took us for dead meanwhile, it is for them to say what becomes of these
        for again, ended in decided:
            self._tell_hub(self._waiting.popleft(), again, ended)

    def _tell_hub(self, rescue: Rescue, again: list[RunRecord], ended: list[Span]) -> None:
        job = rescue.record.job
        for span in ended:
            self._hub.post(Lost(job, span))
        for run in again:
            fence = self._tenure.slots[run.slot].fence
            self._hub.post(Recovered(job, run.scheduled, run.attempt, fence, run.request))
        if rescue.run is not None:
            self._over.append(rescue.run)


def _decide(rescue: Rescue) -> Decided:
    record, span, run = rescue
    job = record.job
    if not _runs_again(job) or span.outcome is Outcome.COALESCED:
        return Decided([], [span])
    try:
        instants, ended = _instants_again(job, span)
    except TRIGGER_ERRORS:  # of a user's trigger: when it was due, nobody can tell
        return Decided([], [span])
    attempt = max(1, _attempt(run)) + 1
    return Decided([RunRecord(job.id, record.slot, each, attempt, span.request) for each in instants], ended)


def _instants_again(job: Job, span: Span) -> tuple[list[int], list[Span]]:
    """Which instants of a span run again, and what becomes of the others."""
    if job.coalesce:
        last = job.last_ms(span.first, span.end - 1)
        return [last], [Span(Outcome.COALESCED, span.first, last)] if span.first < last else []
    instants = [*islice(job.instants(span.first, span.end - 1), MOST_RECOVERED)]
    following = job.next_ms(instants[-1])
    rest = following is not None and following < span.end
    return instants, [span._replace(first=following)] if rest else []  # type: ignore[arg-type]


def _uncertain(job: JobInSlot) -> list[Rescue]:
    """What of the job was in progress when its slot lost its owner."""
    try:
        return [Rescue(job.record, span) for span in uncertain_spans(job)]
    except TRIGGER_ERRORS:  # of a user's trigger: the job will be parked
        return []


def _instants(runs: Iterable[RunRecord]) -> dict[str, set[int]]:
    """The instants of these runs, by job, but for those that were asked for."""
    instants: dict[str, set[int]] = {}
    for run in runs:
        if run.request is None:
            instants.setdefault(run.job_id, set()).add(run.scheduled)
    return instants


def _parts(rescues: Iterable[Rescue], *known: Mapping[str, set[int]]) -> list[Rescue]:
    """What remains of these rescues without what is known of each job's instants."""
    remain = []
    for rescue in rescues:
        job = rescue.record.job
        instants = set().union(*(each.get(job.id, ()) for each in known))
        try:
            parts = [*parts_without(job, rescue.span, instants)]
        except TRIGGER_ERRORS:  # of a user's trigger: the job will be parked
            continue
        remain += [Rescue(rescue.record, part) for part in parts]
    return remain


def _coalesced(rescues: Sequence[Rescue], in_progress: Mapping[str, set[int]]) -> Iterator[Rescue]:
    """Where one run is to stand for all that a job has missed, it is the last of what would run again."""
    last = {job_id: max(instants) for job_id, instants in in_progress.items()}
    for rescue in rescues:
        job_id = rescue.record.job.id
        last[job_id] = max(rescue.span.first, last.get(job_id, 0))
    for rescue in rescues:
        job, span = rescue.record.job, rescue.span
        if _runs_again(job) and job.coalesce and span.first < last[job.id]:
            span = span._replace(outcome=Outcome.COALESCED)
        yield Rescue(rescue.record, span)


def _runs_again(job: Job) -> bool:
    return job.recover and job.parked is None and not job.paused


def _attempt(run: RunRecord | None) -> int:
    return 0 if run is None else run.attempt


def _stand_in(run: RunRecord, alias: str) -> JobRecord:
    """For a job that was removed while it ran: enough to say that the run is lost."""
    trigger = DateTrigger(from_ms(run.scheduled))
    return JobRecord(Job(run.job_id, None, trigger, jobstore=alias, next_run_ms=run.scheduled), run.slot, admitted=True)
