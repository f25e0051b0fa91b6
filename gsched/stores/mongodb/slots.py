"""Slots: taking them with the jobs in them, and giving them up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice

from gsched.job import Job
from gsched.planning import Span
from gsched.run import Outcome
from gsched.stores.base import Admitted, Dropped, HubSide, Lost, Recovered
from gsched.stores.mongodb.cluster import Cluster, JobRecord, RunRecord, SlotRecord
from gsched.stores.mongodb.tenure import Held, Tenure

AT_ONCE = 32  # slots taken together: few round trips, and the heartbeat in between
MOST_RECOVERED = 1000  # instants of one job that are run again


class Slots:
    """Takes and releases slots for one tenure.

    :param keep_alive: called between steps, so that the watermark advances meanwhile
    :param look_at: told the ids of jobs that are still to be admitted or have requests
    """

    def __init__(
        self,
        cluster: Cluster,
        tenure: Tenure,
        hub: HubSide,
        keep_alive: Callable[[], None],
        look_at: Callable[[Iterable[str]], None],
    ) -> None:
        self._cluster = cluster
        self._tenure = tenure
        self._hub = hub
        self._keep_alive = keep_alive
        self._look_at = look_at
        self._attaching: list[SlotRecord] = []  # an attempt to attach these may or may not have happened
        self._dead: Collection[str] = ()  # the nodes that were known to be dead then
        self._releasing: set[int] = set()  # the same of releasing
        self._open: dict[int, int] = {}  # slots where instants up to then were late when we attached them

    def take(self, numbers: Collection[int], dead: Collection[str]) -> None:
        """Take those of the slots that are free, with what was in progress in them on dead nodes."""
        ordered = sorted(numbers)
        for start in range(0, len(ordered), AT_ONCE):
            self._keep_alive()
            taken = self._cluster.take_slots(self._tenure.node, ordered[start : start + AT_ONCE])
            if taken:
                self._load({slot.number: slot for slot in taken}, dead)

    def settle(self) -> None:
        """Bring to an end what an error left open. The watermark must not advance before: it would cover, or not
        cover, slots about which we do not know whether they are attached."""
        if self._releasing:
            self._release_in_database()
        if self._attaching:
            self._load({slot.number: slot for slot in self._attaching}, self._dead)

    def release(self, numbers: Collection[int]) -> None:
        """Give slots up; what is due in them up to the watermark is still run here."""
        for number in numbers:
            self._open.pop(number, None)
            for job_id in self._tenure.let_go(number):
                self._hub.post(Dropped(job_id, self._tenure.watermark))
        self._releasing.update(numbers)
        self._release_in_database()

    def close(self, ended_until: int) -> None:
        """Everything up to this time has ended."""
        closed = [number for number, until in self._open.items() if until <= ended_until]
        if closed:
            self._cluster.close_slots(self._tenure.node, closed)
            for number in closed:
                del self._open[number]

    def _release_in_database(self) -> None:
        self._cluster.release_slots(self._tenure.node, self._releasing, self._tenure.watermark)
        self._releasing.clear()

    def _load(self, slots: dict[int, SlotRecord], dead: Collection[str]) -> None:
        """Read the jobs of slots that we own, then attach the slots, then run the jobs."""
        found: list[JobRecord] = []
        for batch in self._cluster.jobs_in(slots.keys(), self._tenure.horizon):
            found += batch
            if not self._attaching:
                self._keep_alive()
        self._attaching, self._dead = list(slots.values()), dead
        attached = self._cluster.attach_slots(self._tenure.node, slots.keys(), self._tenure.watermark)
        self._attaching = []
        self._open.update(dict.fromkeys(attached, self._tenure.watermark))
        for number in attached:
            self._tenure.hold(number, Held(slots[number].fence, slots[number].watermark))
        ours = [record for record in found if record.slot in attached]
        for record in ours:
            self._run(record, slots[record.slot])
        runs = self._runs_of(dead, attached)
        self._recover((record for record in ours if record.admitted), slots, runs)
        self._take_over(runs)

    def _run(self, record: JobRecord, slot: SlotRecord) -> None:
        job = record.job
        if not record.admitted or record.requests or job.parked is not None or record.was_parked is not None:
            self._look_at([job.id])
        if not record.admitted or job.parked is not None:
            return
        self._tenure.know(record)
        self._hub.post(Admitted(job, first_after(record, slot.watermark), slot.fence))

    def _recover(
        self, records: Iterable[JobRecord], slots: dict[int, SlotRecord], runs: Iterable[RunRecord]
    ) -> None:
        """What was in progress when the slots lost their owner is run again, or lost, as its job says.

        Not what was written down: that is taken over by itself.
        """
        written: dict[str, set[int]] = {}
        for run in runs:
            if run.request is None:
                written.setdefault(run.job_id, set()).add(run.scheduled)
        for record in records:
            for span in uncertain(record, slots[record.slot]):
                for part in _without(record.job, span, written.get(record.job.id, ())):
                    self._rescue(record, part, 1, None)

    def take_over_runs(self, numbers: Collection[int], dead: Collection[str]) -> None:
        """Runs that dead nodes wrote down are run again, or lost, as their jobs say."""
        self._take_over(self._runs_of(dead, [number for number in numbers if number in self._tenure.slots]))

    def _runs_of(self, dead: Collection[str], numbers: Collection[int]) -> Sequence[RunRecord]:
        return self._cluster.runs_of(dead, numbers) if numbers and dead else ()

    def _take_over(self, runs: Sequence[RunRecord]) -> None:
        jobs = self._cluster.read_jobs({run.job_id for run in runs})
        for run in runs:
            record = jobs.get(run.job_id)
            if record is not None:
                span = Span(Outcome.LOST, run.scheduled, run.scheduled + 1)
                self._rescue(record, span, run.attempt, run.request)
        self._cluster.lose_runs(runs)

    def _rescue(self, record: JobRecord, span: Span, attempt: int, request: str | None) -> None:
        job = record.job
        if not job.recover or job.parked is not None:
            self._hub.post(Lost(job, span))
            return
        if job.coalesce:
            instants = [job.last_ms(span.first, span.end - 1)]
            spans = [Span(Outcome.COALESCED, span.first, instants[0])]
        else:
            instants = [*islice(_instants(job, span), MOST_RECOVERED)]
            following = job.next_ms(instants[-1])
            spans = [] if following is None else [span._replace(first=following)]
        runs = [RunRecord(job.id, record.slot, instant, attempt + 1, request) for instant in instants]
        self._cluster.record_runs(self._tenure.node, runs)  # first, or a second crash would lose them in silence
        for each in spans:
            if each.first < each.end:
                self._hub.post(Lost(job, each))
        for instant in instants:
            self._hub.post(Recovered(job, instant, attempt + 1, self._tenure.slots[record.slot].fence, request))


def first_after(record: JobRecord, watermark: int) -> int | None:
    """The first instant of an admitted job that `watermark` does not cover: the stored time is a lower bound."""
    stored = record.job.next_run_ms
    return stored if stored is None or stored > watermark else record.job.next_ms(watermark)


def uncertain(record: JobRecord, slot: SlotRecord) -> list[Span]:
    """The instants of an admitted job that were claimed but are not known to have ended."""
    spans, covered = [], slot.acked
    stored = record.job.next_run_ms
    if stored is not None and stored <= record.late_until:
        spans.append(Span(Outcome.LOST, stored, record.late_until + 1))
        covered = max(covered, record.late_until)
    first = first_after(record, covered)
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


def _instants(job: Job, span: Span) -> Iterator[int]:
    instant: int | None = span.first
    while instant is not None and instant < span.end:
        yield instant
        instant = job.next_ms(instant)
