"""Which nodes are alive, and which slots each of them should own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from hashlib import blake2b

from gsched.stores.claims.database import NodeRecord
from gsched.stores.claims.partition import SLOTS
from gsched.times.clock import Clock


class Membership:
    """Watches the other nodes' beats by this machine's own elapsed time: no two clocks are ever compared.

    A node whose process is known to have ended counts as silent at once.

    :param ttl_seconds: a node whose beat has not changed for this long counts as silent
    """

    def __init__(self, clock: Clock, ttl_seconds: float) -> None:
        self._clock = clock
        self._ttl = ttl_seconds
        self._beats: dict[str, tuple[int, float]] = {}  # node -> its beat, and when this node saw that beat first
        self._strangers: dict[str, float] = {}  # owner without a document -> when this node saw that first
        self._looked = clock.monotonic()

    def silent(self, nodes: Sequence[NodeRecord], me: str) -> list[NodeRecord]:
        """The other nodes that count as alive, but have not beaten for the TTL, or whose processes have ended."""
        now = self._clock.monotonic()
        if now - self._looked > self._ttl / 2:  # the others may have been cut off from the database as well
            self._beats.clear()
        self._looked = now
        seen = {node.id: self._beats.get(node.id) for node in nodes if node.alive and node.id != me}
        beats = {node.id: node.beat for node in nodes}
        self._beats = {
            known: last if last is not None and last[0] == beats[known] else (beats[known], now)
            for known, last in seen.items()
        }
        return [
            node
            for node in nodes
            if node.id in self._beats and (node.ended or now - self._beats[node.id][1] > self._ttl)
        ]

    def strangers(self, owners: Collection[str], nodes: Sequence[NodeRecord]) -> list[str]:
        """The owners that have not been among the nodes for the TTL: somebody has removed their documents."""
        now, known = self._clock.monotonic(), {node.id for node in nodes}
        self._strangers = {owner: self._strangers.get(owner, now) for owner in sorted(owners) if owner not in known}
        return [owner for owner, since in self._strangers.items() if now - since > self._ttl]


@lru_cache(maxsize=8)
def wanted_slots(me: str, alive: frozenset[str], exclusive: bool) -> frozenset[int]:
    """The slots that `me` should own among the nodes that are alive.

    Rendezvous hashing: each slot goes to the node that scores highest for it, so that a node that comes or goes moves
    only its own share. An exclusive database gives everything to the first node in order of ids, which begin with
    their time of birth.
    """
    if exclusive:
        return frozenset(range(SLOTS)) if me == min(alive, default=me) else frozenset()
    return frozenset(slot for slot in range(SLOTS) if me == max(alive, key=lambda node: _score(node, slot), default=me))


def _score(node: str, slot: int) -> bytes:
    return blake2b(f"{slot}:{node}".encode(), digest_size=8).digest()
