"""Pauses: why a job is not due, since when and for how long, and who decided that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final

from gsched.times.instants import from_ms

BY_USER: Final = "user"
BY_FAILURES: Final = "failures"
CAUSES: Final = (BY_USER, BY_FAILURES)


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a job is paused. Times are aware UTC datetimes at the surface, milliseconds inside.

    :ivar reason: the words of whoever paused the job; None if there are none
    :ivar by: who paused it; None if that is not known
    :ivar at_ms: when it was paused; None if that is not known
    :ivar until_ms: when the job goes on by itself; None: when somebody resumes it
    :ivar cause: "user", or "failures" if too many of its runs failed in a row
    :ivar failures: how many these were
    :ivar due_ms: the job's next run time as it was stored without this pause
    """

    reason: str | None = None
    by: str | None = None
    at_ms: int | None = None
    until_ms: int | None = None
    cause: str = BY_USER
    failures: int = 0
    due_ms: int | None = None

    @property
    def at(self) -> datetime | None:
        """When the job was paused; None if that is not known."""
        return None if self.at_ms is None else from_ms(self.at_ms)

    @property
    def until(self) -> datetime | None:
        """When the job goes on by itself; None: when somebody resumes it."""
        return None if self.until_ms is None else from_ms(self.until_ms)

    def words(self, tz: tzinfo = UTC) -> str:
        """The pause in words, such as "paused by ops until 2026-03-02 18:00:00+00:00: vendor down", times in `tz`."""
        by = "" if self.by is None else f" by {self.by}"
        until = "" if self.until_ms is None else f" until {from_ms(self.until_ms, tz).isoformat(' ', 'seconds')}"
        reason = "" if self.reason is None else f": {self.reason}"
        return f"paused{by}{until}{reason}"

    def holds(self, now: int) -> bool:
        """True if the job is not due at `now` (ms)."""
        return self.until_ms is None or now < self.until_ms


PLAIN: Final = Pause()  # of jobs that were paused without a word: one object for all of them
