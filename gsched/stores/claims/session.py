"""The state that the steps of one node share, from its joining to its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gsched.stores.claims.database import ClaimDatabase
from gsched.stores.claims.holdings import Holdings
from gsched.stores.claims.progress import Progress
from gsched.stores.claims.recorded_runs import RecordedRuns
from gsched.stores.messages import HubPort


@dataclass(frozen=True)
class Session:
    """One node's session with the database. `LiveNode` opens it and passes it to each of its steps.

    :ivar holdings: what the node owns
    :ivar recorded: the runs in progress that have a document
    :ivar progress: how far the node's runs are
    :ivar beat: steps call this before and between writes. Once per tick it advances the watermark, so that the other
        nodes see this one alive. Raises FencedError if the node is dead by its document
    """

    database: ClaimDatabase
    hub: HubPort
    holdings: Holdings
    recorded: RecordedRuns
    progress: Progress
    beat: Callable[[], None]

    @property
    def node(self) -> str:
        """The node's id."""
        return self.holdings.node
