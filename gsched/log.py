"""The structlog sink: events as log lines."""

from __future__ import annotations

import logging
from typing import Final

import structlog

from gsched import events
from gsched.clock import Clock
from gsched.events import CATALOGUE, JobEvent, SchedulerEvent
from gsched.log_lines import logger_for

RUN_EVENTS: Final = ("all", "failures", "none")
_SECONDS_PER_JOB = 60.0
_MAX_JOBS_REMEMBERED = 10_000

_RUNS = sum(code for code, kind in CATALOGUE.items() if kind.name.startswith("run."))
_QUIET_RUNS = sum(code for code, kind in CATALOGUE.items() if kind.name.startswith("run.") and kind.level == "debug")
_MASKS: Final = {
    "all": events.EVENT_ALL,
    "failures": events.EVENT_ALL & ~_QUIET_RUNS,
    "none": events.EVENT_ALL & ~_RUNS,
}


class LogSink:
    """A listener that writes events as structured log lines, the event's name as message.

    Lines go to structlog if the application has configured it, else to the standard library's logger `gsched`; this is
    looked up at every line, for libraries start before logging is set up. Where nobody has configured logging either,
    Python writes warnings and errors to standard error: a job that fails is never silent. If somebody disables that
    logger, as `logging.config` does by default after the start, warnings and errors go to standard error, too.
    Of a job's warnings about runs the first is written, then one a minute with how many were `suppressed`.

    :param scheduler: the scheduler's name, a key of every line
    :param run_events: which lines about runs to write: "all", "failures" or "none"
    """

    def __init__(self, clock: Clock, scheduler: str, run_events: str = "failures") -> None:
        self.mask = _MASKS[run_events]
        self._clock = clock
        self._scheduler = scheduler
        self._quiet_until: dict[tuple[str, int], tuple[float, int]] = {}

    def __call__(self, event: SchedulerEvent) -> None:
        kind = CATALOGUE[event.code]
        logger = logger_for(kind.level)
        if logger is None:
            return
        suppressed = self._suppressed(event) if kind.code & _RUNS and kind.level == "warning" else 0
        if suppressed is None:
            return
        fields = event.fields()
        if suppressed:
            fields["suppressed"] = suppressed
        getattr(logger, kind.level)(kind.name, scheduler=self._scheduler, **fields)

    def warn_now(self, name: str, reason: str) -> None:
        """Write a warning at once, without an event, if the application has set up logging."""
        if structlog.is_configured() or logging.getLogger("gsched").hasHandlers():
            logger = logger_for("warning")
            if logger is not None:
                logger.warning(name, scheduler=self._scheduler, reason=reason)

    def _suppressed(self, event: SchedulerEvent) -> int | None:
        """How many lines of this kind about this job were left out since the last; None to leave this one out, too."""
        if not isinstance(event, JobEvent):
            return 0
        now, key = self._clock.monotonic(), (event.job_id, event.code)
        until, count = self._quiet_until.get(key, (0.0, 0))
        if now < until:
            self._quiet_until[key] = (until, count + 1)
            return None
        if len(self._quiet_until) >= _MAX_JOBS_REMEMBERED:
            self._quiet_until.clear()
        self._quiet_until[key] = (now + _SECONDS_PER_JOB, 0)
        return count
