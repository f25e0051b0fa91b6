"""Faults of the machine around a SQLite file: each ends in a clear error or event, and loses nothing."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import AsyncResult, Event
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError
from waiting import LONGEST_SECONDS, wait_until

from gsched import EVENT_JOB_EXECUTED, GeventScheduler
from gsched.events import EVENT_STORE_DISCONNECTED
from gsched.jobs.funcref import AllowedFunctions
from gsched.jobs.job import Job
from gsched.stores import JobQuery, SQLJobStore
from gsched.testing import ManualClock
from gsched.triggers import IntervalTrigger

NOW = 1_800_000_000_000
READ_ONLY = """
import sys
from gsched import GschedError, SQLJobStore, GeventScheduler
scheduler = GeventScheduler(jobstores={"default": SQLJobStore(f"sqlite:///{sys.argv[1]}/jobs.sqlite")})
try:
    print(scheduler.get_jobs())
except GschedError as error:
    print(type(error).__name__, error)
"""


def work(*args: Any) -> None:
    """What the jobs call."""


def job(job_id: str, *args: Any) -> Job:
    trigger = IntervalTrigger(minutes=1, timezone="UTC")
    return Job(job_id, work, trigger, f"{__name__}:work", args=args, next_run_ms=NOW)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite"


@pytest.fixture
def store(file: Path) -> Iterator[SQLJobStore]:
    made = SQLJobStore(f"sqlite:///{file}")
    made.bind("default", ManualClock(NOW / 1000), AllowedFunctions([__name__]))
    yield made
    made.close()


def ids(store: SQLJobStore) -> list[str]:
    return [each.id for each in store.find(JobQuery())]


def test_a_reader_that_keeps_the_log_from_being_emptied_is_a_finding_of_the_doctor_and_stops_nothing(
    store: SQLJobStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gsched.stores.sql.operations.doctor._LARGE_WAL", 2_000_000)
    store.add([job("first")], replace=False)
    reader = sqlite3.connect(file, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM gsched_jobs").fetchall()
    store.add([job(f"large-{number}", "x" * 100_000) for number in range(30)], replace=False)
    assert len(ids(store)) == 31
    assert "a reader keeps SQLite from emptying it" in log_finding(store)
    reader.execute("COMMIT")
    reader.close()
    store.add([job("next"), job("after", "x" * 1_000_000)], replace=False)
    store.add([job("last")], replace=False)
    assert "reader" not in log_finding(store), "SQLite has emptied and shortened the log"
    assert len(ids(store)) == 34


def log_finding(store: SQLJobStore) -> str:
    return next(finding.found for finding in store.diagnose() if finding.check == "write-ahead log")


@pytest.mark.parametrize("has_file", [False, True])
def test_a_directory_that_cannot_be_written_is_refused_in_one_line(
    file: Path, store: SQLJobStore, has_file: bool
) -> None:
    if has_file:
        store.add([job("job")], replace=False)
        store.close()
    mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$1" -c "$2" "$0"'
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    command = [*unshare, "sh", "-c", mount, str(file.parent), sys.executable, READ_ONLY]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith("StoreAccessError") and str(file) in said and said.count("\n") == 1


FORKING = """
import sys
from gevent import monkey
if sys.argv[2] == "patched":
    monkey.patch_all()
import gevent.os, os
from gsched import GeventScheduler, SQLJobStore
scheduler = GeventScheduler(jobstores={"default": SQLJobStore(f"sqlite:///{sys.argv[1]}", modules=["os"])})

def add(name):
    scheduler.add_job("os:getpid", "interval", hours=1, id=name)
    print(sorted(job.id for job in scheduler.get_jobs()), flush=True)

add("parents")
child = gevent.os.fork()
if child == 0:
    add("childs")
    os._exit(0)
os.waitpid(child, 0)
add("late")
"""


def test_a_new_file_that_another_process_opens_at_the_same_moment_is_opened_as_soon_as_that_has_done_so(
    store: SQLJobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = Connection.exec_driver_sql, []

    def exec_driver_sql(connection: Connection, statement: str, *args: Any) -> Any:
        if statement == "PRAGMA journal_mode=WAL":
            asked.append(statement)
            if len(asked) < 3:  # as SQLite answers then, at once
                raise OperationalError(statement, None, sqlite3.OperationalError("database is locked"))
        return real(connection, statement, *args)

    monkeypatch.setattr(Connection, "exec_driver_sql", exec_driver_sql)
    store.add([job("a")], replace=False)
    assert len(asked) >= 3 and store.get("a").id == "a"


@pytest.mark.parametrize("kind", ["patched", "plain"])
def test_a_forked_child_has_a_connection_of_its_own_and_both_go_on(file: Path, kind: str) -> None:
    command = [sys.executable, "-c", FORKING, str(file), kind]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["['parents']", "['childs', 'parents']", "['childs', 'late', 'parents']"]


def test_the_file_is_opened_by_sqlite_alone_for_closing_it_elsewhere_would_drop_its_locks(
    store: SQLJobStore, file: Path, tmp_path: Path
) -> None:
    store.add([job("job")], replace=False)
    opened: list[str] = []
    watching = True

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "open" and not arguments[2] & os.O_EXCL:  # that opens no file that is there
            opened.append(str(arguments[0]))

    sys.addaudithook(note)
    list(store.diagnose())
    store.backup(tmp_path / "copy.sqlite")
    store.operations.ping()
    store.add([job("other")], replace=False)
    store.close()
    ids(store)
    watching = False
    assert opened and not [name for name in opened if name.startswith(str(file))]


def test_a_running_scheduler_says_that_its_file_was_deleted_runs_nothing_more_and_ends(file: Path) -> None:
    scheduler = GeventScheduler(jobstores={"default": SQLJobStore(f"sqlite:///{file}", modules=[__name__])})
    ran, disconnected = Event(), AsyncResult()
    scheduler.add_listener(lambda event: ran.set(), EVENT_JOB_EXECUTED)
    scheduler.add_listener(lambda event: disconnected.set(event.error_message), EVENT_STORE_DISCONNECTED)
    scheduler.add_job(f"{__name__}:work", "interval", seconds=0.05, id="job")
    scheduler.start()
    try:
        assert ran.wait(LONGEST_SECONDS)
        for path in file.parent.glob("jobs.sqlite*"):
            path.unlink()
        assert "deleted or replaced while in use; restart its processes" in disconnected.get(timeout=LONGEST_SECONDS)
        assert not file.exists()
    finally:
        scheduler.shutdown(timeout=5)


def test_soon_after_a_job_that_ran_once_a_crash_would_not_report_it_as_lost(file: Path) -> None:
    store = SQLJobStore(f"sqlite:///{file}", modules=[__name__])
    store.intervals = replace(store.intervals, rescan=1000.0)
    scheduler = GeventScheduler(jobstores={"default": store})
    ran = Event()
    scheduler.add_listener(lambda event: ran.set(), EVENT_JOB_EXECUTED)
    scheduler.start()
    try:
        scheduler.add_job(f"{__name__}:work")
        assert ran.wait(LONGEST_SECONDS)
        wait_until(lambda: not scheduler.get_jobs(), sleep=gevent.sleep)
        with closing(sqlite3.connect(file)) as uncertain:  # a node that takes over decides about former schedules
            formers = "SELECT count(*) FROM gsched_former"
            wait_until(lambda: uncertain.execute(formers).fetchone() == (0,), sleep=gevent.sleep)
    finally:
        scheduler.shutdown(timeout=5)
