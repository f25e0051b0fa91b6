"""The watch for overdue jobs: every five seconds it asks the store, for all nodes, and tells of this node's own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from gevent.event import Event

from gsched.errors import StoreError
from gsched.event_loop.keyboard_interrupt import was_interrupt
from gsched.events import EVENT_JOB_OVERDUE, EVENT_STORE_FAILED, JobOverdueEvent, SchedulerEvent, error_fields
from gsched.monitoring.overdue import OverdueJob, OverdueReport
from gsched.stores.expectations import Expectations
from gsched.times.clock import Clock

EVERY_SECONDS: Final = 5.0


class OverdueWatch:
    """Asks which jobs are overdue, and publishes `job.overdue` once for each of this node's, in a greenlet of its own.

    One question is for the jobs of all nodes. So a node that is frozen, or cut off, hides none of its jobs from the
    health checks of the others.

    :param now: gives the store's time, ms
    :param owns: whether a job, named by its id, is this node's
    :param write_successes: writes the successes of these jobs that the store lacks, and gives whether there were any
    """

    def __init__(
        self,
        expectations: Expectations,
        clock: Clock,
        emit: Callable[[SchedulerEvent], None],
        *,
        now: Callable[[], int],
        owns: Callable[[str], bool],
        write_successes: Callable[[Collection[str]], bool],
    ) -> None:
        self._expectations = expectations
        self._clock = clock
        self._emit = emit
        self._now = now
        self._owns = owns
        self._write_successes = write_successes
        self._answer: tuple[Sequence[OverdueJob], int, float] | None = None  # with the store's and monotonic time
        self._wakeup = Event()
        self._stopped = False

    def report(self) -> OverdueReport | None:
        """The last answer; None if there was none yet. Any thread may call it."""
        if self._answer is None:
            return None
        jobs, at, answered = self._answer
        return OverdueReport(jobs, at, self._clock.monotonic() - answered)

    def run(self) -> None:
        """Ask until `stop`."""
        while not self._stopped:
            try:
                self._look()
            except StoreError:
                pass  # the ownership greenlet reports that the database does not answer; the last answer grows older
            except BaseException as error:
                if not was_interrupt(error):
                    self._emit(SchedulerEvent(EVENT_STORE_FAILED, **error_fields(error)))
            timer = self._clock.call_later(EVERY_SECONDS, self._wakeup.set)
            self._wakeup.wait()
            self._wakeup.clear()
            timer.cancel()

    def stop(self) -> None:
        """Stop asking, soon."""
        self._stopped = True
        self._wakeup.set()

    def _look(self) -> None:
        found = self._ask()
        untold = [each.job_id for each in found if not each.is_told and self._owns(each.job_id)]
        if not untold:
            return
        if self._write_successes(untold):
            found = self._ask()
        known = {each.job_id: each for each in found}
        for job in self._expectations.tell([job_id for job_id in untold if job_id in known], self._now()):
            self._emit(JobOverdueEvent(EVENT_JOB_OVERDUE, job, known[job.id].since))

    def _ask(self) -> Sequence[OverdueJob]:
        now = self._now()
        found = self._expectations.overdue(now)
        self._answer = found, now, self._clock.monotonic()
        return found
