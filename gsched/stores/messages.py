"""The messages by which a store tells the hub what this scheduler may run, and what a store sees of the hub."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from gsched.events import SchedulerEvent
from gsched.jobs.job import Job
from gsched.jobs.limits import GroupLimits
from gsched.jobs.outcomes import Reason, Retried, Span
from gsched.jobs.run import Run
from gsched.jobs.tally import Tally

ALWAYS = 1 << 62  # claimed until the end of time
NEVER = -1  # nothing is claimed yet
NONE_LATE: Mapping[str, int] = MappingProxyType({})
NONE_ELSEWHERE: Mapping[str, int] = MappingProxyType({})


class Admitted(NamedTuple):
    """This scheduler runs the job from now on.

    :ivar due: the first instant (ms) that is not decided; None if none comes
    :ivar is_new: the job was added, resumed or rescheduled; otherwise it is as it was, and comes from another node
    :ivar tally: what the store has counted of the job
    """

    job: Job
    due: int | None
    fence: int = 0
    is_new: bool = True
    tally: Tally | None = None


class Changed(NamedTuple):
    """The job's options or arguments changed; when it is due did not.

    :ivar tally: what the store has counted of the job
    """

    job: Job
    tally: Tally | None = None


class Dropped(NamedTuple):
    """This scheduler runs the job only up to `until` (ms). Runs in progress go on.

    The job was removed or paused, or it is another node's from then on.

    :ivar reason: why waiting instants are skipped; None keeps them waiting in the store
    """

    job_id: str
    until: int = -1
    reason: Reason | None = Reason.REMOVED_OR_PAUSED


class Disowned(NamedTuple):
    """Other nodes have taken over all jobs: nothing is due here any more, whatever was claimed. Runs in progress go on.
    """


class Lost(NamedTuple):
    """Instants were in progress on a node that died, and do not run again. The span has their outcome.

    :ivar tally: what the store has counted of the job
    """

    job: Job
    span: Span
    tally: Tally | None = None


class BegunElsewhere(NamedTuple):
    """An instant's first attempt began on a node that died, and later attempts decide what becomes of it. It counts for
    the job's `max_runs`.

    :ivar tally: what the store has counted of the job
    """

    job: Job
    span: Span
    tally: Tally | None


class ExtraRun(NamedTuple):
    """A run is due at a time that no trigger gives: a retry, or a run that was in progress on a node that died.

    :ivar due: when it begins (ms), if an instance is free then, otherwise it waits; None: at once
    :ivar tries: how many attempts before this one failed, of those that count
    :ivar recoveries: how many attempts before this one were lost
    :ivar verdict: why it ends without beginning; None: it begins
    :ivar tally: what the store has counted of the job, if the run was in progress on a node that died
    :ivar reported_until: another scheduler had the job up to this time (ms), and has reported what was slow by then
    """

    job: Job
    scheduled: int
    due: int | None
    fence: int
    attempt: int
    request: str | None = None
    tries: int = 0
    recoveries: int = 0
    is_retry: bool = False
    verdict: Reason | None = None
    tally: Tally | None = None
    reported_until: int = NEVER


class SucceededByRetry(NamedTuple):
    """The attempt failed, and it is stored that another follows. With a reason none follows, and the run has failed."""

    run: Run
    retried: Retried
    reason: Reason | None


class RunsElsewhere(NamedTuple):
    """How many runs of our jobs are still in progress on the nodes that owned the jobs before.

    These runs count as instances of their jobs, and towards the limits of their groups.

    :ivar counts: by the id of the job; a job that is not in it has no such run
    :ivar groups: by group; a group that is not in it has no such run
    """

    counts: Mapping[str, int]
    groups: Mapping[str, int] = NONE_ELSEWHERE


class SlotsTaken(NamedTuple):
    """This scheduler owns the jobs of these slots from now on. Others may have begun runs of them just before.

    A shared store posts it before the jobs, and before what it rescues of them.

    :ivar slot_of: gives the slot of a group's jobs
    """

    numbers: Collection[int]
    slot_of: Callable[[str], int]


class Claimed(NamedTuple):
    """The hub may run what is due up to `until` (ms), while the clock's monotonic time is before `expires`.

    :ivar horizon: the store keeps jobs that are due later (ms)
    """

    until: int
    horizon: int = ALWAYS
    expires: float = float("inf")


class StoreTime(NamedTuple):
    """Time is the database server's: `base` (ms) plus the clock's monotonic time."""

    base: int


class RunRequested(NamedTuple):
    """A user asked for a run outside the schedule.

    :ivar overlap: what becomes of it while max_instances runs are in progress; None: as the job says
    """

    job: Job
    request: str
    at: int
    fence: int = 0
    overlap: str | None = None


class LimitsChanged(NamedTuple):
    """The limits and pauses of the store's groups, from now on. A store posts it before its first `Admitted`, if there
    are any, and after each change."""

    limits: GroupLimits


class CancelRequested(NamedTuple):
    """Somebody in another process wants this run of the scheduler to be cancelled."""

    run: Run


Message = (
    Admitted
    | Changed
    | Dropped
    | Disowned
    | Lost
    | BegunElsewhere
    | ExtraRun
    | SucceededByRetry
    | RunsElsewhere
    | SlotsTaken
    | Claimed
    | StoreTime
    | RunRequested
    | CancelRequested
    | LimitsChanged
)


class HubPort(Protocol):
    """The hub as a store sees it: what a store may tell it and ask it. No method waits."""

    def post(self, message: Message) -> None:
        """Hand the hub a message. The hub handles messages in order, soon."""

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
        """Why the hub cannot run the job, as far as it can tell before the job is due; None if it sees no reason."""

    def gives_up(self) -> bool:
        """True if the hub will skip instants as soon as it is sure that no other scheduler owns them by now."""

    def unread(self) -> bool:
        """True if messages about jobs or runs were posted that the hub has not handled."""

    def activity(self) -> Mapping[str, Any]:
        """What the scheduler did since it started, and is doing, in plain values: see `Hub.activity`."""
