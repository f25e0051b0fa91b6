"""One process: the real hub, protocol and executor queue, with a store that passes what they say on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain
from types import SimpleNamespace
from typing import Any, NamedTuple

from gsched.errors import StoreError
from gsched.events import EVENT_ALL, SchedulerEvent
from gsched.executors.base import BaseExecutor
from gsched.executors.collection import Executors
from gsched.hub.hub import Hub
from gsched.jobs.job import Job
from gsched.jobs.outcomes import SUCCEEDED_WITH_NONE, Outcome, Result, Retried, Span
from gsched.jobs.run import Run
from gsched.jobs.tally import Tally
from gsched.stores.claims.database import RunRecord
from gsched.stores.claims.intervals import Intervals
from gsched.stores.claims.ownership import Ownership
from gsched.stores.claims.partition import slot_of_job
from gsched.stores.claims.recorded_runs import record_of
from gsched.stores.durable.tally_buffer import TallyBuffer
from gsched.stores.messages import ALWAYS, HubPort, LimitsChanged

from .cluster import Database, SimDatabase
from .ledger import Ledger
from .world import SimClock, SimEvent, World

PACE = Intervals(
    **{"tick": 0.1, "idle_tick": 0.5, "ahead": 0.25, "membership": 0.3, "ttl": 2.0, "horizon": 6.0, "rescan": 3.0},
    **{"long_run": 0.8, "clock": 1.0, "longest_retry": 0.5},
)
STORE = "default"


class Network:
    """The way from one process to the database.

    :ivar trouble: how likely each step fails, by kind
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.trouble: dict[str, float] = {}
        self.slowness = 0.0
        self.cut_until = 0

    def fate(self) -> str:
        """What becomes of a request: done, not done, done without an answer, done long after we gave up."""
        if self.is_cut():
            return self._world.random.choice(("refused", "refused", "silent"))
        dice = self._world.random.random()
        for kind, share in self.trouble.items():
            dice -= share
            if dice < 0:
                return kind
        return "ok"

    def is_cut(self) -> bool:
        return self._world.now < self.cut_until

    def latency(self) -> int:
        if self._world.chance(self.slowness):
            return self._world.random.randrange(20, 400)
        return self._world.random.choice((0, 0, 1, 2))

    def delay_of_late_writes(self) -> int:
        return self._world.random.randrange(10, 3000)


class Process:
    """A node of the cluster, from its start to its end.

    :ivar dead: killed, or ended: nothing of it ever happens again
    :ivar stands_still: stopped by SIGSTOP; what is due waits in the backlog
    """

    def __init__(self, world: World, database: Database, ledger: Ledger, number: int, skew: int) -> None:
        self.name, self.number = f"p{number}", number
        self.dead = self.stands_still = self.stopping = self.killed = False
        self.backlog: list[Callable[[], object]] = []
        self.network = Network(world)
        self.clock = SimClock(world, self, skew)
        self._world = world
        self.ledger = ledger
        self.cluster = SimDatabase(world, self, database, ledger)
        self.executors = Executors()
        bus: Any = SimpleNamespace(mask=EVENT_ALL, emit=self._emit)
        self.hub = Hub(self.clock, bus, self.executors, 60.0)
        self.executor = SimExecutor(world, self, size=world.random.choice((3, 100)))
        self.store = SimStore(world, self)
        world.spawn(self, self._start)

    def _emit(self, event: SchedulerEvent) -> None:
        self._world.note(f"{self.name} {event!r}")

    def _start(self) -> None:
        self.hub.start(False)
        self.executor.start(self.clock)
        self.executors["default"] = self.executor
        if self.number % 2:
            self.executors["odd"] = self.executor
        self.hub.add_store(STORE, self.store)  # type: ignore[arg-type]

    # -- what happens to processes ------------------------------------------------------------------------------

    def kill(self) -> None:
        self._world.note(f"{self.name} is killed")
        self.dead = self.killed = True

    def stand_still(self) -> None:
        self._world.note(f"{self.name} stands still")
        self.stands_still = True

    def go_on(self) -> None:
        if not self.stands_still or self.dead:
            return
        self._world.note(f"{self.name} goes on")
        self.stands_still = False
        backlog, self.backlog = self.backlog, []
        for step in backlog:
            self._world.at(0, self, step)

    def stop(self) -> None:
        """A clean end, as in GeventScheduler.shutdown()."""
        if not self.stopping:
            self.stopping = True
            self._world.spawn(self, self._stop)

    def _stop(self) -> None:
        self._world.note(f"{self.name} is told to stop")
        if self.store.ownership is None:  # before it has begun
            self.dead = True
            return
        self.hub.stop_serving()
        self.hub.join(None, 60)
        self.hub.stop()
        self.store.close()
        self._world.note(f"{self.name} has stopped")
        self.dead = True

    # -- what it believes ---------------------------------------------------------------------------------------

    @property
    def lane(self) -> Any:
        return self.hub._lanes.get(STORE)

    def node(self) -> str | None:
        """Its incarnation."""
        holdings = None if self.store.ownership is None else self.store.ownership.holdings
        return None if holdings is None else holdings.node

    def slots(self) -> set[int]:
        """The slots that it believes are its own, while it may run anything."""
        holdings = None if self.store.ownership is None else self.store.ownership.holdings
        valid = self.lane is not None and self.clock.monotonic() < self.lane.expires
        return set(holdings.slots) if holdings is not None and valid and not self.dead else set()

    def first_undecided(self, job_id: str) -> int | None:
        """The instant of a job that its hub still holds, due or waiting."""
        entry = None if self.lane is None else self.lane.entries.get(job_id)
        return None if entry is None else entry.first

    def will_recover(self, job_id: str, instant: int, request: str | None = None) -> bool:
        """Whether its hub is to run this again, when another run of the job has ended."""
        if self.lane is None:
            return False
        waiting = [run for runs in self.lane.owed.values() for run in runs]
        waiting += [each.run for its in self.lane.later.by_job.values() for each in its]
        return (job_id, instant, request) in [(run.job.id, run.scheduled_ms, run.request) for run in waiting]


class SimExecutor(BaseExecutor):
    """The real queue; a run takes some virtual time."""

    def __init__(self, world: World, process: Process, size: int) -> None:
        super().__init__(size, max_waiting=1000)
        self._world = world
        self._process = process

    def start(self, clock: Any) -> None:
        self._clock = clock
        self._loop = SimpleNamespace(run_callback=lambda step: self._world.at(0, self._process, step))
        self._executing = _Ordered()  # type: ignore[assignment]

    def submit(self, run: Run) -> None:
        self._process.ledger.dispatched(self._process, run)
        super().submit(run)

    def _continue_soon(self) -> None:
        self._world.at(1, self._process, self._drain)

    def _begin(self, run: Run) -> None:
        self._started(run)
        shortest, longest = run.job.args
        delay = self._world.random.randint(shortest, longest)
        fails = self._world.chance(0.2)
        result = Result(Outcome.FAILED, error=RuntimeError()) if fails else SUCCEEDED_WITH_NONE
        self._world.at(delay, self._process, lambda: self._finish(run, result))


class _Ordered(dict[Run, None]):
    """A set that keeps its order, so that histories repeat."""

    def add(self, run: Run) -> None:
        self[run] = None

    def remove(self, run: Run) -> None:
        del self[run]


class _Outcome(NamedTuple):
    """What became of instants of a job, to be stored.

    :ivar runs: those that may be written down as in progress
    :ivar retried: another attempt follows
    :ivar stored: to be called when it is
    """

    job_id: str
    first: int
    runs: list[RunRecord]
    stored: Callable[[], None]
    retried: bool = False


class SimStore:
    """What the protocol needs of a store: it passes messages on, and writes what is not urgent in a task of its own."""

    shared = True

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process
        self._cluster = process.cluster
        self._incarnations = 0
        self._writes: deque[Callable[[], None]] = deque()
        self._outcomes: list[_Outcome] = []
        self._outcomes_in_writing: list[_Outcome] = []
        self._tallies = TallyBuffer()
        self._writing = SimEvent(world)
        self._flushed = SimEvent(world)
        self._left = SimEvent(world)
        self._closing = False
        self.ownership: Ownership | None = None

    # -- called by the hub ----------------------------------------------------------------------------------------

    def start(self, hub: HubPort, paused: bool) -> None:
        clock, limits = self._process.clock, self._process.ledger.limits
        if limits.by_pattern:
            hub.post(LimitsChanged(limits))
        self.ownership = Ownership(self._cluster, clock, hub, self, self._name, PACE)
        self._world.spawn(self._process, self._run)
        self._world.spawn(self._process, self._write)

    def pause(self) -> None:
        assert self.ownership is not None
        self.ownership.pause(True)

    def resume(self) -> None:
        assert self.ownership is not None
        self.ownership.pause(False)

    def stop(self) -> None:
        assert self.ownership is not None
        self.ownership.stop()

    def settle(self, run: Run, result: Result) -> None:
        assert self.ownership is not None
        stored = self._process.ledger.finished(self._process, run, result)
        if self.ownership.recorded.take_ahead(run.job.id, run.scheduled_ms, run.scheduled_ms + 1):
            run.recorded = True
        if run.recorded or run.attempt > 1 or run.request is not None or result.outcome is not Outcome.SUCCEEDED:
            self._note(run.job.id, run.scheduled_ms, [record_of(run)], stored, isinstance(result, Retried))
        else:
            stored()
        self.ownership.recorded.followed.pop(run, None)

    def retry(self, run: Run, retried: Retried) -> None:
        assert self.ownership is not None
        self._process.ledger.failed(self._process, run, retried)
        self.ownership.retry(run, retried)

    def put_back(self, run: Run) -> None:
        assert self.ownership is not None
        self._process.ledger.put_back(self._process, run)
        self.ownership.put_back(run)

    def settle_span(self, job: Job, span: Span) -> None:
        assert self.ownership is not None
        stored = self._process.ledger.settled(self._process, job, span)
        ahead = self.ownership.recorded.take_ahead(job.id, span.first, span.end)
        runs = [RunRecord(job.id, slot_of_job(job), instant) for instant in ahead]
        if runs or span.outcome is not Outcome.COALESCED:
            self._note(job.id, span.first, runs, stored)
        else:
            stored()

    def note_tally(self, job_id: str, tally: Tally, instant: int) -> None:
        self._tallies.note(job_id, tally, instant)
        self._writing.set()

    def _note(
        self, job_id: str, first: int, runs: list[RunRecord], stored: Callable[[], None], retried: bool = False
    ) -> None:
        self._outcomes.append(_Outcome(job_id, first, runs, stored, retried))
        self._writing.set()

    def first_unwritten(self) -> int:
        counted = [instant for _, instant in self.awaited_counts()]
        return min([each.first for each in self._unwritten()] + counted, default=ALWAYS)

    def awaited_counts(self) -> list[tuple[str, int]]:
        """Job id and first instant of each count that is still to be written."""
        return list(self._tallies.unwritten())

    def unwritten(self) -> Iterator[tuple[str, int]]:
        ended = [(each.job_id, each.first) for each in self._unwritten() if not any(run.request for run in each.runs)]
        return chain(ended, self.awaited_counts())

    def tallies(self, job_ids: Collection[str]) -> Mapping[str, Tally]:
        return self._tallies.of(job_ids)

    def has_counts(self) -> bool:
        return bool(self._tallies)

    def _unwritten(self) -> list[_Outcome]:
        return [*self._outcomes_in_writing, *self._outcomes]

    def defer(self, job: Job, due: int) -> None:
        assert self.ownership is not None
        self._world.note(f"{self._process.name} defers {job.id} {due}")
        self.ownership.defer(job.id, job.rev, due)

    def exhaust(self, job: Job) -> None:
        """Nothing: ids are not used again while their jobs run."""

    def end(self, job: Job) -> None:
        assert self.ownership is not None
        self.ownership.forget(job.id, job.rev)
        self._later(lambda: self._cluster.end_job(job.id, job.rev))

    def park(self, job: Job, reason: str | None) -> None:
        assert self.ownership is not None
        self.ownership.park(job, reason)

    # -- called by the rest of the world ----------------------------------------------------------------------------

    def hear(self, job_id: str) -> None:
        """The change feed says that a job may have changed."""
        if self.ownership is not None:
            self.ownership.look_at([job_id])

    def rescan(self) -> None:
        """The change feed was opened anew."""
        if self.ownership is not None:
            self.ownership.rescan()

    def close(self) -> None:
        """Write what is left, then leave."""
        assert self.ownership is not None
        self._closing = True
        self._writing.set()
        self._flushed.wait()
        self.ownership.end()
        self._left.wait()

    # -- its tasks --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        assert self.ownership is not None
        self.ownership.run()
        self._left.set()

    def _write(self) -> None:
        while self._unwritten() or self._tallies or self._writes or not self._closing:
            self._writing.clear()
            if not self._unwritten() and not self._tallies and not self._writes:
                self._writing.wait()
                continue
            try:
                ready = len(self._writes)  # those whose outcomes are among these
                self._outcomes_in_writing, self._outcomes = self._unwritten(), []
                self._tallies.write(self._cluster.note_tallies)
                self._cluster.store_outcomes(self._outcomes_in_writing)
                self._outcomes_in_writing = []
                if ready:
                    self._writes[0]()
                    self._writes.popleft()
            except StoreError:
                self._world.sleep(self._world.random.randrange(50, 300))
        self._flushed.set()

    def _later(self, write: Callable[[], None]) -> None:
        self._writes.append(write)
        self._writing.set()

    def _name(self, now: int) -> str:
        self._incarnations += 1
        return f"{now}-{self._process.name}.{self._incarnations}"
