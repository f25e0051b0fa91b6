"""The limits of groups, as they reach the hub: before the first job, and after each change."""

from __future__ import annotations

from gsched.jobs.limits import NO_LIMITS
from gsched.stores.claims.database import ClaimDatabase
from gsched.stores.messages import HubPort, LimitsChanged


class GroupLimitsReader:
    """Reads the limits of groups when somebody wants that, and posts those that differ from the last ones."""

    def __init__(self, database: ClaimDatabase, hub: HubPort) -> None:
        self._database = database
        self._hub = hub
        self._known = NO_LIMITS  # of the hub
        self._wanted = True

    def want(self) -> None:
        """Read them in the next turn: they may have changed. Any greenlet may call it."""
        self._wanted = True

    def read_if_wanted(self, now: int) -> None:
        """Post the limits if they have changed. They stay wanted if the database does not answer.

        :param now: milliseconds since the epoch
        """
        if not self._wanted:
            return
        self._wanted = False  # before the database is asked: what changes meanwhile is read in the next turn
        try:
            limits = self._database.limits(now)
        except BaseException:
            self._wanted = True
            raise
        if limits != self._known:
            self._known = limits
            self._hub.post(LimitsChanged(limits))
