"""What tests of single steps of the protocol stand on: the simulated database without a way to it, and a hub that knows
what a test tells it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any
from unittest.mock import Mock

from gsched.errors import StoreUnreachableError
from gsched.events import SchedulerEvent
from gsched.jobs.job import Job
from gsched.jobs.run import Run
from gsched.jobs.tally import Tally
from gsched.stores.claims.database import ClaimDatabase
from gsched.stores.claims.holdings import Held, Holdings
from gsched.stores.claims.progress import Progress
from gsched.stores.claims.recorded_runs import RecordedRuns
from gsched.stores.claims.session import Session
from gsched.stores.messages import ALWAYS, NONE_LATE, Message

from .cluster import Database, InstantDatabase


def watched(database: Database, now: int) -> Any:
    """The way to the database, on which each step happens at once. A test sees what was asked in `method_calls`, and
    breaks an operation by its `side_effect`; the answers are the simulated database's own."""
    way = InstantDatabase(database, now)
    made = Mock(ClaimDatabase, wraps=way)
    made.way, made.exclusive = way, way.exclusive
    return made


def lose_answers(database: Any, operation: str) -> None:
    """From now on, what is asked by this operation happens, and no answer comes back."""

    def happen(*given: Any) -> None:
        getattr(database.way, operation)(*given)
        raise StoreUnreachableError("the connection broke")

    getattr(database, operation).side_effect = happen


class StepHub:
    """A hub that runs nothing.

    :ivar told: the messages
    :ivar events: what was emitted
    :ivar dues: the first instants of jobs that are not decided
    :ivar waiting: jobs of which instants wait for a run to end
    :ivar runs: the runs in progress
    :ivar obstacles: why jobs cannot be run
    """

    alias = "default"

    def __init__(self) -> None:
        self.told: list[Message] = []
        self.events: list[Any] = []
        self.dues: dict[str, int | None] = {}
        self.waiting: list[str] = []
        self.runs: list[Run] = []
        self.obstacles: dict[str, str] = {}
        self.is_behind = False

    def post(self, message: Message) -> None:
        self.told.append(message)

    def emit(self, event: SchedulerEvent) -> None:
        self.events.append(event)

    def unfinished(self) -> Iterable[Run]:
        return self.runs

    def next_due(self, after: int, late: Mapping[str, int] = NONE_LATE) -> int | None:
        dues = [(job_id, due) for job_id, due in self.dues.items() if due is not None]
        return min((due for job_id, due in dues if due > max(after, late.get(job_id, after))), default=None)

    def waiting_since(self, before: int) -> Sequence[str]:
        return [job_id for job_id in self.waiting if (self.dues[job_id] or before) < before]

    def due(self, job_id: str) -> int | None:
        return self.dues.get(job_id)

    def undecided(self, job_id: str, until: int, most: int) -> Sequence[int]:
        due = self.due(job_id)
        return [] if due is None or due > until else [due]

    def obstacle(self, job: Job) -> str | None:
        return self.obstacles.get(job.id)

    def gives_up(self) -> bool:
        return False

    def unread(self) -> bool:
        return self.is_behind

    def activity(self) -> Mapping[str, Any]:
        return {}


class Unwritten:
    """What is not written yet of what became of instants.

    :ivar instants: by the id of the job
    :ivar counted: by the id of the job
    """

    def __init__(self) -> None:
        self.instants: dict[str, int] = {}
        self.counted: dict[str, Tally] = {}

    def first_unwritten(self) -> int:
        return min(self.instants.values(), default=ALWAYS)

    def unwritten(self) -> Iterable[tuple[str, int]]:
        return self.instants.items()

    def tallies(self, job_ids: Collection[str]) -> Mapping[str, Tally]:
        return {job_id: self.counted[job_id] for job_id in job_ids if job_id in self.counted}

    def has_counts(self) -> bool:
        return bool(self.counted)


class LoneNode:
    """A node that owns all slots, with the fence 7, on the simulated database: what rigs of single steps begin with."""

    def __init__(self, now: int) -> None:
        self.database = Database(256, now)
        self.cluster = watched(self.database, now)
        self.cluster.join("node", now)
        self.hub = StepHub()
        self.holdings = Holdings("node", now, now + 60_000)
        for number in range(256):
            self.holdings.hold(number, Held(fence=7, taken_at=now))


def session_of(
    database: Any, hub: StepHub, holdings: Holdings, outcomes: Unwritten, beat: Callable[[], None] = lambda: None
) -> Session:
    """What the steps of one node share."""
    recorded = RecordedRuns(database, hub, outcomes)
    return Session(database, hub, holdings, recorded, Progress(holdings, hub, outcomes, recorded), beat)
