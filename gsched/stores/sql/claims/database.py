"""The claim protocol's operations on a SQL database."""

from __future__ import annotations

from gsched.jobs.limits import GroupLimits
from gsched.stores.sql.claims.jobs import ClaimedJobs
from gsched.stores.sql.claims.nodes import ClaimedNodes
from gsched.stores.sql.claims.runs import ClaimedRuns
from gsched.stores.sql.claims.slots import ClaimedSlots
from gsched.stores.sql.driver.schema import prepare
from gsched.stores.sql.jobs.limits import stored_limits


class SqlClaims(ClaimedNodes, ClaimedSlots, ClaimedJobs, ClaimedRuns):
    """One process's access to the tables, as the claim protocol needs it: see `ClaimDatabase`."""

    def prepare(self) -> None:
        self._write(lambda connection: prepare(connection, self._tables))

    def limits(self, now: int) -> GroupLimits:
        return self._connection.read(lambda connection: stored_limits(connection, self._tables, now), urgent=True)
