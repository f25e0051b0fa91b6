"""Slots: taking them with the jobs in them, and giving them up."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from gsched.errors import StoreError
from gsched.instants import from_ms
from gsched.job import Job
from gsched.planning import Span
from gsched.run import Outcome
from gsched.stores.base import Admitted, Dropped, HubSide, Lost, Recovered, RunsElsewhere
from gsched.stores.mongodb.cluster import Cluster, FencedError, JobRecord, NodeRecord, RunRecord, SlotRecord
from gsched.stores.mongodb.tenure import Held, Tenure
from gsched.triggers import DateTrigger

AT_ONCE = 32  # slots taken together: few round trips, and the heartbeat in between
MOST_RECOVERED = 1000  # instants of one job that are run again


class Rescue(NamedTuple):
    """Instants that were in progress on a node that died.

    :ivar run: the run, if it was written down
    """

    record: JobRecord
    span: Span
    run: RunRecord | None = None


class Slots:
    """Takes and releases slots for one tenure.

    :param keep_alive: called between steps, so that the watermark advances meanwhile
    :param look_at: told the ids of jobs that are still to be admitted, have requests, or have ended
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
        self._releasing: dict[int, int] = {}  # the same of releasing; with their fences
        self._released: dict[int, int] = {}  # until when the hub runs what is due in slots that were ours
        self._open: dict[int, int] = {}  # slots where instants up to then were late when we attached them
        self._rescues: deque[Rescue] = deque()  # what the hub does not know yet
        self._arrivals: list[tuple[JobRecord, SlotRecord]] = []  # the same: jobs of slots that we attached
        self._rescued: set[RunRecord] = set()  # runs that were taken over, which is not noted in the database yet
        self._over: list[RunRecord] = []  # those of them that the hub knows
        self._elsewhere: Counter[str] = Counter()  # runs in progress on nodes that had our slots before, by job

    def take(self, numbers: Collection[int]) -> None:
        """Take those of the slots that are free, with what was in progress in them on dead nodes."""
        ordered = sorted(numbers)
        for start in range(0, len(ordered), AT_ONCE):
            self._keep_alive()
            taken = self._cluster.take_slots(self._tenure.node, ordered[start : start + AT_ONCE])
            if taken:
                self._load({slot.number: slot for slot in taken})

    @property
    def unsettled(self) -> bool:
        """Whether the hub does not know yet all that is due, or in progress, in the slots that are attached."""
        return bool(self._rescues or self._arrivals)

    def may_be_taken(self, number: int, now: int) -> bool:
        """Whether the hub has run all that was claimed in the slot when it was ours before, if it was."""
        if self._released.get(number, now) < now:
            del self._released[number]
        return number not in self._released

    def settle(self) -> None:
        """Bring to an end what an error left open. The watermark must not advance before: it would cover, or not
        cover, slots about which we do not know whether they are attached."""
        if self._releasing:
            self._release_in_database()
        if self._attaching:
            self._load({slot.number: slot for slot in self._attaching})
        self._tell_hub()

    def release(self, numbers: Collection[int]) -> None:
        """Give slots up; what is due in them up to the watermark is still run here."""
        self._releasing.update((number, self._tenure.slots[number].fence) for number in numbers)
        for number in numbers:
            self._open.pop(number, None)
            self._released[number] = self._tenure.watermark
        for job_id in self._tenure.let_go(numbers):
            self._hub.post(Dropped(job_id, self._tenure.watermark))
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

    def _load(self, slots: dict[int, SlotRecord]) -> None:
        """Read the jobs of slots that we own, then attach the slots, then run the jobs."""
        found: list[JobRecord] = []
        for batch in self._cluster.jobs_in(slots.keys(), self._tenure.horizon):
            found += batch
            if not self._attaching:
                self._keep_alive()
        nodes = self._cluster.nodes()
        dead = [node.id for node in nodes if not node.alive]  # by now
        written = self._written_runs(slots.keys(), dead)
        self._note_elsewhere(self._elsewhere | self._runs_elsewhere(nodes, slots.keys()))
        requested = self._cluster.requested(slots.keys())
        self._attaching = list(slots.values())
        attached = self._cluster.attach_slots(self._tenure.node, slots.keys(), self._tenure.watermark)
        self._attaching = []
        self._open.update(dict.fromkeys(attached, self._tenure.watermark))
        for number in attached:
            self._tenure.hold(number, Held(slots[number].fence, slots[number].watermark))
        self._look_at(requested)
        ours = [record for record in found if record.slot in attached]
        self._rescues += _uncertain_runs((record for record in ours if record.admitted), slots, written)
        self._take_over(run for run in written if run.record.slot in attached)
        self._arrivals += ((record, slots[record.slot]) for record in ours)
        self._tell_hub()

    def _tell_hub(self) -> None:
        """Of a job that runs again, what was in progress before what is due: else that would take its place among the
        job's instances. Others do not wait until it is written down what runs again."""
        again = {rescue.record.job.id for rescue in self._rescues if rescue.record.job.recover}
        arrivals, self._arrivals = self._arrivals, [each for each in self._arrivals if each[0].job.id in again]
        self._announce(each for each in arrivals if each[0].job.id not in again)
        self._rescue_all()
        arrivals, self._arrivals = self._arrivals, []
        self._announce(arrivals)

    def _announce(self, arrivals: Iterable[tuple[JobRecord, SlotRecord]]) -> None:
        for record, slot in arrivals:
            if record.slot in self._tenure.slots:
                try:
                    self._run(record, slot)
                except Exception:  # of a user's trigger: the job will be parked
                    self._look_at([record.job.id])

    def _run(self, record: JobRecord, slot: SlotRecord) -> None:
        job, due = record.job, first_after(record, slot.watermark)
        if record.admitted and record.is_late:
            self._tenure.late[job.id] = record.late_until
        if not record.admitted or job.parked is not None or record.was_parked is not None or due is None:
            # A job whose trigger has ended is removed as soon as the hub has it: after what is rescued of it.
            self._look_at([job.id])
        if not record.admitted or job.parked is not None or due is None:
            return
        self._tenure.know(record)
        self._hub.post(Admitted(job, due, slot.fence))

    # -- what is still in progress on nodes that live ---------------------------------------------------------------

    def look_elsewhere(self, nodes: Collection[NodeRecord]) -> None:
        """See which of the runs have ended that were in progress where our jobs were before."""
        if self._elsewhere:
            self._note_elsewhere(self._runs_elsewhere(nodes, self._tenure.slots.keys()))

    def _runs_elsewhere(self, nodes: Collection[NodeRecord], numbers: Collection[int]) -> Counter[str]:
        # A node writes down what is in progress in a slot before it gives the slot away.
        others = [node.id for node in nodes if node.alive and node.id != self._tenure.node]
        return Counter(run.job_id for run in self._cluster.runs_of(others, numbers)) if others else Counter()

    def _note_elsewhere(self, counts: Counter[str]) -> None:
        if counts != self._elsewhere:
            self._elsewhere = counts
            self._hub.post(RunsElsewhere(counts))

    # -- what was in progress on nodes that are dead --------------------------------------------------------------

    def take_over_runs(self, numbers: Collection[int], dead: Collection[str]) -> None:
        """Runs that dead nodes wrote down are run again, or lost, as their jobs say."""
        self._take_over(self._written_runs([number for number in numbers if number in self._tenure.slots], dead))
        self._rescue_all()

    def _written_runs(self, numbers: Collection[int], dead: Collection[str]) -> list[Rescue]:
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

    def _take_over(self, written: Iterable[Rescue]) -> None:
        rescues = sorted(written, key=lambda rescue: -_attempt(rescue.run))
        seen: set[RunRecord] = set()
        for rescue in rescues:
            waits = rescue.span.request in dict(rescue.record.requests)  # it had not begun: it is still asked for
            if rescue.run is None or waits or rescue.run in self._rescued:
                continue
            self._rescued.add(rescue.run)
            first = rescue.run._replace(attempt=1)
            if first in seen:  # who ran it again has died, too, before it said that this attempt is lost
                self._over.append(rescue.run)
            else:
                seen.add(first)
                self._rescues.append(rescue)

    def _rescue_all(self) -> None:
        """Run again what is to be run again, say of the rest that it is lost, then note that in the database."""
        while self._rescues:
            try:
                self._rescue(*self._rescues[0])
            except (StoreError, FencedError):
                raise
            except Exception:  # of a user's trigger: when it was due, nobody can tell
                self._hub.post(Lost(self._rescues[0].record.job, self._rescues[0].span))
            rescued = self._rescues.popleft()
            if rescued.run is not None:
                self._over.append(rescued.run)
        if self._over:
            self._cluster.lose_runs(self._over)
            self._rescued.difference_update(self._over)
            self._over = []

    def _rescue(self, record: JobRecord, span: Span, run: RunRecord | None) -> None:
        job, attempt = record.job, 1 if run is None else run.attempt
        if not job.recover or job.parked is not None:
            self._hub.post(Lost(job, span))
            return
        if job.coalesce:
            instants = [job.last_ms(span.first, span.end - 1)]
            spans = [Span(Outcome.COALESCED, span.first, instants[0])]
        else:
            instants = [*islice(job.instants(span.first, span.end - 1), MOST_RECOVERED)]
            following = job.next_ms(instants[-1])
            spans = [] if following is None else [span._replace(first=following)]
        runs = [RunRecord(job.id, record.slot, instant, attempt + 1, span.request) for instant in instants]
        self._cluster.record_runs(self._tenure.node, runs)  # first, or a second crash would lose them in silence
        self._keep_alive()  # if others took us for dead meanwhile, it is for them to run these
        for each in spans:
            if each.first < each.end:
                self._hub.post(Lost(job, each))
        for instant in instants:
            fence = self._tenure.slots[record.slot].fence
            self._hub.post(Recovered(job, instant, attempt + 1, fence, span.request))


def _uncertain_runs(
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


def first_after(record: JobRecord, watermark: int) -> int | None:
    """The first instant of an admitted job that `watermark` does not cover: the stored time is a lower bound."""
    stored = record.job.next_run_ms
    return stored if stored is None or stored > watermark else record.job.next_ms(watermark)


def uncertain(record: JobRecord, slot: SlotRecord) -> list[Span]:
    """The instants of an admitted job that were claimed but are not known to have ended."""
    spans, covered = [], slot.acked
    stored = record.job.next_run_ms
    if stored is not None and record.is_late:
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
