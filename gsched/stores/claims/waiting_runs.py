"""Waiting runs: runs at times that no trigger gives. Each waits in a document of its own until it is due.

A run waits because a user asked for it, or because an attempt failed and the job's policy retries it. Four rules:

- *The successor waits first.* A failed attempt stays in progress until the attempt that follows it waits in the
  database. Only then is it written that the attempt failed. So a crash between the two finds the attempt that follows.
- *Only a live node adds one.* The write is atomic with the node's own document. So a node that was declared dead adds
  none, and its successor, which decides about the failed attempt, finds all that there are.
- *In progress before it begins.* Only the owner of the slot takes a waiting run, and the database counts it as in
  progress on that node before the hub has it. So a crash leaves it waiting, or in progress on a dead node.
- *An attempt with a successor is not rescued* (rescue.py), whatever became of the successor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from itertools import islice
from typing import Final

from gsched.jobs.job import Job
from gsched.jobs.outcomes import Reason, Retried
from gsched.jobs.run import Run
from gsched.stores.claims.database import JobRecord, RunRecord, WaitingRun
from gsched.stores.claims.partition import slot_of_job
from gsched.stores.claims.recorded_runs import record_of
from gsched.stores.claims.session import Session
from gsched.stores.messages import ExtraRun, RunRequested, SucceededByRetry
from gsched.times.instants import from_ms
from gsched.triggers import DateTrigger

AT_ONCE: Final = 100  # runs per transaction; the watermark and other jobs wait for it
JOBS_AT_ONCE: Final = 200  # jobs per query for such runs
PAUSED_MS: Final = 1000  # a scheduler that is paused looks so often whether it goes on
AHEAD_MS: Final = 300  # the hub gets a run this long before it is due, so that it begins on time


class WaitingRuns:
    """Adds the retries of this process, and begins what waits in this node's slots.

    :param can_run: whether the job can be run here; if not, its runs wait until `look_at` names the job again
    :param look_at_job: gets the ids of jobs that cannot be run here, though their documents do not say so yet
    """

    def __init__(
        self,
        session: Session,
        can_run: Callable[[JobRecord], bool],
        look_at_job: Callable[[Iterable[str]], None],
    ) -> None:
        self._session = session
        self._can_run = can_run
        self._look_at_job = look_at_job
        self._awaited: dict[str, None] = {}  # this node's jobs that may have waiting runs
        self._taking: Sequence[WaitingRun] = ()  # runs that an attempt may have marked as in progress
        self._due: dict[str, int] = {}  # the jobs with runs that wait, and when the earliest of each is due
        self._dues: list[tuple[int, str]] = []  # the same as a heap, with times that do not hold any more

    @property
    def pending(self) -> bool:
        """More runs may wait, or are to be added."""
        recorded = self._session.recorded
        return bool(self._awaited or self._taking or recorded.retrying or recorded.put_back)

    @property
    def unsettled(self) -> bool:
        """The database does not know yet which attempts follow, or counts runs as in progress that the hub does not
        have."""
        recorded = self._session.recorded
        return bool(self._taking or recorded.retrying or recorded.put_back)

    @property
    def next_due(self) -> int | None:
        """When to look for the next run, ms; None if none waits within the horizon."""
        while self._dues and self._due.get(self._dues[0][1]) != self._dues[0][0]:
            heappop(self._dues)
        return self._dues[0][0] - AHEAD_MS if self._dues else None

    def look_at(self, job_ids: Iterable[str]) -> None:
        """Look for waiting runs of these jobs."""
        self._awaited.update(dict.fromkeys(job_ids))

    def expect(self, dues: Mapping[str, int]) -> None:
        """Runs of these jobs wait, and the earliest of each is due then (ms)."""
        for job_id, due in dues.items():
            if due < self._due.get(job_id, due + 1):
                self._due[job_id] = due
                heappush(self._dues, (due, job_id))

    def work(self, now: int, is_paused: bool) -> None:
        """Add some retries, then take some of the runs that are due soon.

        :param is_paused: take no retries
        """
        if self._session.recorded.retrying:
            self._add_some(now)
        if self._session.recorded.put_back:
            self._put_back()
        self._take_some(now, is_paused)

    # -- attempts that failed -----------------------------------------------------------------------------------------

    def _add_some(self, now: int) -> None:
        recorded = self._session.recorded
        retrying = dict(islice(recorded.retrying.items(), AT_ONCE))
        self._session.beat()
        records = self._session.database.read_jobs({run.job.id for run in retrying})
        over = {run: _obstacle(run, records.get(run.job.id), now) for run in retrying}
        waiting = {run: _waiting(run, its, records[run.job.id]) for run, its in retrying.items() if over[run] is None}
        elsewhere = {run.job.id for run in waiting if waiting[run].run.slot not in self._session.holdings.slots}
        added = self._add(list(waiting.values()), elsewhere)
        for run, retried in retrying.items():
            follows = run in waiting and waiting[run].run in added
            del recorded.retrying[run]
            recorded.followed[run] = None  # until its record is on its way
            reason = None if follows else over[run] or Reason.STORE_REFUSED
            self._session.hub.post(SucceededByRetry(run, retried, reason))
        self.expect({run.job.id: waiting[run].due for run in waiting if run.job.id not in elsewhere})

    def _add(self, runs: Sequence[WaitingRun], announce: Iterable[str]) -> set[RunRecord]:
        if not runs:
            return set()
        return set(self._session.database.add_waiting(self._session.node, runs, list(announce)))

    def _put_back(self) -> None:
        runs = list(self._session.recorded.put_back)
        self._session.database.put_back(self._session.node, runs)
        self._session.recorded.put_back.difference_update(runs)
        self.look_at(run.job_id for run in runs)

    # -- runs that are due --------------------------------------------------------------------------------------------

    def _take_some(self, now: int, is_paused: bool) -> None:
        """Mark some waiting runs as in progress, and hand them to the hub."""
        while (due := self.next_due) is not None and due <= now and len(self._awaited) < JOBS_AT_ONCE:
            job_id = heappop(self._dues)[1]
            del self._due[job_id]
            self._awaited[job_id] = None
        runs = self._taking or self._find_some(now, is_paused)
        if runs:
            self._session.beat()
            records = self._session.database.read_jobs({each.run.job_id for each in runs})
            self._taking = self._taking or [each for each in runs if self._may_begin(each, records, now)]
            if not self._taking:  # nothing of these jobs is due soon: what was not read is due later still
                for each in runs:
                    self._awaited.pop(each.run.job_id, None)
            self._begin(records, now)

    def _find_some(self, now: int, is_paused: bool) -> Sequence[WaitingRun]:
        ids = list(islice(self._awaited, JOBS_AT_ONCE))
        if not ids:
            return ()
        runs = self._session.database.waiting_of(ids, AT_ONCE)
        if len(runs) < AT_ONCE:  # these are all
            for job_id in ids:
                self._awaited.pop(job_id, None)
        soon, horizon = now + AHEAD_MS, self._session.holdings.horizon
        self.expect({each.run.job_id: each.due for each in reversed(runs) if soon < each.due <= horizon})
        if not is_paused:
            return runs
        kept = {each.run.job_id: now + PAUSED_MS for each in runs if each.run.is_retry and each.due <= soon}
        self.expect(kept)
        for job_id in kept:  # looked at again then, not in each turn
            self._awaited.pop(job_id, None)
        return [each for each in runs if not each.run.is_retry]

    def _may_begin(self, waiting: WaitingRun, records: Mapping[str, JobRecord], now: int) -> bool:
        """True if this node is to take the run now: it owns the slot, and the run is due soon or never begins."""
        run, record = waiting.run, records.get(waiting.run.job_id)
        is_ours = run.slot in self._session.holdings.slots
        if not is_ours or (record is not None and not self._can_run(record)):
            self._awaited.pop(run.job_id, None)
            if is_ours and record is not None and record.was_parked is None:
                self._look_at_job([run.job_id])
            return False
        return waiting.due <= now + AHEAD_MS or _verdict(waiting, record, now) is not None

    def _begin(self, records: Mapping[str, JobRecord], now: int) -> None:
        runs = [each.run for each in self._taking]
        begun = set(self._session.database.begin_waiting(self._session.node, runs)) if runs else set()
        for each in self._taking:
            if each.run in begun:
                self._pass_on(each, records.get(each.run.job_id), now)
            else:  # the run was withdrawn, or the database refuses its document: do not try for ever
                self._awaited.pop(each.run.job_id, None)
        self._taking = ()

    def _pass_on(self, waiting: WaitingRun, record: JobRecord | None, now: int) -> None:
        run, (fence, taken_at) = waiting.run, self._session.holdings.slots[waiting.run.slot]
        job = self._removed(run) if record is None else record.job
        verdict = _verdict(waiting, record, now)
        if run.request is not None and run.attempt == 1 and verdict is None:
            self._session.hub.post(RunRequested(job, run.request, run.scheduled, fence, waiting.overlap))
        else:
            about = (job, run.scheduled, waiting.due, fence, *run[3:], verdict)
            self._session.hub.post(ExtraRun(*about, reported_until=taken_at))

    def _removed(self, run: RunRecord) -> Job:
        """Stands for the job of a run, which was removed before the run began."""
        at = run.scheduled
        return Job(run.job_id, None, DateTrigger(from_ms(at)), jobstore=self._session.hub.alias, next_run_ms=at)


def _verdict(waiting: WaitingRun, record: JobRecord | None, now: int) -> Reason | None:
    """Why the run does not begin, though the job's owner takes it; None if it does."""
    if waiting.cancelled:
        return Reason.CANCELLED
    if record is None:
        return Reason.REMOVED_OR_PAUSED
    if waiting.schedule is None:  # somebody asked for it: it runs on a paused job, too
        return None
    if record.job.pause_at(now) is not None:
        return Reason.REMOVED_OR_PAUSED
    return Reason.RESCHEDULED if waiting.schedule != record.schedule else None


def _obstacle(run: Run, record: JobRecord | None, now: int) -> Reason | None:
    """Why an attempt that failed is not followed by another, though the hub has decided so; None if it is."""
    is_over = record is None or (run.request is None and record.job.pause_at(now) is not None)
    return Reason.REMOVED_OR_PAUSED if is_over else None


def _waiting(run: Run, retried: Retried, record: JobRecord) -> WaitingRun:
    """The attempt that follows a failed one."""
    due, tries = retried.again
    slot = slot_of_job(record.job)
    follows = record_of(run)._replace(slot=slot, attempt=run.attempt + 1, tries=tries, is_retry=True)
    return WaitingRun(follows, due, None if run.request is not None else record.schedule)
