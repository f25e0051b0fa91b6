"""The claim protocol's operations on slots."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, and_, case, func, or_, select, update

from gsched.stores.claims.database import NodeRecord, SlotRecord
from gsched.stores.sql.claims.access import ClaimsAccess, greatest


class ClaimedSlots(ClaimsAccess):
    """The owner of each slot, and up to when its instants were claimed."""

    def owners(self) -> Collection[str]:
        slots = self._tables.slots
        owners = select(slots.c.owner).where(slots.c.owner.is_not(None)).distinct()
        return set(self._scalars(owners))

    def free_slots_of(self, dead: NodeRecord) -> None:
        slots = self._tables.slots
        ended = func.coalesce(slots.c.open_from, greatest(slots.c.watermark, dead.acked))
        self._change(update(slots).where(slots.c.owner == dead.id).values(self._freed(dead.watermark, ended)))

    def _freed(self, watermark: int, acked: Any) -> dict[str, Any]:
        """The changes that take a slot from its owner. A slot that was not attached becomes what it was before."""
        slots = self._tables.slots
        return {
            "owner": None,
            "attached": False,
            "open_from": None,
            "watermark": case((slots.c.attached, greatest(slots.c.watermark, watermark)), else_=slots.c.watermark),
            "acked": case((slots.c.attached, acked), else_=slots.c.acked),
        }

    def free_slots(self, node: str) -> Collection[int]:
        slots = self._tables.slots
        free = select(slots.c.id).where(
            or_(slots.c.owner.is_(None), and_(slots.c.owner == node, ~slots.c.attached))
        )
        return self._scalars(free)

    def take_slots(self, node: str, numbers: Collection[int]) -> Sequence[SlotRecord]:
        slots = self._tables.slots
        wanted = slots.c.id.in_(list(numbers))
        take = (
            update(slots)
            .where(wanted, slots.c.owner.is_(None))
            .values(owner=node, attached=False, epoch=slots.c.epoch + 1)
        )
        taken = select(slots).where(wanted, slots.c.owner == node, ~slots.c.attached).order_by(slots.c.id)

        def transaction(connection: Connection) -> Sequence[Any]:
            connection.execute(take)
            return connection.execute(taken).all()

        return [SlotRecord(row.id, row.epoch, row.watermark, row.acked) for row in self._write(transaction)]

    def attach_slots(self, node: str, numbers: Collection[int], watermark: int) -> Collection[int]:
        slots = self._tables.slots
        ours = and_(slots.c.id.in_(list(numbers)), slots.c.owner == node)
        follow = (
            update(slots)
            .where(ours, ~slots.c.attached)
            .values(attached=True, open_from=slots.c.acked, watermark=greatest(slots.c.watermark, watermark))
        )
        attached = select(slots.c.id).where(ours, slots.c.attached)

        def transaction(connection: Connection) -> Sequence[int]:
            connection.execute(follow)
            return connection.execute(attached).scalars().all()

        return set(self._write(transaction))

    def close_slots(self, node: str, numbers: Collection[int]) -> None:
        slots = self._tables.slots
        ours = slots.c.id.in_(list(numbers)), slots.c.owner == node
        self._change(update(slots).where(*ours).values(open_from=None))

    def release_slots(self, node: str, fences: Mapping[int, int], watermark: int) -> None:
        slots = self._tables.slots
        freed = self._freed(watermark, greatest(slots.c.watermark, watermark))
        numbers: dict[int, list[int]] = {}  # by fence: most slots have changed hands equally often
        for number, fence in fences.items():
            numbers.setdefault(fence, []).append(number)
        releases = [
            update(slots)
            .where(slots.c.id.in_(some), slots.c.epoch == fence, slots.c.owner == node)
            .values(freed)
            for fence, some in numbers.items()
        ]

        def transaction(connection: Connection) -> None:
            for release in releases:
                connection.execute(release)

        self._write(transaction)

    def give_back_slots(self, node: str, numbers: Collection[int]) -> None:
        slots = self._tables.slots
        unattached = slots.c.id.in_(list(numbers)), slots.c.owner == node, ~slots.c.attached
        self._change(update(slots).where(*unattached).values(owner=None))
