"""Runs in progress that are written down: they take long, their slot moves, or the watermark says nothing of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from gsched.run import Run
from gsched.stores.base import HubSide
from gsched.stores.mongodb.cluster import Cluster, RunRecord
from gsched.stores.mongodb.partition import slot_of
from gsched.stores.mongodb.tenure import Tenure


class WrittenRuns:
    """Writes runs in progress down, over all incarnations of a node."""

    def __init__(self, cluster: Cluster, hub: HubSide) -> None:
        self._cluster = cluster
        self._hub = hub
        self._writing: set[Run] = set()  # runs that are marked as recorded before we know that they are

    def missing(self) -> list[Run]:
        """The runs in progress that, as far as we know, are not written down."""
        return [run for run in self._hub.unfinished() if not run.recorded or run in self._writing]

    def write_long_ones(self, tenure: Tenure, before: int) -> None:
        """Runs that were due before `before` (ms) get a record of their own, lest they hold back what is known to have
        ended; so do those of which our watermark says nothing."""
        self._write(tenure.node, (run for run in self.missing() if _stands_alone(run, before, tenure)))

    def write_those_in(self, tenure: Tenure, numbers: Collection[int]) -> None:
        """Those in slots that we are about to give up."""
        self._write(tenure.node, (run for run in self.missing() if slot_of(run.job.id) in numbers))

    def _write(self, node: str, runs: Iterable[Run]) -> None:
        records = {run: _record(run) for run in runs}
        if not records:
            return
        for run in records:
            run.recorded = True  # before they are: one that ends meanwhile is to be struck out
        self._writing.update(records)
        self._cluster.record_runs(node, list(records.values()))
        self._writing.difference_update(records)


def _stands_alone(run: Run, before: int, tenure: Tenure) -> bool:
    """Whether our watermark says nothing of this run, or it was due before `before`."""
    ours = slot_of(run.job.id) in tenure.slots
    return not ours or run.attempt > 1 or run.request is not None or run.scheduled_ms < before


def _record(run: Run) -> RunRecord:
    return RunRecord(run.job.id, slot_of(run.job.id), run.scheduled_ms, run.attempt, run.request)
