"""Backlogs: instants that wait, one after the other, for a run of their job to end.

What is known to have ended must not wait for them, for hours perhaps: it is noted in their job that they are late, as
it is of those that were late when the job was admitted.
"""

from __future__ import annotations

from collections.abc import Callable

from gsched.batches import batches
from gsched.stores.mongodb.cluster import Backlog, Cluster
from gsched.stores.mongodb.progress import Progress
from gsched.stores.mongodb.tenure import Tenure

AT_ONCE = 50  # jobs per write: the watermark waits for it
NOTED_EVERY_MS = 2000  # how far the watermark may go on before more is noted


class Backlogs:
    """Notes what waits, for one tenure.

    :param keep_alive: called between steps, so that the watermark advances meanwhile
    """

    def __init__(self, cluster: Cluster, tenure: Tenure, progress: Progress, keep_alive: Callable[[], None]) -> None:
        self._cluster = cluster
        self._tenure = tenure
        self._progress = progress
        self._keep_alive = keep_alive
        self._noting: dict[str, Backlog] = {}  # what may or may not be noted

    def settle(self) -> None:
        """Bring to an end what an error left open: what is noted is closed by what it says."""
        if self._noting:
            self._note()

    def note(self, before: int) -> None:
        """Note what has waited since before then (ms)."""
        until = self._tenure.watermark
        for some in batches(self._progress.backlogs(before).items(), AT_ONCE):
            for job_id, first in some:
                rev = self._tenure.revision(job_id)
                if rev is not None and self._tenure.late.get(job_id, -1) <= until - NOTED_EVERY_MS:
                    self._noting[job_id] = Backlog(rev, first, until)
            self._note()
            self._keep_alive()

    def _note(self) -> None:
        noted = self._cluster.note_backlogs(self._tenure.node, self._noting)
        self._tenure.late.update((job_id, self._noting[job_id].until) for job_id in noted)
        self._noting = {}
