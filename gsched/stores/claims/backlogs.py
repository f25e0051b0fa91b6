"""Backlogs: instants that wait for a free instance of their job.

They may wait for hours, and acked must not wait with them. So the node notes in their job that they are late, as it
does for instants that were late when the job was admitted.
"""

from __future__ import annotations

from gsched.event_loop.batches import batches
from gsched.stores.claims.database import Backlog
from gsched.stores.claims.session import Session

AT_ONCE = 50  # jobs per write; the watermark waits for each write
NOTED_EVERY_MS = 2000  # a job is noted again when the watermark has moved this far


class Backlogs:
    """Notes in the database which instants wait for a free instance."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._noting: dict[str, Backlog] = {}  # by job; an attempt to note them may have happened

    def settle(self) -> None:
        """Repeat an attempt that an error interrupted: only a backlog that this node knows is closed later."""
        if self._noting:
            self._note()

    def note(self, before: int) -> None:
        """Note the instants that have waited since before `before` (ms)."""
        until = self._session.holdings.watermark
        for some in batches(self._session.progress.backlogs(before).items(), AT_ONCE):
            for job_id, first in some:
                rev = self._session.holdings.revision(job_id)
                if rev is not None and self._session.holdings.late.get(job_id, -1) <= until - NOTED_EVERY_MS:
                    self._noting[job_id] = Backlog(rev, first, until)
            self._note()
            self._session.beat()

    def _note(self) -> None:
        noted = self._session.database.note_backlogs(self._session.node, self._noting)
        self._session.holdings.late.update((job_id, self._noting[job_id].until) for job_id in noted)
        self._noting = {}
