"""How the claim protocol reaches the tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Executable, Row, case, or_, select

from gsched.jobs.document import DocumentReader
from gsched.stores.claims.database import FencedError
from gsched.stores.sql.driver.connection import SqlConnection, Transaction, Undo
from gsched.times.clock import Clock

T = TypeVar("T")


class ClaimsAccess:
    """One process's access to the tables, as the claim protocol needs it.

    :param reader: makes a reader for a batch of jobs
    :param keep: how long it is kept that a run was lost
    """

    exclusive = False

    def __init__(
        self, connection: SqlConnection, clock: Clock, reader: Callable[[], DocumentReader], keep: timedelta
    ) -> None:
        self._connection = connection
        self._tables = connection.tables
        self._clock = clock
        self._reader = reader
        self._keep_ms = keep // timedelta(milliseconds=1)

    def time(self) -> int:
        """The time of this machine, which all processes that use the file share."""
        return self._clock.now_ms()

    def _write(self, transaction: Transaction[T]) -> T:
        return self._connection.write(transaction, urgent=True)

    def _change(self, statement: Executable, values: Any = None) -> int:
        """Carry out one statement that writes, for each of the values if there are some; how many rows it matched."""
        return self._write(lambda connection: connection.execute(statement, values).rowcount)

    def _rows(self, statement: Executable) -> Sequence[Row[Any]]:
        """The rows that a statement reads."""
        return self._connection.read(lambda connection: connection.execute(statement).all(), urgent=True)

    def _scalars(self, statement: Executable) -> Sequence[Any]:
        """The first column of what a statement reads."""
        return self._connection.read(lambda connection: connection.execute(statement).scalars().all(), urgent=True)

    def _if_alive(self, node: str, transaction: Transaction[T]) -> T:
        """The result of the transaction, if the node is alive; else FencedError, and nothing is written.

        The node is looked at first: a transaction that writes has the only lock, so that nobody can bury the node
        before it ends.
        """
        nodes = self._tables.nodes
        alive = select(nodes.c.id).where(nodes.c.id == node, nodes.c.alive)

        def guarded(connection: Connection) -> T:
            if connection.execute(alive).first() is None:
                raise FencedError
            return transaction(connection)

        return self._write(guarded)

    def _all_or_none(self, node: str, transaction: Transaction[Any]) -> bool:
        """True if the transaction has taken place; it raises Undo if a job is not as it was given."""
        try:
            self._if_alive(node, transaction)
        except Undo:
            return False
        return True


def greatest(column: Any, value: Any) -> ColumnElement[Any]:
    """The column, raised to the value; in every dialect the same."""
    return case((or_(column.is_(None), column < value), value), else_=column)
