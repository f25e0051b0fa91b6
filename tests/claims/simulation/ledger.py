"""The ledger: who decided what about which instant, and what is wrong with that."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gsched.jobs.job import Job
from gsched.jobs.limits import NO_LIMITS, GroupLimit
from gsched.jobs.outcomes import Outcome, Reason, Result, Retried, Span
from gsched.jobs.run import Run
from gsched.stores.claims.database import RunRecord
from gsched.stores.claims.partition import slot_of_job
from gsched.triggers import DateTrigger

if TYPE_CHECKING:
    from .cluster import Database, NodeDocument
    from .process import Process
    from .world import World

GIVEN_UP = (Reason.REMOVED_OR_PAUSED, Reason.RESCHEDULED)  # what only users bring about
MARGIN = 1_000  # ms before the end that are not looked at: on their way
MOST_LATE = 80  # ms, of a node that nothing disturbs

@dataclass
class Generation:
    """A job as it was due from one write to the next one that concerned when it is due.

    :ivar began_at: when it was written
    :ivar life: which of the jobs that have had this id, one after the other
    """

    job: Job
    began_at: int
    life: int = 0
    ended_at: int | None = None

    @property
    def began_after_pause(self) -> bool:
        return self.job.pause is not None and not self.job.paused

    def instants(self, until: int) -> Iterator[int]:
        due = self.job.next_run_ms
        while due is not None and due <= until:
            yield due
            due = self.job.next_ms(due)

    def stands_for(self, instant: int) -> int:
        """A date is one instant, wherever pauses move it; any other instant stands for itself."""
        date = self.job.trigger.next_ms(-1) if isinstance(self.job.trigger, DateTrigger) else None
        return instant if date is None or instant != self.job.next_run_ms else date

    def same_as(self, instant: int) -> int | None:
        """Its instant that stands for this one; None if it has none."""
        first = self.job.next_run_ms
        if first is not None and self.stands_for(first) == instant:
            return first
        return instant if self.is_due_at(instant) and self.stands_for(instant) == instant else None

    def is_due_at(self, instant: int) -> bool:
        first = self.job.next_run_ms
        return first is not None and (
            instant == first or (instant > first and self.job.next_ms(instant - 1) == instant)
        )


@dataclass(repr=False)
class Dispatch:
    process: Process
    node: str | None
    attempt: int
    at: int
    ended: bool = False  # and the database says so, if it says so of such an end
    followed: bool = False  # it has failed, and another attempt follows, or is to

    def __repr__(self) -> str:
        return f"{self.node}#{self.attempt}{' ended' if self.ended else ''}"


@dataclass(eq=False)
class Decision:
    """Instants that ended without a run."""

    outcome: Outcome
    process: Process
    stored: bool = False

    def store(self) -> None:
        """The database says so, if it says so of such an outcome."""
        self.stored = True


@dataclass
class Request:
    job: Job
    at: int
    dispatches: list[Dispatch] = field(default_factory=list)
    reported: bool = False


class Ledger:
    """Records what the hubs decide.

    :ivar problems: what must not be
    :ivar punctual_from: what is due after this time has to run on time, because nothing disturbs the nodes; None if
        something does
    """

    def __init__(self, world: World, database: Database) -> None:
        self._world = world
        self._db = database
        self.processes: list[Process] = []
        self.problems: list[str] = []
        self.count = 0
        self.punctual_from: int | None = None
        self._generations: dict[int, Generation] = {}
        self._current: dict[str, int] = {}
        self._latest: dict[str, Generation] = {}  # of each job, of those in which it was due
        self._lives: Counter[str] = Counter()  # how many jobs with this id were removed
        self._gone: dict[str, int] = {}  # when jobs were removed or paused last
        self._runs: defaultdict[tuple[int, int], list[Dispatch]] = defaultdict(list)
        self._outcomes: defaultdict[tuple[int, int], list[Decision]] = defaultdict(list)
        self._requests: dict[str, Request] = {}
        self._buried: dict[str, int] = {}
        self._begun: defaultdict[tuple[str, int], set[int]] = defaultdict(set)  # by job and life
        self._added: dict[tuple[str, int], int] = {}
        self._lost: defaultdict[tuple[str, int], set[int]] = defaultdict(set)  # of these, or perhaps of these
        self._last_end: dict[str, int] = {}  # of each job's runs
        self.regrouped: set[str] = set()  # jobs that have had several groups
        self.limits = NO_LIMITS
        self._starts: defaultdict[str, list[int]] = defaultdict(list)  # of runs of a group with a rate
        self._in_progress: defaultdict[str, dict[Run, tuple[Process, str | None]]] = defaultdict(dict)

    def _problem(self, text: str) -> None:
        self._world.note(f"PROBLEM {text}")
        self.problems.append(text)

    # -- users --------------------------------------------------------------------------------------------------

    def rescheduled(self, job: Job) -> None:
        self._end_generation(job.id)
        if job.pause_at(self._world.now) is not None:
            self._gone[job.id] = self._world.now
        if not job.paused:
            generation = job.metadata["generation"]
            self._added.setdefault((job.id, self._lives[job.id]), self._world.now)
            self._generations[generation] = self._latest[job.id] = Generation(job, self._world.now, self._lives[job.id])
            self._current[job.id] = generation

    def removed(self, job_id: str) -> None:
        self._end_generation(job_id)
        self._lives[job_id] += 1
        self._gone[job_id] = self._world.now

    def ended(self, job: Job) -> None:
        """A node removes a job that has ended."""
        most = job.policy.max_runs
        if most is not None:
            life = job.id, self._lives[job.id]
            counted = self._begun[life] | self._lost[life]
            counted |= {each.run.scheduled for each in self._db.runs.values() if each.run.of[::2] == (job.id, None)}
            if len(counted) < most and job.next_ms(max([self._world.now, *counted])) is not None:
                self._problem(f"{job.id} ends after {len(counted)} runs, not {most}")
            self.removed(job.id)

    def _end_generation(self, job_id: str) -> None:
        generation = self._current.pop(job_id, None)
        if generation is not None:
            self._generations[generation].ended_at = self._world.now

    def requested(self, job: Job, name: str, at: int) -> None:
        self._requests[name] = Request(job, at)

    # -- the hubs -----------------------------------------------------------------------------------------------

    def dispatched(self, process: Process, run: Run) -> None:
        which = run.request or run.job.metadata["generation"]
        self._world.note(f"{process.name} runs {run!r} {which} of {process.node()}")
        self.count += 1
        self.check_owners([slot_of_job(run.job)])
        self._check_instances(process, run)
        self._check_limit(process, run)
        dispatch = Dispatch(process, process.node(), run.attempt, self._world.now)
        if run.request is not None:
            self._check_again(run.request, run, self._requests[run.request].dispatches)
            self._requests[run.request].dispatches.append(dispatch)
            return
        key = self._key(run)
        if not self._generations[key[0]].is_due_at(run.scheduled_ms):
            self._problem(f"{run!r} was never due")
        self._check_punctual(key, run)
        self._check_again(key, run, self._runs[key])
        for other in self._shared(key) if run.attempt == 1 else ():
            if self._runs.get(other):
                self._problem(f"{run!r} ({key}) ran by a former schedule already: {self._runs[other]}")
        over = [known for known in self._outcomes[key] if run.attempt == 1 or known.outcome is Outcome.LOST]
        if over and (run.attempt == 1 or run.is_retry):
            self._problem(f"{run!r} ran though it had an outcome: {over}")
        self._runs[key].append(dispatch)
        self._check_count(process, key, run)

    def _check_count(self, process: Process, key: tuple[int, int], run: Run) -> None:
        """No more runs of a job begin than may, but for these:

        What a crash left uncertain may begin once more: a node that died may have ended it without a run, which nobody
        counts. Nobody knows whether uncertain instants from before the job was added are those of a removed job with
        its id. And what a former owner had claimed begins there when an instance is free, beside the owner's runs.
        """
        most = run.job.policy.max_runs
        if most is None:
            return
        life = self._generations[key[0]].life
        is_owner = slot_of_job(run.job) in process.slots()
        if run.attempt > 1 or run.scheduled_ms < self._added[run.job.id, life] or not is_owner:
            self._lost[run.job.id, life].add(run.scheduled_ms)
            return
        begun = self._begun[run.job.id, life]
        if len(begun) >= most:
            self._problem(f"{run!r} is one more than the {most} that may begin: {sorted(begun)}")
        begun.add(run.scheduled_ms)

    def _check_instances(self, process: Process, run: Run) -> None:
        """No more runs of a job are in progress than may be, wherever, but for those of nodes that were given up. Of a
        job that has changed its group, runs on request are left out, and those of nodes that gave its old slot away."""
        others = self._in_progress[run.job.id]
        if run.job.id in self.regrouped:
            others = {
                other: it
                for other, it in others.items()
                if other.request is None is run.request and slot_of_job(other.job) in it[0].slots()
            }
        living = [node for its, node in others.values() if not its.dead and node not in self._buried]
        if len(living) >= run.job.max_instances:
            self._problem(f"{run!r} begins on {process.name} while {len(living)} are in progress on {living}")
        self._in_progress[run.job.id][run] = process, process.node()

    def _check_limit(self, process: Process, run: Run) -> None:
        """No more runs of a group are in progress, and no more begin, than its limit allows, but for those of nodes
        that were given up, and of jobs that have had other groups."""
        group = run.job.policy.group
        limit = None if group is None else self.limits.of(group)
        if group is None or limit is None or run.job.id in self.regrouped:
            return
        its = [(run, it) for runs in self._in_progress.values() for run, it in runs.items()]
        living = [
            other
            for other, (owner, node) in its
            if other.job.policy.group == group and not owner.dead and node not in self._buried
        ]
        living = [other for other in living if other.job.id not in self.regrouped]
        if limit.concurrency is not None and len(living) > limit.concurrency:
            self._problem(f"{run!r} begins on {process.name}: more of {group} than {limit.concurrency}: {living}")
        if limit.period_ms is not None:
            self._check_rate(process, run, limit)

    def _check_rate(self, process: Process, run: Run, limit: GroupLimit) -> None:
        assert limit.period_ms is not None and run.job.policy.group is not None
        starts = self._starts[run.job.policy.group]
        starts.append(self._world.now)
        for first, since in enumerate(reversed(starts)):
            most = (self._world.now - since) / limit.period_ms + limit.burst
            if first + 1 > most + 1:
                self._problem(f"{run!r} begins on {process.name}: {first + 1} in {self._world.now - since} ms, {limit}")
                return

    def _check_punctual(self, key: tuple[int, int], run: Run) -> None:
        due = run.due_ms or run.scheduled_ms
        if self.punctual_from is None or due < self.punctual_from:
            return
        could_run = max(due, self._generations[key[0]].began_at, self._last_end.get(run.job.id, 0))
        if self._world.now > could_run + MOST_LATE:
            self._problem(f"{run!r} ({key}) is {self._world.now - could_run} ms late")

    def _check_again(self, key: Any, run: Run, before: list[Dispatch]) -> None:
        if run.attempt > 1 and self._is_written(run):
            self._problem(f"{run!r} ({key}) runs again, though it is written how it has ended")
        if not before:
            return
        unfollowed = [dispatch for dispatch in before if not dispatch.followed]
        if run.is_retry:
            if any(dispatch.attempt >= run.attempt for dispatch in before):
                self._problem(f"{run!r} ({key}) began twice: {before}")
        elif run.attempt == 1 or not run.job.recover:
            self._problem(f"{run!r} ({key}) was dispatched twice, by {before[-1].node} before")
        elif run.attempt < max(dispatch.attempt for dispatch in before):
            self._problem(f"{run!r} ({key}) was recovered late, after {before[-1].node} did")
        elif unfollowed and not self._is_dead(unfollowed[-1]):
            self._problem(f"{run!r} ({key}) was recovered from {unfollowed[-1].node}, which lives")

    def _is_written(self, run: Run) -> bool:
        of_run = (run.job.id, run.scheduled_ms, run.request)
        ended = [document.run for document in self._db.runs.values() if document.ended]
        return any((r.job_id, r.scheduled, r.request) == of_run and r.attempt >= run.attempt for r in ended)

    def _is_dead(self, dispatch: Dispatch) -> bool:
        return dispatch.process.killed or dispatch.node in self._buried

    def failed(self, process: Process, run: Run, retried: Retried) -> None:
        """An attempt has failed, and another is to follow."""
        self._world.note(f"{process.name} retries {run!r} at {retried.again.due}")
        self._in_progress[run.job.id].pop(run, None)
        self._last_end[run.job.id] = self._world.now

    def put_back(self, process: Process, run: Run) -> None:
        """A run does not begin on a process that stops."""
        self._world.note(f"{process.name} puts {run!r} back")

    def finished(self, process: Process, run: Run, result: Result) -> Callable[[], None]:
        """A run has ended; what is given is to be called when that is stored, if it is to be."""
        self._world.note(f"{process.name} ends {run!r} {result.outcome} {result.reason or ''}")
        self._in_progress[run.job.id].pop(run, None)
        self._last_end[run.job.id] = self._world.now
        if result.reason == Reason.REMOVED_OR_PAUSED and run.job.id not in self._gone:
            self._problem(f"{run!r} is given up, but users have neither removed nor paused its job")
        if run.attempt > 1 and result.reason == "max_instances":
            self._problem(f"{run!r} was cut, and is not run again: {result.reason}")
        if run.request is not None:
            self._requests[run.request].reported = not isinstance(result, Retried)
            dispatches = self._requests[run.request].dispatches
        else:
            dispatches = self._runs[self._key(run)]
        known = [it for it in dispatches if it.process is process and it.attempt == run.attempt]
        ended = known[0] if known else Dispatch(process, process.node(), run.attempt, self._world.now)
        if run.request is None and not known:  # it was not even dispatched
            dispatches.append(ended)

        if isinstance(result, Retried):
            ended.followed = True
            return lambda: None

        def store() -> None:
            ended.ended = True

        return store

    def settled(self, process: Process, job: Job, span: Span) -> Callable[[], None]:
        """Instants have ended without a run; what is given is to be called when that is stored, if it is to be."""
        decision = Decision(span.outcome, process)
        self._world.note(f"{process.name} settles {job.id} {span}")
        generation = job.metadata.get("generation", self._generation_at(job.id, span.first))
        known = self._generations.get(generation)
        if span.reason in GIVEN_UP and known is not None:
            self._check_given_up(process, known, span)
        for request in self._requests.values():
            if request.job.id == job.id and span.first <= request.at < span.end:
                request.reported = True
        for key in self._settled_keys(job, generation, span):
            self._settle(process, job, key, decision)
            if key[0] in self._generations:
                self._count_ended((job.id, self._generations[key[0]].life), job, key[1], span.outcome)
            if span.outcome is Outcome.LOST:
                self._check_lost(job.id, key[1], span.request)
        return decision.store

    def _count_ended(self, life: tuple[str, int], job: Job, instant: int, outcome: Outcome) -> None:
        """A lost instant may have begun. Of instants that were in progress, a job that coalesces and recovers counts
        only the one that begins again: the others are coalesced into it."""
        began = instant in self._begun[life]
        if outcome is Outcome.LOST:
            self._lost[life].add(instant)
        elif outcome is Outcome.COALESCED and began and job.coalesce and job.recover:
            self._begun[life].discard(instant)
            self._lost[life].add(instant)

    def _check_lost(self, job_id: str, instant: int, request: str | None) -> None:
        """An attempt that another follows is not the end of the run."""
        of_it = [each for each in self._db.runs.values() if each.run.of == (job_id, instant, request)]
        last = max(of_it, key=lambda document: document.run.attempt, default=None)
        if last is None or not last.run.is_retry:
            return
        if last.waits or (last.is_running and last.node not in self._buried):
            self._problem(f"{job_id} {instant} is lost, though another attempt follows: {last}")

    def _settled_keys(self, job: Job, generation: int | None, span: Span) -> list[tuple[int, int]]:
        """What the span is of. What was rescued may be of a schedule that has ended: then its trigger tells which."""
        numbers = [generation] if generation in self._generations else []
        if not any(self._generations[number].is_due_at(span.first) for number in numbers):
            numbers = self._numbers_of(job) or numbers
        due = (i for number in numbers for i in self._generations[number].instants(span.end - 1))
        instants = sorted({instant for instant in due if instant >= span.first})
        return [(max(n for n in numbers if self._generations[n].is_due_at(i)), i) for i in instants]

    def _numbers_of(self, job: Job) -> list[int]:
        """The generations in which a job was due by this trigger."""
        return [n for n, it in self._generations.items() if it.job.id == job.id and it.job.trigger is job.trigger]

    def _check_given_up(self, process: Process, known: Generation, span: Span) -> None:
        job_id = known.job.id
        document = self._db.jobs.get(job_id)
        if known.ended_at is None and document is not None and document.was_set_down:
            return  # by another node, before the job came back to where this waited
        if known.ended_at is None:
            self._problem(f"{job_id} {span} on {process.name}, but users have not changed it")
        elif span.reason is Reason.REMOVED_OR_PAUSED and self._gone.get(job_id, -1) < known.ended_at:
            self._problem(f"{job_id} {span} on {process.name}, but users have rescheduled it")
        elif span.reason is Reason.RESCHEDULED and self._latest[job_id] is known:
            self._problem(f"{job_id} {span} on {process.name}, but users have removed or paused it")

    def _settle(self, process: Process, job: Job, key: tuple[int, int], decision: Decision) -> None:
        outcome = decision.outcome
        unended = [dispatch for dispatch in self._runs[key] if not self._is_followed(job.id, key, dispatch)]
        before = [dispatch for dispatch in unended if not self._is_dead(dispatch)]
        if before and not (job.recover and outcome is not Outcome.LOST and before[-1].attempt > 1):
            self._problem(f"{job.id} {key} is {outcome} on {process.name}, but ran on {before[-1].node}, which lives")
        decided = [known.outcome for known in self._outcomes[key] if not known.process.killed]
        if decided and outcome is not Outcome.LOST and not job.recover:
            self._problem(f"{job.id} {key} is {outcome} on {process.name}, but was {decided[0]} already")
        self._outcomes[key].append(decision)

    def _is_followed(self, job_id: str, key: tuple[int, int], dispatch: Dispatch) -> bool:
        """Whether another attempt follows, though the process that stored that may have ended before it heard so."""
        which = RunRecord(job_id, 0, key[1]).of
        later = (each.run for each in self._db.runs.values() if each.run.of == which and each.run.is_retry)
        return dispatch.followed or any(run.attempt == dispatch.attempt + 1 for run in later)

    def _key(self, run: Run) -> tuple[int, int]:
        """What the run is of. One that is recovered may have a job that is due at other times by now."""
        generation: int = run.job.metadata.get("generation", 0)
        if run.attempt > 1:
            its = [n for n in self._numbers_of(run.job) if self._generations[n].is_due_at(run.scheduled_ms)]
            generation = max(its, default=0) or self._generation_at(run.job.id, run.scheduled_ms) or generation
        return (generation, run.scheduled_ms)

    def _shared(self, key: tuple[int, int]) -> list[tuple[int, int]]:
        """The same instant, as other schedules of that job have it."""
        known = self._generations[key[0]]
        instant = known.stands_for(key[1])
        others = ((n, it) for n, it in self._generations.items() if it.job.id == known.job.id and it.life == known.life)
        return [(n, same) for n, it in others if n != key[0] and (same := it.same_as(instant)) is not None]

    def _is_overtaken(self, key: tuple[int, int]) -> bool:
        """Whether a pause that was ended early lasted until its end, because its owner heard of that later."""
        number, instant = key
        known, all_of_them = self._generations[number].job, self._generations.items()
        paused = {n for n, it in all_of_them if n < number and it.job.trigger is known.trigger and it.began_after_pause}
        return any(n in paused and due > instant for n, due in [*self._runs, *self._outcomes])

    def _generation_at(self, job_id: str, instant: int) -> int | None:
        """The generation that an instant belongs to, of a job that was removed."""
        known = [n for n, it in self._generations.items() if it.job.id == job_id and it.is_due_at(instant)]
        return max((n for n in known if self._runs.get((n, instant))), default=max(known, default=None))

    # -- the database ---------------------------------------------------------------------------------------------

    def buried(self, node: str) -> None:
        self._buried[node] = self._world.now

    def advances(self, node: str, document: NodeDocument, acked: int) -> None:
        """What a node says has ended must have ended, or be written down."""
        if acked <= document.acked:
            return
        if acked > document.watermark:
            self._problem(f"{node} acks {acked}, beyond its watermark {document.watermark}")
        for job_id, job in self._db.jobs.items():
            slot = self._db.slots[slot_of_job(job.job)]
            if slot.owner != node or not slot.attached or not job.admitted:
                continue
            key = job.job.metadata["generation"]
            for instant in self._generations[key].instants(acked) if key in self._generations else ():
                is_late = job.job.next_run_ms is not None and job.job.next_run_ms <= instant <= job.late_until
                is_open = slot.open_from is not None and instant > slot.open_from
                claimed_before = instant <= max(document.acked, slot.watermark)
                is_looked_at = not is_late and not is_open and not claimed_before
                if is_looked_at and not self._is_over(job.job, instant) and not self._has_ended((key, instant)):
                    self._problem(f"{node} acks {acked}, but {job_id} {instant} has not ended")

    def _is_over(self, job: Job, instant: int) -> bool:
        """Whether the job has had all its runs before this instant, though a node has yet to remove it."""
        most, document = job.policy.max_runs, self._db.jobs.get(job.id)
        tally = None if document is None else document.tally
        return most is not None and tally is not None and tally.runs >= most and instant > tally.until

    def _has_ended(self, key: tuple[int, int]) -> bool:
        keys = [key, *self._shared(key)]
        dispatches = [each for every in keys for each in self._runs.get(every, ())]
        job_id, instants = self._generations[key[0]].job.id, {instant for _, instant in keys}
        written = any(
            document.run.job_id == job_id and document.run.scheduled in instants for document in self._db.runs.values()
        )
        decided = any(decision.stored for every in keys for decision in self._outcomes.get(every, ()))
        return decided or written or any(dispatch.ended for dispatch in dispatches) or self._is_overtaken(key)

    # -- at any time, and at the end --------------------------------------------------------------------------------

    def check_owners(self, slots: Iterable[int]) -> None:
        """No two nodes believe that they own a slot, while their leases are valid."""
        owned = [(process.name, process.slots()) for process in self.processes]
        for slot in slots:
            owners = [name for name, its in owned if slot in its]
            if len(owners) > 1:
                self._problem(f"slot {slot} is owned by {owners}")

    def check_end(self, until: int) -> None:
        """What was due has an outcome, what was requested has run, and the slots are in order."""
        for number, generation in self._generations.items():
            if generation.ended_at is None:
                for instant in generation.instants(until):
                    if not self._is_over(generation.job, instant):
                        self._check_instant(number, generation.job, instant)
        for number, instant in [key for key in self._runs if self._generations[key[0]].ended_at is not None]:
            # What users end is not due any more; what had begun by then has an outcome all the same.
            self._check_instant(number, self._generations[number].job, instant)
        for name, request in self._requests.items():
            if request.at <= until:
                self._check_request(name, request)
        self._check_slots(until)

    def _check_instant(self, generation: int, job: Job, instant: int) -> None:
        key = (generation, instant)
        keys = [key, *self._shared(key)]  # one answers for what several schedules have
        dispatches = [each for every in keys for each in self._runs.get(every, ()) if not each.followed]
        decisions = [each for every in keys for each in self._outcomes.get(every, ())]
        if self._waits(job.id, instant):
            return
        if any(decision.stored or not decision.process.dead for decision in decisions):
            return
        if any(dispatch.ended or not dispatch.process.dead for dispatch in dispatches):
            return
        if self._is_overtaken(key):
            return
        if any(process.will_recover(job.id, instant) for process in self._living()):
            return
        if self._is_on_record(job.id, instant):
            return
        if self._waits_in_its_document(generation, instant):
            return
        holders = [process.first_undecided(job.id) for process in self.processes if not process.dead]
        if any(held is not None and held <= instant for held in holders):
            return
        self._problem(f"{job.id} {key} recover={job.recover} is missing; dispatched by {dispatches}, {decisions}")

    def _is_on_record(self, job_id: str, instant: int, request: str | None = None) -> bool:
        """Whether the last attempt that was written down has ended, or was marked as lost."""
        which, known = (job_id, instant, request), self._db.runs.values()
        of_it = [each for each in known if (each.run.job_id, each.run.scheduled, each.run.request) == which]
        last = max(of_it, key=lambda document: document.run.attempt, default=None)
        return last is not None and last.ended and not last.retried

    def _waits(self, job_id: str, instant: int) -> bool:
        """Whether another attempt waits until it is due, or until somebody can run the job."""
        document = self._db.jobs.get(job_id)
        is_parked = document is not None and document.job.parked is not None
        waiting = [each for each in self._db.runs.values() if each.waits and each.run.of == (job_id, instant, None)]
        return any(is_parked or each.due > self._world.now - MARGIN for each in waiting)

    def _waits_in_its_document(self, generation: int, instant: int) -> bool:
        """Whether the instant is late as soon as somebody can run the job."""
        known = [it for it in self._db.jobs.values() if it.job.metadata["generation"] == generation]
        return any(it.job.parked and not it.admitted and (it.job.next_run_ms or instant) <= instant for it in known)

    def _check_request(self, name: str, request: Request) -> None:
        dispatches = [dispatch for dispatch in request.dispatches if not dispatch.followed]
        if request.reported or any(dispatch.ended or not dispatch.process.dead for dispatch in dispatches):
            return
        if any(process.will_recover(request.job.id, request.at, name) for process in self._living()):
            return
        document = self._db.jobs.get(request.job.id)
        if document is None and self._is_on_record(request.job.id, request.at, name):
            return
        waits = [each for each in self._db.runs.values() if each.waits and each.run.request == name]
        if any(each.due > self._world.now - MARGIN for each in waits):
            return
        if waits and document is not None and document.job.parked:
            return
        self._problem(f"{name} of {request.job.id} is missing; dispatched by {request.dispatches}")

    def _living(self) -> list[Process]:
        return [process for process in self.processes if not process.dead]

    def _check_slots(self, until: int) -> None:
        living = self._living()
        for number in self._db.slots:
            owners = [process.name for process in living if number in process.slots()]
            if len(owners) != 1:
                self._problem(f"slot {number} is owned by {owners} in the end")
        for process in living:
            node = self._db.nodes.get(process.node() or "")
            if node is None or not node.alive or node.watermark < until:
                self._problem(f"{process.name} does not advance: {node}")
