"""Runs that are written down: they take long, their slot moves, or the watermark says nothing of them.

Where a slot moves, so are instants that are claimed and have not begun. Whoever finds such a document of a dead node
knows that the instant is lost, or to be run again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice

from gsched.batches import batches
from gsched.run import Run
from gsched.stores.base import HubSide
from gsched.stores.mongodb.cluster import Cluster, Outcomes, RunRecord
from gsched.stores.mongodb.partition import slot_of
from gsched.stores.mongodb.tenure import Tenure

AT_ONCE = 1000  # runs in one transaction
MOST_AHEAD = 1000  # instants of a job that are written down before they have begun


class WrittenRuns:
    """Writes runs in progress down, over all incarnations of a node.

    :ivar ahead: instants that were written down before they had begun, by job
    """

    def __init__(self, cluster: Cluster, hub: HubSide, outcomes: Outcomes) -> None:
        self._cluster = cluster
        self._hub = hub
        self._outcomes = outcomes
        self._writing: set[Run] = set()  # runs that are marked as recorded before we know that they are
        self.ahead: dict[str, set[int]] = {}

    def missing(self) -> list[Run]:
        """The runs in progress that, as far as we know, are not written down."""
        return [run for run in self._hub.unfinished() if not run.recorded or run in self._writing]

    def busy_jobs(self) -> set[str]:
        """The jobs with such runs, or with outcomes that are not written."""
        return {run.job.id for run in self.missing()}.union(job_id for job_id, _ in self._outcomes.unwritten())

    def write_long_ones(self, tenure: Tenure, before: int) -> None:
        """Runs that were due before `before` (ms) get a record of their own, lest they hold back what is known to have
        ended; so do those of which our watermark says nothing."""
        alone = (run for run in self.missing() if _stands_alone(run, before, tenure))
        self._write(tenure.node, islice(alone, AT_ONCE))  # the watermark waits for it; the others have their turn

    def write_those_of(self, tenure: Tenure, job_ids: Collection[str]) -> None:
        """Those of jobs that were changed or removed meanwhile."""
        if job_ids:
            self._write(tenure.node, [run for run in self.missing() if run.job.id in job_ids])

    def write_those_in(self, tenure: Tenure, numbers: Collection[int]) -> None:
        """Those in slots that we are about to give up, and what is claimed there and has not begun."""
        runs = [run for run in self.missing() if slot_of(run.job.id) in numbers]
        waiting = self._hub.next_due(-1)
        ahead = self._note_ahead(tenure, numbers) if waiting is not None and waiting <= tenure.watermark else []
        self._write(tenure.node, runs, ahead)

    def _note_ahead(self, tenure: Tenure, numbers: Collection[int]) -> list[RunRecord]:
        records = []
        for job_id in tenure.known(numbers):
            for instant in self._hub.undecided(job_id, tenure.watermark, MOST_AHEAD):
                self.ahead.setdefault(job_id, set()).add(instant)
                records.append(RunRecord(job_id, slot_of(job_id), instant))
        return records

    def take_ahead(self, job_id: str, first: int, end: int) -> list[int]:
        """Those instants of the job from `first` until before `end`, decided now, that were written down before."""
        ahead = self.ahead.get(job_id)
        if ahead is None:
            return []
        taken = sorted(instant for instant in ahead if first <= instant < end)
        ahead.difference_update(taken)
        if not ahead:
            del self.ahead[job_id]
        return taken

    def disown(self) -> None:
        """Others have taken over what is in progress, or waits: it is for them to say what became of it."""
        self.ahead.clear()
        self._writing.clear()
        for run in self._hub.unfinished():
            run.recorded = True

    def _write(self, node: str, runs: Iterable[Run], ahead: Collection[RunRecord] = ()) -> None:
        if self._writing:  # after an attempt that failed; what has ended since then is not written any more
            self._writing.intersection_update(self._hub.unfinished())
        records = {run: _record(run) for run in runs}
        for run in records:
            run.recorded = True  # before they are: one that ends meanwhile is to be struck out
        self._writing.update(records)
        for some in batches([*records.values(), *ahead], AT_ONCE):
            self._cluster.record_runs(node, some)
        self._writing.difference_update(records)


def _stands_alone(run: Run, before: int, tenure: Tenure) -> bool:
    """Whether our watermark says nothing of this run, or it was due before `before`."""
    ours = slot_of(run.job.id) in tenure.slots
    return not ours or run.attempt > 1 or run.request is not None or run.scheduled_ms < before


def _record(run: Run) -> RunRecord:
    return RunRecord(run.job.id, slot_of(run.job.id), run.scheduled_ms, run.attempt, run.request)
