"""The claim protocol's operations on a SQL database."""

from __future__ import annotations

from gsched.stores.sql.claims.jobs import ClaimedJobs
from gsched.stores.sql.claims.nodes import ClaimedNodes
from gsched.stores.sql.claims.runs import ClaimedRuns
from gsched.stores.sql.claims.slots import ClaimedSlots
from gsched.stores.sql.driver.schema import prepare


class SqlClaims(ClaimedNodes, ClaimedSlots, ClaimedJobs, ClaimedRuns):
    """One process's access to the tables, as the claim protocol needs it: see `ClaimDatabase`."""

    def prepare(self) -> None:
        self._write(lambda connection: prepare(connection, self._tables))
