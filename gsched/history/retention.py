"""The retention policy: which outcomes the history keeps records of."""

from __future__ import annotations

from typing import Final

from gsched.checks import is_whole
from gsched.errors import ConfigurationError
from gsched.jobs.outcomes import Outcome, Result, Span
from gsched.jobs.run import Run

LONG_RUN_MS: Final = 3000
_COALESCED: Final = Outcome.COALESCED  # used for every run if too much is due


class RetentionPolicy:
    """Which outcomes the history keeps records of: the rule of every store.

    - Outcomes without success are always kept: failed, timed out, cancelled, missed, skipped, lost.
    - Successes, and instants that were coalesced into a later one's run, are kept as the option `history_successes`
      says: "none", "all", or a number n for every n-th of them.
    - A success is always kept if the run was requested, took three seconds or more, or was not the first attempt, and
      if its job keeps the output of runs.

    :raises ConfigurationError: for any other value of the option
    """

    def __init__(self, successes: str | int) -> None:
        if successes not in ("none", "all") and not is_whole(successes, 1):
            raise ConfigurationError(f"history_successes: expected 'none', 'all' or a whole number, got {successes!r}")
        self.successes = successes
        self.every = int(successes == "all") if isinstance(successes, str) else successes
        self._seen = 0

    def keeps(self, run: Run, result: Result) -> bool:
        """True if the history keeps a record of the run."""
        if result.outcome is not Outcome.SUCCEEDED or run.request is not None or run.attempt > 1 or run.recorded:
            return True
        if run.output is not None:
            return True
        duration = run.duration
        return (duration is not None and duration * 1000 >= LONG_RUN_MS) or self._is_nth()

    def keeps_span(self, span: Span) -> bool:
        """True if the history keeps a record of instants that ended without a run."""
        return span.outcome is not _COALESCED or self._is_nth()

    def _is_nth(self) -> bool:
        self._seen += 1
        return self.every > 0 and self._seen % self.every == 0
