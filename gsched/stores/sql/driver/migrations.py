"""Migrations: bring the tables of an earlier version of the schema up to date."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, select, update

from gsched.errors import StoreError
from gsched.stores.claims.process_marks import has_ended, own_mark, read_mark
from gsched.stores.messages import ALWAYS
from gsched.stores.sql.driver.tables import Tables

Migration = Callable[[Connection, Tables], None]

SILENT_MS: Final = 60_000  # a node that has not beaten for so long does not live, whatever TTL it had


def _say_why_jobs_are_paused(connection: Connection, tables: Tables) -> None:
    jobs, former = tables.jobs, tables.former
    for table, column in ((jobs, "pause TEXT"), (jobs, "paused_until BIGINT"), (former, "paused_until BIGINT")):
        connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {column}")
    connection.execute(update(jobs).where(jobs.c.paused).values(paused_until=ALWAYS))


def _let_runs_wait(connection: Connection, tables: Tables) -> None:
    """Runs wait because attempts failed, and nodes have the number of the protocol that they speak."""
    runs, nodes = tables.runs.name, tables.nodes.name
    connection.exec_driver_sql(f"ALTER TABLE {nodes} ADD COLUMN protocol INTEGER DEFAULT 1 NOT NULL")
    connection.exec_driver_sql(f"ALTER TABLE {runs} ADD COLUMN overlap VARCHAR(8)")
    connection.exec_driver_sql(f"ALTER TABLE {runs} ADD COLUMN schedule BIGINT")
    connection.exec_driver_sql(f"ALTER TABLE {runs} ADD COLUMN tries INTEGER DEFAULT 0 NOT NULL")
    connection.exec_driver_sql(f"ALTER TABLE {runs} ADD COLUMN recoveries INTEGER DEFAULT 0 NOT NULL")
    connection.exec_driver_sql(f"ALTER TABLE {runs} ADD COLUMN is_retry BOOLEAN DEFAULT 0 NOT NULL")


def _count_runs(connection: Connection, tables: Tables) -> None:
    """Runs and failures are counted, of jobs that end or are paused after so many."""
    jobs = tables.jobs.name
    connection.exec_driver_sql(f"ALTER TABLE {jobs} ADD COLUMN begun BIGINT DEFAULT 0 NOT NULL")
    connection.exec_driver_sql(f"ALTER TABLE {jobs} ADD COLUMN begun_until BIGINT DEFAULT -1 NOT NULL")
    connection.exec_driver_sql(f"ALTER TABLE {jobs} ADD COLUMN failing BIGINT DEFAULT 0 NOT NULL")


def _limit_groups(connection: Connection, tables: Tables) -> None:
    """Groups have limits and pauses. Their tables are made with all others that are missing."""


def _expect_successes(connection: Connection, tables: Tables) -> None:
    """Jobs are overdue that have not succeeded for too long."""
    jobs = tables.jobs.name
    connection.exec_driver_sql(f"ALTER TABLE {jobs} ADD COLUMN expected_since BIGINT")
    connection.exec_driver_sql(f"ALTER TABLE {jobs} ADD COLUMN overdue_at BIGINT")
    connection.exec_driver_sql(f"ALTER TABLE {jobs} ADD COLUMN overdue_told BOOLEAN DEFAULT 0 NOT NULL")


def _answer_questions(connection: Connection, tables: Tables) -> None:
    """Lists go on from a place in them, jobs tell since when they fail, and runs can be cancelled from elsewhere."""
    jobs, runs = tables.jobs.name, tables.runs.name
    connection.exec_driver_sql(f"ALTER TABLE {jobs} ADD COLUMN failing_since BIGINT")
    connection.exec_driver_sql(f"ALTER TABLE {runs} ADD COLUMN cancel_requested BIGINT")
    for name in ("runs_of_job", "runs_scheduled", "runs_outcome"):  # they are made anew, with a column more
        connection.exec_driver_sql(f"DROP INDEX IF EXISTS {tables.prefix}{name}")


def _notify(connection: Connection, tables: Tables) -> None:
    """Notifiers are told of failures. Their tables are made with all others that are missing."""


def _keep_output(connection: Connection, tables: Tables) -> None:
    """Records tell what commands have used. The table of outputs is made with all others that are missing."""
    connection.exec_driver_sql(f"ALTER TABLE {tables.runs.name} ADD COLUMN command TEXT")


MIGRATIONS: tuple[Migration, ...] = (
    _say_why_jobs_are_paused, _let_runs_wait, _count_runs, _limit_groups, _expect_successes, _answer_questions,
    _notify, _keep_output,
)  # fmt: skip
"""The first leads from version 1 of the schema to version 2, and so on."""


def latest_version() -> int:
    """The version of the schema that this code reads and writes."""
    return 1 + len(MIGRATIONS)


def migrate(connection: Connection, tables: Tables, version: int, now: int) -> None:
    """Make tables of an earlier version those of the latest one, in the caller's transaction.

    The nodes of the earlier version are dead from then on. One of them that was frozen and goes on is fenced by its
    next beat, and refused when it joins again.

    :param version: theirs
    :param now: ms
    :raises StoreError: if a node of that version lives
    """
    _bury_all(connection, tables, version, now)
    for step in MIGRATIONS[version - 1 :]:
        step(connection, tables)


def _bury_all(connection: Connection, tables: Tables, version: int, now: int) -> None:
    nodes, here = tables.nodes, own_mark()
    alive = select(nodes.c.id, nodes.c.pid, nodes.c.beat_at, nodes.c.process).where(nodes.c.alive)
    for node in connection.execute(alive).all():
        mark = read_mark(json.loads(node.process or "null"))
        ended = here is not None and mark is not None and has_ended(mark, here.place)
        if not ended and now - (node.beat_at or 0) < SILENT_MS:
            raise StoreError(
                f"the tables {tables.prefix}* are of version {version}, and the process {node.pid} uses them with an"
                f" older gsched (node {node.id}); end all processes of that gsched, then start this one"
            )
    connection.execute(update(nodes).where(nodes.c.alive).values(alive=False, ended_at=now))
