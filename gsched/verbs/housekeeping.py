"""Housekeeping: the verbs on stores as a whole."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta

from gsched.callables import check_progress
from gsched.errors import ConfigurationError
from gsched.history import as_past
from gsched.stores.statistics import StoreStatistics
from gsched.verbs import JobVerbs


class Housekeeping(JobVerbs):
    """What operators do with stores. A base of GeventScheduler; nothing here needs it to run."""

    def prepare_store(self, jobstore: str = "default") -> None:
        """Make what the store needs in its database, its collections and indexes, unless it is there."""
        self._at_home(self._store(jobstore).prepare)

    def ping_store(self, jobstore: str = "default") -> None:
        """Ask whether the store answers. Raises StoreUnreachableError, or another StoreError, if it does not."""
        self._at_home(self._store(jobstore).ping)

    def get_statistics(self, jobstore: str = "default") -> StoreStatistics:
        """What the store holds. It is counted, which takes the database about a second for 10^6 jobs."""
        return self._at_home(self._store(jobstore).statistics)

    def count_runs(self, before: datetime | date | timedelta | str, jobstore: str = "default") -> int:
        """How many records of the history `purge_runs` would remove."""
        return self._at_home(self._store(jobstore).count_records, self._past(before))

    def purge_runs(
        self,
        before: datetime | date | timedelta | str,
        jobstore: str = "default",
        progress: Callable[[int], object] | None = None,
    ) -> int:
        """Remove records of the history; the server removes them by itself when `history_keep` is over.

        :param before: of what was due before this: a datetime, ISO text, or how long ago (timedelta, "14d")
        :param progress: called after each thousand with how many were removed so far
        :return: how many were removed
        :raises ConfigurationError: if `before` cannot be meant
        """
        check_progress(progress)
        return self._at_home(self._store(jobstore).purge, self._past(before), progress)

    def _past(self, before: datetime | date | timedelta | str) -> int:
        instant = as_past(before, self.now_ms(), self.timezone, "before")
        if instant is None:
            raise ConfigurationError("before: expected a time or how long ago")
        return instant
