"""Progress: what of all that is claimed has begun, has ended, and is written."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

from gsched.stores.base import ALWAYS, HubSide
from gsched.stores.mongodb.cluster import Outcomes
from gsched.stores.mongodb.tenure import Tenure
from gsched.stores.mongodb.written_runs import WrittenRuns

LATE_AT_ONCE = 1000  # jobs whose late instants are looked after at once


class Progress:
    """Tells how far one tenure is, from memory. What the hub has not read yet is for the caller to ask for."""

    def __init__(self, tenure: Tenure, hub: HubSide, outcomes: Outcomes, written: WrittenRuns) -> None:
        self._tenure = tenure
        self._hub = hub
        self._outcomes = outcomes
        self._written = written

    def first_open(self, after: int) -> int:
        """The earliest instant after `after` that has not ended, or whose end is not written; but for runs that are
        written down."""
        late = self._tenure.late
        runs = self._written.missing()
        instants = [run.scheduled_ms for run in runs if run.scheduled_ms > max(after, late.get(run.job.id, after))]
        instants += (max(due, after + 1) for due in self._tenure.awaited.values())
        instants.append(max(self._outcomes.first_unwritten(), after + 1))
        next_due = self._hub.next_due(after, late)
        if next_due is not None:
            instants.append(next_due)
        return min(instants)

    def has_begun_all(self, now: int) -> bool:
        """Whether the hub has handed on, or settled, all that is claimed."""
        undecided = self._hub.next_due(-1)
        is_decided = undecided is None or undecided > self._tenure.watermark
        return now > self._tenure.watermark and is_decided and not self._hub.unread()

    def is_written(self) -> bool:
        """Whether it is written what became of all that is claimed, as far as it has ended."""
        return self._outcomes.first_unwritten() > self._tenure.watermark

    def late_no_more(self) -> list[str]:
        """Some of the jobs whose instants that were late have ended, and that is written."""
        running, late = {run.job.id for run in self._written.missing()}, self._tenure.late
        some = dict(islice(late.items(), LATE_AT_ONCE))
        ended = {i: until for i, until in some.items() if i not in running and (self._hub.due(i) or ALWAYS) > until}
        unwritten = {job_id for job_id, instant in self._outcomes.unwritten() if instant <= ended.get(job_id, -1)}
        over = ended.keys() - unwritten
        for job_id in [each for each in some if each not in over]:  # the others have their turn first
            late[job_id] = late.pop(job_id)
        return [each for each in some if each in over]

    def first_open_of(self, job_ids: Collection[str]) -> dict[str, int]:
        """The earliest instant of each of these jobs that has begun and not ended, or whose end is not written, but for
        runs that are written down; none of a job without such instants."""
        first: dict[str, int] = {}
        runs = ((run.job.id, run.scheduled_ms) for run in self._written.missing())
        for job_id, instant in [*runs, *self._outcomes.unwritten()]:
            if job_id in job_ids:
                first[job_id] = min(instant, first.get(job_id, instant))
        return first

    def backlogs(self, before: int) -> dict[str, int]:
        """The jobs with instants that have waited since before then, and the first of them that has not ended, or
        whose end is not written."""
        dues = {job_id: self._hub.due(job_id) for job_id in self._hub.waiting_since(before)}
        first = {job_id: due for job_id, due in dues.items() if due is not None}
        if not first:
            return first
        runs = self._written.missing()
        claimed = ((run.job.id, run.scheduled_ms) for run in runs if run.attempt == 1 and run.request is None)
        for job_id, instant in [*claimed, *self._outcomes.unwritten()]:
            if job_id in first:
                first[job_id] = min(first[job_id], instant)
        return first
