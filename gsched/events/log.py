"""The structlog sink: events as log lines."""

from __future__ import annotations

import logging
from typing import Final

from gsched import events
from gsched.event_loop.helpers import spawn
from gsched.event_loop.log_lines import logger_for, structlog_is_configured
from gsched.events import CATALOGUE, SchedulerEvent
from gsched.events.repetition import WINDOW_SECONDS, Repeated, Repetitions
from gsched.times.clock import Clock, Timer

RUN_EVENTS: Final = ("all", "failures", "none")

_RUNS = sum(code for code, kind in CATALOGUE.items() if kind.name.startswith("run."))
_QUIET_RUNS = sum(code for code, kind in CATALOGUE.items() if kind.name.startswith("run.") and kind.level == "debug")
_MASKS: Final = {
    "all": events.EVENT_ALL,
    "failures": events.EVENT_ALL & ~_QUIET_RUNS,
    "none": events.EVENT_ALL & ~_RUNS,
}
# Events that repeat while something is broken: trouble of runs, and of calls for each run or event. And the additions
# of jobs, which programs make by the thousand when they start.
_MAY_REPEAT: Final = (_RUNS & ~_QUIET_RUNS) | sum(
    (events.EVENT_LISTENER_FAILED, events.EVENT_STORE_FAILED, events.EVENT_HUB_FAILED, events.EVENT_JOB_ADDED)
)


class LogSink:
    """A listener that writes events as structured log lines, the event's name as message.

    Lines go to structlog if the application has configured it, otherwise to the standard library's logger `gsched`.
    This is decided at every line, because libraries start before logging is set up. If logging is not configured
    either, Python writes warnings and errors to standard error: a job that fails is never silent. If the logger is
    disabled, as `logging.config` does by default after the start, warnings and errors go to standard error, too.

    Repeated trouble is written in full once a minute for each job, and for at most five jobs with the same trouble. So
    are additions of jobs. The rest is counted: one line a minute has the number as `suppressed`. With
    `run_events="all"` every event has its line.

    :param scheduler: the scheduler's name, a key of every line
    :param run_events: which lines about runs to write: "all", "failures" or "none"
    """

    def __init__(self, clock: Clock, scheduler: str, run_events: str = "failures") -> None:
        self.mask = _MASKS[run_events]
        self._clock = clock
        self._scheduler = scheduler
        self._may_repeat = _MAY_REPEAT if run_events != "all" else 0
        self._repetitions = Repetitions()
        self._timer: Timer | None = None  # set while repetitions are counted

    def __call__(self, event: SchedulerEvent) -> None:
        kind = CATALOGUE[event.code]
        if event.code == events.EVENT_SCHEDULER_SHUTDOWN:
            self.close()
        logger = logger_for(event.level)
        if logger is None:
            return
        if event.code & self._may_repeat and not self._repetitions.is_new(event, self._clock.monotonic()):
            self._write_counts_later()
            return
        getattr(logger, event.level)(kind.name, scheduler=self._scheduler, **event.fields())

    def close(self) -> None:
        """Write the counts that are still to be written."""
        if self._timer is not None:
            self._timer.cancel()
            self._write_counts()

    def _write_counts_later(self) -> None:
        if self._timer is None:
            self._timer = self._clock.call_later(WINDOW_SECONDS, spawn, self._write_counts)

    def _write_counts(self) -> None:
        self._timer = None
        for repeated in self._repetitions.take(self._clock.monotonic()):
            self._write_count(repeated)

    def _write_count(self, repeated: Repeated) -> None:
        kind = CATALOGUE[repeated.latest.code]
        if (logger := logger_for(kind.level)) is not None:
            getattr(logger, kind.level)(kind.name, scheduler=self._scheduler, **repeated.fields())

    def warn_now(self, name: str, reason: str) -> None:
        """Write a warning at once, without an event, if the application has set up logging."""
        if structlog_is_configured() or logging.getLogger("gsched").hasHandlers():
            logger = logger_for("warning")
            if logger is not None:
                logger.warning(name, scheduler=self._scheduler, reason=reason)
