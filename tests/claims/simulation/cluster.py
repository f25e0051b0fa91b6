"""The database of the simulation: documents that change one at a time, and a slow and unreliable way to it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from greenlet import getcurrent

from gsched.errors import StoreError
from gsched.jobs.job import Job
from gsched.jobs.limits import NO_LIMITS, GroupLimits
from gsched.jobs.outcomes import Outcome
from gsched.jobs.policy import NO_POLICY
from gsched.jobs.tally import Tally
from gsched.stores.claims.database import (
    Backlog,
    FencedError,
    FormerSchedule,
    JobRecord,
    NodeRecord,
    RunRecord,
    SlotRecord,
    WaitingRun,
)
from gsched.stores.claims.partition import slot_of_job

from .world import World

COLLECTIONS = ("nodes", "slots", "jobs", "runs", "formers")
CURSOR = 3  # documents that a cursor gives at once
SPOILT_FOR_NOBODY: Callable[[int], bool] = {}.__contains__  # by numbers of processes
SPOILT_FOR = (lambda process: True, lambda process: process % 2 == 0, lambda process: process % 2 == 1)
LONGEST_CONFIRMING = 300  # ms for which a write waits for a majority


class SimStoreError(StoreError):
    """The simulated database did not answer."""


@dataclass
class NodeDocument:
    alive: bool
    watermark: int
    acked: int
    beat: int = 0
    draining: bool = False
    drain_requested: bool = False
    settled: bool = False
    process: Any = None


@dataclass
class SlotDocument:
    owner: str | None = None
    fence: int = 0
    watermark: int = -1
    acked: int = -1
    attached: bool = False
    open_from: int | None = None


@dataclass
class JobDocument:
    """:ivar spoilt: which processes cannot run it
    :ivar was_set_down: whether one of these has had it"""

    job: Job  # its next run time is the stored one
    admitted: bool = False
    late_until: int = -1
    spoilt: Callable[[int], bool] = SPOILT_FOR_NOBODY
    was_set_down: bool = False
    schedule: int = 0
    begins: int | None = None
    tally: Tally | None = None

    def record(self, reader: int) -> JobRecord:
        """As a process reads it."""
        return JobRecord(
            self.job.evolve(parked="no such function" if self.spoilt(reader) else None),
            slot_of_job(self.job),
            self.admitted,
            self.late_until,
            self.job.parked,
            self.schedule,
            self.begins,
            self.tally,
        )

    def is_near(self, until: int) -> bool:
        due = self.job.next_run_ms
        return not self.job.paused and (due is None or due <= until)


@dataclass
class FormerDocument:
    """A schedule that users have ended, or were about to end."""

    job: Job
    schedule: int
    begins: int | None
    late_until: int
    until: int | None = None

    def former(self, key: str) -> FormerSchedule:
        """As a process reads it, without what nobody keeps of it."""
        job = self.job.evolve(func=None, policy=NO_POLICY, parked="no function")
        of_it = {"schedule": self.schedule, "begins": self.begins}
        record = JobRecord(job, slot_of_job(self.job), True, self.late_until, **of_it)
        return FormerSchedule(key, record, self.until)


@dataclass
class RunDocument:
    """:ivar waits: nobody has taken it
    :ivar due: when it is to begin, if it waits
    :ivar retried: it has ended, and another attempt follows
    """

    node: str
    run: RunRecord
    ended: bool = False
    waits: bool = False
    due: int = -1
    schedule: int | None = None
    retried: bool = False

    @property
    def is_running(self) -> bool:
        return not self.ended and not self.waits


class Database:
    """The collections, as the primary has them.

    :ivar one_machine: whether all processes that use it are on one machine, and see when others have ended
    :ivar confirmed: what a majority of the replica set has: while the primary is cut off from the others, not what is
        written there
    """

    def __init__(self, slots: int, beginning: int) -> None:
        self.nodes: dict[str, NodeDocument] = {}
        self.slots = {number: SlotDocument(watermark=beginning, acked=beginning) for number in range(slots)}
        self.jobs: dict[str, JobDocument] = {}
        self.runs: dict[tuple[Any, ...], RunDocument] = {}
        self.formers: dict[str, FormerDocument] = {}
        self.one_machine = False
        self.announce: Callable[[str], object] = lambda job_id: None  # tells the change feeds
        self.confirmed = self

    def is_cut_off(self) -> bool:
        return self.confirmed is not self

    def cut_off(self) -> None:
        """From here on, no majority hears of what the primary writes."""
        self.confirmed = copy(self)
        for each in COLLECTIONS:
            setattr(self.confirmed, each, {key: replace(doc) for key, doc in getattr(self, each).items()})

    def fail_over(self) -> None:
        """Another member becomes the primary: what was written since then is rolled back."""
        for each in COLLECTIONS:
            setattr(self, each, getattr(self.confirmed, each))
        self.confirmed = self

    def awaited(self) -> set[str]:
        """The jobs of which runs wait, or are in progress as written down."""
        return {document.run.job_id for document in self.runs.values() if not document.ended}

    def near(self, numbers: Collection[int], until: int) -> list[tuple[tuple[int, int, str], JobDocument]]:
        """Jobs of these slots in the order of an index over slots and next run times."""
        found = [
            ((slot_of_job(document.job), document.job.next_run_ms or -1, job_id), document)
            for job_id, document in self.jobs.items()
            if slot_of_job(document.job) in numbers and document.is_near(until)
        ]
        return sorted(found, key=lambda each: each[0])


class SimDatabase:
    """One process's way to the database: each step is a request that arrives later, and an answer that comes later
    still, if it comes."""

    exclusive = False

    def __init__(self, world: World, process: Any, database: Database, watch: Any) -> None:
        self._world = world
        self._process = process
        self._db = database
        self._watch = watch
        self._number = process.number

    # -- the way to the server ----------------------------------------------------------------------------------

    def step(self, what: str, do: Callable[[], Any]) -> Any:
        """Have the server change something, and wait until a majority has it."""
        return self._ask(what, do, lambda: not self._db.is_cut_off())

    def read(self, what: str, do: Callable[[], Any]) -> Any:
        """Have the server tell something, and wait for the answer."""
        return self._ask(what, do, lambda: True)

    @property
    def _seen(self) -> Database:
        """What is read: what the server has."""
        return self._db

    @property
    def _final(self) -> Database:
        """What is read where it must not be rolled back: what a majority has."""
        return self._db.confirmed

    def _ask(self, what: str, do: Callable[[], Any], is_answered: Callable[[], bool]) -> Any:
        world, process, task = self._world, self._process, getcurrent()
        fate = process.network.fate()
        there, back = process.network.latency(), process.network.latency()
        answer: list[Any] = []

        def serve() -> None:
            world.note(f"{process.name} {fate} {what}")
            try:
                answer.append(do())
            except FencedError as error:
                answer.append(error)
            if not is_answered():
                answer.clear()
            if fate != "late":
                world.at(back if answer else back + LONGEST_CONFIRMING, process, task.switch)

        if fate == "late":
            world.at(there + process.network.delay_of_late_writes(), None, serve)
        elif fate != "refused":
            world.at(there, None, serve)
        if fate in ("late", "refused"):
            world.at(there + back, process, task.switch)
        world.park()
        if fate != "ok" or not answer or process.network.is_cut():
            world.note(f"{process.name} hears nothing of {what}")
            raise SimStoreError(f"{what}: {fate}")
        if isinstance(answer[0], FencedError):
            raise answer[0]
        return answer[0]

    def _step_each(self, what: str, numbers: Iterable[Any], do: Callable[[Any], Any]) -> list[Any]:
        """One request that changes documents one after the other, with others in between."""
        return [self.step(f"{what} {number}", lambda number=number: do(number)) for number in numbers]

    def prepare(self) -> None:
        """Everything is there."""

    def time(self) -> int:
        return int(self.read("time", lambda: self._world.now))

    def limits(self, now: int) -> GroupLimits:
        return NO_LIMITS  # nobody sets any

    # -- nodes --------------------------------------------------------------------------------------------------

    def join(self, node: str, watermark: int) -> None:
        def do() -> None:
            self._db.nodes.setdefault(node, NodeDocument(True, watermark, watermark, process=self._process))

        self.step(f"join {node} {watermark}", do)

    def advance(self, node: str, watermark: int, acked: int, draining: bool) -> bool:
        def do() -> bool:
            mine = self._db.nodes.get(node)
            if mine is None or not mine.alive:
                return False
            if not self._db.is_cut_off():
                self._watch.advances(node, mine, acked)
            mine.watermark, mine.acked = max(mine.watermark, watermark), max(mine.acked, acked)
            mine.beat += 1
            mine.draining = draining
            return True

        return bool(self.step(f"advance {node} {watermark} {acked} {draining}", do))

    def leave(self, node: str, acked: int) -> None:
        def do() -> None:
            mine = self._db.nodes.get(node)
            if mine is not None and mine.alive:
                mine.acked, mine.alive = acked, False
                if any(slot.owner == node for slot in self._db.slots.values()) and not self._db.is_cut_off():
                    self._watch.buried(node)  # it could not hand over in time: what became of the rest, nobody knows

        self.step(f"leave {node} {acked}", do)

    def nodes(self, also: Collection[str] = ()) -> Sequence[NodeRecord]:
        also = set(also)

        def do() -> list[NodeRecord]:
            return [
                NodeRecord(
                    name, it.alive, it.watermark, it.acked, it.beat, it.draining, it.drain_requested,
                    settled=it.settled, ended=it.alive and self.has_ended(it.process),
                )
                for name, it in self._final.nodes.items()
                if not it.settled or name in also
            ]

        found: list[NodeRecord] = self.read("nodes", do)
        return found

    def has_ended(self, process: Any) -> bool:
        """Whether this process can prove that the other one has ended."""
        return self._db.one_machine and bool(process.dead)

    def bury(self, node: str, beat: int) -> bool:
        def do() -> bool:
            other = self._db.nodes.get(node)
            if other is not None and other.alive and other.beat == beat:
                other.alive = False
                if not self._db.is_cut_off():
                    self._watch.buried(node)
                return True
            return False

        return bool(self.step(f"bury {node}", do))

    # -- slots --------------------------------------------------------------------------------------------------

    def owners(self) -> Collection[str]:
        owners = self.read("owners", lambda: {slot.owner for slot in self._seen.slots.values() if slot.owner})
        return set(owners)

    def note_settled(self, nodes: Collection[str]) -> None:
        def do() -> None:
            for node in nodes:
                if node in self._db.nodes:
                    self._db.nodes[node].settled = not self._db.nodes[node].alive

        self.step(f"settled {nodes}", do)

    def free_slots_of(self, dead: NodeRecord) -> None:
        def do(number: int) -> None:
            slot = self._db.slots[number]
            if slot.owner != dead.id:
                return
            if slot.attached:
                slot.acked = max(slot.watermark, dead.acked) if slot.open_from is None else slot.open_from
                slot.watermark = max(slot.watermark, dead.watermark)
            slot.owner, slot.attached, slot.open_from = None, False, None

        owned = self.step("slots of", lambda: [n for n, slot in self._db.slots.items() if slot.owner == dead.id])
        self._step_each(f"free of {dead.id}", owned, do)

    def free_slots(self, node: str) -> Collection[int]:
        def do() -> set[int]:
            return {
                n for n, s in self._seen.slots.items() if s.owner is None or (s.owner == node and not s.attached)
            }

        found: set[int] = self.read("free slots", do)
        return found

    def take_slots(self, node: str, numbers: Collection[int]) -> Sequence[SlotRecord]:
        def do(number: int) -> None:
            slot = self._db.slots[number]
            if slot.owner is None:
                slot.owner, slot.fence, slot.attached, slot.open_from = node, slot.fence + 1, False, None

        def read() -> list[SlotRecord]:
            slots = [(n, self._seen.slots[n]) for n in sorted(numbers)]
            return [
                SlotRecord(n, s.fence, s.watermark, s.acked) for n, s in slots if s.owner == node and not s.attached
            ]

        self._step_each(f"take for {node}", sorted(numbers), do)
        found: list[SlotRecord] = self.read("taken", read)
        return found

    def attach_slots(self, node: str, numbers: Collection[int], watermark: int) -> Collection[int]:
        def do(number: int) -> None:
            slot = self._db.slots[number]
            if slot.owner == node and not slot.attached:
                slot.open_from, slot.attached = slot.acked, True
                slot.watermark = max(slot.watermark, watermark)

        self._step_each(f"attach {node} from {watermark}", sorted(numbers), do)

        def read() -> list[int]:
            return [number for number in sorted(numbers) if self._seen.slots[number].owner == node]

        attached: list[int] = self.read("attached", read)
        return attached

    def close_slots(self, node: str, numbers: Collection[int]) -> None:
        def do(number: int) -> None:
            slot = self._db.slots[number]
            if slot.owner == node and slot.attached:
                slot.open_from = None

        self._step_each("close", sorted(numbers), do)

    def release_slots(self, node: str, fences: Mapping[int, int], watermark: int) -> None:
        fences = dict(fences)  # as sent

        def do(number: int) -> None:
            slot = self._db.slots[number]
            if slot.owner != node or slot.fence != fences[number]:
                return
            if slot.attached:
                slot.watermark = max(slot.watermark, watermark)
                slot.acked = slot.watermark
            slot.owner, slot.attached, slot.open_from = None, False, None

        self._step_each(f"release by {node} {watermark}", sorted(fences), do)

    def give_back_slots(self, node: str, numbers: Collection[int]) -> None:
        def do(number: int) -> None:
            slot = self._db.slots[number]
            if slot.owner == node and not slot.attached:
                slot.owner = None

        self._step_each(f"give back {node}", sorted(numbers), do)

    # -- jobs ---------------------------------------------------------------------------------------------------

    def jobs_in(self, numbers: Collection[int], until: int) -> Iterator[Sequence[JobRecord]]:
        numbers = set(numbers)
        position = (-1, -1, "")
        while True:

            def do(after: tuple[int, int, str] = position) -> list[tuple[tuple[int, int, str], JobRecord]]:
                found = [(key, doc.record(self._number)) for key, doc in self._seen.near(numbers, until) if key > after]
                return found[:CURSOR]

            batch = self.read(f"jobs in {sorted(numbers)}", do)
            if not batch:
                return
            position = batch[-1][0]
            yield [record for _, record in batch]

    def waiting_in(self, numbers: Collection[int], after: int, until: int) -> Mapping[str, int]:
        wanted = set(numbers)

        def do() -> dict[str, int]:
            dues: dict[str, int] = {}
            for document in self._seen.runs.values():
                if document.waits and document.run.slot in wanted and after < document.due <= until:
                    job_id = document.run.job_id
                    dues[job_id] = min(document.due, dues.get(job_id, document.due))
            return dict(sorted(dues.items()))

        found: dict[str, int] = self.read(f"waiting in {sorted(wanted)}", do)
        return found

    def due_between(self, numbers: Collection[int], after: int, until: int) -> Iterable[str]:
        def do() -> list[str]:
            near = self._seen.near(numbers, until)
            return [key[2] for key, document in near if after < (document.job.next_run_ms or -1) <= until]

        found: list[str] = self.read(f"due between {after} {until}", do)
        return found

    def revisions(self, numbers: Collection[int], until: int) -> Mapping[str, int]:
        def do() -> dict[str, int]:
            return {key[2]: document.job.rev for key, document in self._seen.near(numbers, until)}

        found: dict[str, int] = self.read(f"revisions {sorted(numbers)}", do)
        return found

    def read_jobs(self, ids: Collection[str]) -> Mapping[str, JobRecord]:
        wanted = sorted(ids)
        def do() -> dict[str, JobRecord]:
            known = self._seen.jobs
            return {job_id: known[job_id].record(self._number) for job_id in wanted if job_id in known}

        found: dict[str, JobRecord] = self.read(f"read {wanted}", do)
        return found

    def admit(self, node: str, jobs: Sequence[JobRecord], claimed: int) -> bool:
        def do() -> bool:
            self._fence(node, "admit")
            documents = [self._db.jobs[record.job.id] for record in jobs if record.job.id in self._db.jobs]
            if len(documents) < len(jobs) or not all(map(self._may_be_admitted, jobs, documents)):
                return False
            for record, document in zip(jobs, documents):
                due = record.job.next_run_ms
                document.admitted = True
                document.late_until = claimed if due is not None and due <= claimed else -1
            return True

        return bool(self.step(f"admit {node} {[(r.job.id, r.job.rev) for r in jobs]} {claimed}", do))

    def _fence(self, node: str, operation: str) -> None:
        if node not in self._db.nodes or not self._db.nodes[node].alive:
            raise FencedError

    def _may_be_admitted(self, given: JobRecord, found: JobDocument) -> bool:
        return found.job.rev == given.job.rev and not found.admitted

    def write_back(self, due: Mapping[str, tuple[int, int]]) -> Collection[str]:
        def do(job_id: str) -> list[str]:
            rev, time = due[job_id]
            document = self._db.jobs.get(job_id)
            if document is None or document.job.rev != rev or not document.admitted:
                return []
            time = max(time, document.job.next_run_ms or time)
            document.job = document.job.evolve(next_run_ms=time)
            return [job_id]

        return [job_id for found in self._step_each("write back", sorted(due), do) for job_id in found]

    def note_backlogs(self, node: str, jobs: Mapping[str, Backlog]) -> Collection[str]:
        def do() -> list[str]:
            self._fence(node, "backlogs")
            return [job_id for job_id, backlog in sorted(jobs.items()) if self._note_backlog(job_id, backlog)]

        noted: list[str] = self.step(f"backlogs {node} {sorted(jobs)}", do) if jobs else []
        return noted

    def _note_backlog(self, job_id: str, backlog: Backlog) -> bool:
        rev, first, until = backlog
        document = self._db.jobs.get(job_id)
        if document is None or not document.admitted:
            return False
        if document.job.rev == rev:
            document.job = document.job.evolve(next_run_ms=max(first, document.job.next_run_ms or first))
            document.late_until = max(document.late_until, until)
        return document.late_until == until  # also if an earlier attempt noted it, and somebody changed the job since

    def close_late(self, ids: Collection[str], until: int) -> None:
        def do(job_id: str) -> None:
            document = self._db.jobs.get(job_id)
            if document is not None and document.late_until == until:
                document.late_until = -1

        self._step_each("close late", sorted(ids), do)

    def set_down(self, node: str, jobs: Sequence[Job]) -> bool:
        def do() -> bool:
            self._fence(node, "set down")
            documents = [self._db.jobs.get(job.id) for job in jobs]
            if any(it is None or it.job.rev != job.rev or not it.admitted for job, it in zip(jobs, documents)):
                return False
            for job, document in zip(jobs, documents):
                assert document is not None
                changes = {"next_run_ms": job.next_run_ms, "parked": job.parked, "rev": job.rev + 1}
                document.job = document.job.evolve(**changes)
                document.admitted, document.late_until, document.was_set_down = False, -1, True
            return True

        return bool(self.step(f"set down {node} {[(job.id, job.rev, job.next_run_ms) for job in jobs]}", do))

    def park(self, jobs: Sequence[Job]) -> Mapping[str, str]:
        parked = {job.id: job for job in jobs}

        def do(job_id: str) -> None:
            document, job = self._db.jobs.get(job_id), parked[job_id]
            if document is not None and document.job.rev == job.rev:
                document.job = document.job.evolve(parked=job.parked)

        self._step_each("park", sorted(parked), do)
        return {}

    def begin_later(self, jobs: Sequence[JobRecord], announce: bool = False) -> None:
        def do(record: JobRecord) -> None:
            document, due = self._db.jobs.get(record.job.id), record.job.next_run_ms
            if document is None or not self._may_be_admitted(record, document):
                return
            if due is None:
                document.job = document.job.evolve(next_run_ms=None)
            else:
                document.job = document.job.evolve(next_run_ms=max(due, document.job.next_run_ms or due))
                document.begins = max(due, document.begins or due)
            if announce:
                document.job = document.job.evolve(rev=document.job.rev + 1)

        self._step_each("begin later", jobs, do)

    def formers_in(self, numbers: Collection[int]) -> Sequence[FormerSchedule]:
        return self._read_formers(f"formers in {sorted(numbers)}", lambda job: slot_of_job(job) in numbers)

    def formers_of(self, job_ids: Collection[str]) -> Sequence[FormerSchedule]:
        return self._read_formers(f"formers of {sorted(job_ids)}", lambda job: job.id in job_ids)

    def _read_formers(self, what: str, is_wanted: Callable[[Job], bool]) -> Sequence[FormerSchedule]:
        def do() -> list[FormerSchedule]:
            return [it.former(key) for key, it in sorted(self._seen.formers.items()) if is_wanted(it.job)]

        found: list[FormerSchedule] = self.read(what, do)
        return found

    def bound_formers(self, until: Mapping[str, int]) -> None:
        bounds = dict(until)  # as sent

        def do(key: str) -> None:
            document = self._db.formers.get(key)
            if document is not None and document.until is None:
                document.until = bounds[key]

        self._step_each("bound former", sorted(bounds), do)

    def forget_formers(self, ids: Collection[str]) -> None:
        self._step_each("forget former", sorted(ids), lambda key: self._db.formers.pop(key, None))

    # -- runs ---------------------------------------------------------------------------------------------------

    def waiting_of(self, job_ids: Collection[str], most: int) -> Sequence[WaitingRun]:
        wanted = set(job_ids)

        def do() -> list[WaitingRun]:
            waiting = [
                WaitingRun(doc.run, doc.due, doc.schedule)
                for doc in self._seen.runs.values()
                if doc.waits and doc.run.job_id in wanted
            ]
            return sorted(waiting, key=lambda each: (each.due, run_key(each.run)))[:most]

        found: list[WaitingRun] = self.read(f"waiting of {sorted(wanted)}", do)
        return found

    def add_waiting(self, node: str, runs: Sequence[WaitingRun], announce: Collection[str]) -> Collection[RunRecord]:
        def do() -> None:
            self._fence(node, "add")
            for each in ordered:
                document = RunDocument("", each.run, waits=True, due=each.due, schedule=each.schedule)
                self._db.runs.setdefault(run_key(each.run), document)
            for job_id in sorted(announce):
                if (job := self._db.jobs.get(job_id)) is not None:
                    job.job = job.job.evolve(rev=job.job.rev + 1)
                    self._db.announce(job_id)

        ordered = sorted(runs, key=lambda each: run_key(each.run))
        self.step(f"add {node} {' '.join(str(each.run) for each in ordered)}", do)
        return [each.run for each in ordered]

    def begin_waiting(self, node: str, runs: Sequence[RunRecord]) -> Collection[RunRecord]:
        these = list(runs)

        def do() -> None:
            self._fence(node, "begin")
            for run in these:
                document = self._db.runs.get(run_key(run))
                if document is not None and document.waits:
                    document.node, document.waits = node, False

        def read() -> list[RunRecord]:
            found = [(run, self._seen.runs.get(run_key(run))) for run in these]
            return [run for run, doc in found if doc is not None and doc.is_running and doc.node == node]

        self.step(f"begin {node} {' '.join(map(str, these))}", do)
        begun: list[RunRecord] = self.read("begun", read)
        return begun

    def record_runs(self, node: str, runs: Sequence[RunRecord]) -> None:
        def do() -> None:
            self._fence(node, "record")
            for run in ordered:
                document = self._db.runs.setdefault(run_key(run), RunDocument(node, run))
                if document.is_running:
                    document.node = node

        ordered = sorted(runs, key=run_key)
        if ordered:
            self.step(f"record {node} {' '.join(map(str, ordered))}", do)

    def put_back(self, node: str, runs: Collection[RunRecord]) -> None:
        def do() -> None:
            self._fence(node, "put back")
            for run in ordered:
                document = self._db.runs.get(run_key(run))
                if document is not None and document.is_running and document.node == node:
                    document.waits, document.due = True, max(document.due, run.scheduled)

        ordered = sorted(runs, key=run_key)
        self.step(f"put back {node} {' '.join(map(str, ordered))}", do)

    def runs_of(self, nodes: Collection[str], numbers: Collection[int]) -> Sequence[RunRecord]:
        def do() -> list[RunRecord]:
            running = [doc for doc in self._seen.runs.values() if doc.is_running]
            return sorted((d.run for d in running if d.node in nodes and d.run.slot in numbers), key=run_key)

        found: list[RunRecord] = self.read("runs of nodes", do)
        return found

    def runs_of_others(self, nodes: Collection[str], numbers: Collection[int]) -> Sequence[RunRecord]:
        others = self._seen.nodes.keys() - nodes
        return self.runs_of(others, numbers) if others else ()

    def count_dead(self) -> int:
        return sum(not node.alive for node in self._db.nodes.values())

    def later_attempts(self, numbers: Collection[int], since: int) -> Collection[RunRecord]:
        wanted = set(numbers)

        def do() -> list[RunRecord]:
            runs = [doc.run for doc in self._seen.runs.values() if doc.run.attempt > 1 and doc.run.slot in wanted]
            return sorted((run for run in runs if run.scheduled >= since), key=run_key)

        found: list[RunRecord] = self.read("later attempts", do)
        return found

    def ended_runs(self, job_ids: Collection[str], since: int) -> Sequence[RunRecord]:
        def do() -> list[RunRecord]:
            runs = [doc.run for doc in self._seen.runs.values() if doc.ended and doc.run.job_id in job_ids]
            return sorted((run for run in runs if run.scheduled >= since), key=run_key)

        found: list[RunRecord] = self.read("ended runs", do)
        return found

    def is_running(self, job_id: str, slot: int) -> bool:
        def do() -> bool:
            return any(doc.run.job_id == job_id and not doc.ended for doc in self._seen.runs.values())

        return bool(self.read(f"is running {job_id}", do))

    def end_runs(self, runs: Sequence[RunRecord], outcome: Outcome) -> None:
        def do(run: RunRecord) -> None:
            document = self._db.runs.get(run_key(run))
            if document is not None and document.is_running:
                document.ended, document.retried = True, outcome is Outcome.RETRIED

        self._step_each(f"end as {outcome}", runs, do)

    # -- what the store does beside the protocol ------------------------------------------------------------------

    def store_outcomes(self, outcomes: Sequence[Any]) -> None:
        """Instants have ended: their records, which take the place of what was written down of them."""

        def do() -> None:
            for outcome in outcomes:
                for run in outcome.runs:
                    self._end_run(run, outcome.retried)
                if not self._db.is_cut_off():
                    outcome.stored()

        if outcomes:
            self.step(f"store {[(outcome.job_id, outcome.first) for outcome in outcomes]}", do)

    def note_tallies(self, tallies: Mapping[str, Tally]) -> None:
        """Runs have begun that count."""

        def do() -> None:
            for job_id, tally in tallies.items():
                document = self._db.jobs.get(job_id)
                known = None if document is None else document.tally
                if document is not None and known is not None and known.since == tally.since:
                    document.tally = known._replace(
                        runs=max(known.runs, tally.runs), until=max(known.until, tally.until)
                    )

        if tallies:
            self.step(f"count {tallies}", do)

    def _end_run(self, run: RunRecord, retried: bool) -> None:
        """The first record of an attempt stays."""
        document = self._db.runs.setdefault(run_key(run), RunDocument("", run))
        if not document.ended:
            document.ended, document.waits, document.retried = True, False, retried

    def end_job(self, job_id: str, rev: int) -> None:
        """The job's trigger has ended."""

        def do() -> None:
            document = self._db.jobs.get(job_id)
            if document is not None and document.job.rev == rev and job_id not in self._db.awaited():
                del self._db.jobs[job_id]
                self._watch.ended(document.job)

        self.step(f"end {job_id} {rev}", do)


class InstantDatabase(SimDatabase):
    """The database without the way to it: every step happens at once."""

    def __init__(self, database: Database, now: int) -> None:
        unwatched = SimpleNamespace(advances=lambda *told: None, buried=lambda node: None, ended=lambda job: None)
        super().__init__(SimpleNamespace(now=now), SimpleNamespace(number=0, dead=False), database, unwatched)  # type: ignore[arg-type]

    def _ask(self, what: str, do: Callable[[], Any], is_answered: Callable[[], bool]) -> Any:
        return do()


def run_key(run: RunRecord) -> tuple[Any, ...]:
    return (run.job_id, run.scheduled, run.attempt, run.request or "")
