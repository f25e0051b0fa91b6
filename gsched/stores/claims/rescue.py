"""Rescue: the runs that were in progress on dead nodes run again, or are lost, depending on their job's `recover`."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from gsched.event_loop.batches import batches
from gsched.event_loop.slices import paced
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome, Reason, Span
from gsched.stores.claims.database import JobRecord, RunRecord, SlotRecord, WaitingRun
from gsched.stores.claims.partition import slot_of_job
from gsched.stores.claims.session import Session
from gsched.stores.messages import BegunElsewhere, ExtraRun, Lost
from gsched.times.instants import from_ms
from gsched.triggers import DateTrigger
from gsched.triggers.base import TRIGGER_ERRORS

RUNS_AT_ONCE = 500  # runs recorded in one write, before they run again
RESCUES_AT_ONCE = 1000  # rescues between two heartbeats
MOST_RECOVERED = 1000  # instants of one job that run again


class JobInSlot(NamedTuple):
    """An admitted job, and its slot as its taker finds it.

    :ivar later: if this is a former schedule, those that followed it. Instants that they share are theirs
    """

    record: JobRecord
    slot: SlotRecord
    later: tuple[JobRecord, ...] = ()


class Rescue(NamedTuple):
    """Instants that were in progress on a dead node. Those whose outcome is `retried` only count for `max_runs`.

    :ivar run: the recorded run, if there is one
    """

    record: JobRecord
    span: Span
    run: RunRecord | None = None


class Decided(NamedTuple):
    """The result of a rescue: the runs that begin again, and the instants that end with an outcome."""

    again: list[RunRecord]
    ended: list[Span]


class Rescues:
    """The rescues on their way to the hub."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._waiting: deque[Rescue] = deque()
        self._taken: set[RunRecord] = set()  # recorded runs that were taken over and are not marked as ended yet
        self._over: dict[RunRecord, Outcome] = {}  # how those of them ended that the hub has

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def come_first(self) -> set[str]:
        """The ids of jobs that the hub gets after their rescues: those with runs that begin again, which would find no
        free instance, and those that end after so many runs, of which the rescued ones are some."""
        jobs = (rescue.record.job for rescue in self._waiting)
        return {job.id for job in jobs if job.recover or job.policy.max_runs is not None}

    def recorded(self, runs: Sequence[RunRecord]) -> list[Rescue]:
        """The rescues of these runs, which dead nodes recorded."""
        if not runs:
            return []
        jobs = self._session.database.read_jobs({run.job_id for run in runs})
        later = self._later_attempts({run.slot for run in runs}, min(run.scheduled for run in runs))
        return [
            Rescue(
                _in_slot_of(run, jobs.get(run.job_id)) or _stand_in(run, self._session.hub.alias),
                Span(Outcome.LOST, run.scheduled, run.scheduled + 1, None, run.request, run.attempt),
                run,
            )
            for run in self._without_followed(runs, later)
        ]

    def _later_attempts(self, numbers: Collection[int], since: int) -> Collection[RunRecord]:
        return self._session.database.later_attempts(numbers, since)

    def _without_followed(self, runs: Sequence[RunRecord], later: Collection[RunRecord]) -> list[RunRecord]:
        """The runs without those attempts that others follow: what becomes of the run is theirs."""
        followers = {(run.of, run.attempt): run for run in later}
        last: dict[tuple[str, int, str | None], int] = {}
        for run in later:
            last[run.of] = max(run.attempt, last.get(run.of, 0))
        alone = []
        for run in runs:
            if last.get(run.of, 0) <= run.attempt:
                alone.append(run)
            else:
                next_one = followers.get((run.of, run.attempt + 1))
                failed = next_one is not None and next_one.is_retry
                self._over[run] = Outcome.RETRIED if failed else Outcome.LOST
        return alone

    def uncertain(self, jobs: Iterable[JobInSlot], recorded: Iterable[Rescue]) -> list[Rescue]:
        """The rescues of instants that were in progress when the slots lost their owner.

        They leave out recorded runs, instants with a later attempt than the first and, for jobs that recover, instants
        that have a record of how they ended.
        """
        rescues: list[Rescue] = []
        for job in paced(jobs):
            rescues += _uncertain(job)
        in_progress = _instants(rescue.run for rescue in recorded if rescue.run is not None)
        if not rescues:
            return []
        since = min(rescue.span.first for rescue in rescues)
        ended = _instants(self._ended((rescue.record.job for rescue in rescues), since))
        followed = _instants(self._later_attempts({rescue.record.slot for rescue in rescues}, since))
        remain = _coalesced(_parts(rescues, in_progress, ended, followed), in_progress)
        return [*remain, *_begun_before(rescues, followed)]

    def _ended(self, jobs: Iterable[Job], since: int) -> Iterator[RunRecord]:
        """The runs since then that have a record of how they ended, for those of the jobs that recover."""
        for some in batches({job.id: None for job in jobs if job.recover}, RUNS_AT_ONCE):
            yield from self._session.database.ended_runs(some, since)

    def take(self, rescues: Iterable[Rescue]) -> None:
        """Take these rescues, without those that were taken before."""
        for rescue in _in_order(rescues):
            if rescue.run is None:
                self._waiting.append(rescue)
            elif rescue.run not in self._taken:
                self._taken.add(rescue.run)
                self._waiting.append(rescue)

    def settle(self) -> None:
        """Hand the hub what runs again and what is lost. Mark recorded runs as ended in the database once the hub has
        read that: a hub that has stopped reads nothing."""
        while self._waiting:
            self._settle_some()
        if self._over and not self._session.hub.unread():
            for outcome in dict.fromkeys(self._over.values()):
                self._session.database.end_runs([run for run in self._over if self._over[run] is outcome], outcome)
            self._taken.difference_update(self._over)
            self._over = {}

    def _settle_some(self) -> None:
        decided: list[Decided] = []
        runs: list[RunRecord] = []
        for rescue in paced(islice(self._waiting, RESCUES_AT_ONCE)):
            decided.append(_decide(rescue))
            runs += decided[-1].again
            if len(runs) >= RUNS_AT_ONCE:
                break
        here = [run for run in runs if run.slot in self._session.holdings.slots]
        if here:
            # Before the hub has them: else a second crash would lose them without an outcome.
            self._session.database.record_runs(self._session.node, here)
        if len(here) < len(runs):
            self._leave_to_others([run for run in runs if run not in here])
        self._session.beat()  # raises if this node is dead by now: then its successor decides these rescues
        for again, ended in decided:
            self._post(self._waiting.popleft(), again, ended)

    def _leave_to_others(self, runs: Iterable[RunRecord]) -> None:
        """Let runs wait whose jobs have other groups by now: the owners of the jobs' slots begin them."""
        waiting = [WaitingRun(run, run.scheduled) for run in runs]
        announce = {each.run.job_id for each in waiting}
        self._session.database.add_waiting(self._session.node, waiting, announce)

    def _post(self, rescue: Rescue, again: list[RunRecord], ended: list[Span]) -> None:
        job = rescue.record.job
        for span in ended:
            message = BegunElsewhere if span.outcome is Outcome.RETRIED else Lost
            self._session.hub.post(message(job, span, rescue.record.tally))
        for run in again:
            if run.slot not in self._session.holdings.slots:
                continue
            fence, taken_at = self._session.holdings.slots[run.slot]
            about = (job, run.scheduled, None, fence, *run[3:])
            self._session.hub.post(ExtraRun(*about, tally=rescue.record.tally, reported_until=taken_at))
        if rescue.run is not None:
            self._over[rescue.run] = Outcome.LOST


def _in_order(rescues: Iterable[Rescue]) -> list[Rescue]:
    """These rescues; those of jobs with `max_runs` by their instants. A tally takes all instants before its last one
    for counted, so an earlier instant that comes later would not count."""
    counted: list[Rescue] = []
    others: list[Rescue] = []
    for rescue in rescues:
        (others if rescue.record.job.policy.max_runs is None else counted).append(rescue)
    return [*others, *sorted(counted, key=lambda rescue: rescue.span.first)]


def _decide(rescue: Rescue) -> Decided:
    record, span, run = rescue
    job = record.job
    if not _runs_again(job) or span.outcome is not Outcome.LOST:
        return Decided([], [span])
    tries, recoveries = (0, 0) if run is None else (run.tries, run.recoveries)
    if job.policy.recoveries is not None and recoveries >= job.policy.recoveries:
        return Decided([], [span._replace(reason=Reason.RECOVERED_TOO_OFTEN)])
    try:
        instants, ended = _instants_again(job, span)
    except TRIGGER_ERRORS:  # of a user's trigger: its instants cannot be computed
        return Decided([], [span])
    attempt = 2 if run is None else run.attempt + 1
    again = RunRecord(job.id, slot_of_job(job), 0, attempt, span.request, tries, recoveries + 1)
    return Decided([again._replace(scheduled=each) for each in instants], ended)


def _instants_again(job: Job, span: Span) -> tuple[list[int], list[Span]]:
    """The instants of a span that run again, and the outcomes of all other instants."""
    if job.coalesce:
        last = job.last_ms(span.first, span.end - 1)
        return [last], [Span(Outcome.COALESCED, span.first, last)] if span.first < last else []
    instants = [*islice(job.instants(span.first, span.end - 1), MOST_RECOVERED)]
    following = job.next_ms(instants[-1])
    rest = following is not None and following < span.end
    return instants, [span._replace(first=following)] if rest else []  # type: ignore[arg-type]


def _uncertain(job: JobInSlot) -> list[Rescue]:
    """The instants of the job that were in progress when its slot lost its owner."""
    try:
        return [Rescue(job.record, span) for span in uncertain_spans(job)]
    except TRIGGER_ERRORS:  # of a user's trigger: the job will be parked
        return []


def _instants(runs: Iterable[RunRecord]) -> dict[str, set[int]]:
    """The instants of these runs, by job, without runs on request."""
    instants: dict[str, set[int]] = {}
    for run in runs:
        if run.request is None:
            instants.setdefault(run.job_id, set()).add(run.scheduled)
    return instants


def _parts(rescues: Iterable[Rescue], *known: Mapping[str, set[int]]) -> list[Rescue]:
    """These rescues without the instants that are known, by job."""
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


def _begun_before(rescues: Iterable[Rescue], followed: Mapping[str, set[int]]) -> Iterator[Rescue]:
    """The instants of these rescues that later attempts follow, of jobs with `max_runs`. The dead node may have added
    the later attempt, and not the count."""
    for record, span, _ in rescues:
        instants = followed.get(record.job.id, ()) if record.job.policy.max_runs is not None else ()
        for instant in instants:
            if span.first <= instant < span.end:
                yield Rescue(record, Span(Outcome.RETRIED, instant, instant + 1))


def _coalesced(rescues: Sequence[Rescue], in_progress: Mapping[str, set[int]]) -> Iterator[Rescue]:
    """The rescues with `coalesce` applied: of a job that coalesces, only the last instant runs again."""
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
    return bool(job.recover) and job.parked is None and not job.paused


def _in_slot_of(run: RunRecord, record: JobRecord | None) -> JobRecord | None:
    """The job as if it were still in the slot in which its run began: this node owns that slot."""
    return None if record is None else record._replace(slot=run.slot)


def _stand_in(run: RunRecord, alias: str) -> JobRecord:
    """Stands for a job that was removed while it ran: enough to report that the run is lost."""
    trigger = DateTrigger(from_ms(run.scheduled))
    return JobRecord(Job(run.job_id, None, trigger, jobstore=alias, next_run_ms=run.scheduled), run.slot, admitted=True)


# -- the uncertain instants of a job: claimed by the dead node, and not known to have ended ---------------------------


def uncertain_spans(job: JobInSlot) -> list[Span]:
    """The instants of an admitted job that were claimed but are not known to have ended."""
    spans = _claimed_spans(job.record, job.slot)
    if not job.later:
        return spans
    return [part for span in spans for part in parts_without(job.record.job, span, _shared(job, span))]


def _shared(job: JobInSlot, span: Span) -> Iterator[int]:
    """The instants of a span that a later schedule of the job has, too."""
    first = min((each.begins for each in job.later if each.begins is not None), default=span.end)
    for instant in job.record.job.instants(max(first, span.first), span.end - 1):
        if any(each.is_due_at(instant) for each in job.later):
            yield instant


def _claimed_spans(record: JobRecord, slot: SlotRecord) -> list[Span]:
    spans, covered = [], slot.acked
    stored = record.job.next_run_ms
    if stored is not None and record.is_late:
        spans.append(Span(Outcome.LOST, stored, record.late_until + 1))
        covered = max(covered, record.late_until)
    first = record.first_after(covered)
    if first is not None and first <= slot.watermark:
        spans.append(Span(Outcome.LOST, first, slot.watermark + 1))
    return [*_begun(record, spans)]


def _begun(record: JobRecord, spans: Iterable[Span]) -> Iterator[Span]:
    """The spans without instants that cannot have begun, because the job had had all its runs before."""
    most, tally = record.job.policy.max_runs, record.tally
    if most is None or tally is None or tally.runs < most:
        yield from spans
        return
    for span in spans:
        if span.first <= tally.until:
            yield span._replace(end=min(span.end, tally.until + 1))


def parts_without(job: Job, span: Span, instants: Iterable[int]) -> Iterator[Span]:
    """The parts of a span that remain without these instants."""
    first: int | None = span.first
    for instant in sorted(instants):
        if first is not None and first <= instant < span.end:
            if first < instant:
                yield span._replace(first=first, end=instant)
            first = job.next_ms(instant)
    if first is not None and first < span.end:
        yield span._replace(first=first)
