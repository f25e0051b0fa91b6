"""Runs of this node's jobs that are still in progress on the nodes that had the jobs before.

They count as instances of their jobs, and towards the limits of their groups. Runs that other nodes have begun since
then do not count: two nodes could wait for each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from gsched.stores.claims.database import NodeRecord, RunRecord
from gsched.stores.claims.session import Session
from gsched.stores.messages import RunsElsewhere


class Elsewhere:
    """Tells the hub of these runs, until they have ended."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._runs: set[RunRecord] = set()
        self._groups: dict[str, str | None] = {}  # of their jobs

    def take_slots(self, nodes: Collection[NodeRecord], numbers: Collection[int]) -> None:
        """This node takes these slots. A node records its runs in a slot before it gives the slot away."""
        self._note(self._runs | self._running(nodes, numbers))

    def look(self, nodes: Collection[NodeRecord]) -> None:
        """Find out which of these runs have ended."""
        if self._runs:
            self._note(self._runs & self._running(nodes, {run.slot for run in self._runs}))

    def _running(self, nodes: Collection[NodeRecord], numbers: Collection[int]) -> set[RunRecord]:
        others = [node.id for node in nodes if node.alive and node.id != self._session.node]
        return set(self._session.database.runs_of(others, numbers)) if others else set()

    def _note(self, runs: set[RunRecord]) -> None:
        if runs != self._runs:
            counts = Counter(run.job_id for run in runs)
            groups = self._by_group(counts)  # this asks the database: only now the hub gets them
            self._runs = runs
            self._session.hub.post(RunsElsewhere(counts, groups))

    def _by_group(self, counts: Mapping[str, int]) -> Mapping[str, int]:
        """These runs by the groups of their jobs. A job that was removed meanwhile is in none."""
        unknown = counts.keys() - self._groups.keys()
        records = self._session.database.read_jobs(unknown) if unknown else {}
        self._groups = {job_id: self._groups.get(job_id) for job_id in counts}
        self._groups |= {job_id: record.job.policy.group for job_id, record in records.items()}
        groups = Counter[str]()
        for job_id, count in counts.items():
            if (group := self._groups[job_id]) is not None:
                groups[group] += count
        return groups
