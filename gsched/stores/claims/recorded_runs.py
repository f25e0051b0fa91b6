"""Recorded runs: runs in progress with a document of their own.

A run is recorded if it takes long, if its slot moves to another node, or if no watermark covers it. When a slot moves,
its claimed instants that have not begun are recorded as well. A node that finds such a document of a dead node runs the
instant again, or reports it as lost.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import chain, islice

from gsched.event_loop.batches import batches
from gsched.jobs.outcomes import Retried
from gsched.jobs.run import Run
from gsched.stores.claims.database import ClaimDatabase, Outcomes, RunRecord
from gsched.stores.claims.holdings import Holdings
from gsched.stores.claims.partition import slot_of_job
from gsched.stores.messages import HubPort

AT_ONCE = 1000  # runs in one transaction
MOST_AHEAD = 1000  # instants of one job that are recorded before they have begun


class RecordedRuns:
    """Records runs in progress, from one node of this process to the next.

    :ivar ahead: instants that were recorded before they had begun, by job
    :ivar retrying: attempts that failed and are to be followed by others, which do not wait in the database yet
    :ivar put_back: runs that were to begin here and do not, and that do not wait in the database again yet
    :ivar followed: attempts that are followed by others, of which the hub does not know that yet

    Attempts that are followed, or are to be, count as in progress.
    """

    def __init__(self, database: ClaimDatabase, hub: HubPort, outcomes: Outcomes) -> None:
        self._database = database
        self._hub = hub
        self._outcomes = outcomes
        self._recording: set[Run] = set()  # runs that are marked as recorded, while the write is not confirmed
        self.ahead: dict[str, set[int]] = {}
        self.retrying: dict[Run, Retried] = {}
        self.followed: dict[Run, None] = {}
        self.put_back: set[RunRecord] = set()

    def missing(self) -> list[Run]:
        """The runs in progress without a confirmed record."""
        return [run for run in self._unended() if not run.recorded or run in self._recording]

    def _unended(self) -> Iterator[Run]:
        return chain(self._hub.unfinished(), list(self.retrying), list(self.followed))

    def busy_jobs(self) -> set[str]:
        """The ids of the jobs with runs that `missing` gives, or with outcomes that are not written."""
        return {run.job.id for run in self.missing()}.union(job_id for job_id, _ in self._outcomes.unwritten())

    def record_long_ones(self, holdings: Holdings, before: int) -> None:
        """Record runs that were due before `before` (ms), so that acked does not wait for them, and runs that no
        watermark of this node covers."""
        alone = (run for run in self.missing() if _stands_alone(run, before, holdings))
        self._record(holdings.node, islice(alone, AT_ONCE))  # the watermark waits; the next call records the others

    def record_those_of(self, holdings: Holdings, job_ids: Collection[str]) -> None:
        """Record the runs of these jobs, which were changed or removed."""
        if job_ids:
            self._record(holdings.node, [run for run in self.missing() if run.job.id in job_ids])

    def record_those_in(self, holdings: Holdings, numbers: Collection[int]) -> None:
        """Record the runs in these slots, which the node is about to give up, and their claimed instants that have not
        begun."""
        runs = [run for run in self.missing() if slot_of_job(run.job) in numbers]
        waiting = self._hub.next_due(-1)
        ahead = self._note_ahead(holdings, numbers) if waiting is not None and waiting <= holdings.watermark else []
        self._record(holdings.node, runs, ahead)

    def _note_ahead(self, holdings: Holdings, numbers: Collection[int]) -> list[RunRecord]:
        records = []
        for job_id in holdings.known(numbers):
            for instant in self._hub.undecided(job_id, holdings.watermark, MOST_AHEAD):
                self.ahead.setdefault(job_id, set()).add(instant)
                records.append(RunRecord(job_id, holdings.slot_of(job_id), instant))
        return records

    def take_ahead(self, job_id: str, first: int, end: int) -> list[int]:
        """Forget the instants of the job in [first, end) that were recorded ahead, and give them. The hub has decided
        them now."""
        ahead = self.ahead.get(job_id)
        if ahead is None:
            return []
        taken = sorted(instant for instant in ahead if first <= instant < end)
        ahead.difference_update(taken)
        if not ahead:
            del self.ahead[job_id]
        return taken

    def disown(self) -> None:
        """Other nodes have taken over all runs in progress: they decide what becomes of those runs."""
        self.ahead.clear()
        self._recording.clear()
        self.retrying.clear()
        self.followed.clear()
        self.put_back.clear()
        for run in self._hub.unfinished():
            run.recorded = True

    def _record(self, node: str, runs: Iterable[Run], ahead: Collection[RunRecord] = ()) -> None:
        if self._recording:  # an earlier attempt failed; runs that have ended since then need no record
            self._recording.intersection_update(self._unended())
        records = {run: record_of(run) for run in runs}
        for run in records:
            run.recorded = True  # before the write: the outcome of a run that ends meanwhile must remove the record
        self._recording.update(records)
        for some in batches([*records.values(), *ahead], AT_ONCE):
            self._database.record_runs(node, some)
        self._recording.difference_update(records)


def _stands_alone(run: Run, before: int, holdings: Holdings) -> bool:
    """True if no watermark of this node covers the run, or the run was due before `before`."""
    ours = slot_of_job(run.job) in holdings.slots
    return not ours or run.attempt > 1 or run.request is not None or run.scheduled_ms < before


def record_of(run: Run) -> RunRecord:
    """What the database keeps of an attempt while it waits or is in progress."""
    of_it = (run.job.id, slot_of_job(run.job), run.scheduled_ms, run.attempt, run.request)
    return RunRecord(*of_it, run.tries, run.recoveries, run.is_retry)
