"""The claim protocol's operations on nodes."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import Row, Update, bindparam, func, or_, select, update

from gsched.stores.claims.database import PROTOCOL, NodeRecord
from gsched.stores.claims.process_marks import Place, has_ended, mark_document, own_mark, read_mark
from gsched.stores.sql.claims.access import ClaimsAccess, greatest


class ClaimedNodes(ClaimsAccess):
    """The nodes that are alive, and up to when they have claimed instants."""

    def join(self, node: str, watermark: int) -> None:
        row = {
            "id": node,
            "alive": True,
            "protocol": PROTOCOL,
            "watermark": watermark,
            "acked": watermark,
            "beat": 0,
            "draining": False,
            "left": False,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "process": json.dumps(mark_document(own_mark())),
            "started_at": watermark,
        }
        # Again after an answer that was lost.
        new = self._connection.insert(into=self._tables.nodes).on_conflict_do_nothing()
        self._change(new, row)

    @cached_property
    def _beat(self) -> Update:
        """The statement of `advance`, which is made once: it costs more to make than to carry out."""
        nodes = self._tables.nodes
        # Raised, not set: an earlier attempt that was given up may be carried out after this one.
        return (
            update(nodes)
            .where(nodes.c.id == bindparam("node"), nodes.c.alive)
            .values(
                watermark=greatest(nodes.c.watermark, bindparam("to")),
                acked=greatest(nodes.c.acked, bindparam("ended")),
                draining=bindparam("gives_away"),
                beat=nodes.c.beat + 1,
                beat_at=bindparam("now"),
            )
        )

    def advance(self, node: str, watermark: int, acked: int, draining: bool) -> bool:
        values = {"node": node, "to": watermark, "ended": acked, "gives_away": draining, "now": self.time()}
        return bool(self._change(self._beat, values))

    def leave(self, node: str, acked: int) -> None:
        nodes = self._tables.nodes
        over = (
            update(nodes)
            .where(nodes.c.id == node, nodes.c.alive)
            .values(alive=False, acked=acked, left=True, ended_at=self.time())
        )
        self._change(over)

    def nodes(self, also: Collection[str] = ()) -> Sequence[NodeRecord]:
        nodes = self._tables.nodes
        wanted = select(nodes).where(or_(nodes.c.settled_at.is_(None), nodes.c.id.in_(list(also))))
        mark = own_mark()
        here = None if mark is None else mark.place
        return [_record(row, here) for row in self._rows(wanted)]

    def count_dead(self) -> int:
        nodes = self._tables.nodes
        counted = select(func.count()).select_from(nodes).where(~nodes.c.alive, ~nodes.c.left)
        return int(self._scalars(counted)[0])

    def bury(self, node: str, beat: int) -> bool:
        nodes = self._tables.nodes
        dead = (
            update(nodes)
            .where(nodes.c.id == node, nodes.c.alive, nodes.c.beat == beat)
            .values(alive=False, ended_at=self.time())
        )
        return bool(self._change(dead))

    def note_settled(self, nodes: Collection[str]) -> None:
        table = self._tables.nodes
        dead = table.c.id.in_(list(nodes)), ~table.c.alive
        self._change(update(table).where(*dead).values(settled_at=self.time()))


def _record(row: Row[Any], here: Place | None) -> NodeRecord:
    """The node of a row.

    :param here: the place of this process, None if that is not known
    """
    mark = read_mark(_process(row.process)) if row.alive else None
    return NodeRecord(
        row.id,
        row.alive,
        row.watermark,
        row.acked,
        row.beat,
        row.draining,
        row.drain_requested is not None,
        row.left,
        row.settled_at is not None,
        here is not None and mark is not None and has_ended(mark, here),
        row.protocol,
    )


def _process(text: str | None) -> Any:
    try:
        return json.loads(text or "null")
    except ValueError:
        return None
