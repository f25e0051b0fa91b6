"""The memory store: jobs live as long as the process."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from heapq import nlargest
from itertools import islice, repeat
from random import randrange

import gevent

from gsched.checks import checked_whole
from gsched.errors import JobIdConflictError, JobNotFoundError
from gsched.event_loop.helpers import spawn
from gsched.event_loop.slices import paced, sorted_in_slices
from gsched.events import EVENT_JOB_ON_TIME_AGAIN, EVENT_JOB_REMOVED, JobEvent, parked_event, paused_event
from gsched.history.explanation import NEVER_BEFORE, Evidence
from gsched.history.outputs import StoredOutput
from gsched.history.queries import RUNNING, WAITING, JobCounters, RunInfo, RunQuery
from gsched.history.recent import HALF, KEPT, LAST, SHIFT, SHORT_MS, checked_recent, packed
from gsched.history.records import LiveCounters, Record
from gsched.history.reruns import NextAttempt, Obstacle, obstacles
from gsched.history.retention import LONG_RUN_MS, RetentionPolicy
from gsched.jobs.audit import Act, AuditEntry, AuditPage, AuditQuery, audit_page
from gsched.jobs.job import Job, replacement
from gsched.jobs.limits import NO_LIMITS, GroupLimit, GroupLimits
from gsched.jobs.outcomes import Outcome, Reason, Result, Retried, Span
from gsched.jobs.pause import Pause
from gsched.jobs.query import STATES, JobQuery
from gsched.jobs.run import Run
from gsched.jobs.tally import Tally
from gsched.monitoring.activity import together
from gsched.monitoring.groups import GroupActivity
from gsched.monitoring.load import SAMPLE, JobSample
from gsched.monitoring.overdue import OverdueJob, OverdueReport
from gsched.monitoring.rates import (
    HOUR_MS,
    HOURS_KEPT_MS,
    MINUTE_MS,
    MINUTES_KEPT_MS,
    MinuteCounter,
    NotedMinute,
)
from gsched.monitoring.store_report import StoreReport
from gsched.monitoring.store_statistics import StoreStatistics
from gsched.notices.memory_outbox import MemoryOutbox
from gsched.notices.outbox import Outbox
from gsched.policies.counting import why_over
from gsched.policies.pauses import paused_for_failures
from gsched.policies.spreading import Numbers, Series
from gsched.stores.base import BaseJobStore, is_same_date, same_instants
from gsched.stores.expectations import KeptExpectations
from gsched.stores.messages import (
    ALWAYS,
    Admitted,
    Changed,
    Claimed,
    Dropped,
    ExtraRun,
    HubPort,
    LimitsChanged,
    Message,
    RunRequested,
    SucceededByRetry,
)
from gsched.stores.outputs_in_memory import OutputsInMemory
from gsched.stores.overdue_watch import OverdueWatch
from gsched.times.clock import Timer
from gsched.times.instants import from_ms

_AUDIT_KEPT = 10_000  # entries
_REQUESTS_KEPT = 10_000
_PERIODS_KEPT = 100  # periods without a running scheduler
_SUCCEEDED = Outcome.SUCCEEDED  # used for every run: looking it up in its class takes longer than the rest


class MemoryJobStore(BaseJobStore):
    """Keeps jobs in a dict. All instants are always claimed, because no other process can run these jobs.

    :param history_size: how many records of outcomes are kept; the oldest go
    :param history_successes: which successes, and instants coalesced into a later run, the history has: "none", "all",
        or n for every n-th. It always has all other outcomes (see `gsched.history.retention.RetentionPolicy`)
    :param history_recent: how many of each job's last outcomes are kept, successes too: 32, or 0 for none
    :raises ConfigurationError: if an argument cannot be right
    """

    def __init__(
        self, *, history_size: int = 10_000, history_successes: str | int = "none", history_recent: int = KEPT
    ) -> None:
        checked_whole("history_size", history_size, 0)
        self._retention = RetentionPolicy(history_successes)
        self._counts_successes = self._retention.every > 0
        self._keeps_recent = checked_recent(history_recent) > 0
        self._records: deque[Record] = deque(maxlen=history_size)
        self._forgotten_until = 0  # records of instants before this may be gone
        self._counters: dict[str, LiveCounters] = {}  # of jobs that have run
        self._outputs = OutputsInMemory()
        self._extra: dict[NextAttempt, Record] = {}  # attempts after the first that have not ended
        self._written: dict[str, tuple[int, int]] = {}  # when jobs were added, and changed last
        self._tallies: dict[str, Tally] = {}  # of jobs whose policy counts something
        self._expectations = KeptExpectations(self.get)
        self._watch: OverdueWatch | None = None  # while a scheduler runs, and some job expects successes
        self._watching: list[gevent.Greenlet] = []
        self._away_since: int | None = 0  # no scheduler has run jobs since then
        self._away: deque[tuple[int, int]] = deque(maxlen=_PERIODS_KEPT)
        self._requests: dict[tuple[str, str], None] = {}  # the last runs on request
        self._minutes: deque[NotedMinute] = deque(maxlen=MINUTES_KEPT_MS // MINUTE_MS)
        self._hours: deque[NotedMinute] = deque(maxlen=HOURS_KEPT_MS // HOUR_MS)
        self._minute_timer: Timer | None = None
        self._outbox = MemoryOutbox()
        self._audit: deque[AuditEntry] = deque(maxlen=_AUDIT_KEPT)
        self._jobs: dict[str, Job] = {}
        self._unannounced: set[str] = set()  # ids of jobs that are being added, and that the hub does not have yet
        self._limits = NO_LIMITS
        self._exhausted: set[str] = set()  # ids of jobs whose last instant is decided
        self._undecided: dict[str, int] = {}  # how far jobs had come when they were last run here
        self._numbers: dict[Series, Numbers] = {}  # the next ones
        self._groups: Counter[str] = Counter()  # how many have a series, by its family
        self._hub: HubPort | None = None

    def start(self, hub: HubPort, paused: bool) -> None:
        self._note_progress()
        self._hub = hub
        self._watch, self._watching = None, []  # of the parent, in a forked child
        self._paused = True
        if not paused:
            self.resume()
        if self._limits != NO_LIMITS:
            self._tell(LimitsChanged(self._limits))
        for job in self._jobs.values():
            self._announce(job)
        self._undecided.clear()
        self._watch_if_needed()
        self._counter = MinuteCounter(self.clock, hub.activity)
        self._wait_for_minute()

    def _watch_if_needed(self) -> None:
        if self._hub is not None and self._watch is None and self._expectations:
            self._watch = OverdueWatch(
                self._expectations,
                self.clock,
                self._hub.emit,
                now=self.clock.now_ms,
                owns=lambda job_id: True,
                write_successes=lambda job_ids: False,
            )
            self._watching = [spawn(self._watch.run)]

    def greenlets(self) -> Collection[gevent.Greenlet]:
        return self._watching

    def report(self) -> StoreReport:
        now = self.clock.now_ms()
        return replace(super().report(), overdue=OverdueReport(self._expectations.overdue(now), now, 0.0))

    def pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._away_since = self.clock.now_ms()
            self._tell(Claimed(self._away_since))

    def resume(self) -> None:
        self._paused = False
        if self._away_since is not None:
            self._away.append((self._away_since, self.clock.now_ms()))
            self._away_since = None
        self._tell(Claimed(ALWAYS))

    def stop(self) -> None:
        self.pause()

    def leave(self) -> None:
        if self._minute_timer is not None:
            self._minute_timer.cancel()
            self._minute_timer = None
            self._note_minute(self._counter.rest())
        self._note_progress()
        self._hub = None
        self._extra.clear()
        if self._watch is not None:
            self._watch.stop()
            gevent.joinall(self._watching)
            self._watch, self._watching = None, []

    def _note_progress(self) -> None:
        """Note how far each job is decided, so that the next start repeats no instant."""
        if self._hub is not None:
            due = {job_id: self._hub.due(job_id) for job_id in self._jobs}
            self._undecided |= {job_id: instant for job_id, instant in due.items() if instant is not None}
            self._jobs = {i: job if job.parked is None else job.evolve(parked=None) for i, job in self._jobs.items()}

    def add(self, jobs: Sequence[Job], replace: bool, timed: Collection[str] = ()) -> list[Job]:
        self.check_addable(jobs, replace)
        now = self.clock.now_ms()
        fresh = (now, now)  # one for all of them: there may be many
        for job in jobs:
            known = None if job.id in self._exhausted else self._written.get(job.id)
            self._written[job.id] = fresh if known is None else (known[0], now)
        stored = [self._put(job, job.id not in timed) for job in jobs]
        for job in paced(jobs):  # all of them are stored: what other greenlets do meanwhile is done to stored jobs
            if job.id in self._unannounced:
                self._announce(self._jobs[job.id])
        return stored

    def check_addable(self, jobs: Sequence[Job], replace: bool) -> None:
        seen: set[str] = set()
        for job in () if replace else jobs:
            if job.id in seen or (job.id in self._jobs and job.id not in self._exhausted):
                raise JobIdConflictError(job.id)
            seen.add(job.id)

    def _put(self, job: Job, keep_schedule: bool) -> Job:
        old = self._jobs.get(job.id)
        if old is None:
            self._unannounced.add(job.id)
            self._take(job)
            return job
        if job.id in self._exhausted:  # nothing of it is left to be kept
            self._expectations.forget(job.id)
            return self._keep(None, job.evolve(rev=old.rev + 1))
        return self._keep(old, replacement(old, job, keep_schedule=keep_schedule))

    def _keep(self, old: Job | None, new: Job) -> Job:
        """Store a job in place of `old`, and post the change to the hub."""
        self._take(new)
        if old is not None and old.id in self._exhausted and is_same_date(old, new):
            self._announce(new)
        elif old is None or not same_instants(old, new):
            self._forget_progress(new.id)
            self._announce(new)
        elif old.paused != new.paused:
            self._announce(new)
        else:
            self._tell(Changed(new, self._tally(new)))
        return new

    def _take(self, job: Job) -> None:
        self._jobs[job.id] = job
        self._expectations.take(job, self.clock.now_ms())
        self._watch_if_needed()

    def _forget(self, job_id: str) -> None:
        """Forget a job, but not its history."""
        del self._jobs[job_id]
        self._unannounced.discard(job_id)
        self._forget_progress(job_id)
        self._counters.pop(job_id, None)
        self._written.pop(job_id, None)
        self._tallies.pop(job_id, None)
        self._expectations.forget(job_id)

    def _forget_progress(self, job_id: str) -> None:
        self._exhausted.discard(job_id)
        self._undecided.pop(job_id, None)

    def get(self, job_id: str) -> Job:
        try:
            return self._jobs[job_id]
        except KeyError:
            raise JobNotFoundError(job_id) from None

    def count(self, query: JobQuery, most: int) -> int:
        return min(len(self._jobs), most) if query == JobQuery() else super().count(query, most)

    def matching(self, query: JobQuery) -> Iterable[Job]:
        return self._those_of(paced(list(self._jobs.values())), query)

    def sample(self, most: int = SAMPLE) -> JobSample:
        query = JobQuery(state="scheduled")
        jobs = list(self._jobs.values())
        total = sum(1 for _ in self._those_of(paced(jobs), query))
        if total <= most:
            return JobSample(self._those_of(jobs, query), total)
        picked = (jobs[randrange(len(jobs))] for _ in repeat(None))
        return JobSample(islice(self._those_of(picked, query), most), total)

    def _those_of(self, jobs: Iterable[Job], query: JobQuery) -> Iterator[Job]:
        now = self.clock.now_ms()
        if query.failing:
            jobs = filter(self._is_failing, jobs)
        if query.overdue:
            jobs = (job for job in jobs if self._is_overdue(job, now)) if self._expectations else ()
        return (job for job in jobs if query.matches(job, now))

    def _is_failing(self, job: Job) -> bool:
        counters = self._counters.get(job.id)
        return counters is not None and counters.failing_ms is not None

    def _is_overdue(self, job: Job, now: int) -> bool:
        expectation = self._expectations.get(job.id)
        return expectation is not None and expectation.overdue_at <= now

    def find(self, query: JobQuery) -> Iterable[Job]:
        now = self.clock.now_ms()
        found = {job.id: job for job in self.matching(query)}
        due = sorted_in_slices((job.next_due_ms(now) or ALWAYS, job.id) for job in found.values())
        end = None if query.limit is None else query.skip + query.limit
        return (found[job_id] for _, job_id in islice(due, query.skip, end))

    def change(self, job_id: str, change: Callable[[Job], Job], act: Act | None = None) -> Job:
        old = self.get(job_id)
        new = change(old)
        if act is None:
            return self._change(old, new)
        self.record_audit(act.entry(job_id, 1, old, new))
        return self._change(old, act.stamped(new))

    def _change(self, old: Job, new: Job) -> Job:
        self._written[old.id] = (self._written[old.id][0], self.clock.now_ms())
        if new.policy.max_runs != old.policy.max_runs:  # more runs may begin
            self._exhausted.discard(old.id)
        # Not parked: the change may heal the job.
        return self._keep(old, new.evolve(rev=old.rev + 1, parked=None))

    def change_many(self, job_ids: Sequence[str], change: Callable[[Job], Job | None]) -> list[Job]:
        there = (self._jobs[job_id] for job_id in job_ids if job_id in self._jobs)
        changed = [(job, change(job)) for job in there]
        return [self._change(old, new) for old, new in changed if new is not None]

    def remove(self, job_id: str, act: Act | None = None) -> Job:
        job = self.get(job_id)
        if act is not None:
            self.record_audit(act.entry(job_id))
        self._forget(job_id)
        self._tell(Dropped(job_id))
        return job

    def remove_all(self) -> int:
        removed, self._jobs = self._jobs, {}
        self._exhausted, self._undecided, self._counters, self._written = set(), {}, {}, {}
        self._unannounced = set()
        self._tallies = {}
        self._expectations.clear()
        for job_id in removed:
            self._tell(Dropped(job_id))
        return len(removed)

    def take_numbers(self, wanted: Mapping[Series, int]) -> Mapping[Series, Numbers]:
        taken = {}
        for series, count in wanted.items():
            if series not in self._numbers:
                self._groups[series.family] += series.group is not None
                rank = 0 if series.group is None else self._groups[series.family]
                self._numbers[series] = Numbers(rank, 0)
            taken[series] = known = self._numbers[series]
            self._numbers[series] = known._replace(first=known.first + count)
        return taken

    def request_run(self, job: Job, request: str, overlap: str | None = None) -> None:
        if (job.id, request) in self._requests:
            return
        self._requests[job.id, request] = None
        if len(self._requests) > _REQUESTS_KEPT:
            del self._requests[next(iter(self._requests))]
        self._tell(RunRequested(job, request, self.clock.now_ms(), overlap=overlap))

    def retry_runs(self, attempts: Sequence[NextAttempt], dry_run: bool) -> Mapping[NextAttempt, Obstacle]:
        wanted = set(attempts)
        there = {attempt: state for attempt, state in self._attempts() if attempt in wanted}
        waiting = Counter(attempt.job_id for attempt in self._extra)
        found = obstacles(attempts, there, self._jobs.keys(), waiting)
        for attempt in attempts:
            if attempt not in found and not dry_run:
                now, job = self.clock.now_ms(), self._jobs[attempt.job_id]
                self._begin_at(attempt, ExtraRun(job, attempt.scheduled, now, 0, attempt.attempt, attempt.request))
        return found

    def _attempts(self) -> Iterator[tuple[NextAttempt, str]]:
        """The attempts that there are, with their states."""
        for record in self._records:
            yield NextAttempt(record.job_id, record.scheduled_ms, record.attempt, record.request), "ended"
        begun = {_attempt_of(run) for run in self._begun()}
        for attempt in self._extra:
            yield attempt, RUNNING if attempt in begun else WAITING

    # -- limits of groups -------------------------------------------------------------------------------------

    def limits(self) -> GroupLimits:
        return self._limits.at(self.clock.now_ms())

    def set_limit(self, limit: GroupLimit) -> None:
        self._take_limits(self.limits().with_limits([limit]))

    def remove_limit(self, pattern: str) -> None:
        self._take_limits(self.limits().without_limit(pattern))

    def pause_group(self, pattern: str, pause: Pause) -> None:
        self._take_limits(self.limits().with_pause(pattern, pause))

    def resume_group(self, pattern: str) -> None:
        self._take_limits(self.limits().without_pause(pattern))

    def group_activities(self) -> Iterable[GroupActivity]:
        return () if self._hub is None else map(GroupActivity.of, self._hub.activity()["groups"])

    def _take_limits(self, limits: GroupLimits) -> None:
        self._limits = limits
        self._tell(LimitsChanged(limits))

    # -- the history ------------------------------------------------------------------------------------------

    def settle(self, run: Run, result: Result) -> None:
        counters = self._counters.get(run.job.id)
        if counters is None or result.outcome is not _SUCCEEDED or self._counts_successes:
            self._settle_at_length(run, result)
            return
        # `_settle_at_length` would do the same for most runs that succeed, at three times the cost.
        started = run.started_ms
        took = run.finished_ms - started  # type: ignore[operator]
        if run.request is not None or run.attempt > 1 or took >= LONG_RUN_MS or run.output is not None:
            self._settle_at_length(run, result)
            return
        if (recent := counters.recent) is not None:
            scheduled = run.scheduled_ms
            late = started - scheduled  # type: ignore[operator]
            if 0 <= late | took < SHORT_MS:
                recent[counters.noted & LAST] = scheduled << SHIFT | (late << HALF | took)
            else:
                recent[counters.noted & LAST] = packed(scheduled, late, took, _SUCCEEDED)
        counters.noted += 1
        counters.started_ms = started
        counters.took_ms = took

    def _settle_at_length(self, run: Run, result: Result) -> None:
        if run.output is not None:
            run.output.end()
        if run.attempt > 1:
            self._extra.pop(_attempt_of(run), None)
        if run.started_ms is not None:
            self._counters_of(run.job.id).count(run, result)
        if self._retention.keeps(run, result):
            self._note(Record.of_run(run, result))

    def retry(self, run: Run, retried: Retried) -> None:
        job = self._jobs.get(run.job.id)
        if job is None or (run.request is None and job.pause_at(self.clock.now_ms()) is not None):
            self._tell(SucceededByRetry(run, retried, Reason.REMOVED_OR_PAUSED))
            return
        self._tell(SucceededByRetry(run, retried, None))
        due, tries = retried.again
        at = run.scheduled_ms, due, run.fence, run.attempt + 1, run.request
        extra = ExtraRun(job, *at, tries, run.recoveries, is_retry=True)
        self._begin_at(_attempt_of(run)._replace(attempt=run.attempt + 1), extra)

    def _begin_at(self, attempt: NextAttempt, extra: ExtraRun) -> None:
        """Let an attempt after the first begin when it is due."""
        record = Record(extra.job, extra.scheduled, WAITING, None, extra.attempt, None)
        record.request = extra.request
        if extra.due is not None:
            record.due_ms = extra.due
        self._extra[attempt] = record
        self._tell(extra)

    def settle_span(self, job: Job, span: Span) -> None:
        if self._retention.keeps_span(span):
            self._note(Record.of_span(job, span))
            if self._keeps_recent:
                self._counters_of(job.id).count_span(span)

    def _note(self, record: Record) -> None:
        records = self._records
        if len(records) == records.maxlen:
            oldest = records[0] if records else record
            self._outputs.forget(oldest.run_id, oldest.attempt)
            self._forgotten_until = max(self._forgotten_until, oldest.until_ms or oldest.scheduled_ms + 1)
        records.append(record)

    def _counters_of(self, job_id: str) -> LiveCounters:
        if job_id in self._jobs:
            return self._counters.setdefault(job_id, LiveCounters(self._keeps_recent))
        return LiveCounters(recent=False)  # the job was removed while it ran: nobody would let go of one that is kept

    def keep_output(self, run: Run) -> None:
        self._outputs.begin(run)

    def output(self, run_id: str, attempt: int | None) -> StoredOutput | None:
        return self._outputs.find(run_id, attempt)

    def runs(self, query: RunQuery) -> list[RunInfo]:
        begun = self._begun()
        running = [Record.of_run(run, None) for run in begun]
        waiting = [self._extra[attempt] for attempt in self._extra.keys() - set(map(_attempt_of, begun))]
        found = (record for record in paced([*waiting, *running, *reversed(self._records)]) if record.matches(query))
        newest = nlargest(query.skip + query.limit, found, key=lambda record: (record.scheduled_ms, record.attempt))
        return [record.info() for record in paced(newest[query.skip :])]

    def _begun(self) -> list[Run]:
        """The runs in progress that a worker has begun."""
        unfinished = () if self._hub is None else self._hub.unfinished()
        return [run for run in unfinished if run.started_ms is not None]

    def counters(self, job_id: str) -> JobCounters:
        self.get(job_id)
        counters = self._counters.get(job_id)
        known = JobCounters() if counters is None else counters.snapshot()
        expectation = self._expectations.get(job_id)
        return known if expectation is None else replace(known, overdue_at=from_ms(expectation.overdue_at))

    def evidence(self, job: Job | None, instant: int) -> Evidence:
        known = Evidence(successes=self._retention.successes, since=self._forgotten_until)
        if job is None:
            return known
        added, changed = self._written[job.id]
        decided = self._decided_until(job)
        return known._replace(
            added=added,
            changed=changed,
            begins=NEVER_BEFORE if job.next_run_ms is None else job.next_run_ms,
            steady=NEVER_BEFORE if job.next_run_ms is None else job.next_run_ms,
            decided=decided,
            ended=decided,
            parked=job.parked,
            away=next((until for since, until in self._away if since < instant < until), None),
            obstacle=self._obstacle(),
        )

    def _decided_until(self, job: Job) -> int:
        if job.id in self._exhausted:
            return ALWAYS
        due = None if self._hub is None else self._hub.due(job.id)
        if due is None:
            due = self._undecided.get(job.id, job.next_run_ms)
        return NEVER_BEFORE if due is None else due

    def _obstacle(self) -> str | None:
        if self._hub is None:
            return "the scheduler does not run"
        return "the scheduler is paused" if self._paused else None

    # -- housekeeping -----------------------------------------------------------------------------------------

    def statistics(self) -> StoreStatistics:
        now = self.clock.now_ms()
        jobs, records = list(self._jobs.values()), list(self._records)
        oldest = min((record.scheduled_ms for record in records), default=None)
        return StoreStatistics(
            jobs=dict.fromkeys(STATES, 0) | Counter(job.state_at(now) for job in paced(jobs)),
            records=Counter(record.outcome for record in paced(records)),
            oldest=None if oldest is None else from_ms(oldest),
        )

    def count_records(self, before: int) -> int:
        return sum(record.last_ms < before for record in self._records)

    def purge(self, before: int, progress: Callable[[int], object] | None = None) -> int:
        kept = [record for record in self._records if record.last_ms >= before]
        for record in (record for record in self._records if record.last_ms < before):
            self._outputs.forget(record.run_id, record.attempt)
        purged = len(self._records) - len(kept)
        self._records = deque(kept, self._records.maxlen)
        if purged:
            self._forgotten_until = max(self._forgotten_until, before)
        return purged

    # -- who did what -----------------------------------------------------------------------------------------

    def outbox(self) -> Outbox:
        return self._outbox

    def record_audit(self, entry: AuditEntry) -> None:
        self._audit.append(entry)

    def audit(self, query: AuditQuery) -> AuditPage:
        found = (entry for entry in paced(list(self._audit)) if query.matches(entry))
        return audit_page(nlargest(query.limit + 1, found, key=lambda entry: entry.id), query)

    # -- how much ---------------------------------------------------------------------------------------------

    def _wait_for_minute(self) -> None:
        self._minute_timer = self.clock.call_later(self._counter.seconds_left(), self._minute_ended)
        self._minute_timer.let_loop_end()

    def _minute_ended(self) -> None:
        self._note_minute(self._counter.ended())
        self._wait_for_minute()

    def _note_minute(self, minute: NotedMinute | None) -> None:
        if minute is None:
            return
        self._minutes.append(minute)
        begin = minute.at - minute.at % HOUR_MS
        if self._hours and self._hours[-1].at == begin:
            minute = NotedMinute(begin, together((self._hours.pop().period, minute.period)))
        self._hours.append(minute._replace(at=begin))

    def minutes(self, since: int, until: int) -> Iterable[NotedMinute]:
        return [minute for minute in self._minutes if since <= minute.at < until]

    def hours(self, since: int, until: int) -> Iterable[NotedMinute]:
        return [hour for hour in self._hours if since <= hour.at < until]

    # -- what is counted of jobs --------------------------------------------------------------------------------

    def note_tally(self, job_id: str, tally: Tally, instant: int) -> None:
        written = self._written.get(job_id)
        if written is not None and written[0] == tally.since:
            self._tallies[job_id] = tally

    def note_success(self, job: Job, at: int) -> None:
        if self._expectations.succeeded({job.id: at}) and self._hub is not None:
            self._hub.emit(JobEvent(EVENT_JOB_ON_TIME_AGAIN, job))

    def overdue(self) -> Sequence[OverdueJob]:
        return self._expectations.overdue(self.clock.now_ms())

    def pause_failing(self, job: Job, pause: Pause) -> None:
        stored, now = self._jobs.get(job.id), self.clock.now_ms()
        paused = None if stored is None else paused_for_failures(stored, pause, now)
        if stored is not None and paused is not None:
            self._change(stored, paused)
            if self._hub is not None:
                self._hub.emit(paused_event(self._jobs[job.id]))

    # -- the ends of jobs -------------------------------------------------------------------------------------

    def exhaust(self, job: Job) -> None:
        stored = self._jobs.get(job.id)
        if stored is not None and same_instants(stored, job):
            self._exhausted.add(job.id)

    def end(self, job: Job) -> None:
        stored = self._jobs.get(job.id)
        if stored is not None and same_instants(stored, job) and not stored.paused:
            self._forget(job.id)
            if self._hub is not None:
                self._hub.emit(JobEvent(EVENT_JOB_REMOVED, job, reason=why_over(job, self.clock.now_ms())))

    def park(self, job: Job, reason: str | None) -> None:
        stored = self._jobs.get(job.id)
        if stored is not None and same_instants(stored, job):
            self._jobs[job.id] = stored.evolve(parked=reason)
            if self._hub is not None:
                self._hub.emit(parked_event(self._jobs[job.id]))

    def _announce(self, job: Job) -> None:
        self._unannounced.discard(job.id)
        if job.paused:
            self._tell(Dropped(job.id))
        elif job.id in self._exhausted:
            self._tell(Admitted(job, None, tally=self._tally(job)))
        else:
            self._tell(Admitted(job, self._undecided.get(job.id, job.next_run_ms), tally=self._tally(job)))

    def _tally(self, job: Job) -> Tally | None:
        """The counts of the job; None if it has none."""
        return self._tallies.get(job.id) or Tally(self._written[job.id][0]) if job.policy.counts else None

    def _tell(self, message: Message) -> None:
        if self._hub is not None:
            self._hub.post(message)


def _attempt_of(run: Run) -> NextAttempt:
    return NextAttempt(run.job.id, run.scheduled_ms, run.attempt, run.request)
