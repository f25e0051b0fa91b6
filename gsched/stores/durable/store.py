"""The base of all stores in databases: life cycle, report, and the answers of the database passed on."""

from __future__ import annotations

import os
import secrets
import socket
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from datetime import timedelta
from typing import Any, Protocol

import gevent

from gsched.errors import FuncRefError
from gsched.event_loop.helpers import spawn
from gsched.event_loop.native_threads import NativeThreads
from gsched.events import EVENT_STORE_FAILED, SchedulerEvent
from gsched.history.explanation import Evidence
from gsched.history.outputs import StoredOutput
from gsched.history.queries import JobCounters, RunInfo, RunPage, RunQuery
from gsched.history.recent import checked_recent
from gsched.history.reruns import NextAttempt, Obstacle
from gsched.history.retention import RetentionPolicy
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
from gsched.monitoring.job_pages import StoredPage, StoredRow
from gsched.monitoring.load import SAMPLE, JobSample
from gsched.monitoring.nodes import NodeInfo
from gsched.monitoring.overdue import OverdueJob
from gsched.monitoring.rates import NotedMinute
from gsched.monitoring.store_report import StoreReport
from gsched.monitoring.store_statistics import StoreStatistics
from gsched.notices.outbox import Outbox
from gsched.policies.spreading import Numbers, Series
from gsched.stores.base import BaseJobStore
from gsched.stores.claims.intervals import Intervals
from gsched.stores.claims.ownership import Ownership
from gsched.stores.durable.answers import Answers, CommandTiming, Definitions, History, Operations
from gsched.stores.durable.cancellations import Audiences, Cancellations
from gsched.stores.durable.change_feed import ChangeFeed
from gsched.stores.durable.minutes import MinuteWriter
from gsched.stores.durable.outcomes import OutcomeWriter
from gsched.stores.durable.outputs import OutputWriter
from gsched.stores.durable.publisher import Publisher
from gsched.stores.messages import HubPort
from gsched.stores.overdue_watch import OverdueWatch
from gsched.stores.policy_findings import policy_findings
from gsched.times.clock import Clock
from gsched.times.durations import as_seconds

CLOSE_SECONDS = 10.0  # leaving waits this long for greenlets that are inside the driver
AWAY_SECONDS = 2.0  # and this long if the database does not answer


class Helper(Protocol):
    """Works for a store in a greenlet of its own while the store runs jobs."""

    def run(self) -> None:
        """Work until `stop`."""

    def stop(self) -> None:
        """End soon."""


class DurableJobStore(BaseJobStore):
    """A store in a database that any number of processes share.

    A subclass connects to the database and gives its `answers`.

    :param modules: modules in which stored function references may be resolved, beside those that the scheduler allows
    :param history_keep: how long the history of runs is kept: seconds, a timedelta or "14d"
    :param history_successes: "none", "all", or n for every n-th: see `gsched.history.retention.RetentionPolicy`
    :param history_recent: how many of each job's last outcomes are kept with its figures: 32, or 0 for none
    :param node_ttl: the other nodes declare a node dead that is silent for this long
    :ivar definitions: adds, finds, changes and removes jobs
    :ivar history: reads the outcomes of instants
    :ivar operations: nodes, statistics, doctor and followers
    """

    shared = True
    definitions: Definitions
    history: History
    operations: Operations

    def __init__(
        self,
        *,
        modules: Iterable[str],
        history_keep: float | timedelta | str,
        history_successes: str | int,
        history_recent: int,
        node_ttl: float | timedelta | str,
    ) -> None:
        self._modules = [modules] if isinstance(modules, str) else list(modules)
        self.intervals = Intervals(ttl=as_seconds(node_ttl, "node_ttl"))
        self.keep_history = timedelta(seconds=as_seconds(history_keep, "history_keep"))
        self.retention = RetentionPolicy(history_successes)
        self._keeps_recent = checked_recent(history_recent) > 0
        self._timing: CommandTiming | None = None  # until a scheduler has the store
        self._threads: Sequence[NativeThreads] = ()
        self._helpers: list[Helper] = []
        self._greenlets: list[gevent.Greenlet] = []

    @abstractmethod
    def answers(self) -> Answers:
        """The answers of the database. Called once the store has its alias, its clock and the allowed functions."""

    def helpers(self, hub: HubPort) -> Iterable[Helper]:
        """Further helpers that work while the store runs jobs."""
        return ()

    def bind(self, alias: str, clock: Clock, allowed: AllowedFunctions) -> None:
        super().bind(alias, clock, _StoresFunctions(allowed, self._modules) if self._modules else allowed)
        self._answers = self.answers()
        self._timing = self._answers.timing
        self._threads = self._answers.threads
        self.definitions = self._answers.definitions
        self.history = self._answers.history
        self.operations = self._answers.operations

    # -- life cycle ---------------------------------------------------------------------------------------------------

    def start(self, hub: HubPort, paused: bool) -> None:
        answers, clock = self._answers, self.clock
        self._emit = hub.emit
        self._paused = paused
        self._outcomes = OutcomeWriter(
            answers.records,
            answers.expectations,
            clock,
            hub.emit,
            retention=self.retention,
            recent=self._keeps_recent,
            change_many=answers.definitions.change_many,
        )
        self._outputs = OutputWriter(answers.outputs.write, clock)
        claims = answers.claims(self._complain)
        self._ownership = Ownership(claims, clock, hub, self._outcomes.buffer, _node_name, self.intervals)
        self._ownership.pause(paused)
        cancellations = Cancellations(answers.operations.cancel_requests, hub, clock)
        self._feed = ChangeFeed(answers.news, Audiences(self._ownership, cancellations), clock, hub.emit)
        publisher = Publisher(answers.operations.publish, clock, hub, self._node, lambda: self._paused)
        self._watch = OverdueWatch(
            answers.expectations,
            clock,
            hub.emit,
            now=self._now,
            owns=self.has_here,
            write_successes=self._outcomes.write_successes_of,
        )
        minutes = MinuteWriter(answers.operations.note_minute, clock, hub, self._node)
        own = (self._feed, self._outputs, self._outcomes, publisher, minutes, cancellations, self._watch)
        self._helpers = [*own, *self.helpers(hub)]
        self._greenlets = [spawn(part.run) for part in (self._ownership, *self._helpers)]

    def _now(self) -> int:
        """The database's time (ms), once it is known."""
        time = self._ownership.time
        return time.now() if time.is_known else self.clock.now_ms()

    def _complain(self, message: str) -> None:
        self._emit(SchedulerEvent(EVENT_STORE_FAILED, error_type="StoreError", error_message=message))

    def pause(self) -> None:
        self._paused = True
        self._ownership.pause(True)

    def resume(self) -> None:
        self._paused = False
        self._ownership.pause(False)

    def stop(self) -> None:
        self._ownership.stop()

    def abandon(self) -> None:
        self._ownership.abandon()

    def greenlets(self) -> Collection[gevent.Greenlet]:
        return self._greenlets

    def leave(self) -> None:
        if not self._greenlets:
            return
        # No greenlet is killed: it may be inside the driver. One that hangs ends by the driver's own limits.
        for helper in self._helpers:
            helper.stop()
        seconds = (AWAY_SECONDS if self._ownership.away else CLOSE_SECONDS) / 2
        gevent.joinall(self._greenlets[1:], timeout=seconds)
        self._ownership.end()  # last: it notes that all instants have ended, with their outcomes written
        if len(gevent.joinall(self._greenlets, timeout=seconds)) < len(self._greenlets):
            why = "does not answer" if self._ownership.away else "did not take all writes in time"
            self._complain(f"the database {why}: outcomes that were not written yet are lost, as in a crash")
        self._greenlets = []

    def report(self) -> StoreReport:
        if self._greenlets:
            known = replace(
                self._ownership.report(),
                feed=self._feed.state,
                feed_lag=self._feed_lag(),
                overdue=self._watch.report(),
            )
        else:
            known = StoreReport(connected=False, error="no scheduler runs here")
        timing = self._timing
        if timing is None:
            return known
        return replace(known, operations=dict(timing.durations), errors={**timing.errors, **known.errors})

    def _feed_lag(self) -> float | None:
        last_change = self._feed.last_change
        if last_change is None or self._ownership.holdings is None:
            return None
        made, arrived = last_change
        return max(0, self._ownership.time.at(arrived) - made) / 1000

    def _node(self) -> str | None:
        holdings = self._ownership.holdings
        return None if holdings is None else holdings.node

    # -- called by the hub: outcomes, and jobs that it gives back -----------------------------------------------------

    def keep_output(self, run: Run) -> None:
        self._outputs.begin(run)

    def settle(self, run: Run, result: Result) -> None:
        if run.output is not None:
            self._outputs.end(run.output)
        recorded = self._ownership.recorded
        if recorded.ahead and recorded.take_ahead(run.job.id, run.scheduled_ms, run.scheduled_ms + 1):
            run.recorded = True
        if not self._outcomes.settle_briefly(run, result):
            self._outcomes.settle(run, result, self._node())
            recorded.followed.pop(run, None)

    def retry(self, run: Run, retried: Retried) -> None:
        self._ownership.retry(run, retried)

    def put_back(self, run: Run) -> None:
        self._ownership.put_back(run)

    def note_tally(self, job_id: str, tally: Tally, instant: int) -> None:
        self._outcomes.note_tally(job_id, tally, instant)

    def note_success(self, job: Job, at: int) -> None:
        self._outcomes.note_success(job, at)

    def pause_failing(self, job: Job, pause: Pause) -> None:
        self._outcomes.pause(job, pause)

    def settle_span(self, job: Job, span: Span) -> None:
        recorded = self._ownership.recorded
        ahead = recorded.take_ahead(job.id, span.first, span.end) if recorded.ahead else ()
        self._outcomes.settle_span(job, span, self._node(), ahead)

    def defer(self, job: Job, due: int) -> None:
        self._ownership.defer(job.id, job.rev, due)

    def end(self, job: Job) -> None:
        self._ownership.forget(job.id, job.rev)
        self._outcomes.end(job)

    def park(self, job: Job, reason: str | None) -> None:
        self._ownership.park(job, reason)

    def parked(self) -> Set[str]:
        holdings = self._ownership.holdings if self._greenlets else None
        return frozenset() if holdings is None else holdings.parked.copy()

    def has_here(self, job_id: str) -> bool:
        holdings = self._ownership.holdings
        return holdings is not None and holdings.owns(job_id)

    def executor_added(self) -> None:
        self._ownership.rescan()

    # -- the database's answers ---------------------------------------------------------------------------------------

    def add(self, jobs: Sequence[Job], replace: bool, timed: Collection[str] = ()) -> list[Job]:
        return self.definitions.add(jobs, replace, timed)

    def check_addable(self, jobs: Sequence[Job], replace: bool) -> None:
        self.definitions.check_addable(jobs, replace)

    def get(self, job_id: str) -> Job:
        return self.definitions.get(job_id)

    def find(self, query: JobQuery) -> Iterable[Job]:
        return self.definitions.find(query)

    def page(self, query: JobQuery) -> StoredPage:
        return self.definitions.page(query)

    def rows(self, job_ids: Sequence[str]) -> dict[str, StoredRow]:
        return self.definitions.rows(job_ids)

    def count(self, query: JobQuery, most: int) -> int:
        return self.definitions.count(query, most)

    def tags(self, most: int) -> dict[str, int]:
        return self.definitions.tags(most)

    def sample(self, most: int = SAMPLE) -> JobSample:
        return self.definitions.sample(most)

    def change(self, job_id: str, change: Callable[[Job], Job], act: Act | None = None) -> Job:
        return self.definitions.change(job_id, change, act)

    def change_many(self, job_ids: Sequence[str], change: Callable[[Job], Job | None]) -> list[Job]:
        return self.definitions.change_many(job_ids, change)

    def remove(self, job_id: str, act: Act | None = None) -> Job:
        return self.definitions.remove(job_id, act)

    def remove_all(self) -> int:
        return self.definitions.remove_all()

    def take_numbers(self, wanted: Mapping[Series, int]) -> Mapping[Series, Numbers]:
        return self.definitions.take_numbers(wanted)

    def request_run(self, job: Job, request: str, overlap: str | None = None) -> None:
        self.definitions.request_run(job, request, overlap)

    def retry_runs(self, attempts: Sequence[NextAttempt], dry_run: bool) -> Mapping[NextAttempt, Obstacle]:
        return self.definitions.retry_runs(attempts, dry_run)

    def limits(self) -> GroupLimits:
        return self._answers.limits.limits()

    def set_limit(self, limit: GroupLimit) -> None:
        self._answers.limits.set_limit(limit)
        self._look_at_limits()

    def remove_limit(self, pattern: str) -> None:
        self._answers.limits.remove_limit(pattern)
        self._look_at_limits()

    def pause_group(self, pattern: str, pause: Pause) -> None:
        self._answers.limits.pause_group(pattern, pause)
        self._look_at_limits()

    def resume_group(self, pattern: str) -> None:
        self._answers.limits.resume_group(pattern)
        self._look_at_limits()

    def _look_at_limits(self) -> None:
        """Take notice of this process's own change at once, without the change feed."""
        if self._greenlets:
            self._ownership.look_at_limits()

    def runs(self, query: RunQuery) -> list[RunInfo]:
        return self.history.runs(query)

    def output(self, run_id: str, attempt: int | None) -> StoredOutput | None:
        return self._answers.outputs.read(run_id, attempt)

    def run_page(self, query: RunQuery) -> RunPage:
        return self.history.run_page(query)

    def counters(self, job_id: str) -> JobCounters:
        return self.history.counters(job_id)

    def evidence(self, job: Job | None, instant: int) -> Evidence:
        return self.history.evidence(job, instant)

    def prepare(self) -> None:
        self._answers.claims(_ignore).prepare()

    def ping(self) -> None:
        self.operations.ping()

    def statistics(self) -> StoreStatistics:
        return self.operations.statistics()

    def count_records(self, before: int) -> int:
        return self.operations.count_records(before)

    def purge(self, before: int, progress: Callable[[int], object] | None = None) -> int:
        return self.operations.purge(before, progress)

    def nodes(self) -> list[NodeInfo]:
        return self.operations.nodes()

    def claimed_until(self) -> Callable[[Job], int]:
        return self.operations.claimed_until()

    def request_drain(self, node_id: str) -> None:
        self.operations.request_drain(node_id)

    def request_cancel(self, run_id: str) -> bool:
        return self.operations.request_cancel(run_id)

    def outbox(self) -> Outbox:
        return self._answers.outbox

    def record_audit(self, entry: AuditEntry) -> None:
        self.operations.record_audit(entry)

    def audit(self, query: AuditQuery) -> AuditPage:
        return self.operations.audit(query)

    def minutes(self, since: int, until: int) -> Iterable[NotedMinute]:
        return self.operations.minutes(since, until)

    def hours(self, since: int, until: int) -> Iterable[NotedMinute]:
        return self.operations.hours(since, until)

    def follow(self, stop: Callable[[], bool]) -> Iterator[StoreEvent]:
        return self.operations.follow(stop)

    def overview(self) -> Overview:
        return self.operations.overview()

    def overdue(self) -> Sequence[OverdueJob]:
        return self._answers.expectations.overdue(self.clock.now_ms())

    def diagnose(self) -> Iterator[Finding]:
        return self.operations.diagnose(self._policies)

    def _policies(self) -> Iterator[Finding]:
        return policy_findings(self)


def _ignore(complaint: str) -> None:
    """A store that runs no jobs has no hub to emit events."""


def _node_name(now: int) -> str:
    """An id for a new node. It begins with the time, so that ids are in the order in which nodes joined."""
    return f"{now:013}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"


class _StoresFunctions(AllowedFunctions):
    """The functions that the scheduler allows, and those in the store's own modules."""

    def __init__(self, allowed: AllowedFunctions, modules: Iterable[str]) -> None:
        super().__init__(modules)
        self._allowed = allowed

    def register(self, ref: str, func: Callable[..., Any], *call: Any) -> None:
        self._allowed.register(ref, func, *call)

    def registered_call(self, ref: str, *call: Any) -> Callable[..., Any] | None:
        return self._allowed.registered_call(ref, *call)

    def resolve(self, ref: str) -> Callable[..., Any]:
        try:
            return self._allowed.resolve(ref)
        except FuncRefError:
            return super().resolve(ref)
