"""Repetitions: which of many alike events the log writes in full, and how many it counts."""

from __future__ import annotations

import re
from typing import Any, Final

from gsched.errors import CommandFailedError, RemoteTraceback
from gsched.events import JobEvent, SchedulerEvent

WINDOW_SECONDS: Final = 60.0
AGAIN_SECONDS: Final = 59.0  # after a full line: the starts of runs that are due every minute vary
FULL_IN_A_WINDOW: Final = 5  # jobs whose alike events are written in full within a window
MOST_KINDS: Final = 1_000  # kinds that are told apart at once
MOST_JOBS: Final = 10_000  # jobs of one kind that are told apart at once

_OTHER: Final = (0, "other")  # the kind of further events when there are MOST_KINDS already
_OF_ONE_RUN: Final = frozenset(
    ("attempt", "duration", "lateness", "next_run_time", "run_id", "scheduled_at", "traceback", "until")
)
_REMOTE_PLACE: Final = re.compile(r'File "([^"\n]+)", line (\d+)')


class Repetitions:
    """Decides which events are written in full. Counts the others, one count for all that are alike.

    Events are alike if they have the same code, error (its type and the place that raised it), reason and first tag.
    Of alike events, the first of each job within AGAIN_SECONDS is written, for up to FULL_IN_A_WINDOW jobs.
    """

    def __init__(self) -> None:
        self._kinds: dict[tuple[Any, ...], Repeated] = {}

    def is_new(self, event: SchedulerEvent, now: float) -> bool:
        """True if this event is to be written in full; otherwise it is counted.

        :param now: monotonic time in seconds
        """
        kind = _kind_of(event)
        if kind not in self._kinds and len(self._kinds) >= MOST_KINDS:
            self._forget_quiet(now)
            kind = kind if len(self._kinds) < MOST_KINDS else _OTHER
        repeated = self._kinds.get(kind)
        if repeated is None:
            repeated = self._kinds[kind] = Repeated()
        return repeated.is_new(event, now)

    def take(self, now: float) -> list[Repeated]:
        """The counts since the last call, one for each kind. Counting begins anew."""
        counted = {kind: repeated for kind, repeated in self._kinds.items() if repeated.count}
        self._kinds |= {kind: repeated.next_window() for kind, repeated in counted.items()}
        self._forget_quiet(now)
        return list(counted.values())

    def _forget_quiet(self, now: float) -> None:
        self._kinds = {kind: repeated for kind, repeated in self._kinds.items() if repeated.is_active(now)}


class Repeated:
    """Alike events that were counted.

    :ivar count: how many
    :ivar jobs: the ids of their jobs, at most MOST_JOBS
    :ivar latest: the last one
    """

    def __init__(self, written: dict[str, float] | None = None) -> None:
        self.count = 0
        self.jobs: set[str] = set()
        self.latest: Any = None
        self._written = written or {}  # when an event was written in full, by job

    def next_window(self) -> Repeated:
        """An empty count that remembers which events were written."""
        return Repeated(self._written)

    def fields(self) -> dict[str, Any]:
        """The fields of the line: how many, of how many jobs, and the last event without the keys of a single run."""
        shown = {key: value for key, value in self.latest.fields().items() if key not in _OF_ONE_RUN}
        if len(self.jobs) > 1:
            shown["latest_job_id"] = shown.pop("job_id")
            shown |= {"job_name": None, "jobs": len(self.jobs), "tags": list(self.latest.job.tags[:1]) or None}
        return {"suppressed": self.count, **{key: value for key, value in shown.items() if value is not None}}

    def is_active(self, now: float) -> bool:
        """True if an event was counted, or written within the window that ends now."""
        return bool(self.count) or any(now - at < AGAIN_SECONDS for at in self._written.values())

    def is_new(self, event: SchedulerEvent, now: float) -> bool:
        """True if this event is to be written in full; otherwise it is counted."""
        job = event.job_id if isinstance(event, JobEvent) else ""
        self._written = {each: at for each, at in self._written.items() if now - at < AGAIN_SECONDS}
        if job not in self._written and len(self._written) < FULL_IN_A_WINDOW:
            self._written[job] = now
            return True
        self.count += 1
        self.latest = event
        if len(self.jobs) < MOST_JOBS:
            self.jobs.add(job)
        return False


def _kind_of(event: SchedulerEvent) -> tuple[Any, ...]:
    if not isinstance(event, JobEvent):
        return (event.code, *(event.fields().get(key) for key in ("alias", "listener", "event_name", "error_type")))
    error = getattr(event, "exception", None)
    tags = event.job.tags
    what = getattr(event, "reason", None) or getattr(event, "step", None)
    return event.code, type(error), _place_of(error), what, tags[0] if tags else None


def _place_of(error: BaseException | None) -> object:
    """The file and line that raised the error; for a command, its exit status."""
    if error is None:
        return None
    if isinstance(error, CommandFailedError):
        return error.status
    if isinstance(error.__cause__, RemoteTraceback):
        return (_REMOTE_PLACE.findall(str(error.__cause__)) or [None])[-1]
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return None if trace is None else (trace.tb_frame.f_code.co_filename, trace.tb_lineno)
