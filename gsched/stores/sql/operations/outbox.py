"""What is to be told to notifiers, and how their channels do: see `gsched.notices.outbox.Outbox`."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, case, delete, func, insert, or_, select, update

from gsched.notices.notice import REPEATED, Notice
from gsched.notices.outbox import KEPT_MS, ChannelState, Due, OpenFailure
from gsched.stores.sql.driver.connection import SqlConnection
from gsched.stores.sql.rows.notices import notice_in, notice_row, state_in, state_row

_AT_ONCE = 400  # jobs that a statement names


class SqlOutbox:
    """Works in any process, whether its scheduler runs or not."""

    def __init__(self, connection: SqlConnection) -> None:
        self._connection = connection
        self._notices = connection.tables.notices
        self._notifiers = connection.tables.notifiers

    def add(self, notices: Sequence[Notice]) -> None:
        if not notices:
            return
        table = self._notices
        new = self._connection.insert(into=table)
        added = new.excluded
        statement = new.on_conflict_do_update(
            index_elements=[table.c.id],
            set_={
                "number": table.c.number + added.number,
                "first_at": case((table.c.number > 0, table.c.first_at), else_=added.first_at),
                "last_at": added.last_at,
                "due_at": func.coalesce(table.c.due_at, func.max(table.c.next_at, added.due_at)),
                "open": True,
                "document": added.document,
            },
        )
        rows = [notice_row(notice) for notice in notices]
        self._connection.write(lambda line: line.execute(statement, rows))

    def due(self, notifier: str, now: int, most: int) -> Due:
        table = self._notices
        ready = table.c.due_at.is_not(None) & (table.c.due_at <= now) & (table.c.notifier == notifier)
        wanted = select(table).where(ready).order_by(table.c.due_at).limit(most)
        rows = self._connection.read(lambda line: line.execute(wanted).all())
        found, broken = list[Notice](), dict[str, str]()
        for row in rows:
            try:
                found.append(notice_in(row))
            except ValueError as error:
                broken[row.id] = f"a row of {table.name} was malformed, and is removed: {error}"
        if broken:
            self._connection.write(lambda line: line.execute(delete(table).where(table.c.id.in_(broken))))
        return Due(found, list(broken.values()))

    def told(self, notices: Sequence[Notice], next_at: int) -> None:
        table = self._notices

        def transaction(line: Connection) -> None:
            for notice in notices:
                left = table.c.number - notice.count
                line.execute(
                    update(table)
                    .where(table.c.id == notice.id)
                    .values(
                        number=case((left > 0, left), else_=0),
                        told=table.c.told + notice.count,
                        first_at=table.c.last_at,
                        due_at=case((left > 0, next_at), else_=None),
                        next_at=next_at,
                    )
                )
            over = [notice.id for notice in notices if notice.kind not in REPEATED]
            line.execute(delete(table).where(table.c.id.in_(over), table.c.due_at.is_(None)))

        self._connection.write(transaction)

    def open_failures(self, most: int) -> Sequence[OpenFailure]:
        table = self._notices
        columns = table.c.notifier, table.c.jobstore, table.c.job_id, table.c.due_at
        wanted = select(*columns).where(table.c.open, table.c.kind.in_(REPEATED), table.c.job_id != "").limit(most)
        return [OpenFailure(*row) for row in self._connection.read(lambda line: line.execute(wanted).all())]

    def close(self, jobs: Sequence[tuple[str, str]]) -> None:
        table = self._notices

        def transaction(line: Connection) -> None:
            for begin in range(0, len(jobs), _AT_ONCE):
                named = [
                    and_(table.c.job_id == job_id, table.c.jobstore == jobstore)
                    for jobstore, job_id in jobs[begin : begin + _AT_ONCE]
                ]
                line.execute(update(table).where(or_(*named), table.c.kind.in_(REPEATED)).values(open=False))

        if jobs:
            self._connection.write(transaction)

    def states(self) -> Sequence[ChannelState]:
        rows = self._connection.read(lambda line: line.execute(select(self._notifiers)).all())
        return [state_in(row) for row in rows]

    def swap_state(self, state: ChannelState) -> bool:
        table, row = self._notifiers, state_row(state)

        def transaction(line: Connection) -> bool:
            known = line.execute(select(table.c.rev).where(table.c.name == state.notifier)).scalar()
            if (known or 0) != state.rev - 1:
                return False
            if known is None:
                line.execute(insert(table), row)
            else:
                line.execute(update(table).where(table.c.name == state.notifier).values(row))
            return True

        return self._connection.write(transaction)

    def expire(self, now: int) -> None:
        table = self._notices
        is_told = ~table.c.open & table.c.due_at.is_(None) & (table.c.next_at <= now)
        old = delete(table).where(or_(table.c.last_at < now - KEPT_MS, is_told))
        self._connection.write(lambda line: line.execute(old), urgent=True)
