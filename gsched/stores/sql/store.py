"""The store as a scheduler sees it: how a SQL database answers `gsched.stores.durable`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from gsched.errors import ConfigurationError
from gsched.files.data_directory import SQLITE_FILE, absolute, make_data_directory, refuse_mongodb
from gsched.history.recent import KEPT
from gsched.stores.base import BaseJobStore
from gsched.stores.durable.answers import Answers
from gsched.stores.durable.store import DurableJobStore
from gsched.stores.sql.claims.database import SqlClaims
from gsched.stores.sql.claims.news import SqlNews
from gsched.stores.sql.driver.connection import SqlConnection
from gsched.stores.sql.driver.tables import Tables
from gsched.stores.sql.history.outputs import SqlOutputs
from gsched.stores.sql.history.read import SqlHistory
from gsched.stores.sql.history.write import SqlRecords
from gsched.stores.sql.jobs.definitions import SqlDefinitions
from gsched.stores.sql.jobs.limits import SqlLimits
from gsched.stores.sql.operations.backup import backup
from gsched.stores.sql.operations.operations import SqlOperations
from gsched.stores.sql.operations.outbox import SqlOutbox
from gsched.stores.sql.operations.overdue import SqlExpectations

IDLE_TICK: Final = 1.0  # seconds between two beats of a runner with nothing to do: each writes to the disk
_SYNCHRONOUS: Final = ("FULL", "NORMAL")


class SQLJobStore(DurableJobStore):
    """Keeps jobs in a SQLite file, for the processes of one machine.

    In a process that only adds, changes and lists jobs it needs no scheduler that runs. The file is made for this user
    alone: who can write it can run commands as this user.

    :param url: "sqlite:///jobs.sqlite" in the working directory, "sqlite:////var/lib/app/jobs.sqlite" anywhere
    :param engine: an Engine of SQLAlchemy in place of the URL; its pool is used, and it is never disposed of here
    :param table_prefix: what the names of the tables begin with, so that several stores can share a file
    :param modules: modules in which stored function references may be resolved, beside those that the scheduler allows
    :param synchronous: "FULL" loses nothing that was confirmed; "NORMAL" is faster, and may lose the last moments when
        the machine, not a process, fails
    :param history_keep: how long the history of runs is kept: seconds, a timedelta or "14d"
    :param history_successes: which successes, and instants coalesced into a later run, the history has: "none", "all",
        or n for every n-th; all else it always has (see `gsched.history.retention.RetentionPolicy`)
    :param history_recent: how many of each job's last outcomes are kept with its counters, successes too: 32, or 0
    :param node_ttl: after so many seconds of silence a node is dead to the others, and its jobs are theirs; the same in
        all processes
    :raises ConfigurationError: if an argument cannot be right
    """

    def __init__(
        self,
        url: str | URL | None = None,
        *,
        engine: Engine | None = None,
        table_prefix: str = "gsched_",
        modules: Iterable[str] = (),
        synchronous: str = "FULL",
        history_keep: float | timedelta | str = "14d",
        history_successes: str | int = "none",
        history_recent: int = KEPT,
        node_ttl: float | timedelta | str = 10.0,
    ) -> None:
        super().__init__(
            modules=modules,
            history_keep=history_keep,
            history_successes=history_successes,
            history_recent=history_recent,
            node_ttl=node_ttl,
        )
        self.intervals = replace(self.intervals, idle_tick=IDLE_TICK)
        if synchronous not in _SYNCHRONOUS:
            raise ConfigurationError(f"sql: synchronous: expected FULL or NORMAL, got {synchronous!r}")
        if not isinstance(table_prefix, str) or not table_prefix.replace("_", "a").isalnum():
            raise ConfigurationError(f"sql: table_prefix: expected letters, digits and _, got {table_prefix!r}")
        if (url is None) == (engine is None):
            raise ConfigurationError("sql: name the database by url, such as sqlite:///jobs.sqlite, or by engine")
        where = engine.url if engine is not None else _url(url)
        self._connection = SqlConnection(where, Tables(table_prefix), engine, synchronous)

    @classmethod
    def in_directory(cls, path: str | os.PathLike[str], **options: Any) -> SQLJobStore:
        """A store in the file `jobs.sqlite` of a directory, which is made for this user alone if it is not there.

        :param options: further arguments of the store
        :raises ConfigurationError: if other users may write the directory, or it holds the jobs of a private MongoDB
        """
        directory = absolute(path)
        make_data_directory(directory)
        refuse_mongodb(directory)
        return cls(URL.create("sqlite", database=str(directory / SQLITE_FILE)), **options)

    def has_jobs_of(self, other: BaseJobStore) -> bool:
        return isinstance(other, SQLJobStore) and self._connection.leads_to_same(other._connection)

    def answers(self) -> Answers:
        connection, clock = self._connection, self.clock
        definitions = SqlDefinitions(connection, clock, self.allowed, self.alias, self._on_change)
        records = SqlRecords(connection, clock, self.keep_history, self._on_change)
        expectations = SqlExpectations(connection, definitions.reader)
        return Answers(
            definitions=definitions,
            limits=SqlLimits(connection, clock),
            history=SqlHistory(connection, clock, definitions.row, self.retention, self.keep_history),
            outputs=SqlOutputs(connection, clock, self.keep_history),
            operations=SqlOperations(connection, clock, records, expectations, self.intervals.ttl, self._on_change),
            records=records,
            expectations=expectations,
            outbox=SqlOutbox(connection),
            news=SqlNews(connection),
            timing=connection.timing,
            claims=lambda complain: SqlClaims(connection, clock, definitions.reader, self.keep_history),
        )

    def _on_change(self, job_ids: Iterable[str]) -> None:
        """Changes that this process makes do not wait for the news."""
        if self._greenlets:
            self._ownership.look_at(job_ids)

    def backup(self, path: str | os.PathLike[str]) -> None:
        backup(self._connection, os.path.abspath(path))

    def close(self) -> None:
        self.leave()
        self._connection.close()


class SQLAlchemyJobStore(SQLJobStore):
    """SQLJobStore as APScheduler's users write it. What APScheduler has pickled in its table is not read.

    :param tablename: what the names of the tables begin with
    :param engine_options: arguments of SQLAlchemy's `create_engine`
    :param options: further arguments of SQLJobStore
    :raises ConfigurationError: for `metadata`, `pickle_protocol` and `tableschema`, which have no place here
    """

    def __init__(
        self,
        url: str | URL | None = None,
        engine: Engine | None = None,
        tablename: str = "apscheduler_jobs",
        metadata: Any = None,
        pickle_protocol: Any = None,
        tableschema: str | None = None,
        engine_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        if metadata is not None or pickle_protocol is not None:
            raise ConfigurationError("sql: metadata, pickle_protocol: jobs are JSON in our own tables; leave them out")
        if tableschema is not None:
            raise ConfigurationError("sql: tableschema: SQLite has no schemas; leave it out")
        if engine_options:
            if url is None:
                raise ConfigurationError("sql: engine_options: they are for an engine that is made from url")
            engine, url = create_engine(_url(url), **engine_options), None
        super().__init__(url, engine=engine, table_prefix=f"{tablename}_", **options)


def _url(url: Any) -> URL:
    try:
        return make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(f"sql: url: {url!r} is no URL of a database, such as sqlite:///jobs.sqlite") from error
