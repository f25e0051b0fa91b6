"""The contract of job stores: what the hub and the verbs call, and what a store promises."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from datetime import tzinfo
from typing import TYPE_CHECKING

import gevent

from gsched.errors import ConfigurationError, NodeNotFoundError
from gsched.history.explanation import Evidence
from gsched.history.outputs import StoredOutput
from gsched.history.queries import JobCounters, RunInfo, RunPage, RunQuery
from gsched.history.reruns import NextAttempt, Obstacle
from gsched.jobs.audit import Act, AuditEntry, AuditPage, AuditQuery
from gsched.jobs.funcref import AllowedFunctions
from gsched.jobs.job import Job
from gsched.jobs.limits import GroupLimit, GroupLimits
from gsched.jobs.outcomes import Result, Retried, Span
from gsched.jobs.pause import Pause
from gsched.jobs.query import JobQuery
from gsched.jobs.run import Run
from gsched.jobs.tally import Tally
from gsched.monitoring.activity import Overview
from gsched.monitoring.cluster_events import StoreEvent
from gsched.monitoring.doctor import Finding
from gsched.monitoring.error_groups import ErrorGroups
from gsched.monitoring.groups import GroupActivity, GroupInfo
from gsched.monitoring.job_pages import StoredPage, StoredRow
from gsched.monitoring.load import SAMPLE, JobSample, Load
from gsched.monitoring.nodes import NodeInfo
from gsched.monitoring.overdue import OverdueJob, in_overview
from gsched.monitoring.pauses import MOST_LOOKED_AT, PausedJob, groups_of_pauses
from gsched.monitoring.rates import NotedMinute
from gsched.monitoring.store_report import StoreReport
from gsched.monitoring.store_statistics import StoreStatistics
from gsched.notices.outbox import Outbox
from gsched.policies.spreading import Numbers, Series
from gsched.stores import derived
from gsched.stores.messages import HubPort
from gsched.stores.policy_findings import policy_findings
from gsched.times.clock import Clock
from gsched.triggers import DateTrigger

if TYPE_CHECKING:
    from gsched.history.instants import InstantInfo


class BaseJobStore(ABC):
    """A job store: it keeps jobs. It tells the hub which jobs this scheduler may run, and up to which instant.

    - Any greenlet of the scheduler's thread may call the methods under "definitions", "limits of groups" and "the
      history", also before `start` and after `stop`. They may wait for a database. Each has its whole effect or none.
    - A change reaches the hub as messages, in order, through the `HubPort` that `start` gets. A store posts `Admitted`
      for each job that this scheduler runs, and `Claimed` before any instant may run.
    - The hub calls the methods under "outcomes", once for each due instant. They never wait.
    """

    shared = False
    """True if other schedulers run the jobs after `stop`. Instants that were claimed here stay this scheduler's."""
    started = False
    """True if a scheduler runs jobs from this object. No other scheduler can then. The scheduler sets it."""

    def has_jobs_of(self, other: BaseJobStore) -> bool:
        """True if both stores have the same jobs, as far as this process knows. No scheduler can have both."""
        return other is self

    def bind(self, alias: str, clock: Clock, allowed: AllowedFunctions) -> None:
        """Belong to a scheduler.

        :param alias: the store's name in that scheduler
        :param allowed: resolves stored function references
        """
        self.alias = alias
        self.clock = clock
        self.allowed = allowed

    @abstractmethod
    def start(self, hub: HubPort, paused: bool) -> None:
        """Begin to run jobs here: post messages from now on. If `paused`, claim nothing yet."""

    @abstractmethod
    def pause(self) -> None:
        """Claim nothing until `resume`, and post that as `Claimed`."""

    @abstractmethod
    def resume(self) -> None:
        """Claim again. Instants that fell due meanwhile are late."""

    @abstractmethod
    def stop(self) -> None:
        """Claim nothing any more, and post as `Claimed` up to when instants are still this scheduler's.

        Runs in progress still come back through `settle`.
        """

    def abandon(self) -> None:
        """The hub greenlet was killed: stop without leaving, so that other schedulers take over."""

    def greenlets(self) -> Collection[gevent.Greenlet]:
        """The greenlets that work for the store while it runs jobs. None of them goes on in a forked child."""
        return ()

    def leave(self) -> None:
        """All runs have been settled: write what is left. Nothing runs here until the next `start`."""

    def close(self) -> None:
        """Leave, and release all resources. The store takes them again when it needs them."""
        self.leave()

    def report(self) -> StoreReport:
        """The store's status now, from memory. It asks no database, and any thread may call it."""
        return StoreReport()

    # -- definitions ------------------------------------------------------------------------------------------

    @abstractmethod
    def add(self, jobs: Sequence[Job], replace: bool, timed: Collection[str] = ()) -> list[Job]:
        """Store new jobs, all or none, and give them as stored.

        A job whose trigger has ended does not keep its id from a new one.

        :param replace: replace jobs with the same ids (see `gsched.jobs.job.replacement`)
        :param timed: the ids of jobs whose next run time the user has set. The others keep that of the replaced job
        :raises JobIdConflictError: if an id is taken and `replace` is false
        """

    @abstractmethod
    def check_addable(self, jobs: Sequence[Job], replace: bool) -> None:
        """Raise what `add` would raise for these jobs now. Add none."""

    @abstractmethod
    def get(self, job_id: str) -> Job:
        """The job. Raises JobNotFoundError."""

    @abstractmethod
    def find(self, query: JobQuery) -> Iterable[Job]:
        """The jobs that match, the next due first, then those without a next run time, by id."""

    def matching(self, query: JobQuery) -> Iterable[Job]:
        """All jobs that match, in any order, without regard to `skip`, `limit` and `after`."""
        found = self.find(replace(query, skip=0, limit=None, after=None))
        return (job for job in found if not query.failing or self.counters(job.id).failing_since is not None)

    def page(self, query: JobQuery) -> StoredPage:
        """The jobs that match, after the place `after` in the order `sort`, at most `limit`. It never waits long.

        The order by time is that of the times which the store keeps: of a job that is due often it may be past.
        """
        return derived.page_of(self, query)

    def rows(self, job_ids: Sequence[str]) -> dict[str, StoredRow]:
        """The jobs with these ids, with their counters and last outcomes, by id. Ids without a job are left out."""
        return derived.rows_of(self, job_ids)

    def count(self, query: JobQuery, most: int) -> int:
        """How many jobs match, up to `most`."""
        return derived.count_of(self, query, most)

    def tags(self, most: int) -> dict[str, int]:
        """The tags that most jobs have, the most frequent first, and how many jobs have each."""
        return derived.tags_of(self, most)

    def sample(self, most: int = SAMPLE) -> JobSample:
        """Some of the jobs that are not paused, at most `most`, picked at random."""
        total = self.count(JobQuery(state="scheduled"), SAMPLE)
        return JobSample(self.matching(JobQuery(state="scheduled")), total)

    def load(self, zone: tzinfo) -> Load:
        """How many runs are due in each hour of the next week, in this zone, and in each minute of the next hour."""
        return derived.load_of(self, zone)

    @abstractmethod
    def change(self, job_id: str, change: Callable[[Job], Job], act: Act | None = None) -> Job:
        """Replace the job by what `change` makes of it. Returns the job as it is stored.

        :param change: called again after a conflict; its errors pass through
        :param act: who does it: it is kept with the job in the same write, and in the audit
        :raises JobNotFoundError: if there is no such job
        """

    @abstractmethod
    def change_many(self, job_ids: Sequence[str], change: Callable[[Job], Job | None]) -> list[Job]:
        """Replace some hundred jobs, each by what `change` makes of it. Returns the jobs as they are stored.

        Jobs that do not exist are left out, and so are those for which `change` gives None: they stay as they are.

        :param change: called again after a conflict; its errors pass through
        """

    @abstractmethod
    def remove(self, job_id: str, act: Act | None = None) -> Job:
        """Remove the job and give it as it was last. Raises JobNotFoundError.

        :param act: who does it, for the audit
        """

    @abstractmethod
    def remove_all(self) -> int:
        """Remove all jobs, and give how many there were."""

    @abstractmethod
    def take_numbers(self, wanted: Mapping[Series, int]) -> Mapping[Series, Numbers]:
        """Take the next so many numbers of each series, in one write: no other job ever gets them.

        With 0, no number is taken. A group that is new gets its rank.
        """

    @abstractmethod
    def request_run(self, job: Job, request: str, overlap: str | None = None) -> None:
        """Ask for one run of the job now, outside its schedule.

        :param request: names the run. If there is a run of the job with this name, nothing happens
        :param overlap: what becomes of it while max_instances runs are in progress; None: as the job says then
        """

    @abstractmethod
    def retry_runs(self, attempts: Sequence[NextAttempt], dry_run: bool) -> Mapping[NextAttempt, Obstacle]:
        """Let these attempts at runs that have ended begin now, on paused jobs, too.

        :param dry_run: change nothing
        :return: why some of them do not begin
        """

    # -- limits of groups -------------------------------------------------------------------------------------

    @abstractmethod
    def limits(self) -> GroupLimits:
        """The limits of groups, and the pauses of groups that hold now."""

    @abstractmethod
    def set_limit(self, limit: GroupLimit) -> None:
        """Keep the limit, in place of one with the same pattern. A store that runs jobs posts `LimitsChanged`, as
        after each of these calls.
        """

    @abstractmethod
    def remove_limit(self, pattern: str) -> None:
        """Remove the limit. Raises LimitNotFoundError."""

    @abstractmethod
    def pause_group(self, pattern: str, pause: Pause) -> None:
        """Keep the pause of the group, or of the groups that begin so, in place of one that they have."""

    @abstractmethod
    def resume_group(self, pattern: str) -> None:
        """End the pause that has this pattern. Raises GroupNotPausedError."""

    def groups(self) -> list[GroupInfo]:
        """The groups that jobs are in, and those with a limit or a pause of their own, by name."""
        return derived.groups_in(self)

    def group_activities(self) -> Iterable[GroupActivity]:
        """What the groups with a limit or a pause are doing."""
        return (group for activity in self.overview().activities for group in activity.groups)

    # -- the history ------------------------------------------------------------------------------------------

    @abstractmethod
    def runs(self, query: RunQuery) -> list[RunInfo]:
        """The outcomes of due instants that the history keeps (see `gsched.history.retention.RetentionPolicy`), and the
        recorded runs in progress. The newest come first.
        """

    def run_page(self, query: RunQuery) -> RunPage:
        """The records that match, the newest first, after the place `before`, without their tracebacks."""
        return derived.run_page_of(self, query)

    def instants(self, job_id: str, since: int, until: int, most: int) -> list[InstantInfo]:
        """What became of the job's last `most` instants from `since` until before `until` (ms), the oldest first.

        :raises JobNotFoundError: if there is no such job
        """
        return derived.instants_in(self, job_id, since, until, most)

    def output(self, run_id: str, attempt: int | None) -> StoredOutput | None:
        """What was kept of the output of an attempt at a run; None if nothing was.

        :param attempt: None: the last one with output
        """
        return None

    def error_groups(self, since: int, tag: str | None, by: str, most: int) -> ErrorGroups:
        """The newest `most` failures that were due at `since` (ms) or later, grouped."""
        return derived.error_groups_of(self, since, tag, by, most)

    @abstractmethod
    def counters(self, job_id: str) -> JobCounters:
        """The job's counts and last outcomes. Raises JobNotFoundError."""

    @abstractmethod
    def evidence(self, job: Job | None, instant: int) -> Evidence:
        """Facts about a job, beside its records, that help to explain an instant (ms)."""

    # -- housekeeping -----------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the tables, collections or indexes that the store's database lacks."""

    def ping(self) -> None:
        """Ask whether the database answers. Raises StoreUnreachableError, or another StoreError, if it does not."""

    @abstractmethod
    def statistics(self) -> StoreStatistics:
        """The numbers of jobs, records and nodes, and the store's size."""

    @abstractmethod
    def count_records(self, before: int) -> int:
        """How many records `purge` would remove."""

    @abstractmethod
    def purge(self, before: int, progress: Callable[[int], object] | None = None) -> int:
        """Remove the records that have only instants before `before` (ms). Gives how many were removed.

        :param progress: called now and then with the number removed so far
        """

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Copy the store, which may be in use, to a new file that only this user can read.

        :raises ConfigurationError: if the file exists or cannot be made, or the store has no such copies
        :raises StoreError: if the copy fails
        """
        raise ConfigurationError(f"the store {self.alias!r} is not a file: `gsched store export` writes its jobs")

    # -- notifications -----------------------------------------------------------------------------------------------

    @abstractmethod
    def outbox(self) -> Outbox:
        """What notifiers are to be told, for all schedulers of the store."""

    # -- who did what, and how much ---------------------------------------------------------------------------------

    def record_audit(self, entry: AuditEntry) -> None:
        """Keep an entry of the audit."""

    def audit(self, query: AuditQuery) -> AuditPage:
        """The entries of the audit that match, the newest first, after the place `before`."""
        return AuditPage(())

    def minutes(self, since: int, until: int) -> Iterable[NotedMinute]:
        """What the schedulers of this store did in each minute from `since` until before `until` (ms)."""
        return ()

    def hours(self, since: int, until: int) -> Iterable[NotedMinute]:
        """The same by hours, all schedulers together. Hours are kept longer."""
        return ()

    # -- who shares the store, and what they do -----------------------------------------------------------------

    def nodes(self) -> list[NodeInfo]:
        """The schedulers that share the store, and those that ended lately, the oldest first; none if it is not shared.
        """
        return []

    def claimed_until(self) -> Callable[[Job], int]:
        """A function that gives the time (ms) up to which the instants of a job are claimed now."""
        now = self.clock.now_ms()
        return lambda job: now

    def request_drain(self, node_id: str) -> None:
        """Ask a node to drain; nothing happens if it is dead. Raises NodeNotFoundError."""
        raise NodeNotFoundError(node_id)

    def request_cancel(self, run_id: str) -> bool:
        """Ask the scheduler in which a run is in progress, in whatever other process, to cancel it.

        A shared store knows the runs that have been recorded: those that take longer than a few seconds, and those that
        were requested.

        :return: False if no such run is known to be in progress
        """
        return False

    def follow(self, stop: Callable[[], bool]) -> Iterator[StoreEvent]:
        """The events of the store from now on, until `stop()`. Raises ConfigurationError if the store is not shared."""
        raise ConfigurationError(f"the store {self.alias!r} is in this process only: listen to the scheduler's events")

    def overview(self) -> Overview:
        """The counts of jobs, the nodes with their activity, and the jobs in trouble."""
        statistics = self.statistics()
        counts = {"total": sum(statistics.jobs.values()), **statistics.jobs}
        now, query = self.clock.now_ms(), JobQuery(state="paused", limit=MOST_LOOKED_AT)
        paused = [PausedJob(job.id, pause) for job in self.find(query) if (pause := job.pause_at(now)) is not None]
        pauses, overdue = groups_of_pauses(paused), in_overview(self.overdue(), now)
        return Overview(counts, (), (), (), pauses=pauses, overdue=overdue, is_shared=self.shared)

    def diagnose(self) -> Iterator[Finding]:
        """Look for problems of the store and of its jobs."""
        return policy_findings(self)

    @abstractmethod
    def overdue(self) -> Sequence[OverdueJob]:
        """The jobs that are overdue now, the longest overdue first, a thousand at most of those that were told to be,
        and of those that were not."""

    # -- outcomes ---------------------------------------------------------------------------------------------

    def keep_output(self, run: Run) -> None:
        """Give an attempt that begins soon its `output`, and keep what is added there until it is settled."""

    def settle(self, run: Run, result: Result) -> None:
        """A run has ended; or an attempt has ended, and `SucceededByRetry` was posted for it."""

    @abstractmethod
    def retry(self, run: Run, retried: Retried) -> None:
        """An attempt has failed, and another is to follow: keep that one until it is due.

        The store posts `SucceededByRetry` when it is kept, and `ExtraRun` when it is due, or earlier.
        """

    def put_back(self, run: Run) -> None:
        """The run, which the store had posted as an `ExtraRun`, does not begin here: another scheduler may run it. Only
        a shared store gets this call."""

    def settle_span(self, job: Job, span: Span) -> None:
        """Due instants have ended without a run."""

    @abstractmethod
    def note_tally(self, job_id: str, tally: Tally, instant: int) -> None:
        """Store the counts of a job. They are stored before the instant counts as ended."""

    @abstractmethod
    def note_success(self, job: Job, at: int) -> None:
        """A run of the job, which has `expect_success_every`, has succeeded at this time (ms)."""

    @abstractmethod
    def pause_failing(self, job: Job, pause: Pause) -> None:
        """Pause the job, which has failed too often, unless it is paused or its policy has changed."""

    def defer(self, job: Job, due: int) -> None:
        """Take the job back: it is due next at `due` (ms), beyond the horizon."""

    def has_here(self, job_id: str) -> bool:
        """True if this scheduler runs the job, and not another one that shares the store."""
        return True

    def exhaust(self, job: Job) -> None:
        """The last instant of the job's trigger is decided. A new job may have the id. Runs may be in progress."""

    @abstractmethod
    def end(self, job: Job) -> None:
        """Remove the job, whose trigger has ended and which has no run in progress. A job with another revision stays.
        """

    def parked(self) -> Set[str]:
        """The ids of jobs that cannot be run here, and that the store keeps from the hub. Any thread may call it."""
        return frozenset()

    def executor_added(self) -> None:
        """The scheduler has a new executor: the hub may be able to run jobs that it could not run before."""

    @abstractmethod
    def park(self, job: Job, reason: str | None) -> None:
        """Keep the job, and emit an event: it cannot be run, for this reason; None: it can be run again."""


def reschedules(old: Job, new: Job) -> bool:
    """True if a change concerns when the job is due, or which scheduler runs it, and not only what it does."""
    return not same_instants(old, new) or old.paused != new.paused or old.policy.group != new.policy.group


def is_same_date(old: Job, new: Job) -> bool:
    """True if both states of a job are due at the same date, which runs once, whatever pause moves it."""
    return isinstance(old.trigger, DateTrigger) and old.trigger is new.trigger


def same_instants(old: Job, new: Job) -> bool:
    """True if two states of a job are due at the same times."""
    return old.trigger is new.trigger and old.next_run_ms == new.next_run_ms
