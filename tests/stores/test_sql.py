"""Jobs in SQLite: the file, its rights and faults, and what is particular to this store."""

from __future__ import annotations

import os
import sqlite3
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import gevent
import pytest
from sqlalchemy import create_engine, event

from gsched import ConfigurationError, GeventScheduler, InvalidJobError, StoreAccessError, StoreError
from gsched.errors import StoreUnreachableError
from gsched.jobs.funcref import AllowedFunctions
from gsched.jobs.job import Job
from gsched.stores import JobQuery, SQLAlchemyJobStore, SQLJobStore
from gsched.stores.sql.claims import jobs
from gsched.stores.sql.driver import sqlite_file
from gsched.stores.sql.driver.migrations import latest_version
from gsched.stores.sql.driver.threads import NativeThread
from gsched.stores.sql.operations import backup
from gsched.testing import ManualClock
from gsched.triggers import IntervalTrigger

NOW = 1_800_000_000_000
FUNC = f"{__name__}:work"


def work(*args: Any, **kwargs: Any) -> None:
    """What the jobs call."""


def job(job_id: str = "job", *args: Any, **options: Any) -> Job:
    return Job(job_id, work, IntervalTrigger(minutes=1, timezone="UTC"), FUNC, args=args, next_run_ms=NOW, **options)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., SQLJobStore]]:
    """Makes stores, in the same file if nothing else is said, and closes them."""
    made: list[SQLJobStore] = []

    def make_one(url: str | None = None, **options: Any) -> SQLJobStore:
        if url is None and "engine" not in options:
            url = f"sqlite:///{tmp_path}/jobs.sqlite"
        made.append(SQLJobStore(url, **options))
        made[-1].bind("default", ManualClock(NOW / 1000), AllowedFunctions([__name__]))
        return made[-1]

    yield make_one
    for store in made:
        store.close()


@pytest.fixture
def store(make: Callable[..., SQLJobStore]) -> SQLJobStore:
    return make()


def ids(store: SQLJobStore) -> list[str]:
    return [each.id for each in store.find(JobQuery())]


# -- where it is ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"])
def test_a_database_in_memory_is_refused_with_the_store_for_that(url):
    with pytest.raises(ConfigurationError, match=r"needs the name of a file: .*MemoryJobStore"):
        SQLJobStore(url)


@pytest.mark.parametrize("url", ["postgresql://host/db", "mysql://host/db"])
def test_other_databases_are_refused_in_one_line(url):
    with pytest.raises(ConfigurationError, match=r"^sql: url: \w+ is not supported; use sqlite:///FILE"):
        SQLJobStore(url)


@pytest.mark.parametrize("arguments", [{}, {"url": "sqlite:///a", "engine": create_engine("sqlite:///a")}])
def test_url_or_engine_is_to_be_named_and_not_both(arguments):
    with pytest.raises(ConfigurationError, match="name the database by url"):
        SQLJobStore(**arguments)


@pytest.mark.parametrize("url", ["jobs.sqlite", "", 5])
def test_what_is_no_url_is_refused(url):
    with pytest.raises(ConfigurationError, match=r"is no URL of a database, such as sqlite:///jobs.sqlite"):
        SQLJobStore(url)


@pytest.mark.parametrize("prefix", ["", "a-b", "a.b", 'a"', 5])
def test_a_prefix_that_is_no_name_is_refused(prefix):
    with pytest.raises(ConfigurationError, match="table_prefix"):
        SQLJobStore("sqlite:///jobs.sqlite", table_prefix=prefix)


def test_a_relative_path_counts_from_where_the_program_was_when_it_named_the_store(tmp_path, monkeypatch, make):
    monkeypatch.chdir(tmp_path)
    store = make("sqlite:///here.sqlite")
    monkeypatch.chdir("/")
    store.add([job()], replace=False)
    assert (tmp_path / "here.sqlite").exists()


def test_a_store_that_is_only_made_makes_no_file(tmp_path, store):
    assert not os.listdir(tmp_path)


def test_the_file_and_those_beside_it_are_for_this_user_alone(tmp_path, store):
    store.add([job()], replace=False)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(["jobs.sqlite", "jobs.sqlite-wal", "jobs.sqlite-shm"], 0o600)


def test_a_directory_that_is_made_for_the_store_is_for_this_user_alone(tmp_path):
    store = SQLJobStore.in_directory(tmp_path / "state" / "gsched")
    store.bind("default", ManualClock(NOW / 1000), AllowedFunctions([__name__]))
    store.add([job()], replace=False)
    store.close()
    assert stat.S_IMODE((tmp_path / "state" / "gsched").stat().st_mode) == 0o700


@pytest.mark.parametrize("what", ["file", "directory"])
def test_what_others_may_write_is_refused_with_the_remedy(tmp_path, make, what):
    made = make()
    made.add([job()], replace=False)
    made.close()
    opened = tmp_path / "jobs.sqlite" if what == "file" else tmp_path
    opened.chmod(0o777)
    with pytest.raises(StoreAccessError, match=r"who can write it can run commands as this user: .*chmod go-w"):
        made.get("job")
    opened.chmod(0o700)
    assert made.get("job").id == "job"


def test_a_directory_that_is_not_there_is_named(tmp_path, make):
    with pytest.raises(StoreUnreachableError, match=r"there is no directory .*missing; make it first"):
        make(f"sqlite:///{tmp_path}/missing/jobs.sqlite").get("job")


def test_a_network_file_system_is_refused(tmp_path, make, monkeypatch):
    monkeypatch.setattr(sqlite_file, "file_system_of", lambda path: "nfs4")
    with pytest.raises(ConfigurationError, match=r"on a network file system \(nfs4\), where SQLite's locks"):
        make().get("job")


def test_the_kind_of_a_file_system_is_that_of_the_innermost_mount(monkeypatch):
    mounts = (
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "30 22 0:40 / /srv rw shared:1 - nfs4 server:/ rw\n"
        "31 30 0:41 / /srv/a\\040b rw - tmpfs tmpfs rw\n"
    )
    monkeypatch.setattr(Path, "read_text", lambda self, **options: mounts)
    found = {path: sqlite_file.file_system_of(path) for path in ("/x", "/srv/x", "/srvx", "/srv/a b/x")}
    assert found == {"/x": "ext4", "/srv/x": "nfs4", "/srvx": "ext4", "/srv/a b/x": "tmpfs"}


def test_two_stores_with_prefixes_of_their_own_share_a_file(make):
    one, other = make(table_prefix="one_"), make(table_prefix="other_")
    one.add([job("a")], replace=False)
    other.add([job("b")], replace=False)
    assert (ids(one), ids(other)) == (["a"], ["b"])
    assert one.has_jobs_of(make(table_prefix="one_")) and not one.has_jobs_of(other)


def test_a_users_engine_is_used_and_stays_theirs(tmp_path, make):
    engine = create_engine(f"sqlite:///{tmp_path}/theirs.sqlite")
    store = make(engine=engine)
    store.add([job()], replace=False)
    store.close()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT id FROM gsched_jobs").scalar() == "job"


# -- what jobs may hold -----------------------------------------------------------------------------------------------

VALUES = [
    None, True, 1, 2**70, 1.5, float("inf"), "ü\n\x00", b"\x00\xff", [1, [2]], {"a": {"b": 1}}, {1: "a", "$x": 2},
    (1, (2,)), {1, 2}, Decimal("0.10"), uuid.UUID(int=5), date(2026, 3, 2), timedelta(seconds=1.5),
    datetime(2026, 3, 2, 12, tzinfo=UTC), datetime(2026, 3, 2, 12),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=[str(number) for number in range(len(VALUES))])
def test_an_argument_comes_back_as_it_was_given(store, value):
    store.add([job("job", value, kwargs={"k": value}, metadata={"m": value})], replace=False)
    found = store.get("job")
    assert (found.args, dict(found.kwargs), dict(found.metadata)) == ((value,), {"k": value}, {"m": value})
    assert type(found.args[0]) is type(value)


def test_an_argument_that_has_no_form_is_refused_at_the_call_and_named(store):
    with pytest.raises(InvalidJobError, match=r"job 'job' cannot be stored in SQL: args\[0\]: a object has no form"):
        store.add([job("job", object())], replace=False)
    assert not ids(store)


def test_an_id_that_is_too_long_is_refused(store):
    with pytest.raises(InvalidJobError, match="an id has at most 255 characters"):
        store.add([job("x" * 256)], replace=False)


def test_a_document_that_was_damaged_gives_a_parked_job(store, tmp_path):
    store.add([job("a"), job("b")], replace=False)
    store.close()
    change(tmp_path, "UPDATE gsched_jobs SET document = '{\"no' WHERE id = 'a'")
    assert store.get("a").parked and store.get("b").parked is None


def change(tmp_path: Path, statement: str) -> None:
    """What a user does in a shell."""
    with sqlite3.connect(tmp_path / "jobs.sqlite") as connection:
        connection.execute(statement)
    connection.close()


# -- many jobs --------------------------------------------------------------------------------------------------------


def test_more_jobs_than_one_transaction_takes_are_added_all_or_none(store):
    store.add([job("job-700")], replace=False)
    with pytest.raises(Exception, match="job-700"):
        store.add([job(f"job-{number}") for number in range(900)], replace=False)
    assert ids(store) == ["job-700"]
    store.add([job(f"new-{number}") for number in range(900)], replace=False)
    assert len(ids(store)) == 901


def test_what_was_added_is_removed_again_when_a_later_part_meets_another_processes_job(store, make, monkeypatch):
    from gsched.stores.sql.jobs import add

    other, written = make(), add.SqlAdding._written

    def meanwhile(self: Any, new: Any, *rest: Any) -> bool:
        if any(each.id == "job-300" for each in new) and len(new) > 1:
            other.add([job("job-300")], replace=False)
        return written(self, new, *rest)

    monkeypatch.setattr(add.SqlAdding, "_written", meanwhile)
    with pytest.raises(Exception, match="job-300"):
        store.add([job(f"job-{number}") for number in range(600)], replace=False)
    assert ids(store) == ["job-300"]


def test_a_long_list_is_read_in_pages_and_each_job_comes_once(store, monkeypatch):
    monkeypatch.setattr("gsched.stores.sql.jobs.list.EXACT", 10)
    monkeypatch.setattr("gsched.stores.sql.jobs.list._PAGE", 7)
    store.add([job(f"job-{number:02}", tags=("even",) if number % 2 == 0 else ()) for number in range(40)], False)
    assert ids(store) == [f"job-{number:02}" for number in range(40)]
    some = [each.id for each in store.find(JobQuery(tag="even", skip=3, limit=4))]
    assert some == ["job-06", "job-08", "job-10", "job-12"]


# -- faults -----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_no_database_is_refused(tmp_path, store):
    (tmp_path / "jobs.sqlite").write_bytes(b"not a database" * 100)
    (tmp_path / "jobs.sqlite").chmod(0o600)
    with pytest.raises(StoreError, match="file is not a database; name another file, or restore this one"):
        store.get("job")


def test_tables_of_a_newer_version_are_refused(tmp_path, make):
    make().add([job()], replace=False)
    newer = latest_version() + 1
    change(tmp_path, f"UPDATE gsched_meta SET value = '{newer}'")
    with pytest.raises(StoreError, match=rf"are of version {newer}, which this gsched does not know"):
        make().get("job")


def test_a_file_that_was_deleted_or_replaced_while_in_use_is_an_error_and_not_another_store(tmp_path, store, make):
    store.add([job()], replace=False)
    (tmp_path / "jobs.sqlite").rename(tmp_path / "old.sqlite")
    with pytest.raises(StoreError, match="deleted or replaced while in use"):
        store.get("job")
    make().add([job("new")], replace=False)
    with pytest.raises(StoreError, match="deleted or replaced while in use"):
        store.get("job")
    store.close()
    assert ids(store) == ["new"]


def test_a_full_disk_is_an_error_and_goes_on_when_there_is_room(store):
    store.add([job()], replace=False)
    line = store._connection._writer
    pages = line.run(lambda connection: connection.exec_driver_sql("PRAGMA page_count").scalar())
    set_limit(store, pages)
    with pytest.raises(StoreUnreachableError, match="database or disk is full; make room"):
        store.add([job("large", "x" * 1_000_000)], replace=False)
    assert ids(store) == ["job"]
    store.add([job("large", "x" * 1_000_000)], replace=False)  # on a new connection, without the limit


def set_limit(store: SQLJobStore, pages: int) -> None:
    line = store._connection._writer
    line._thread.call(lambda: line._connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}"))


def test_while_another_program_holds_the_lock_others_greenlets_go_on_and_then_it_is_an_error(
    tmp_path, store, monkeypatch
):
    monkeypatch.setattr("gsched.stores.sql.driver.connection.BUSY_SECONDS", 0.5)
    store = SQLJobStore(f"sqlite:///{tmp_path}/jobs.sqlite")
    store.bind("default", ManualClock(NOW / 1000), AllowedFunctions([__name__]))
    store.add([job()], replace=False)
    shell = sqlite3.connect(tmp_path / "jobs.sqlite", isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    turns = 0

    def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(0.001)

    turning = gevent.spawn(turn)
    with pytest.raises(StoreUnreachableError, match="database is locked; another process may hold its lock") as raised:
        store.add([job("other")], replace=False)
    assert str(raised.value.__cause__) == "database is locked", "logs show that: no statement, no arguments of jobs"
    turning.kill()
    assert turns > 20, "each of them would have waited for half a second"
    shell.execute("ROLLBACK")
    shell.close()
    store.add([job("other")], replace=False)
    store.close()


def test_an_error_in_a_native_thread_is_raised_where_it_was_called_and_printed_nowhere(capsys):
    thread = NativeThread("the database")
    with pytest.raises(ZeroDivisionError):
        thread.call(lambda: 1 / 0)
    assert thread.call(lambda: 5) == 5
    thread.close()
    assert capsys.readouterr().err == ""


def test_a_call_that_takes_too_long_is_an_error():
    thread, gate = NativeThread("the database", 0.05), gevent.monkey.get_original("threading", "Event")()
    with pytest.raises(StoreUnreachableError, match="the database takes longer than"):
        thread.call(gate.wait)
    gate.set()
    thread.close()


def test_what_waits_or_is_in_progress_is_found_without_reading_the_history(make, tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/jobs.sqlite")
    made = make(engine=engine)
    made.add([job()], replace=False)
    executed: list[tuple[str, Any]] = []
    event.listen(engine, "before_cursor_execute", lambda _, __, sql, values, ___, ____: executed.append((sql, values)))
    made.request_run(made.get("job"), "request")
    claims = made.answers().claims(lambda *complaint: None)
    claims.waiting_of(["job"], 100)
    claims.waiting_in([1, 2], 0, 2**62)
    claims.waiting_in(range(256), 0, 2**62)
    claims.runs_of(["node"], [1, 2])
    claims.is_running("job", 7)
    claims.later_attempts([1, 2], 0)
    of_runs = [(sql, values) for sql, values in executed if "FROM gsched_runs" in sql]
    with sqlite3.connect(tmp_path / "jobs.sqlite") as connection:
        ended = ((f"job@{number}#1", number) for number in range(1000))
        insert = "INSERT INTO gsched_runs (key, state, slot, job_id, scheduled_at, attempt)"
        connection.executemany(f"{insert} VALUES (?, 'ended', 1, 'job', ?, 1)", ended)
        plans = [connection.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall() for sql, values in of_runs]
    connection.close()
    partial = ("gsched_runs_waiting", "gsched_runs_unfinished", "gsched_runs_attempts")
    assert len(plans) == 7 and all(any(index in str(plan) for index in partial) for plan in plans), plans


def test_an_urgent_call_goes_before_all_that_wait_for_their_turn():
    thread, gate = NativeThread("the database"), gevent.monkey.get_original("threading", "Event")()
    done: list[str] = []
    calls = [gevent.spawn(thread.call, gate.wait)]
    calls += [gevent.spawn(thread.call, lambda: done.append("user's")) for _ in range(20)]
    gevent.sleep(0)  # they begin to wait
    calls.append(gevent.spawn(thread.call, lambda: done.append("claim"), urgent=True))
    gevent.sleep(0)
    gate.set()
    gevent.joinall(calls)
    thread.close()
    assert done == ["claim", *["user's"] * 20]


def test_a_copy_of_a_store_in_use_has_its_jobs_and_is_for_this_user_alone(tmp_path, store, make):
    store.add([job()], replace=False)
    store.backup(tmp_path / "copy.sqlite")
    assert sorted(os.listdir(tmp_path)) == ["copy.sqlite", "jobs.sqlite", "jobs.sqlite-shm", "jobs.sqlite-wal"]
    assert stat.S_IMODE((tmp_path / "copy.sqlite").stat().st_mode) == 0o600
    assert ids(make(f"sqlite:///{tmp_path}/copy.sqlite")) == ["job"]
    with pytest.raises(ConfigurationError, match="exists; name a new file"):
        store.backup(tmp_path / "copy.sqlite")


def test_a_copy_is_of_the_moment_it_began_and_writes_of_others_do_not_restart_it(tmp_path, store, monkeypatch):
    copy, seen = backup._copy, []

    def write_then_copy(source: Any, path: str) -> None:
        with closing(sqlite3.connect(tmp_path / "jobs.sqlite", isolation_level=None)) as other:
            other.execute("UPDATE gsched_jobs SET runs = 7")
        seen.extend(source.execute("SELECT runs FROM gsched_jobs").fetchone())
        copy(source, path)

    store.add([job()], replace=False)
    monkeypatch.setattr(backup, "_copy", write_then_copy)
    store.backup(tmp_path / "copy.sqlite")
    with closing(sqlite3.connect(tmp_path / "copy.sqlite")) as connection:
        assert [*connection.execute("SELECT runs FROM gsched_jobs").fetchone(), *seen] == [0, 0]
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


@pytest.mark.parametrize(
    ("name", "said"),
    [("missing/copy.sqlite", "No such file or directory"), ("copy.sqlite", "another backup writes it")],
)
def test_a_copy_that_cannot_be_made_is_refused_with_the_reason(tmp_path, store, name, said):
    store.add([job()], replace=False)
    (tmp_path / "copy.sqlite.part").touch()
    with pytest.raises(ConfigurationError, match=said):
        store.backup(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_copy_that_fails_leaves_nothing_behind(tmp_path, store, monkeypatch):
    store.add([job()], replace=False)
    (tmp_path / "copies").mkdir()
    full = sqlite3.OperationalError("database or disk is full")
    monkeypatch.setattr("gsched.stores.sql.operations.backup.sqlite3.connect", Mock(side_effect=full))
    with pytest.raises(StoreError, match="database or disk is full"):
        store.backup(tmp_path / "copies" / "copy.sqlite")
    assert os.listdir(tmp_path / "copies") == []


# -- reading many slots -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [1, 3, 250])
def test_jobs_of_many_slots_are_read_once_each_and_in_few_statements(store, monkeypatch, page):
    monkeypatch.setattr(jobs, "_FETCH", page)
    store.add([job(f"job-{number}") for number in range(40)], replace=False)
    claims = store.answers().claims(lambda complaint: None)
    rows = Mock(side_effect=claims._rows)
    monkeypatch.setattr(claims, "_rows", rows)
    batches = [[record.job.id for record in batch] for batch in claims.jobs_in(range(256), NOW)]
    assert sorted(each for batch in batches for each in batch) == sorted(f"job-{number}" for number in range(40))
    assert max(map(len, batches)) <= page
    assert page < 250 or rows.call_count == 2


# -- as APScheduler's users write it ----------------------------------------------------------------------------------


def test_the_class_of_apscheduler_takes_its_arguments(tmp_path):
    store = SQLAlchemyJobStore(f"sqlite:///{tmp_path}/jobs.sqlite", tablename="mine", engine_options={"echo": False})
    store.bind("default", ManualClock(NOW / 1000), AllowedFunctions([__name__]))
    store.add([job()], replace=False)
    store.close()
    with sqlite3.connect(tmp_path / "jobs.sqlite") as connection:
        assert connection.execute("SELECT id FROM mine_jobs").fetchall() == [("job",)]
    connection.close()


@pytest.mark.parametrize("argument", ["metadata", "pickle_protocol", "tableschema"])
def test_what_has_no_place_here_is_refused(argument):
    with pytest.raises(ConfigurationError, match=argument):
        SQLAlchemyJobStore("sqlite:///jobs.sqlite", **{argument: "x"})


def test_a_dict_configuration_of_apscheduler_works(tmp_path):
    scheduler = GeventScheduler({
        "apscheduler.jobstores.default": {"type": "sqlalchemy", "url": f"sqlite:///{tmp_path}/jobs.sqlite"},
        "apscheduler.executors.default": {"class": "gsched.executors:ThreadPoolExecutor", "max_workers": "20"},
        "apscheduler.executors.processpool": {"type": "processpool", "max_workers": "5"},
        "apscheduler.job_defaults.coalesce": "false",
        "apscheduler.job_defaults.max_instances": "3",
        "apscheduler.timezone": "UTC",
    })  # fmt: skip
    scheduler.add_job(work, "interval", minutes=5, id="job")
    assert [each.id for each in scheduler.get_jobs()] == ["job"]
    scheduler.close()
