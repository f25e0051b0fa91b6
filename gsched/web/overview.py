"""The overview of one scheduler, from its own memory: for users that cannot reach its store."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import nsmallest
from typing import Any, Final

from gevent.event import Event

from gsched import events
from gsched.errors import SchedulerNotRunningError, message_of
from gsched.event_loop.helpers import spawn
from gsched.event_loop.slices import paced
from gsched.jobs.outcomes import Outcome
from gsched.jobs.run import Run
from gsched.monitoring.activity import LastMinute, NodeActivity, Overview
from gsched.monitoring.error_groups import BAD
from gsched.monitoring.loop_shares import LoopShares
from gsched.monitoring.overdue import Overdue, in_overview
from gsched.monitoring.troubles import (
    LATELY_SECONDS,
    MOST_RECORDS,
    MOST_TROUBLES,
    LongRun,
    PastRun,
    groups_of,
    troubles_of,
)
from gsched.schedulers.base import STATE_PAUSED, BaseScheduler
from gsched.schedulers.engine import engine_of

_SAMPLE_SECONDS: Final = 5.0
_BAD_ENDS: Final = sum({*map(events.code_of, map(Outcome, BAD)), events.EVENT_JOB_MAX_INSTANCES})


class LocalOverview:
    """Samples what a scheduler does, every few seconds, and keeps what ended badly within the last minutes."""

    def __init__(self, scheduler: BaseScheduler) -> None:
        self._scheduler = scheduler
        self._past: deque[tuple[float, PastRun]] = deque(maxlen=MOST_RECORDS)  # by monotonic time
        self._last_minute = LastMinute(scheduler.clock, engine_of(scheduler).activity)
        self._stopped = Event()
        scheduler.add_listener(self._note, _BAD_ENDS)
        spawn(self._sample)

    def stop(self) -> None:
        """Sample and keep no more."""
        self._stopped.set()
        self._scheduler.remove_listener(self._note)

    def read(self) -> Overview:
        """The overview, as of now. Raises SchedulerNotRunningError."""
        activity = self._last_minute.sample()
        jobs, past = self._scheduler.status().jobs, list(self._lately())
        return Overview(
            {"scheduled": jobs["scheduled"] + jobs["waiting"], "parked": jobs["parked"]},
            (),
            (self._activity(activity),),
            troubles_of(paced(past)),
            groups_of(paced(past)),
            tuple(map(self._long_run, nsmallest(MOST_TROUBLES, self._scheduler.get_running(), _scheduled))),
            overdue=self._overdue(),
            is_shared=False,
        )

    def _activity(self, now: Any) -> NodeActivity:
        return NodeActivity(
            node=self._scheduler.name,
            age=0.0,
            paused=self._scheduler.state == STATE_PAUSED,
            **{key: now[key] for key in ("running", "waiting", "pool_size", "due_soon")},
            recent=self._last_minute.period(),
            totals=now["outcomes"],
            loop=LoopShares.of(now["loop"]),
        )

    def _overdue(self) -> tuple[Overdue, ...]:
        """As the stores answered last."""
        reports = (report.overdue for report in self._scheduler.status().stores.values())
        return tuple(each for report in reports if report is not None for each in in_overview(report.jobs, report.at))

    def _long_run(self, run: Run) -> LongRun:
        return LongRun(run.job_id, run.id, (self._scheduler.clock.now_ms() - run.scheduled_ms) / 1000)

    def _sample(self) -> None:
        while not self._stopped.wait(_SAMPLE_SECONDS):
            try:
                self._last_minute.sample()
            except SchedulerNotRunningError:
                continue

    def _note(self, event: events.JobExecutionEvent | events.JobSubmissionEvent) -> None:
        self._past.append((self._scheduler.clock.monotonic(), _past_run(event)))

    def _lately(self) -> Iterator[PastRun]:
        since = self._scheduler.clock.monotonic() - LATELY_SECONDS
        return (run for at, run in reversed(self._past) if at >= since)


def _scheduled(run: Run) -> int:
    return run.scheduled_ms


def _past_run(event: events.JobExecutionEvent | events.JobSubmissionEvent) -> PastRun:
    tag = next(iter(event.job.tags), "")
    if isinstance(event, events.JobSubmissionEvent):
        return PastRun(event.job_id, tag, str(event.span.outcome), None, event.reason, None)
    error, outcome = event.exception, "" if event.result is None else str(event.result.outcome)
    if error is None:
        return PastRun(event.job_id, tag, outcome, None, event.reason, event.run.duration)
    return PastRun(event.job_id, tag, outcome, type(error).__name__, message_of(error), event.run.duration)
