"""Progress: which claimed instants have begun, which have ended, and which outcomes are written."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import islice

from gsched.jobs.tally import Tally
from gsched.stores.claims.database import Outcomes
from gsched.stores.claims.holdings import Holdings
from gsched.stores.claims.recorded_runs import RecordedRuns
from gsched.stores.messages import ALWAYS, HubPort

LATE_AT_ONCE = 1000  # jobs per call of `late_no_more`


class Progress:
    """How far the claimed instants of one node are, from memory.

    An instant is *open* until it has ended and its outcome is written. Recorded runs do not count: their documents
    outlive a crash. The answers leave out messages that the hub has not handled; callers ask `HubPort.unread` first.
    """

    def __init__(self, holdings: Holdings, hub: HubPort, outcomes: Outcomes, recorded: RecordedRuns) -> None:
        self._holdings = holdings
        self._hub = hub
        self._outcomes = outcomes
        self._recorded = recorded

    def first_open(self, after: int) -> int:
        """The earliest open instant (ms) after `after`."""
        late = self._holdings.late
        runs = self._recorded.missing()
        instants = [run.scheduled_ms for run in runs if run.scheduled_ms > max(after, late.get(run.job.id, after))]
        instants += (max(due, after + 1) for due in self._holdings.awaited.values())
        instants.append(max(self._outcomes.first_unwritten(), after + 1))
        next_due = self._hub.next_due(after, late)
        if next_due is not None:
            instants.append(next_due)
        return min(instants)

    def has_begun_all(self, now: int) -> bool:
        """True if the hub has decided all claimed instants."""
        undecided = self._hub.next_due(-1)
        is_decided = undecided is None or undecided > self._holdings.watermark
        return now > self._holdings.watermark and is_decided and not self._hub.unread()

    def is_written(self) -> bool:
        """True if the outcomes of all claimed instants that have ended are written."""
        return self._outcomes.first_unwritten() > self._holdings.watermark

    def is_counted(self) -> bool:
        """True if the counts of all runs that have begun are written."""
        return not self._outcomes.has_counts()

    def late_no_more(self) -> list[str]:
        """Some of the late jobs whose late instants have ended, with their outcomes written."""
        running, late = {run.job.id for run in self._recorded.missing()}, self._holdings.late
        some = dict(islice(late.items(), LATE_AT_ONCE))
        ended = {i: until for i, until in some.items() if i not in running and (self._hub.due(i) or ALWAYS) > until}
        unwritten = {job_id for job_id, instant in self._outcomes.unwritten() if instant <= ended.get(job_id, -1)}
        over = ended.keys() - unwritten
        for job_id in [each for each in some if each not in over]:  # the next call looks at the others first
            late[job_id] = late.pop(job_id)
        return [each for each in some if each in over]

    def tallies(self, job_ids: Collection[str]) -> Mapping[str, Tally]:
        """The tallies of these jobs that are not written yet."""
        return self._outcomes.tallies(job_ids)

    def first_open_of(self, job_ids: Collection[str]) -> dict[str, int]:
        """The earliest open instant (ms) of each of these jobs that the hub has decided. Jobs without one are left out.
        """
        first: dict[str, int] = {}
        runs = ((run.job.id, run.scheduled_ms) for run in self._recorded.missing())
        for job_id, instant in [*runs, *self._outcomes.unwritten()]:
            if job_id in job_ids:
                first[job_id] = min(instant, first.get(job_id, instant))
        return first

    def backlogs(self, before: int) -> dict[str, int]:
        """The jobs with an instant that has waited since before `before` (ms), and the earliest open instant of each.
        """
        dues = {job_id: self._hub.due(job_id) for job_id in self._hub.waiting_since(before)}
        first = {job_id: due for job_id, due in dues.items() if due is not None}
        if not first:
            return first
        runs = self._recorded.missing()
        claimed = ((run.job.id, run.scheduled_ms) for run in runs if run.attempt == 1 and run.request is None)
        for job_id, instant in [*claimed, *self._outcomes.unwritten()]:
            if job_id in first:
                first[job_id] = min(first[job_id], instant)
        return first
