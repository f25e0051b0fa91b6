"""Rescue: what was in progress on nodes that died is run again, or said to be lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from gsched.instants import from_ms
from gsched.job import Job
from gsched.planning import Span
from gsched.run import Outcome
from gsched.stores.base import HubSide, Lost, Recovered
from gsched.stores.mongodb.cluster import Cluster, JobRecord, RunRecord, SlotRecord
from gsched.stores.mongodb.tenure import Tenure
from gsched.triggers import DateTrigger

RUNS_AT_ONCE = 500  # written down together before they are run again
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

    def written_by(self, dead: Collection[str], numbers: Collection[int]) -> list[Rescue]:
        """The runs of jobs in these slots that dead nodes wrote down."""
        runs = self._cluster.runs_of(dead, numbers) if numbers and dead else ()
        jobs = self._cluster.read_jobs({run.job_id for run in runs}) if runs else {}
        return [
            Rescue(
                jobs.get(run.job_id) or _stand_in(run),
                Span(Outcome.LOST, run.scheduled, run.scheduled + 1, request=run.request),
                run,
            )
            for run in runs
        ]

    def take_uncertain(self, records: Iterable[JobRecord], slots: dict[int, SlotRecord], written: list[Rescue]) -> None:
        """What was claimed in these slots and is not known to have ended is to be rescued, but for what is written."""
        self._waiting += uncertain_runs(records, slots, written)

    def take_written(self, written: Iterable[Rescue]) -> None:
        """These runs are to be rescued, unless they are already."""
        seen: set[RunRecord] = set()
        for rescue in sorted(written, key=lambda rescue: -_attempt(rescue.run)):
            waits = rescue.span.request in dict(rescue.record.requests)  # it had not begun: it is still asked for
            if rescue.run is None or waits or rescue.run in self._taken:
                continue
            self._taken.add(rescue.run)
            first = rescue.run._replace(attempt=1)
            if first in seen:  # who ran it again has died, too, before it said that this attempt is lost
                self._over.append(rescue.run)
            else:
                seen.add(first)
                self._waiting.append(rescue)

    def settle(self) -> None:
        """Run again what is to be run again, say of the rest that it is lost, then note that in the database."""
        while self._waiting:
            self._settle_some()
        if self._over:
            self._cluster.lose_runs(self._over)
            self._taken.difference_update(self._over)
            self._over = []

    def _settle_some(self) -> None:
        decided: list[Decided] = []
        for rescue in self._waiting:
            if sum(len(each.again) for each in decided) >= RUNS_AT_ONCE:
                break
            decided.append(_decide(rescue))
        runs = [run for each in decided for run in each.again]
        if runs:
            self._cluster.record_runs(self._tenure.node, runs)  # first, or a second crash would lose them in silence
            self._keep_alive()  # if others took us for dead meanwhile, it is for them to run these
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
    if not job.recover or job.parked is not None:
        return Decided([], [span])
    try:
        instants, ended = _instants_again(job, span)
    except Exception:  # of a user's trigger: when it was due, nobody can tell
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


def uncertain_runs(
    records: Iterable[JobRecord], slots: dict[int, SlotRecord], written: Iterable[Rescue]
) -> Iterator[Rescue]:
    """What was in progress when the slots lost their owner, but for the runs that were written down."""
    known: dict[str, set[int]] = {}
    for run in written:
        if run.span.request is None:
            known.setdefault(run.record.job.id, set()).add(run.span.first)
    for record in records:
        try:
            spans = uncertain(record, slots[record.slot])
            parts = [part for span in spans for part in _without(record.job, span, known.get(record.job.id, ()))]
        except Exception:  # of a user's trigger: the job will be parked
            continue
        yield from (Rescue(record, part) for part in parts)


def _attempt(run: RunRecord | None) -> int:
    return 0 if run is None else run.attempt


def _stand_in(run: RunRecord) -> JobRecord:
    """For a job that was removed while it ran: enough to say that the run is lost."""
    trigger = DateTrigger(from_ms(run.scheduled))
    return JobRecord(Job(run.job_id, None, trigger, next_run_ms=run.scheduled), run.slot, admitted=True)


def uncertain(record: JobRecord, slot: SlotRecord) -> list[Span]:
    """The instants of an admitted job that were claimed but are not known to have ended."""
    spans, covered = [], slot.acked
    stored = record.job.next_run_ms
    if stored is not None and record.is_late:
        spans.append(Span(Outcome.LOST, stored, record.late_until + 1))
        covered = max(covered, record.late_until)
    first = record.first_after(covered)
    if first is not None and first <= slot.watermark:
        spans.append(Span(Outcome.LOST, first, slot.watermark + 1))
    return spans


def _without(job: Job, span: Span, instants: Iterable[int]) -> Iterator[Span]:
    """The parts of a span between these instants."""
    first: int | None = span.first
    for instant in sorted(instants):
        if first is not None and first <= instant < span.end:
            if first < instant:
                yield span._replace(first=first, end=instant)
            first = job.next_ms(instant)
    if first is not None and first < span.end:
        yield span._replace(first=first)
