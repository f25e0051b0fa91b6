"""The output of attempts, in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, select, update

from gsched.history.outputs import StoredOutput
from gsched.jobs.output import Piece
from gsched.stores.durable.answers import OutputPart
from gsched.stores.sql.driver.connection import SqlConnection
from gsched.stores.sql.driver.tables import Tables
from gsched.stores.sql.rows.runs import run_key
from gsched.times.clock import Clock


class SqlOutputs:
    """See `gsched.stores.durable.answers.Outputs`.

    :param keep: how long output is kept
    """

    def __init__(self, connection: SqlConnection, clock: Clock, keep: timedelta) -> None:
        self._connection = connection
        self._clock = clock
        self._keep_ms = keep // timedelta(milliseconds=1)

    def write(self, parts: Sequence[OutputPart]) -> None:
        outputs, expires_at = self._connection.tables.outputs, self._clock.now_ms() + self._keep_ms
        rows = [
            {"key": run_key(part.run_id, part.attempt), "expires_at": expires_at, **piece._asdict()}
            for part in parts
            for piece in part.pieces
        ]
        ended = [run_key(part.run_id, part.attempt) for part in parts if part.ended]
        new = self._connection.insert(into=outputs)
        fields = {name: new.excluded[name] for name in ("number", "content", "expires_at")}
        replacing = new.on_conflict_do_update(index_elements=[outputs.c.key, outputs.c.place], set_=fields)

        def transaction(connection: Connection) -> None:
            connection.execute(replacing, rows)
            if ended:  # their first pieces may be old
                connection.execute(update(outputs).where(outputs.c.key.in_(ended)).values(expires_at=expires_at))

        if rows:
            self._connection.write(transaction)

    def read(self, run_id: str, attempt: int | None) -> StoredOutput | None:
        tables = self._connection.tables

        def transaction(connection: Connection) -> StoredOutput | None:
            number = _last_attempt(connection, tables, run_id) if attempt is None else attempt
            pieces = _pieces(connection, tables, run_key(run_id, number))
            return StoredOutput(number, pieces) if pieces else None

        return self._connection.read(transaction)


def _last_attempt(connection: Connection, tables: Tables, run_id: str) -> int:
    """The last attempt at the run that has output; 0 if none has."""
    outputs = tables.outputs
    # "$" follows "#", which comes before the attempt
    wanted = select(outputs.c.key).distinct().where(outputs.c.key >= f"{run_id}#", outputs.c.key < f"{run_id}$")
    return max((int(key.rpartition("#")[2]) for key in connection.execute(wanted).scalars()), default=0)


def _pieces(connection: Connection, tables: Tables, key: str) -> tuple[Piece, ...]:
    outputs = tables.outputs
    wanted: Any = select(outputs.c.place, outputs.c.number, outputs.c.content).where(outputs.c.key == key)
    return tuple(Piece(*row) for row in connection.execute(wanted.order_by(outputs.c.number)))
