"""The embedded MongoDB, with a real mongod: sharing, stopping, crashes, and what people are told when it cannot run."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from waiting import wait_until

from gsched.embedded import EmbeddedMongo, EmbeddedMongoError, find_mongod, guardian, open_embedded
from gsched.embedded.file_locks import EXCLUSIVE, is_held

ROOT = Path(__file__).parents[2]
USER = """
import sys
if sys.argv[2] == "patched":
    from gevent import monkey
    monkey.patch_all()
from gsched.embedded import open_embedded
with open_embedded(sys.argv[1]) as mongo:
    print(mongo.uri, flush=True)
    sys.stdin.read()
"""


def _mongod_is_missing() -> bool:
    try:
        find_mongod()
    except EmbeddedMongoError:
        return os.environ.get("CI") != "true"  # on CI the tests run, and fail
    return False


needs_mongod = pytest.mark.skipif(_mongod_is_missing(), reason="no mongod: pip install gsched[embedded-mongodb]")


@contextmanager
def connected(uri: str) -> Iterator[Any]:
    from pymongo import MongoClient

    client: MongoClient[dict[str, Any]] = MongoClient(uri, serverSelectionTimeoutMS=5000)
    try:
        yield client.get_database("test")
    finally:
        client.close()


class User:
    """Another process that has the directory open until it is told to close or is killed."""

    def __init__(self, path: Path, mode: str = "patched") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, str(path), mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def uri(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close(self) -> int:
        self.process.communicate("", timeout=30)
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start_user(tmp_path: Path) -> Iterator[Callable[..., User]]:
    users: list[User] = []

    def start(mode: str = "patched") -> User:
        users.append(User(tmp_path / "mongo", mode))
        return users[-1]

    yield start
    for user in users:
        user.kill()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedMongo]:
    with open_embedded(tmp_path_factory.mktemp("mongo")) as mongo:
        yield mongo


def mongod_pid(path: Path) -> int:
    return int(json.loads((path / "mongod.json").read_text())["mongod_pid"])


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def eventually_left(condition: Callable[[], bool]) -> bool:
    """`eventually`, after the time for which the guardian waits for users that were killed to come back."""
    return eventually(condition, guardian.LINGER_SECONDS + 10)


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


@needs_mongod
def test_the_embedded_mongodb_keeps_its_data_after_close_and_reopen(tmp_path: Path) -> None:
    path = tmp_path / "new" / "mongo"
    with open_embedded(path) as mongo, connected(mongo.uri) as database:
        database.jobs.insert_one({"_id": 1})
        pid = mongod_pid(path)
    assert not lives(pid)
    assert not (path / "mongod.json").exists()
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    with open_embedded(path) as mongo, connected(mongo.uri) as database:
        assert database.jobs.count_documents({}) == 1


@needs_mongod
def test_one_process_may_open_it_twice_and_closing_twice_does_nothing(shared: EmbeddedMongo) -> None:
    again = open_embedded(shared.path)
    again.close()
    again.close()
    with connected(shared.uri) as database:
        assert database.command("ping")["ok"]


@needs_mongod
def test_change_streams_and_transactions_work(shared: EmbeddedMongo) -> None:
    with connected(shared.uri) as database:
        database.create_collection("jobs")
        with database.jobs.watch(max_await_time_ms=5000) as feed:
            with database.client.start_session() as session, session.start_transaction():
                database.jobs.insert_one({"_id": 1}, session=session)
                database.nodes.insert_one({"_id": 2}, session=session)
            assert next(feed)["documentKey"] == {"_id": 1}


@needs_mongod
def test_the_embedded_mongodb_listens_on_a_private_socket_only(shared: EmbeddedMongo) -> None:
    with connected(shared.uri) as database:
        options = database.client.admin.command("getCmdLineOpts")["parsed"]["net"]
        assert options["bindIp"] == "./mongod.sock"
    mode = (shared.path / "mongod.sock").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o700


@needs_mongod
def test_a_path_too_long_for_a_socket_works_too(tmp_path: Path) -> None:
    path = tmp_path / ("long" * 40)
    with open_embedded(path) as mongo, connected(mongo.uri) as database:
        database.jobs.insert_one({"_id": 1})


@needs_mongod
def test_processes_share_one_mongod_and_the_last_one_stops_it(tmp_path: Path, start_user: Callable[..., User]) -> None:
    path = tmp_path / "mongo"
    users = [start_user(mode) for mode in ("plain", "patched", "plain")]
    uris = {user.uri() for user in users}
    pid = mongod_pid(path)
    assert len(uris) == 1
    assert users[0].close() == 0
    assert users[1].close() == 0
    with connected(uris.pop()) as database:
        database.jobs.insert_one({"_id": 1})
    assert lives(pid)
    assert users[2].close() == 0
    assert not lives(pid)


@needs_mongod
def test_mongod_goes_when_all_its_users_are_killed(tmp_path: Path, start_user: Callable[..., User]) -> None:
    users = [start_user(), start_user()]
    uri, _ = [user.uri() for user in users]
    state = json.loads((tmp_path / "mongo" / "mongod.json").read_text())
    users[0].kill()
    with connected(uri) as database:
        database.jobs.insert_one({"_id": 1})
    assert lives(state["mongod_pid"])
    users[1].kill()
    assert eventually_left(lambda: not lives(state["mongod_pid"]) and not lives(state["guardian_pid"]))


@needs_mongod
def test_a_program_that_starts_again_finds_the_mongod_of_one_that_was_killed(
    tmp_path: Path, start_user: Callable[..., User]
) -> None:
    user = start_user()
    user.uri()
    pid = mongod_pid(tmp_path / "mongo")
    user.kill()
    with open_embedded(tmp_path / "mongo"):
        assert mongod_pid(tmp_path / "mongo") == pid and lives(pid)
    assert not lives(pid)


@needs_mongod
def test_a_user_that_closes_leaves_a_note_which_is_of_no_use_to_a_later_guardian(tmp_path: Path) -> None:
    mongo = open_embedded(tmp_path)
    state = json.loads((tmp_path / "mongod.json").read_text())
    os.kill(state["guardian_pid"], signal.SIGKILL)
    assert eventually(lambda: not lives(state["mongod_pid"]))
    mongo.close()
    assert (tmp_path / guardian.CLOSED).exists()
    with open_embedded(tmp_path):
        assert eventually(lambda: not (tmp_path / guardian.CLOSED).exists())
        assert lives(mongod_pid(tmp_path))


@needs_mongod
@pytest.mark.parametrize("victim", ["mongod_pid", "guardian_pid"])
def test_the_embedded_mongodb_reopens_with_its_data_after_its_processes_are_killed(tmp_path: Path, victim: str) -> None:
    first = open_embedded(tmp_path)
    with connected(first.uri) as database:
        database.jobs.insert_one({"_id": 1})
    state = json.loads((tmp_path / "mongod.json").read_text())
    os.kill(state[victim], signal.SIGKILL)
    assert eventually(lambda: not lives(state["mongod_pid"]))
    with open_embedded(tmp_path) as second, connected(second.uri) as database:
        assert database.jobs.count_documents({}) == 1
        first.close()
        assert database.jobs.count_documents({}) == 1


@needs_mongod
def test_a_stale_state_file_never_gets_another_process_killed(tmp_path: Path) -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        state = {
            "uri": "mongodb://gone",
            "socket": "/gone.sock",
            "mongod_pid": bystander.pid,
            "guardian_pid": bystander.pid,
        }
        (tmp_path / "mongod.json").write_text(json.dumps(state))
        with open_embedded(tmp_path) as mongo:
            assert mongo.uri != "mongodb://gone"
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@needs_mongod
def test_the_server_runs_until_a_forked_child_has_ended_too(tmp_path: Path) -> None:
    mongo = open_embedded(tmp_path)
    pid = mongod_pid(tmp_path)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write_end)
        os.read(read_end, 1)  # until the parent says so or ends
        os._exit(0)
    mongo.close()
    assert lives(pid)
    os.close(write_end)
    os.waitpid(child, 0)
    assert eventually_left(lambda: not lives(pid))
    os.close(read_end)


@needs_mongod
def test_opening_from_a_native_thread_works_when_patched(tmp_path: Path) -> None:
    program = f"""
from gevent import monkey; monkey.patch_all()
import gevent
from gsched.embedded import open_embedded
def use():
    with open_embedded({str(tmp_path)!r}) as mongo:
        return mongo.uri
print(gevent.get_hub().threadpool.apply(use))
"""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    assert subprocess.check_output(command, env=environ, text=True, timeout=30).startswith("mongodb://")


def test_a_missing_mongod_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GSCHED_MONGOD", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("gsched.embedded.binary.distributions", lambda **_: ())
    with pytest.raises(EmbeddedMongoError, match=r"(?s)GSCHED_MONGOD.*PATH.*gsched\[embedded-mongodb\].*libcurl4"):
        open_embedded(tmp_path / "mongo")


def test_a_named_mongod_that_does_not_exist_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSCHED_MONGOD", str(tmp_path / "nowhere"))
    with pytest.raises(EmbeddedMongoError, match="nowhere, named by the environment variable GSCHED_MONGOD"):
        find_mongod()


def test_a_mongod_without_its_run_bit_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mongod = tmp_path / "mongod"
    mongod.write_text("#!/bin/sh\n")
    mongod.chmod(0o644)
    monkeypatch.setenv("GSCHED_MONGOD", str(mongod))
    assert find_mongod() == mongod
    assert stat.S_IMODE(mongod.stat().st_mode) == 0o755


def test_a_mongod_on_path_wins_over_the_packaged_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GSCHED_MONGOD", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    mongod = script(tmp_path / "mongod", "#!/bin/sh\n")
    assert find_mongod() == mongod


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("#!/bin/sh\necho 'libcurl.so.4: cannot open shared object file' >&2\nexit 1\n", "libcurl.so.4: cannot open"),
        ("\x7fELF of another machine", "Exec format error"),
    ],
)
def test_a_broken_mongod_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str) -> None:
    monkeypatch.setenv("GSCHED_MONGOD", str(script(tmp_path / "mongod", text)))
    with pytest.raises(EmbeddedMongoError, match=f"(?s){told}.*apt install libcurl4"):
        open_embedded(tmp_path / "mongo")


def test_a_mongod_that_hangs_is_given_up_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSCHED_MONGOD", str(script(tmp_path / "mongod", "#!/bin/sh\nexec sleep 60\n")))
    with pytest.raises(EmbeddedMongoError, match=r"not ready .* within 0\.5 s"):
        open_embedded(tmp_path / "mongo", timeout_seconds=0.5)
    assert eventually(lambda: not (tmp_path / "mongo" / "mongod.json").exists())


@pytest.mark.parametrize(("ending", "again"), [("kill -9 $$", True), ("exit 0", False), ("exit 1", False)])
def test_the_guardian_restarts_a_mongod_that_crashed_but_not_one_that_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, again: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(guardian, "RESTART_AFTER_SECONDS", 0.0)
    (tmp_path / "mongod.log").touch()
    users, user, server_lock = (os.open("users.lock", os.O_RDWR | os.O_CREAT) for _ in range(3))
    try:
        monkeypatch.setattr(guardian, "SERVER_LOCK", server_lock)
        fcntl.flock(user, fcntl.LOCK_SH)
        assert guardian.serve(["/bin/sh", "-c", ending], users) is again
    finally:
        for descriptor in (users, user, server_lock):
            os.close(descriptor)


@pytest.mark.parametrize(("linger", "note"), [(0.0, False), (86_400.0, True)])
def test_the_guardian_stops_mongod_in_time_if_nobody_uses_it_and_at_once_if_its_last_user_has_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linger: float, note: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(guardian, "LINGER_SECONDS", linger)
    if note:
        (tmp_path / guardian.CLOSED).touch()
    (tmp_path / "mongod.log").touch()
    users, server_lock = (os.open("users.lock", os.O_RDWR | os.O_CREAT) for _ in range(2))
    try:
        monkeypatch.setattr(guardian, "SERVER_LOCK", server_lock)
        assert not guardian.serve(["/bin/sleep", "86400"], users)
        assert is_held(tmp_path / "users.lock", EXCLUSIVE), "a newcomer waits until mongod is gone"
        assert not (tmp_path / guardian.CLOSED).exists()
    finally:
        for descriptor in (users, server_lock):
            os.close(descriptor)


def test_the_note_of_a_user_that_closes_while_others_go_on_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(guardian, "stop", lambda mongod: pytest.fail("it was stopped"))
    (tmp_path / "mongod.log").touch()
    (tmp_path / guardian.CLOSED).touch()
    users, user, server_lock = (os.open("users.lock", os.O_RDWR | os.O_CREAT) for _ in range(3))
    try:
        monkeypatch.setattr(guardian, "SERVER_LOCK", server_lock)
        fcntl.flock(user, fcntl.LOCK_SH)
        until_forgotten = f"while [ -e {guardian.CLOSED} ]; do :; done"
        assert not guardian.serve(["/bin/sh", "-c", until_forgotten], users)
    finally:
        for descriptor in (users, user, server_lock):
            os.close(descriptor)


def test_a_long_log_is_moved_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(guardian, "MAX_LOG_BYTES", 10)
    log = tmp_path / "mongod.log"
    log.write_text("short")
    guardian.bound_log()
    assert log.read_text() == "short"
    log.write_text("longer than that")
    guardian.bound_log()
    assert log.read_text() == ""
    assert (tmp_path / "mongod.log.1").read_text() == "longer than that"


def test_a_server_that_has_ended_is_started_again_where_it_was(tmp_path: Path) -> None:
    with open_embedded(tmp_path) as mongo:
        mongo.start_again()
        was = server_of(tmp_path)
        os.kill(was, signal.SIGKILL)
        wait_until(lambda: not is_held(tmp_path / "server.lock", EXCLUSIVE), "its end")
        uri = mongo.uri
        mongo.start_again()
        assert mongo.uri == uri and server_of(tmp_path) != was
    mongo.start_again()
    assert not is_held(tmp_path / "server.lock", EXCLUSIVE), "what is closed is not started"


def server_of(directory: Path) -> int:
    """The process of the server in a directory."""
    found = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit() and _is_server(each, directory)]
    return found[-1]


def _is_server(process: Path, directory: Path) -> bool:
    try:
        runs_there = (process / "cwd").resolve() == directory.resolve()
        return runs_there and b"mongod\0--dbpath" in (process / "cmdline").read_bytes()
    except OSError:  # it is another user's, or gone
        return False


def test_a_server_that_does_not_start_on_a_full_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "mongod"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("GSCHED_MONGOD", str(broken))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5 << 20))
    with pytest.raises(EmbeddedMongoError, match=r"the disk with .* is full \(5 MiB are free\)"):
        open_embedded(tmp_path / "data")


def test_a_directory_without_a_name_is_not_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EmbeddedMongoError, match="the data directory has no name"):
        open_embedded("")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedMongoError, match="file/mongo cannot be used"):
        open_embedded(tmp_path / "file" / "mongo")


def test_importing_it_before_patching_is_silent_and_leaves_pymongo_alone() -> None:
    program = (
        "import sys, gsched.embedded; assert 'pymongo' not in sys.modules; "
        "from gevent import monkey; monkey.patch_all()"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-W", "error", "-c", program], env=environ, check=True, timeout=30)
