"""The memory store: jobs live as long as the process."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain, islice

from gsched.errors import ConfigurationError, JobIdConflictError, JobNotFoundError
from gsched.events import EVENT_JOB_REMOVED, JobEvent, parked_event
from gsched.explanation import NEVER_BEFORE, Account
from gsched.history import JobFigures, RunInfo, RunQuery, newest_first
from gsched.instants import from_ms
from gsched.job import Job, replacement
from gsched.planning import Span
from gsched.recent import HALF, KEPT, LAST, SHIFT, SHORT_MS, checked_recent, packed
from gsched.records import LONG_RUN_MS, Keeping, Record, Tally
from gsched.run import Outcome, Reason, Result, Run
from gsched.stores.base import (
    ALWAYS,
    STATES,
    Admitted,
    BaseJobStore,
    Changed,
    Claimed,
    Dropped,
    HubSide,
    JobQuery,
    Message,
    RunRequested,
    same_instants,
)
from gsched.stores.statistics import StoreStatistics

_PERIODS_KEPT = 100  # in which nothing was run
_SUCCEEDED = Outcome.SUCCEEDED  # looked at for every run: to look it up in its class takes longer than all else


class MemoryJobStore(BaseJobStore):
    """Keeps jobs in a dict. Everything is always claimed: nobody else can run them.

    :param history_size: how many records of what became of due instants are kept; the oldest go
    :param history_successes: which successes, and instants coalesced into a later run, the history has: "none", "all",
        or n for every n-th; all else it always has (see `gsched.records.Keeping`)
    :param history_recent: how many of each job's last outcomes are kept, successes too: 32, or 0 for none
    :raises ConfigurationError: if an argument cannot be right
    """

    def __init__(
        self, *, history_size: int = 10_000, history_successes: str | int = "none", history_recent: int = KEPT
    ) -> None:
        if isinstance(history_size, bool) or not isinstance(history_size, int) or history_size < 0:
            raise ConfigurationError(f"history_size: expected a whole number from 0, got {history_size!r}")
        self._keeping = Keeping(history_successes)
        self._counts_successes = self._keeping.every > 0
        self._keeps_recent = checked_recent(history_recent) > 0
        self._records: deque[Record] = deque(maxlen=history_size)
        self._forgotten_until = 0  # records of instants before this may be gone
        self._tallies: dict[str, Tally] = {}  # of jobs that have run
        self._written: dict[str, tuple[int, int]] = {}  # when jobs were added, and changed last
        self._away_since: int | None = 0  # nothing is run since then
        self._away: deque[tuple[int, int]] = deque(maxlen=_PERIODS_KEPT)
        self._jobs: dict[str, Job] = {}
        self._exhausted: set[str] = set()  # ids of jobs whose last instant is decided
        self._undecided: dict[str, int] = {}  # how far jobs had come when they were last run here
        self._hub: HubSide | None = None

    def start(self, hub: HubSide, paused: bool) -> None:
        self._note_progress()
        self._hub = hub
        self._paused = True
        if not paused:
            self.resume()
        for job in self._jobs.values():
            self._announce(job)
        self._undecided.clear()

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
        self._note_progress()
        self._hub = None

    def _note_progress(self) -> None:
        """Nothing runs here any more: note what is decided, so that it is not repeated after the next start."""
        if self._hub is not None:
            due = {job_id: self._hub.due(job_id) for job_id in self._jobs}
            self._undecided |= {job_id: instant for job_id, instant in due.items() if instant is not None}
            self._jobs = {i: job if job.parked is None else job.evolve(parked=None) for i, job in self._jobs.items()}

    def add(self, jobs: Sequence[Job], replace: bool, timed: Collection[str] = ()) -> list[Job]:
        self.check_addable(jobs, replace)
        now = self.clock.now_ms()
        fresh = (now, now)  # one for all of them: there may be many
        for job in jobs:
            known = self._written.get(job.id)
            self._written[job.id] = fresh if known is None else (known[0], now)
        return [self._put(job, job.id not in timed) for job in jobs]

    def check_addable(self, jobs: Sequence[Job], replace: bool) -> None:
        seen: set[str] = set()
        for job in () if replace else jobs:
            if job.id in seen or (job.id in self._jobs and job.id not in self._exhausted):
                raise JobIdConflictError(job.id)
            seen.add(job.id)

    def _put(self, job: Job, keep_schedule: bool) -> Job:
        old = self._jobs.get(job.id)
        if old is not None and job.id in self._exhausted:  # nothing of it is left to be kept
            return self._keep(None, job.evolve(rev=old.rev + 1))
        if old is not None:
            job = replacement(old, job, keep_schedule=keep_schedule)
        return self._keep(old, job)

    def _keep(self, old: Job | None, new: Job) -> Job:
        """Store a job where `old` was, and tell the hub what that means."""
        self._jobs[new.id] = new
        if old is None or not same_instants(old, new):
            self._forget_progress(new.id)
            self._announce(new)
        elif old.paused != new.paused:
            self._announce(new)
        else:
            self._tell(Changed(new))
        return new

    def _forget(self, job_id: str) -> None:
        """Let go of a job, but not of its history."""
        del self._jobs[job_id]
        self._forget_progress(job_id)
        self._tallies.pop(job_id, None)
        self._written.pop(job_id, None)

    def _forget_progress(self, job_id: str) -> None:
        self._exhausted.discard(job_id)
        self._undecided.pop(job_id, None)

    def get(self, job_id: str) -> Job:
        try:
            return self._jobs[job_id]
        except KeyError:
            raise JobNotFoundError(job_id) from None

    def find(self, query: JobQuery) -> Iterable[Job]:
        now = self.clock.now_ms()
        found = [job for job in self._jobs.values() if query.matches(job)]
        due = {job.id: job.next_due_ms(now) or ALWAYS for job in found}
        found.sort(key=lambda job: (due[job.id], job.id))
        end = None if query.limit is None else query.skip + query.limit
        return islice(found, query.skip, end)

    def change(self, job_id: str, change: Callable[[Job], Job]) -> Job:
        old = self.get(job_id)
        new = change(old)
        self._written[job_id] = (self._written[job_id][0], self.clock.now_ms())
        # Not parked: whatever was wrong may be mended.
        return self._keep(old, new.evolve(rev=old.rev + 1, parked=None))

    def remove(self, job_id: str) -> Job:
        job = self.get(job_id)
        self._forget(job_id)
        self._tell(Dropped(job_id))
        return job

    def remove_all(self) -> int:
        removed, self._jobs = self._jobs, {}
        self._exhausted, self._undecided, self._tallies, self._written = set(), {}, {}, {}
        for job_id in removed:
            self._tell(Dropped(job_id))
        return len(removed)

    def request_run(self, job: Job, request: str) -> None:
        self._tell(RunRequested(job, request, self.clock.now_ms()))

    # -- the history ------------------------------------------------------------------------------------------

    def settle(self, run: Run, result: Result) -> None:
        tally = self._tallies.get(run.job.id)
        if tally is None or result.outcome is not _SUCCEEDED or self._counts_successes:
            self._settle_at_length(run, result)
            return
        # What follows would find the same for most runs that succeed, at three times the cost.
        started, finished = run.started_ms, run.finished_ms
        took = finished - started  # type: ignore[operator]
        if run.request is not None or took >= LONG_RUN_MS:
            self._settle_at_length(run, result)
            return
        if (recent := tally.recent) is not None:
            scheduled = run.scheduled_ms
            late = started - scheduled  # type: ignore[operator]
            if 0 <= late | took < SHORT_MS:
                recent[tally.noted & LAST] = scheduled << SHIFT | (late << HALF | took)
            else:
                recent[tally.noted & LAST] = packed(scheduled, late, took, _SUCCEEDED)
        tally.noted += 1
        tally.started_ms = started
        tally.finished_ms = finished

    def _settle_at_length(self, run: Run, result: Result) -> None:
        if run.started_ms is not None:
            self._tally_of(run.job.id).count(run, result)
        if self._keeping.keeps(run, result):
            self._note(Record.of_run(run, result))

    def settle_span(self, job: Job, span: Span) -> None:
        if self._keeping.keeps_span(span):
            self._note(Record.of_span(job, span))
            if self._keeps_recent:
                self._tally_of(job.id).count_span(span)

    def _note(self, record: Record) -> None:
        records = self._records
        if len(records) == records.maxlen:
            oldest = records[0] if records else record
            self._forgotten_until = max(self._forgotten_until, oldest.until_ms or oldest.scheduled_ms + 1)
        records.append(record)

    def _tally_of(self, job_id: str) -> Tally:
        if job_id in self._jobs:
            return self._tallies.setdefault(job_id, Tally(self._keeps_recent))
        return Tally(recent=False)  # the job was removed while it ran: nobody would let go of one that is kept

    def runs(self, query: RunQuery) -> list[RunInfo]:
        unfinished = () if self._hub is None else self._hub.unfinished()
        begun = (Record.of_run(run, None) for run in unfinished if run.started_ms is not None)
        found = [record for record in chain(begun, reversed(self._records)) if record.matches(query)]
        return [record.info() for record in newest_first(lambda record: record.scheduled_ms, found, query)]

    def figures(self, job_id: str) -> JobFigures:
        self.get(job_id)
        tally = self._tallies.get(job_id)
        return JobFigures() if tally is None else tally.figures()

    def account(self, job: Job | None, instant: int) -> Account:
        known = Account(successes=self._keeping.successes, since=self._forgotten_until)
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
        states = Counter(job.state for job in self._jobs.values())
        oldest = min((record.scheduled_ms for record in self._records), default=None)
        return StoreStatistics(
            jobs=dict.fromkeys(STATES, 0) | states,
            records=Counter(record.outcome for record in self._records),
            oldest=None if oldest is None else from_ms(oldest),
        )

    def count_records(self, before: int) -> int:
        return sum(record.last_ms < before for record in self._records)

    def purge(self, before: int, progress: Callable[[int], object] | None = None) -> int:
        kept = [record for record in self._records if record.last_ms >= before]
        purged = len(self._records) - len(kept)
        self._records = deque(kept, self._records.maxlen)
        if purged:
            self._forgotten_until = max(self._forgotten_until, before)
        return purged

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
                self._hub.emit(JobEvent(EVENT_JOB_REMOVED, job, reason=Reason.TRIGGER_ENDED))

    def park(self, job: Job, reason: str | None) -> None:
        stored = self._jobs.get(job.id)
        if stored is not None and same_instants(stored, job):
            self._jobs[job.id] = stored.evolve(parked=reason)
            if self._hub is not None:
                self._hub.emit(parked_event(self._jobs[job.id]))

    def _announce(self, job: Job) -> None:
        if job.paused:
            self._tell(Dropped(job.id))
        elif job.id in self._exhausted:
            self._tell(Admitted(job, None))
        else:
            self._tell(Admitted(job, self._undecided.get(job.id, job.next_run_ms)))

    def _tell(self, message: Message) -> None:
        if self._hub is not None:
            self._hub.post(message)
