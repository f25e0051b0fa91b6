"""Rescan: finds jobs whose change the feed has missed, and jobs that the horizon has reached."""

from __future__ import annotations

from collections.abc import Iterator

from gsched.event_loop.batches import batches
from gsched.event_loop.slices import paced
from gsched.stores.claims.admission import Admission
from gsched.stores.claims.session import Session
from gsched.stores.claims.succession import Succession
from gsched.stores.messages import NEVER

SLOTS_AT_ONCE = 16
WRITTEN_BACK_AT_ONCE = 50


class Rescan:
    """The net under the change feed, and the horizon.

    :param admission: gets the ids of the jobs to look at
    """

    def __init__(self, session: Session, admission: Admission, succession: Succession) -> None:
        self._session = session
        self._admission = admission
        self._succession = succession

    def look_for_changes(self) -> None:
        """Compare the jobs in the database with those that the hub has."""
        holdings, dormant = self._session.holdings, self._dormant()
        for numbers in batches(sorted(holdings.slots), SLOTS_AT_ONCE):
            self._session.beat()
            stored = self._session.database.revisions(numbers, holdings.horizon)
            known = holdings.known(numbers)
            changed = (job_id for job_id, rev in stored.items() if known.get(job_id) != rev)
            self._admission.look_at(job_id for job_id in changed if not holdings.sleeps(job_id, stored[job_id]))
            had = [*known, *(job_id for number in numbers for job_id in dormant.get(number, ()))]
            self._admission.look_at(job_id for job_id in had if job_id not in stored)
            self._admission.expect_runs(self._session.database.waiting_in(numbers, NEVER, holdings.horizon))
            self._admission.look_at(self._succession.unseen(numbers))

    def _dormant(self) -> dict[int, list[str]]:
        """The jobs that the hub gave back, by slot."""
        found: dict[int, list[str]] = {}
        for job_id in paced(list(self._session.holdings.dormant)):
            found.setdefault(self._session.holdings.slot_of(job_id), []).append(job_id)
        return found

    def move_horizon(self, horizon: int) -> None:
        """Look at the jobs that are due up to `horizon` (ms), and lay beyond the horizon before."""
        holdings = self._session.holdings
        self._write_dormant_back()
        horizon = max(holdings.horizon, horizon)
        for numbers in batches(sorted(holdings.slots), SLOTS_AT_ONCE):
            self._session.beat()
            self._admission.look_at_near(self._session.database.due_between(numbers, holdings.horizon, horizon))
            self._admission.expect_runs(self._session.database.waiting_in(numbers, holdings.horizon, horizon))
        near = (job_id for job_id, each in holdings.dormant.items() if each.due is not None and each.due <= horizon)
        self._admission.look_at_near(near)
        holdings.horizon = horizon

    def _write_dormant_back(self) -> None:
        """Store the next run times of jobs that the hub gave back."""
        holdings = self._session.holdings
        busy = self._session.recorded.busy_jobs()  # with a later time, a rescue would miss their last instants
        later = {
            job_id: (each.rev, each.due)
            for job_id, each in holdings.dormant.items()
            if each.due is not None and job_id not in busy
        }
        for job_id in self._write_back(later):
            dormant = holdings.dormant.get(job_id)
            if dormant is not None and dormant.due == later[job_id][1] and job_id not in holdings.awaited:
                del holdings.dormant[job_id]

    def _write_back(self, due: dict[str, tuple[int, int]]) -> Iterator[str]:
        """Store later next run times, a few at a time so that the watermark can advance. Gives the ids of those jobs.
        """
        for some in map(dict, batches(due.items(), WRITTEN_BACK_AT_ONCE)):
            self._session.beat()
            yield from self._session.database.write_back(some)
