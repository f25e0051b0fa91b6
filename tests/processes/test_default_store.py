"""Where jobs are kept if nobody says: a SQLite file in the data directory, and what keeps it from being used."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from command_line import gsched, in_process
from runner_rig import run_to_the_end, running, write

from gsched import ConfigurationError, EmbeddedMongoUnusableError, GeventScheduler, SQLJobStore
from gsched.cli.arguments import JobId
from gsched.config import read_configuration
from gsched.runner.exit_codes import Exit
from gsched.runner.place import StoreChoice, place_of

pytest_plugins = ["mongodb"]

ONE_JOB = '[[job]]\nid = "tick"\nfunc = "time:time"\ntrigger = "@yearly"\n'
READING = ["job list", "job show x", "runs list", "store stats", "store export", "node list", "top --once"]
MAKING = ["store init", "store import jobs.jsonl", "crontab import tab"]


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs a command in a fresh directory, in which the user's state is, too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return in_process


@pytest.fixture
def of_mongodb(tmp_path: Path) -> Path:
    """A data directory with what a private MongoDB leaves behind."""
    return _made(tmp_path / "state", "db/WiredTiger")


@pytest.fixture
def of_sqlite(tmp_path: Path) -> Path:
    return _made(tmp_path / "state", "jobs.sqlite")


def _made(directory: Path, file: str) -> Path:
    (directory / file).parent.mkdir(mode=0o700, parents=True)
    (directory / file).touch(0o600)
    return directory


def place(flags: dict[str, object], application: GeventScheduler | None = None) -> StoreChoice:
    return place_of(read_configuration(None, flags), application)


def content(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


# -- the default ------------------------------------------------------------------------------------------------------


def test_a_runner_without_a_store_setting_keeps_its_jobs_in_a_file_of_its_user_alone(tmp_path):
    write(tmp_path / "gsched.toml", ONE_JOB)
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    state = home / "state"
    with running(tmp_path, "-c", "gsched.toml", STATE_DIRECTORY=str(state / "gsched")) as runner:
        (line,) = runner.lines("store.chosen")
        assert (line["store"], line["where"]) == ("sqlite", str(state / "gsched" / "jobs.sqlite"))
        runner.wait_for("jobs.declared")
        modes = {str(path.relative_to(home)): stat.S_IMODE(path.stat().st_mode) for path in home.rglob("*")}
        assert runner.end() == 0
    files = [f"state/gsched/jobs.sqlite{end}" for end in ("", "-shm", "-wal")]
    assert modes == {"state": 0o700, "state/gsched": 0o700, **dict.fromkeys(files, 0o600)}


def test_the_next_runner_and_all_commands_find_the_jobs(run, tmp_path):
    write(tmp_path / "gsched.toml", ONE_JOB)
    with running(tmp_path, "-c", "gsched.toml", STATE_DIRECTORY=str(tmp_path / "state")) as runner:
        runner.wait_for("jobs.declared")
        assert json.loads(run("job", "list", "-o", "json")[0])[0]["id"] == "tick"
        assert run("job", "pause", "tick")[2] == Exit.OK
        assert runner.end() == 0
    with running(tmp_path, "-c", "gsched.toml", STATE_DIRECTORY=str(tmp_path / "state")) as runner:
        runner.wait_for("jobs.declared")
        assert json.loads(run("job", "list", "-o", "json")[0])[0]["state"] == "paused"
        assert runner.end() == 0


def test_an_application_whose_jobs_have_no_ids_keeps_them_in_memory(of_mongodb):
    application = GeventScheduler()
    application.add_job(print, "interval", hours=1)
    found = place({"directory": str(of_mongodb)}, application)
    assert found.kind == "memory" and "have no ids" in found.why


def test_without_sqlalchemy_jobs_are_in_memory_and_the_reason_is_given(monkeypatch, tmp_path):
    monkeypatch.setattr("gsched.runner.place.find_spec", lambda name: None)
    found = place({"directory": str(tmp_path)})
    assert found.kind == "memory" and "pip install 'gsched[sql]'" in found.why


def test_without_sqlalchemy_jobs_that_are_in_a_file_are_not_left_out_in_silence(monkeypatch, of_sqlite):
    monkeypatch.setattr("gsched.runner.place.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"jobs.sqlite holds jobs, but SQLAlchemy .*gsched\[sql\].*--memory"):
        place({"directory": str(of_sqlite)})


@pytest.mark.parametrize("command", READING)
@pytest.mark.parametrize("there", [False, True])
def test_looking_makes_neither_the_file_nor_the_directory(run, tmp_path, command, there):
    state = tmp_path / "state"
    if there:
        state.mkdir(mode=0o700)
    for kind in ((), ("--embedded",)):
        assert run(*command.split(), *kind)[2] == Exit.NOT_FOUND
    assert content(tmp_path) == (["state"] if there else [])


@pytest.mark.parametrize("command", ["check", "doctor"])
def test_a_look_at_the_machine_makes_no_store(tmp_path, command):
    done = gsched(command, directory=tmp_path, STATE_DIRECTORY=str(tmp_path / "state"))
    assert "Traceback" not in done.err and content(tmp_path) == []


def test_a_directory_in_the_configuration_file_counts_from_there(tmp_path, monkeypatch):
    (tmp_path / "etc").mkdir()
    file = write(tmp_path / "etc" / "gsched.toml", '[store]\ndirectory = "data"\n')
    monkeypatch.chdir(tmp_path)
    assert place_of(read_configuration(file), None).why == str(tmp_path / "etc" / "data" / "jobs.sqlite")
    assert place({"directory": "data"}).why == str(tmp_path / "data" / "jobs.sqlite")
    monkeypatch.setenv("GSCHED_DATA", "data")
    assert place_of(read_configuration(file), None).why == str(tmp_path / "data" / "jobs.sqlite")


# -- jobs of another store --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [(), ("--embedded",)])
@pytest.mark.parametrize("command", [*READING, *MAKING])
def test_a_directory_with_a_private_mongodb_is_no_place_for_sqlite(run, of_mongodb, tmp_path, command, kind):
    write(tmp_path / "tab", "@daily true\n")
    write(tmp_path / "jobs.jsonl", "")
    _, err, code = run(*command.split(), *kind)
    assert code == Exit.INVALID
    for remedy in ("store.embedded_mongodb = true", "gsched store export", "--embedded-mongodb --data", "another dir"):
        assert remedy in err
    assert content(of_mongodb) == ["db", "db/WiredTiger"]


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_runner_starts_nowhere_else_if_a_private_mongodb_has_the_jobs(of_mongodb, tmp_path, command):
    done = gsched(command, directory=tmp_path, STATE_DIRECTORY=str(of_mongodb))
    assert done.code == Exit.INVALID and "store.embedded_mongodb = true" in done.err
    assert content(of_mongodb) == ["db", "db/WiredTiger"]


@pytest.mark.parametrize("command", ["job list", "store init"])
def test_a_directory_with_a_sqlite_store_is_no_place_for_a_private_mongodb(run, of_sqlite, command):
    _, err, code = run(*command.split(), "--embedded-mongodb")
    assert code == Exit.INVALID and "holds the jobs of a SQLite store" in err and "store.embedded = true" in err
    assert content(of_sqlite) == ["jobs.sqlite"]


def test_a_program_is_refused_the_directory_of_the_other_store(of_mongodb):
    with pytest.raises(ConfigurationError, match=r"or GeventScheduler.embedded_mongodb\(path\)"):
        GeventScheduler.embedded(of_mongodb)
    (of_mongodb / "db" / "WiredTiger").rename(of_mongodb / "jobs.sqlite")
    with pytest.raises(ConfigurationError, match=r"or GeventScheduler.embedded\(path\)"):
        GeventScheduler.embedded_mongodb(of_mongodb)


def test_a_folder_db_of_something_else_is_in_nobodys_way(tmp_path):
    (tmp_path / "db").mkdir(mode=0o700)
    assert place({"embedded": True, "directory": str(tmp_path)}).kind == "sqlite"


def test_jobs_move_from_a_private_mongodb_to_sqlite_as_the_refusal_says(run, tmp_path, needs_mongod):
    write(tmp_path / "tab", "@daily true\n")
    assert run("crontab", "import", "tab", "--embedded-mongodb")[2] == Exit.OK
    assert "holds the jobs of a private MongoDB" in run("job", "list")[1]
    data = ("--data", str(tmp_path / "state"))
    assert run("store", "export", "jobs.jsonl", "--embedded-mongodb", *data)[2] == Exit.OK
    (tmp_path / "state" / "db").rename(tmp_path / "db")
    assert run("store", "import", "jobs.jsonl")[2] == Exit.OK
    assert json.loads(run("job", "list", "-o", "json")[0])[0]["id"] == "tab/true"


# -- copies -----------------------------------------------------------------------------------------------------------


def test_a_copy_of_a_runners_store_is_a_store(run, tmp_path):
    write(tmp_path / "gsched.toml", ONE_JOB)
    with running(tmp_path, "-c", "gsched.toml", STATE_DIRECTORY=str(tmp_path / "state")) as runner:
        runner.wait_for("jobs.declared")
        assert run("store", "backup", "copy.sqlite") == ("", "gsched: copied to copy.sqlite\n", Exit.OK)
        _, err, code = run("store", "backup", "copy.sqlite")
        assert code == Exit.FAILED and "copy.sqlite exists; name a new file" in err
        assert runner.end() == 0
    listed = json.loads(run("job", "list", "--store", "sqlite:///copy.sqlite", "-o", "json")[0])
    assert [job["id"] for job in listed] == ["tick"]


def test_a_store_without_copies_names_what_copies_it(run, address):
    _, err, code = run("store", "backup", "copy", "--store", address)
    assert code == Exit.FAILED and "mongodump --oplog" in err and "gsched store export" in err
    with pytest.raises(ConfigurationError, match="`gsched store export` writes its jobs"):
        GeventScheduler(jobstores={"default": {"type": "memory"}}).admin.backup_store("copy")


# -- completion -------------------------------------------------------------------------------------------------------


def test_a_shell_completes_the_ids_of_jobs_in_the_default_store(run, tmp_path):
    write(tmp_path / "tab", "@daily true\n")
    assert offered("t") == [] and not (tmp_path / "state").exists()
    assert run("crontab", "import", "tab")[2] == Exit.OK
    assert offered("t") == ["tab/true"]
    assert offered("t", store=f"sqlite:///{tmp_path}/state/jobs.sqlite") == ["tab/true"]


def offered(incomplete: str, **params: str) -> list[str]:
    context = click.Context(click.Command("show"))
    context.params = params
    return [item.value for item in JobId().shell_complete(context, click.Option(["--x"]), incomplete)]


# -- who may write there ----------------------------------------------------------------------------------------------


def test_a_program_keeps_its_jobs_in_a_directory_of_its_own(tmp_path):
    scheduler = GeventScheduler.embedded(tmp_path / "new" / "jobs", modules=["time"])
    scheduler.add_job("time:time", "interval", hours=1, id="tick")
    scheduler.close()
    assert isinstance(scheduler.stores["default"], SQLJobStore)
    assert stat.S_IMODE((tmp_path / "new" / "jobs").stat().st_mode) == 0o700
    assert (tmp_path / "new" / "jobs" / "jobs.sqlite").is_file()


@pytest.mark.parametrize("below", ["", "jobs.sqlite"])
def test_what_others_may_write_is_refused_with_the_remedy(tmp_path, of_sqlite, below):
    (of_sqlite / below).chmod(0o777)
    code, said = run_to_the_end(tmp_path, STATE_DIRECTORY=str(of_sqlite))
    assert code == Exit.INVALID and "may be written by other users (mode 0777)" in said and "chmod go-w" in said
    with pytest.raises(ConfigurationError, match=r"who can write there can run commands .*chmod go-w"):
        GeventScheduler.embedded(of_sqlite)


@pytest.mark.parametrize("make", [GeventScheduler.embedded, GeventScheduler.embedded_mongodb])
@pytest.mark.parametrize("hinder", ["", "file/below"])
def test_a_directory_without_a_name_and_one_that_cannot_be_made_are_refused(
    tmp_path, monkeypatch, make: Callable[[str], GeventScheduler], hinder: str
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    refused = ConfigurationError, EmbeddedMongoUnusableError
    with pytest.raises(refused, match="has no name" if not hinder else "file/below cannot be used"):
        make(hinder)
    assert os.listdir(tmp_path) == ["file"]


def test_a_directory_in_which_this_user_may_not_write_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ConfigurationError, match="this user may not write there"):
        GeventScheduler.embedded(tmp_path)
