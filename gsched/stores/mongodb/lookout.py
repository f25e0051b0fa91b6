"""Looking for jobs that changed without our hearing of it, or that are due within the horizon by now."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gsched.batches import batches
from gsched.slices import paced
from gsched.stores.mongodb.admission import Admission
from gsched.stores.mongodb.cluster import Cluster
from gsched.stores.mongodb.partition import slot_of
from gsched.stores.mongodb.succession import Succession
from gsched.stores.mongodb.tenure import Tenure
from gsched.stores.mongodb.written_runs import WrittenRuns

SLOTS_AT_ONCE = 16
WRITTEN_BACK_AT_ONCE = 50


class Lookout:
    """The net under the change feed, and the horizon, for one tenure.

    :param keep_alive: called between steps, so that the watermark advances meanwhile
    :param admission: told the ids of jobs to look at
    """

    def __init__(
        self,
        cluster: Cluster,
        tenure: Tenure,
        written: WrittenRuns,
        keep_alive: Callable[[], None],
        admission: Admission,
        succession: Succession,
    ) -> None:
        self._cluster = cluster
        self._tenure = tenure
        self._written = written
        self._keep_alive = keep_alive
        self._admission = admission
        self._succession = succession

    def look_for_changes(self) -> None:
        """Compare what the database has with what the hub was told."""
        tenure, dormant = self._tenure, self._dormant()
        for numbers in batches(sorted(tenure.slots), SLOTS_AT_ONCE):
            self._keep_alive()
            stored = self._cluster.revisions(numbers, tenure.horizon)
            known = tenure.known(numbers)
            changed = (job_id for job_id, rev in stored.items() if known.get(job_id) != rev)
            self._admission.look_at(job_id for job_id in changed if not tenure.sleeps(job_id, stored[job_id]))
            had = [*known, *(job_id for number in numbers for job_id in dormant.get(number, ()))]
            self._admission.look_at(job_id for job_id in had if job_id not in stored)
            self._admission.look_at(self._cluster.awaited_in(numbers))
            self._admission.look_at(self._succession.unseen(numbers))

    def _dormant(self) -> dict[int, list[str]]:
        """The jobs that the hub gave back, by slot."""
        found: dict[int, list[str]] = {}
        for job_id in paced(list(self._tenure.dormant)):
            found.setdefault(slot_of(job_id), []).append(job_id)
        return found

    def move_horizon(self, horizon: int) -> None:
        """Look at the jobs that are due up to `horizon` (ms) and were not before."""
        tenure = self._tenure
        self._write_dormant_back()
        horizon = max(tenure.horizon, horizon)
        for numbers in batches(sorted(tenure.slots), SLOTS_AT_ONCE):
            self._keep_alive()
            self._admission.look_at_near(self._cluster.due_between(numbers, tenure.horizon, horizon))
        near = (job_id for job_id, each in tenure.dormant.items() if each.due is not None and each.due <= horizon)
        self._admission.look_at_near(near)
        tenure.horizon = horizon

    def _write_dormant_back(self) -> None:
        """Store when the jobs are due that the hub gave back: then what is stored is right."""
        tenure = self._tenure
        busy = self._written.busy_jobs()  # after a crash, their last instants would not be found
        later = {
            job_id: (each.rev, each.due)
            for job_id, each in tenure.dormant.items()
            if each.due is not None and job_id not in busy
        }
        for job_id in self._write_back(later):
            dormant = tenure.dormant.get(job_id)
            if dormant is not None and dormant.due == later[job_id][1] and job_id not in tenure.awaited:
                del tenure.dormant[job_id]

    def _write_back(self, due: dict[str, tuple[int, int]]) -> Iterator[str]:
        """Store later next run times, a few at a time: the watermark must not wait for it; those that were stored."""
        for some in map(dict, batches(due.items(), WRITTEN_BACK_AT_ONCE)):
            self._keep_alive()
            yield from self._cluster.write_back(some)
