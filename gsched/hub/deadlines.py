"""Deadlines: the times by which runs of jobs with `finish_within` are to have succeeded.

A deadline begins when the instant is due, whether the run waits or begins, and goes on from one attempt to the next. It
ends with the run. So it lives in the memory of the scheduler that has the run:

- If the job moves to another scheduler, runs in progress keep their deadlines here. Runs that wait get new ones there.
- A retry that waits in a database has its deadline with the scheduler of the attempt before. If the job has moved
  meanwhile, the new owner begins one with the retry; deadlines before it took the job over were its predecessor's.

Only the hub greenlet touches them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

from gsched.hub.timetable import Timetable
from gsched.jobs.run import Run
from gsched.triggers.base import TRIGGER_ERRORS

if TYPE_CHECKING:
    from gsched.hub.lane import Entry

Key: TypeAlias = tuple[str, int, str | None]  # of a run: its job's id, its instant, and its name if it was requested


class RunDeadline:
    """The deadline of a run, or of the instant of a job that waits for a free instance.

    :ivar due: when it ends, in the lane's time; None once it has ended
    :ivar run: the attempt that waits here or is in progress; None if the next one waits in the store, or for an instant
    """

    __slots__ = ("due", "entry", "request", "run", "scheduled")

    def __init__(self, entry: Entry, scheduled: int, run: Run | None = None) -> None:
        self.entry = entry
        self.scheduled = scheduled
        self.request = None if run is None else run.request
        self.run = run
        self.due: int | None = None

    @property
    def state(self) -> str:
        """"running"; or "waiting" for an instance, a turn in a group, a worker or the next attempt."""
        return "waiting" if self.run is None or self.run.started_ms is None else "running"


class Deadlines:
    """The deadlines of a lane.

    Each turn of the hub looks whether there are any.

    :ivar of_runs: by run, also those that have ended before the run
    :ivar of_waiting: by entry, the deadline of an instant that waits for a free instance. Of the entry's instants
        before that one, those that wait were reported
    """

    def __init__(self) -> None:
        self._timetable: Timetable[RunDeadline] = Timetable()
        self.of_runs: dict[Key, RunDeadline] = {}
        self.of_waiting: dict[Entry, RunDeadline] = {}

    def next_due(self) -> int | None:
        """When the first deadline may end (ms), or None."""
        return self._timetable.next_due()

    def begin(self, run: Run, reported_until: int = -1) -> None:
        """The run waits here, or begins. If an attempt before it was here, its deadline goes on.

        :param reported_until: deadlines up to this time (ms) were reported by a former owner of the job
        """
        within = run.job.policy.finish_within_ms
        if within is None:
            return
        known = self.of_runs.get(_key(run))
        if known is not None:
            known.run = run
            return
        deadline = self.of_runs[_key(run)] = RunDeadline(run.entry, run.scheduled_ms, run)
        due = run.scheduled_ms - run.entry.ahead + within
        if due > reported_until and not self._was_reported(run):
            self._timetable.add(deadline, due)

    def _was_reported(self, run: Run) -> bool:
        """True if the run was reported when its instant waited for a free instance."""
        waited = self.of_waiting.get(run.entry)
        return waited is not None and run.request is None and run.scheduled_ms < waited.scheduled

    def let_wait(self, run: Run) -> None:
        """The attempt has failed, and the next one waits in the store."""
        if (known := self.of_runs.get(_key(run))) is not None:
            known.run = None

    def end(self, run: Run) -> None:
        """The run has ended, or is not here any more."""
        if (known := self.of_runs.pop(_key(run), None)) is not None:
            self._timetable.remove(known)

    def hand_over(self, job_id: str) -> None:
        """The job is another scheduler's. Its runs in progress go on here."""
        gone = [key for key, deadline in self.of_runs.items() if key[0] == job_id and deadline.run is None]
        for key in gone:
            self._timetable.remove(self.of_runs.pop(key))

    def hold(self, entry: Entry, instant: int) -> None:
        """This instant of a job, and those that come after it, wait for a free instance."""
        known = self.of_waiting.get(entry)
        if known is None or known.scheduled < instant:
            self._wait_for(entry, instant)

    def release(self, entry: Entry) -> None:
        """No instant of the job waits here any more."""
        if (known := self.of_waiting.pop(entry, None)) is not None:
            self._timetable.remove(known)

    def _wait_for(self, entry: Entry, instant: int) -> None:
        self.release(entry)
        within = entry.job.policy.finish_within_ms
        if within is not None:
            deadline = self.of_waiting[entry] = RunDeadline(entry, instant)
            self._timetable.add(deadline, instant - entry.ahead + within)

    def pop(self, now: int) -> RunDeadline | None:
        """A deadline that has ended before the run has succeeded; None if there is none up to `now` (ms)."""
        while (taken := self._timetable.pop(now)) is not None:
            deadline = taken[0]
            if deadline is not self.of_waiting.get(deadline.entry):
                if deadline.run is not None or deadline.entry.lane.store.has_here(deadline.entry.job.id):
                    return deadline
                del self.of_runs[deadline.entry.job.id, deadline.scheduled, deadline.request]
            elif self._is_slow(deadline, now):
                return deadline
        return None

    def _is_slow(self, deadline: RunDeadline, now: int) -> bool:
        """True if the instant with the expired deadline still waits to run. Moves on to the next instant that waits."""
        entry, instant = deadline.entry, deadline.scheduled
        if entry.held is None or entry.parked or instant > entry.until:
            self.release(entry)
            return False
        try:
            last = entry.job.last_ms(instant, now + entry.ahead) if entry.job.coalesce else instant
            following = last if last > instant else entry.job.next_ms(instant)
        except TRIGGER_ERRORS:  # then the next decision parks the job
            self.release(entry)
            return False
        if following is not None:
            self._wait_for(entry, following)
        else:
            self.of_waiting[entry] = RunDeadline(entry, instant + 1)  # all are reported, and none follows
        return last == instant

    def shift(self, by_ms: int) -> Iterator[None]:
        """Let all deadlines end so much later by the clock, which was set by as much. Yields after each of them."""
        for deadline in list(self._timetable):
            if (due := deadline.due) is not None:
                self._timetable.remove(deadline)
                self._timetable.add(deadline, due + by_ms)
            yield


def _key(run: Run) -> Key:
    return run.job.id, run.scheduled_ms, run.request
