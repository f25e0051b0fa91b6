"""The store's part of the doctor: each check is a small function that gives its findings."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, func, select

from gsched.errors import StoreError
from gsched.files.rights import REMEDY, open_to_others
from gsched.monitoring.doctor import OK, PROBLEM, WARNING, Finding, parked_finding
from gsched.monitoring.pauses import paused_finding
from gsched.stores.durable.node_checks import Owners, node_findings, runner_finding, slot_finding
from gsched.stores.sql.driver.connection import SqlConnection
from gsched.stores.sql.driver.sqlite_file import file_system_of
from gsched.stores.sql.operations.nodes import read_nodes
from gsched.stores.sql.operations.overview import paused_jobs
from gsched.times.clock import Clock

_OLDEST: Final = (3, 35, 0)  # of SQLite: it has what our statements use
_LARGE_WAL: Final = 64 * 1024 * 1024  # bytes; SQLite empties it at half a MiB, unless a reader keeps it from that
_MOST_NAMED: Final = 5
_MOST_COUNTED: Final = 10_000


class SqlDoctor:
    """Looks for what is wrong with a store, in any process.

    :param ttl: seconds without a beat after which a node is silent
    """

    def __init__(self, connection: SqlConnection, clock: Clock, ttl: float) -> None:
        self._connection = connection
        self._tables = connection.tables
        self._clock = clock
        self._ttl = ttl

    def diagnose(self, further: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
        """The findings, and those of `further`. If the database does not answer, that is the only one."""
        try:
            self._connection.read(lambda line: line.exec_driver_sql("SELECT 1").scalar())
        except StoreError as error:
            remedy = "check the path, its owner and mode, and that the disk has room"
            yield Finding("database", PROBLEM, f"cannot be used: {error}", remedy)
            return
        for check in (self._version, self._file, self._wal, self._integrity, self._parked, self._paused, self._nodes):
            try:
                yield from check()
            except StoreError as error:
                name = check.__name__.strip("_")
                yield Finding(name, PROBLEM, f"could not be looked at: {error}", "see the message")
        yield from further()

    def _version(self) -> Iterator[Finding]:
        if sqlite3.sqlite_version_info < _OLDEST:
            yield Finding("database", PROBLEM, f"SQLite {sqlite3.sqlite_version} is too old", "upgrade it to 3.35")
        else:
            yield Finding("database", OK, f"SQLite {sqlite3.sqlite_version}, {self._connection.place}")

    def _file(self) -> Iterator[Finding]:
        if (reason := open_to_others(self._connection.place)) is not None:
            yield Finding("store file", WARNING, f"who can write it can run commands as this user: {reason}", REMEDY)
        else:
            yield Finding("store file", OK, "only this user and root can write it")
        kind = file_system_of(self._connection.place)
        yield Finding("file system", OK, kind or "its kind is not known")

    def _wal(self) -> Iterator[Finding]:
        size = self._connection.file.wal_size()
        if size > _LARGE_WAL:
            yield Finding(
                "write-ahead log", WARNING, f"it has {size // 1_000_000} MB: a reader keeps SQLite from emptying it",
                "end the program that has the database open for long, such as a shell with a transaction",
            )  # fmt: skip
        else:
            yield Finding("write-ahead log", OK, f"{size // 1000} kB")

    def _integrity(self) -> Iterator[Finding]:
        said = self._connection.apart(lambda line: line.exec_driver_sql("PRAGMA quick_check(1)").scalar())
        if said == "ok":
            yield Finding("integrity", OK, "SQLite finds no damage")
        else:
            yield Finding("integrity", PROBLEM, f"SQLite says: {said}", "restore the file from a backup")

    def _parked(self) -> Iterator[Finding]:
        jobs = self._tables.jobs
        parked = select(jobs.c.id, jobs.c.parked).where(jobs.c.parked.is_not(None))
        count, some = self._connection.read(
            lambda line: (_count(line, parked), line.execute(parked.order_by(jobs.c.id).limit(_MOST_NAMED)).all())
        )
        yield parked_finding(count, {row.id: row.parked for row in some})

    def _paused(self) -> Iterator[Finding]:
        now = self._clock.now_ms()
        yield paused_finding(self._connection.read(lambda line: paused_jobs(line, self._tables, now)))

    def _nodes(self) -> Iterator[Finding]:
        now, activity, jobs = self._clock.now_ms(), self._tables.activity, self._tables.jobs
        nodes, published = self._connection.read(
            lambda line: (read_nodes(line, self._tables, now, self._ttl), line.execute(select(activity)).all())
        )
        yield from node_findings(nodes, _paused(published))
        living = any(node.runs_jobs for node in nodes)
        if not living:
            waiting = select(jobs.c.id).where(self._tables.is_not_paused(now), jobs.c.parked.is_(None))
            due = waiting.where(jobs.c.next_run <= now)
            counts = self._connection.read(lambda line: (_counted(line, waiting), _counted(line, due)))
            yield from runner_finding(*counts)
        yield slot_finding(living, self._owners, self._repair)

    def _owners(self) -> Owners:
        slots, nodes = self._tables.slots, self._tables.nodes
        owners, known = self._connection.read(
            lambda line: (
                line.execute(select(slots.c.id, slots.c.owner)).all(),
                line.execute(select(nodes.c.id)).scalars().all(),
            )
        )
        return Owners({row.id: row.owner for row in owners}, known)

    def _repair(self, owners: Sequence[str]) -> str:
        named = ", ".join(f"'{owner}'" for owner in owners)
        return (
            f"sqlite3 {self._connection.place} \"UPDATE {self._tables.slots.name} SET owner = NULL, attached = 0"
            f' WHERE owner IN ({named})"'
        )


def _paused(published: Sequence[Any]) -> set[str]:
    return {row.node for row in published if json.loads(row.document).get("paused")}


def _count(line: Connection, wanted: Any) -> int:
    return int(line.execute(select(func.count()).select_from(wanted.subquery())).scalar_one())


def _counted(line: Connection, wanted: Any) -> str:
    """How many rows match, as far as they are counted."""
    count = _count(line, wanted.limit(_MOST_COUNTED))
    return f"{count:,}{'+' if count == _MOST_COUNTED else ''}"
