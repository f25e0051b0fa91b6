"""What a job store is, and the messages by which it tells the hub what this scheduler may run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import gevent

from gsched.activity import Overview
from gsched.clock import Clock
from gsched.doctor import Finding
from gsched.errors import ConfigurationError, InvalidJobError, NodeNotFoundError
from gsched.events import SchedulerEvent
from gsched.explanation import Account
from gsched.facts import Fact
from gsched.funcref import AllowedFunctions
from gsched.history import JobFigures, RunInfo, RunQuery
from gsched.job import Job
from gsched.nodes import NodeInfo
from gsched.planning import Span
from gsched.run import Reason, Result, Run
from gsched.stores.report import StoreReport
from gsched.stores.statistics import StoreStatistics

ALWAYS = 1 << 62  # claimed until the end of time
NEVER = -1  # nothing is claimed yet
NONE_LATE: Mapping[str, int] = MappingProxyType({})


class Admitted(NamedTuple):
    """This scheduler runs `job` from now on; `due` (ms) is its first undecided instant, None if none comes.

    `is_new`: it was added or rescheduled; else it is as it was, and comes from elsewhere.
    """

    job: Job
    due: int | None
    fence: int = 0
    is_new: bool = True


class Changed(NamedTuple):
    """The job's options or arguments changed; when it is due did not."""

    job: Job


class Dropped(NamedTuple):
    """The job is due here only up to `until` (ms), if at all: removed, paused, or another node's from then on.

    Runs in progress go on. `reason` is that of instants that wait, where they are not run any more; None: they wait on,
    with the store.
    """

    job_id: str
    until: int = -1
    reason: Reason | None = Reason.REMOVED_OR_PAUSED


class Disowned(NamedTuple):
    """Others have taken over: nothing of any job is due here any more, whatever was claimed. Runs in progress go on."""


class Lost(NamedTuple):
    """Instants were in progress on a node that died, and are not to run again; or a run that was asked for is not to
    begin, as the span says."""

    job: Job
    span: Span


class Recovered(NamedTuple):
    """A run was in progress on a node that died, and is to run again."""

    job: Job
    scheduled: int
    attempt: int
    fence: int
    request: str | None = None


class RunsElsewhere(NamedTuple):
    """How many runs of jobs that are ours now are still in progress where the jobs were before: by id, and of other
    jobs none. They count among the jobs' instances."""

    counts: Mapping[str, int]


class Claimed(NamedTuple):
    """Whatever is due up to `until` (ms) may be run, as long as the clock's monotonic time is before `expires`.

    What is due after `horizon` (ms) the store keeps for itself.
    """

    until: int
    horizon: int = ALWAYS
    expires: float = float("inf")


class StoreTime(NamedTuple):
    """The store has a time of its own, which counts: `base` (ms) plus the clock's monotonic time."""

    base: int


class RunRequested(NamedTuple):
    """Somebody asked for a run outside the schedule."""

    job: Job
    request: str
    at: int
    fence: int = 0


Message = (
    Admitted | Changed | Dropped | Disowned | Lost | Recovered | RunsElsewhere | Claimed | StoreTime | RunRequested
)

STATES = ("scheduled", "paused", "parked")


@dataclass(frozen=True)
class JobQuery:
    """Which jobs to list: those with the tag, in the state, with the text in id or name, with an id that begins so;
    None is any.

    :ivar metadata: only those that have these values in their metadata
    :ivar skip: how many of them to leave out at the start of the list
    :ivar limit: how many to give at most
    """

    tag: str | None = None
    state: str | None = None
    text: str | None = None
    skip: int = 0
    limit: int | None = None
    prefix: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def matches(self, job: Job) -> bool:
        """Whether a job belongs to the list."""
        return (
            (self.tag is None or self.tag in job.tags)
            and (self.text is None or self.text.lower() in f"{job.id}\n{job.name}".lower())
            and (self.prefix is None or job.id.startswith(self.prefix))
            and (self.state is None or self.state == job.state)
            and all(job.metadata.get(key) == value for key, value in self.metadata.items())
        )

    def __post_init__(self) -> None:
        if self.state is not None and self.state not in STATES:
            raise InvalidJobError(f"state: expected one of {', '.join(STATES)}, got {self.state!r}")
        for what, value in (("skip", self.skip), ("limit", 0 if self.limit is None else self.limit)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ConfigurationError(f"{what}: expected a whole number from 0, got {value!r}")


class HubSide(Protocol):
    """What a store sees of the hub."""

    def post(self, message: Message) -> None:
        """Hand the hub a message; it is handled in order, soon."""

    def emit(self, event: SchedulerEvent) -> None:
        """Publish an event about the store itself."""

    alias: str
    """The store's."""

    def unfinished(self) -> Iterable[Run]:
        """The runs of this store's jobs that have been submitted and not settled."""

    def next_due(self, after: int, late: Mapping[str, int] = NONE_LATE) -> int | None:
        """The earliest instant (ms) after `after` of this store's jobs that is not decided.

        :param late: jobs that wait for a run of theirs to end, of which only what comes after then counts
        """

    def waiting_since(self, before: int) -> Sequence[str]:
        """The jobs with an instant before that (ms) which waits for a run of theirs to end."""

    def due(self, job_id: str) -> int | None:
        """The first instant (ms) of the job that is not decided."""

    def undecided(self, job_id: str, until: int, most: int) -> Sequence[int]:
        """The instants (ms) of the job up to `until` that are not decided, the earliest so many; none if it is parked.
        """

    def obstacle(self, job: Job) -> str | None:
        """Why the hub could not run the job if it were due, as far as that can be told before."""

    def gives_up(self) -> bool:
        """Whether instants are to be skipped as soon as it is sure that they are not another scheduler's by now."""

    def unread(self) -> bool:
        """Whether messages about jobs or runs were posted that the hub has not handled."""

    def activity(self) -> Mapping[str, Any]:
        """What the scheduler did since it started, and is doing, in plain values: see `Hub.activity`."""


class BaseJobStore(ABC):
    """Keeps jobs, and says which of them this scheduler may run, and until when.

    - The methods under "definitions" and "the history" may be called from any greenlet of the scheduler's thread, also
      before `start` and after `stop`; they may wait for a database. Each works whole or not at all.
    - What they change reaches the hub as messages, in order, through the `HubSide` given to `start`. A store posts
      `Admitted` for every job that is to be run here, and `Claimed` before anything of it may be run.
    - The methods under "what became of it" are called by the hub, for every due instant once; they never wait.
    """

    shared = False
    """Whether other schedulers have the jobs after `stop`, and what was claimed here is not theirs."""
    started = False
    """Whether a scheduler runs jobs from this object, which no other one can then; that scheduler keeps it."""

    def has_jobs_of(self, other: BaseJobStore) -> bool:
        """Whether the jobs of both are the same ones, as far as that is known here: no scheduler can have both."""
        return other is self

    def bind(self, alias: str, clock: Clock, allowed: AllowedFunctions) -> None:
        """Take part in a scheduler under `alias`; stored references may be resolved as `allowed` says."""
        self.alias = alias
        self.clock = clock
        self.allowed = allowed

    @abstractmethod
    def start(self, hub: HubSide, paused: bool) -> None:
        """Begin to run jobs here: post messages from now on; claim nothing yet if `paused`."""

    @abstractmethod
    def pause(self) -> None:
        """Claim nothing until `resume`, and say so with `Claimed`."""

    @abstractmethod
    def resume(self) -> None:
        """Claim again; what fell due meanwhile is late."""

    @abstractmethod
    def stop(self) -> None:
        """Claim nothing any more, and say with `Claimed` until when this scheduler still answers.

        What is in progress still comes back through `settle`.
        """

    def abandon(self) -> None:
        """The hub greenlet was killed, and nothing is run here any more: others, if there are any, shall take over."""

    def greenlets(self) -> Collection[gevent.Greenlet]:
        """Those that work for the store while it runs jobs. In a forked copy of the process none of them goes on."""
        return ()

    def leave(self) -> None:
        """Everything has come back: write what is left. From here on nothing is run here, until the next `start`."""

    def close(self) -> None:
        """Leave, and let go of all resources; they are taken anew when they are needed."""
        self.leave()

    def report(self) -> StoreReport:
        """How the store is now, told from memory: it asks no database, and may be called in any thread."""
        return StoreReport()

    # -- definitions ------------------------------------------------------------------------------------------

    @abstractmethod
    def add(self, jobs: Sequence[Job], replace: bool, timed: Collection[str] = ()) -> list[Job]:
        """Store new jobs, all or none, and give them as stored.

        A job whose trigger has ended does not keep its id from a new one.

        :param replace: replace jobs with the same ids (see `gsched.job.replacement`)
        :param timed: ids of those whose next run time the user set: they do not keep that of the job they replace
        :raises JobIdConflictError: if an id is taken and `replace` is false
        """

    @abstractmethod
    def check_addable(self, jobs: Sequence[Job], replace: bool) -> None:
        """Raise what `add` would raise for these jobs, as things are, and add none."""

    @abstractmethod
    def get(self, job_id: str) -> Job:
        """The job. Raises JobNotFoundError."""

    @abstractmethod
    def find(self, query: JobQuery) -> Iterable[Job]:
        """The jobs that match, the next due first, then those without a next run time, by id."""

    @abstractmethod
    def change(self, job_id: str, change: Callable[[Job], Job]) -> Job:
        """Replace the job by what `change` makes of it, as stored; `change` may be called again after a conflict.

        Raises JobNotFoundError, and whatever `change` raises.
        """

    @abstractmethod
    def remove(self, job_id: str) -> Job:
        """Remove the job and give what it was. Raises JobNotFoundError."""

    @abstractmethod
    def remove_all(self) -> int:
        """Remove all jobs; how many there were."""

    @abstractmethod
    def request_run(self, job: Job, request: str) -> None:
        """Have the job run once, now, outside its schedule. `request` names the run."""

    # -- the history ------------------------------------------------------------------------------------------

    @abstractmethod
    def runs(self, query: RunQuery) -> list[RunInfo]:
        """What became of due instants, as far as it is kept (see `gsched.records.Keeping`), and the runs in progress
        that are written down; the newest first."""

    @abstractmethod
    def figures(self, job_id: str) -> JobFigures:
        """What the job did so far. Raises JobNotFoundError."""

    @abstractmethod
    def account(self, job: Job | None, instant: int) -> Account:
        """What is known of a job of this store, beside its records, that helps to explain an instant (ms)."""

    # -- housekeeping -----------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make what the store needs in its database, unless it is there."""

    def ping(self) -> None:
        """Ask whether the database answers. Raises StoreUnreachableError, or another StoreError, if it does not."""

    @abstractmethod
    def statistics(self) -> StoreStatistics:
        """What the store holds, and how large it is."""

    @abstractmethod
    def count_records(self, before: int) -> int:
        """How many records `purge` would remove."""

    @abstractmethod
    def purge(self, before: int, progress: Callable[[int], object] | None = None) -> int:
        """Remove the records of what was due before an instant (ms), whole; how many there were.

        :param progress: called now and then with how many were removed so far
        """

    # -- who shares the store, and what they do -----------------------------------------------------------------

    def nodes(self) -> list[NodeInfo]:
        """The schedulers that share the store, and those that ended lately, the oldest first; none if it is not shared.
        """
        return []

    def claimed_until(self) -> Callable[[str], int]:
        """A function that gives the time (ms) up to which the instants of a job, named by its id, are claimed now."""
        now = self.clock.now_ms()
        return lambda job_id: now

    def request_drain(self, node_id: str) -> None:
        """Ask a node to drain; nothing happens if it is dead. Raises NodeNotFoundError."""
        raise NodeNotFoundError(node_id)

    def follow(self, stop: Callable[[], bool]) -> Iterator[Fact]:
        """What happens from now on, until `stop()`. Raises ConfigurationError if the store is not shared."""
        raise ConfigurationError(f"the store {self.alias!r} is in this process only: listen to the scheduler's events")

    def overview(self) -> Overview:
        """Jobs, nodes, and what these are doing."""
        statistics = self.statistics()
        counts = {"total": sum(statistics.jobs.values()), **statistics.jobs}
        return Overview(counts, (), (), (), is_shared=self.shared)

    def diagnose(self) -> Iterator[Finding]:
        """Look for what is wrong with the store."""
        return iter(())

    # -- what became of it ------------------------------------------------------------------------------------

    def settle(self, run: Run, result: Result) -> None:
        """A run has ended."""

    def settle_span(self, job: Job, span: Span) -> None:
        """Due instants have ended without a run."""

    def defer(self, job: Job, due: int) -> None:
        """The job, due next at `due` (ms), beyond the horizon, is back with the store."""

    def exhaust(self, job: Job) -> None:
        """The last instant of the job's trigger is decided: a new job may have the id. Runs may be in progress."""

    @abstractmethod
    def end(self, job: Job) -> None:
        """The job's trigger has ended and nothing of it is in progress: remove it, if it is still this revision."""

    def parked(self) -> Set[str]:
        """Jobs that it does not let this scheduler run because they cannot be; in whatever thread."""
        return frozenset()

    def executor_added(self) -> None:
        """There is a new executor: the hub may be able to run jobs that it could not."""

    @abstractmethod
    def park(self, job: Job, reason: str | None) -> None:
        """The job cannot be run, for this reason, or can be again (None). It is kept, and the store says so."""


def reschedules(old: Job, new: Job) -> bool:
    """Whether a change concerns when the job is due, not only what it does."""
    return not same_instants(old, new) or old.paused != new.paused


def same_instants(old: Job, new: Job) -> bool:
    """Whether two states of a job are due at the same times."""
    return old.trigger is new.trigger and old.next_run_ms == new.next_run_ms
