"""Tables of an earlier version of the schema become those of today, when nobody of that version uses them."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from gsched import StoreError
from gsched.history.queries import RunQuery
from gsched.jobs.funcref import AllowedFunctions
from gsched.jobs.job import Job
from gsched.stores import JobQuery, SQLJobStore
from gsched.stores.claims.database import RunRecord, WaitingRun
from gsched.stores.claims.process_marks import mark_document, own_mark
from gsched.stores.sql.driver import migrations
from gsched.stores.sql.driver.tables import Tables
from gsched.testing import ManualClock
from gsched.triggers import IntervalTrigger

NOW = time.time()
VERSION_1 = Path(__file__).with_name("sqlite_version_1.sql")
BEFORE = str(migrations.latest_version())  # than that of `steps`
NEWER = str(migrations.latest_version() + 1)


def work() -> None:
    """What the job calls."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A store of the version before, with a job."""
    path = tmp_path / "jobs.sqlite"
    with opened(path) as store:
        job = Job("job", work, IntervalTrigger(minutes=1, timezone="UTC"), f"{__name__}:work", next_run_ms=0)
        store.add([job], replace=False)
    return path


class opened:
    """A store on a file, for a while."""

    def __init__(self, path: Path) -> None:
        self._store = SQLJobStore(f"sqlite:///{path}")
        self._store.bind("default", ManualClock(NOW), AllowedFunctions([__name__, "jobs"]))

    def __enter__(self) -> SQLJobStore:
        return self._store

    def __exit__(self, *error: object) -> None:
        self._store.close()


def ids(path: Path) -> list[str]:
    with opened(path) as store:
        return [job.id for job in store.find(JobQuery())]


def ask(path: Path, statement: str, *values: Any) -> list[Any]:
    connection = sqlite3.connect(path, isolation_level=None)
    rows = connection.execute(statement, values).fetchall()
    connection.close()
    return rows


def version(path: Path) -> str:
    return str(ask(path, "SELECT value FROM gsched_meta WHERE key = 'schema'")[0][0])


def add_node(path: Path, beat_seconds_ago: float, process: dict[str, Any] | None) -> None:
    """A node of the version before, alive by its row."""
    ask(
        path,
        "INSERT INTO gsched_nodes (id, alive, watermark, acked, beat, draining, left, pid, process, beat_at)"
        " VALUES ('old', 1, 0, 0, 5, 0, 0, 4711, ?, ?)",
        json.dumps(process),
        int((time.time() - beat_seconds_ago) * 1000),
    )


def is_alive(path: Path) -> bool:
    return bool(ask(path, "SELECT alive FROM gsched_nodes WHERE id = 'old'")[0][0])


@pytest.fixture
def steps(file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A newer version, whose migration adds a column; the steps that were taken."""
    taken: list[str] = []

    def add_column(connection: Connection, tables: Tables) -> None:
        connection.exec_driver_sql(f"ALTER TABLE {tables.jobs.name} ADD COLUMN priority INTEGER")
        taken.append("add_column")

    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, add_column))
    yield taken


def test_tables_of_the_version_before_are_migrated_once_and_keep_their_jobs(file: Path, steps: list[str]) -> None:
    assert (version(file), ids(file), ids(file)) == (BEFORE, ["job"], ["job"])
    assert steps == ["add_column"] and version(file) == NEWER
    assert ask(file, "SELECT id, priority FROM gsched_jobs") == [("job", None)]


def test_a_new_store_begins_with_the_latest_version(tmp_path: Path, steps: list[str]) -> None:
    assert ids(tmp_path / "new.sqlite") == []
    assert steps == [] and version(tmp_path / "new.sqlite") == NEWER


def test_while_a_node_of_the_version_before_lives_nothing_is_migrated_and_its_process_is_named(
    file: Path, steps: list[str]
) -> None:
    add_node(file, beat_seconds_ago=1, process=None)
    with pytest.raises(StoreError, match=rf"version {BEFORE}, and the process 4711 uses them .* \(node old\)"):
        ids(file)
    assert steps == [] and version(file) == BEFORE and is_alive(file)


def test_a_node_of_the_version_before_that_was_silent_for_a_minute_is_dead_and_fenced(
    file: Path, steps: list[str]
) -> None:
    add_node(file, beat_seconds_ago=61, process=mark_document(own_mark()))
    assert ids(file) == ["job"]
    assert steps == ["add_column"] and not is_alive(file)


def test_a_node_of_the_version_before_whose_process_has_ended_is_not_waited_for(file: Path, steps: list[str]) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    mark = mark_document(own_mark())
    assert mark is not None
    add_node(file, beat_seconds_ago=1, process={**mark, "pid": process.pid})
    assert ids(file) == ["job"]
    assert not is_alive(file)


def test_of_a_migration_that_fails_nothing_stays(
    file: Path, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(connection: Connection, tables: Tables) -> None:
        connection.exec_driver_sql("UPDATE nowhere SET x = 1")

    working = migrations.MIGRATIONS
    monkeypatch.setattr(migrations, "MIGRATIONS", (*working, fail))
    with pytest.raises(StoreError, match="no such table: nowhere"):
        ids(file)
    assert version(file) == BEFORE
    monkeypatch.setattr(migrations, "MIGRATIONS", working)
    assert ids(file) == ["job"] and version(file) == NEWER


@pytest.fixture
def version_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that version 1 has written."""
    (tmp_path / "jobs.py").write_text("def tick(*args): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "version_1.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(VERSION_1.read_text())
    connection.close()
    os.chmod(path, 0o600)
    return path


def test_a_file_that_version_1_has_written_is_read(version_1: Path) -> None:
    with opened(version_1) as store:
        jobs = {job.id: job for job in store.find(JobQuery())}
        runs = [run.outcome for run in store.runs(RunQuery(job_id="every"))]
    assert jobs["every"].args == (1, "two") and jobs["every"].tags == ("a", "b")
    assert jobs["cron"].parked is None and jobs["paused"].paused
    with opened(version_1) as store:
        assert [job.id for job in store.find(JobQuery(state="paused"))] == ["paused"]
    assert [str(outcome) for outcome in runs] == ["failed"]
    assert version(version_1) == str(migrations.latest_version())


def test_a_file_that_version_1_has_written_gets_the_columns_and_indexes_of_a_new_one(
    version_1: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new.sqlite"
    assert ids(version_1) and not ids(new)
    assert _columns(version_1) == _columns(new)
    assert _indexes(version_1) == _indexes(new)


def test_a_run_that_waits_in_a_file_of_version_1_still_waits_and_its_nodes_speak_protocol_1(version_1: Path) -> None:
    ask(
        version_1,
        "INSERT INTO gsched_runs (key, state, slot, job_id, scheduled_at, due_at, attempt, request, cause)"
        " VALUES ('cron!please#1', 'waiting', 248, 'cron', 1000, 1000, 1, 'please', 'request')",
    )
    with opened(version_1) as store:
        claims = store.answers().claims(lambda *complaint: None)
        (waiting,) = claims.waiting_of(["cron"], 5)
        (node,) = claims.nodes()
    assert waiting == WaitingRun(RunRecord("cron", 248, 1000, 1, "please"), 1000)
    assert (node.protocol, node.alive) == (1, False)


def _columns(path: Path) -> set[Any]:
    """The columns of all tables: table, name, type, whether it may be null, and default."""
    columns = "SELECT t.name, c.name, c.type, c.\"notnull\", c.dflt_value"
    return set(ask(path, f"{columns} FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table'"))


def _indexes(path: Path) -> set[Any]:
    return set(ask(path, "SELECT name, sql FROM sqlite_master WHERE type = 'index'"))
