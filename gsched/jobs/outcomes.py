"""Outcomes of due instants, and results of runs."""

from __future__ import annotations

import traceback
from enum import StrEnum
from typing import Any, NamedTuple

from gsched.errors import CommandFailedError


class Outcome(StrEnum):
    """How a due instant ended; every instant has exactly one outcome."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    MISSED = "missed"  # later than misfire_grace_time
    SKIPPED = "skipped"  # not started; see `Reason`
    COALESCED = "coalesced"  # a later instant ran for it
    LOST = "lost"  # its node died while it was in progress
    RETRIED = "retried"  # an attempt failed, and another follows

    __hash__ = str.__hash__  # Enum's __hash__ is a Python function, and every run looks outcomes up


class Reason(StrEnum):
    """Why an instant ended without success, or why a job was removed. docs/guarantees.md explains each reason."""

    MAX_INSTANCES = "max_instances"
    POOL_FULL = "pool_full"
    UNKNOWN_EXECUTOR = "unknown_executor"
    REMOVED_OR_PAUSED = "removed_or_paused"
    RESCHEDULED = "rescheduled"
    SHUTDOWN = "shutdown"
    WAITED = "waited"
    KILLED = "killed"
    ABANDONED = "abandoned"
    TRIGGER_ENDED = "trigger_ended"
    RETRIES_EXHAUSTED = "retries_exhausted"
    GAVE_UP = "gave_up"
    SUPERSEDED = "superseded"
    RETRY_WITHIN = "retry_within"
    RETRY_MISSED = "retry_missed"
    RECOVERED_TOO_OFTEN = "recovered_too_often"
    TOO_MANY_WAITING = "too_many_waiting"
    REPLACED = "replaced"
    MAX_CATCHUP = "max_catchup"
    MAX_RUNS = "max_runs"
    STORE_REFUSED = "store_refused"
    LIMITED = "limited"
    CANCELLED = "cancelled"


class Result:
    """How a run ended: the outcome, with the returned value, or the error and the reason."""

    __slots__ = ("error", "outcome", "reason", "value")

    def __init__(
        self, outcome: Outcome, value: Any = None, error: BaseException | None = None, reason: str | None = None
    ) -> None:
        self.outcome = outcome
        self.value = value
        self.error = error
        self.reason = reason

    def __repr__(self) -> str:
        return f"<Result {self.outcome} value={self.value!r} error={self.error!r} reason={self.reason!r}>"

    @property
    def traceback(self) -> str | None:
        """The error's traceback as text; None for a shell command, whose output says more."""
        if self.error is None or isinstance(self.error, CommandFailedError):
            return None
        return "".join(traceback.format_exception(self.error))


class RetryAt(NamedTuple):
    """When the attempt that follows a failed one is due.

    :ivar due: the time (ms)
    :ivar tries: how many attempts have failed until then, of those that count against `retries`
    """

    due: int
    tries: int


class Retried(Result):
    """How an attempt ended that another follows.

    :param reason: why it is followed, if not because it failed
    :ivar again: when the next attempt is due
    """

    __slots__ = ("again", "failed_as")

    def __init__(self, failed: Result, again: RetryAt, reason: str | None = None) -> None:
        super().__init__(Outcome.RETRIED, error=failed.error, reason=reason or failed.reason)
        self.failed_as = failed.outcome
        self.again = again

    def failure(self, reason: str) -> Result:
        """The result if no attempt follows after all."""
        return Result(self.failed_as, error=self.error, reason=reason)


SUCCEEDED_WITH_NONE = Result(Outcome.SUCCEEDED)  # the commonest result, made once


class Span(NamedTuple):
    """The job's due instants from `first` (which is one) up to but not including `end` share an outcome without a run.

    A span, not a list: a job with an interval of a second that is a week late has 604,800 of them.
    """

    outcome: Outcome
    first: int
    end: int
    reason: str | None = None
    request: str | None = None  # names a run on request, outside the schedule
    attempt: int = 1  # of a single instant that was lost: which attempt at its run
