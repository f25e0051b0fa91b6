"""`gsched run`: what it runs, what it says, and how it ends."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from runner_rig import GSCHED, Runner, environment, run_to_the_end, running, write
from waiting import wait_until

from gsched import ConfigurationError
from gsched.runner.gc_tuning import LongCollections
from gsched.runner.pid_file import pid_file
from gsched.times.clock import SystemClock

pytest_plugins = ["mongodb"]


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A directory with an application, jobs.py, and some that are wrong."""
    return write_applications(tmp_path)


def write_applications(tmp_path: Path) -> Path:
    write(
        tmp_path / "jobs.py",
        """
        import logging
        import structlog
        from gsched import GeventScheduler

        def tick():
            structlog.get_logger("app").info("app.ticked")
            logging.getLogger("old").warning("said the old way")

        scheduler = GeventScheduler(name="mine")
        scheduler.add_job(tick, "interval", seconds=1, id="tick", replace_existing=True)

        def make():
            made = GeventScheduler()
            made.add_job(tick, "interval", seconds=1, id="made", replace_existing=True)
            return made

        def takes(argument): ...
        def gives_nothing(): ...
        def fails():
            raise ValueError("no database")
        """,
    )
    write(tmp_path / "plain.py", "def tick(): ...")
    write(tmp_path / "broken.py", "import os\nimport no_such_module\n")
    write(tmp_path / "wrong.py", "def f(:\n")
    write(tmp_path / "leaves.py", "raise SystemExit('not today')")
    write(tmp_path / "starts.py", """
        from gsched import GeventScheduler
        scheduler = GeventScheduler()
        scheduler.start()
        """)  # fmt: skip
    write(tmp_path / "two.py", """
        from gsched import GeventScheduler
        one, other = GeventScheduler(), GeventScheduler()
        """)  # fmt: skip
    return tmp_path


# -- what it runs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "job"), [("jobs:scheduler", "tick"), ("jobs:make", "made"), ("jobs", "tick")])
def test_the_runner_runs_an_applications_jobs(app: Path, name: str, job: str) -> None:
    with running(app, "-A", name, "--memory") as runner:
        assert runner.wait_for("app.ticked")[0]["job_id"] == job
        assert runner.end() == 0
        assert runner.lines("scheduler.stopped")[0]["cut"] == 0


def test_a_configuration_file_alone_is_enough(tmp_path: Path) -> None:
    write(tmp_path / "gsched.toml", """
        [store]
        memory = true
        [[job]]
        id = "hello"
        command = "echo hello"
        trigger = { type = "interval", seconds = 1 }
        """)  # fmt: skip
    with running(tmp_path, "-c", "gsched.toml") as runner:
        said = runner.wait_for("command.output")[0]
        assert (said["line"], said["job_id"]) == ("hello", "hello")
        assert runner.end(signal.SIGINT) == 0


def test_a_plain_module_and_declared_jobs_go_together(app: Path) -> None:
    write(app / "gsched.toml", """
        [gsched]
        app = "plain"
        [log]
        run_events = "all"
        [[job]]
        id = "t"
        func = "plain:tick"
        trigger = { type = "interval", seconds = 1 }
        """)  # fmt: skip
    with running(app, "-c", "gsched.toml", "--memory", "-v") as runner:
        runner.wait_for("run.succeeded")


def test_the_configuration_completes_an_applications_scheduler(app: Path) -> None:
    write(app / "gsched.toml", """
        [gsched]
        name = "yours"
        [executors.threads]
        type = "threadpool"
        max_workers = 2
        [log]
        run_events = "all"
        [[job]]
        id = "t"
        func = "jobs:tick"
        executor = "threads"
        trigger = { type = "interval", seconds = 1 }
        """)  # fmt: skip
    with running(app, "-A", "jobs:scheduler", "-c", "gsched.toml", "--memory", "-v") as runner:
        wait_until(lambda: {line["job_id"] for line in runner.lines("run.succeeded")} == {"t", "tick"}, runner.text)
        assert {line["scheduler"] for line in runner.lines("run.succeeded")} == {"yours"}


def test_jobs_of_an_application_go_to_the_store_that_is_named(app: Path, uri: str, database) -> None:
    with running(app, "-A", "jobs:scheduler", "--store", with_database(uri, database.name)) as runner:
        runner.wait_for("app.ticked")
        assert database.jobs.find_one()["_id"] == "tick"  # the URL's database
        assert runner.end() == 0


def test_an_application_that_adds_its_jobs_anew_is_told_how(tmp_path: Path, uri: str, database) -> None:
    write(tmp_path / "again.py", """
        from gsched import GeventScheduler
        scheduler = GeventScheduler()
        scheduler.add_job("time:time", "interval", hours=1, id="tick")
        """)  # fmt: skip
    start = (tmp_path, "-A", "again:scheduler", "--store", with_database(uri, database.name))
    with running(*start) as runner:
        assert runner.end() == 0
    code, said = run_to_the_end(*start)
    assert code == 6 and "app 'again:scheduler': it adds the job 'tick', which the store has already" in said
    assert "replace_existing=True" in said and "Traceback" not in said


def with_database(uri: str, name: str) -> str:
    """The server's address with a database in it."""
    address, question, options = uri.partition("?")
    return f"{address.rstrip('/')}/{name}{question}{options}"


# -- which store ----------------------------------------------------------------------------------------------------


def test_a_store_that_does_not_answer_keeps_nobody_from_starting(app: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"mongodb://user:secret@127.0.0.1:{nobody.getsockname()[1]}/x?serverSelectionTimeoutMS=300"
        with running(app, "-A", "plain", "--store", url, "--drain-timeout", "1s") as runner:
            assert len(runner.lines("store.unreachable")) == 1
            runner.wait_for("store.disconnected")
            assert "secret" not in json.dumps(runner.lines("store.chosen"))


def test_an_application_that_cannot_add_its_jobs_may_try_again_later(tmp_path: Path) -> None:
    write(tmp_path / "own.py", """
        from gsched import GeventScheduler, MongoDBJobStore
        store = MongoDBJobStore("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200")
        scheduler = GeventScheduler(jobstores={"default": store})
        scheduler.add_job(print, "interval", seconds=1, id="x", replace_existing=True)
        """)  # fmt: skip
    code, said = run_to_the_end(tmp_path, "-A", "own")
    assert code == 4 and "Traceback" not in said


@pytest.mark.parametrize("url", ["mongodb://a:b:c@host", "nonsense", "mongodb://"])
def test_a_url_that_cannot_be_right_is_refused(tmp_path: Path, url: str) -> None:
    code, said = run_to_the_end(tmp_path, "--store", url)
    assert code == 3 and "gsched: " in said and "Traceback" not in said


def test_an_application_with_a_store_of_its_own_and_another_one_contradict_each_other(tmp_path: Path) -> None:
    write(tmp_path / "own.py", """
        from gsched import GeventScheduler, MemoryJobStore
        scheduler = GeventScheduler(jobstores={"default": MemoryJobStore()})
        """)  # fmt: skip
    code, said = run_to_the_end(tmp_path, "-A", "own:scheduler", "--embedded", "--data", str(tmp_path / "data"))
    assert code == 3 and "a job store of its own" in said


# -- what cannot work -----------------------------------------------------------------------------------------------


WRONG = {
    "no_such_app:scheduler": "there is no module 'no_such_app'",
    "jobs:schedular": r"did you mean 'scheduler'\?",
    "jobs:tick.missing": "there is no 'missing'",
    "jobs:gives_nothing": "returned None",
    "jobs:takes": "missing 1 required positional argument",
    "jobs:fails": r"ValueError: no database \(.*jobs.py:\d+: raise ValueError",
    "jobs:logging": "expected a GeventScheduler",
    "jobs.py": "expected package.module:name",
    "broken:app": r"No module named 'no_such_module' \(.*broken.py:2: import no_such_module\)",
    "wrong:app": r"SyntaxError: [^()]* \(\S*wrong.py:1\)",
    "leaves:app": r"SystemExit: not today \(.*leaves.py:1",
    "starts:scheduler": "it starts its scheduler itself",
    "two": "more than one scheduler; name one: two:one, two:other",
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What is said of each wrong application: of all of them in one process, for the test's speed."""
    directory = write_applications(tmp_path_factory.mktemp("wrong"))
    program = """
        import json, sys
        from gsched import ConfigurationError
        from gsched.runner.application import load_application
        said = {}
        for name in sys.argv[1:]:
            try:
                said[name] = repr(load_application(name))
            except ConfigurationError as error:
                said[name] = str(error)
        print(json.dumps(said))
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *WRONG], cwd=directory, env=environment(),
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    refused: dict[str, str] = json.loads(done.stdout)
    return refused


@pytest.mark.parametrize("name", WRONG)
def test_an_application_that_cannot_be_loaded_is_named_with_the_users_own_line(
    refusals: dict[str, str], name: str
) -> None:
    assert re.search(WRONG[name], refusals[name]), refusals[name]


@pytest.mark.parametrize("name", ["jobs:fails", "wrong:app"])
def test_a_wrong_application_is_one_line_and_exit_code_3(app: Path, name: str) -> None:
    code, said = run_to_the_end(app, "-A", name, "--memory")
    assert code == 3
    assert re.search(WRONG[name], said) and said.count("\n") == 1


def test_a_configuration_that_cannot_be_right_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "gsched.toml", "[gsched]\nproceses = 2")
    code, said = run_to_the_end(tmp_path, "-c", "gsched.toml")
    assert code == 3 and "did you mean 'gsched.processes'" in said


def test_a_probe_port_that_is_taken_is_an_error_of_one_line(app: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        code, said = run_to_the_end(app, "-A", "plain", "--memory", "--probe", address)
    assert code == 1 and f"cannot listen on {address}" in said and "Traceback" not in said


# -- the log --------------------------------------------------------------------------------------------------------


def test_lines_inside_a_run_name_it_whichever_way_they_are_logged(app: Path) -> None:
    with running(app, "-A", "jobs:scheduler", "--memory") as runner:
        for line in (runner.wait_for("app.ticked")[0], runner.wait_for("said the old way")[0]):
            assert (line["job_id"], line["attempt"]) == ("tick", 1)
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]+\.\d{3}\+00:00", line["timestamp"])


@pytest.mark.parametrize(("flag", "has_info", "has_debug"), [("-q", False, False), ("-v", True, True)])
def test_the_runner_logs_more_or_less_as_its_flags_say(app: Path, flag: str, has_info: bool, has_debug: bool) -> None:
    with running(app, "-A", "jobs:scheduler", "--memory", flag, until="said the old way") as runner:
        assert bool(runner.lines("app.ticked")) is has_info
        assert bool(runner.lines("store.added")) is has_debug


@pytest.mark.parametrize(("variables", "is_coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_on_a_terminal_lines_are_for_people(app: Path, variables: dict[str, str], is_coloured: bool) -> None:
    ours, theirs = pty.openpty()
    command = [*GSCHED, "run", "-A", "jobs:scheduler", "--memory"]
    process = subprocess.Popen(
        command, cwd=app, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(TERM="xterm", **variables)
    )
    os.close(theirs)
    said = b""
    try:
        while b"app.ticked" not in said:
            said += os.read(ours, 4096)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert b"[info" in said.replace(b"\x1b[32m\x1b[1m", b"") and not said.startswith(b"{")
    assert (b"\x1b[" in said) is is_coloured


def test_console_lines_have_all_times_in_the_local_zone_with_its_offset(tmp_path: Path) -> None:
    write(tmp_path / "jobs.py", """
        from gsched import GeventScheduler
        scheduler = GeventScheduler(timezone="America/New_York")
        scheduler.add_job(lambda: 1 / 0, "interval", seconds=0.2, id="fails")
        """)  # fmt: skip
    runner = Runner(tmp_path, "-A", "jobs", "--memory", "--log-format", "console", TZ="Asia/Tokyo")
    try:
        wait_until(lambda: re.search(r"run\.failed.*", runner.text()), runner.text)
        for event, key in (("run.failed", "scheduled_at"), ("job.added", "next_run_time")):
            line = re.search(rf".*{re.escape(event)}.*", runner.text())
            assert line is not None and f" {key}=" in line[0]
            assert set(re.findall(r"T\d\d:\d\d:[\d.]+([+-]\d\d:\d\d)", line[0])) == {"+09:00"}
    finally:
        runner.kill()


def test_a_terminal_that_goes_away_takes_nothing_with_it(app: Path) -> None:
    write(app / "beats.py", """
        from pathlib import Path
        def beat():
            with Path("beats").open("a") as beats:
                beats.write("x")
        """)  # fmt: skip
    write(app / "gsched.toml", """
        [[job]]
        id = "beat"
        func = "beats:beat"
        trigger = { type = "interval", seconds = 0.2 }
        """)  # fmt: skip
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*GSCHED, "run", "-c", "gsched.toml", "--memory", "-v"], cwd=app,
        stdin=theirs, stdout=theirs, stderr=theirs, env=environment(), start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    beats = app / "beats"
    try:
        wait_until(beats.exists)
        os.close(ours)
        process.send_signal(signal.SIGHUP)  # as the kernel does
        size = beats.stat().st_size
        wait_until(lambda: beats.stat().st_size > size + 3)
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_trouble_to_jobs_their_children_and_commands(app: Path, closed: str) -> None:
    write(app / "once.py", """
        import subprocess, sys
        from pathlib import Path
        from gsched import GeventScheduler
        from gsched.runner.commands import run_command
        scheduler = GeventScheduler()
        def once():
            print("out"); print("err", file=sys.stderr)
            try:
                subprocess.run("cat && echo out && echo err >&2", shell=True, check=True)
                run_command("cat >fed && echo out && echo err >&2", stdin="eaten")
                Path("done").write_text("")
            finally:
                scheduler.shutdown(wait=False)
        scheduler.add_job(once, id="once")
        """)  # fmt: skip
    command = f'exec "$@" {closed}'
    done = subprocess.run(
        ["sh", "-c", command, "sh", *GSCHED, "run", "-A", "once", "--memory"],
        cwd=app, env=environment(), timeout=25, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0 and (app / "done").exists() and (app / "fed").read_text() == "eaten"


# -- pid file, stacks -----------------------------------------------------------------------------------------------


def test_the_pid_file_keeps_a_second_one_out_and_goes_with_the_first(app: Path) -> None:
    arguments = ("-A", "plain", "--memory", "--pid-file", "run.pid")
    with running(app, *arguments) as runner:
        assert (app / "run.pid").read_text() == f"{runner.pid}\n"
        code, said = run_to_the_end(app, *arguments)
        assert code == 6 and f"process {runner.pid} runs already" in said
        assert runner.end() == 0
    assert not (app / "run.pid").exists()


def test_a_stale_pid_file_is_replaced_and_a_line_says_so(app: Path) -> None:
    write(app / "run.pid", "4711\n")
    with running(app, "-A", "plain", "--memory", "--pid-file", "run.pid") as runner:
        assert runner.lines("pid_file.replaced")[0]["left_by"] == "4711"
        assert (app / "run.pid").read_text() == f"{runner.pid}\n"


def foreign_pid_files(directory: Path) -> Iterator[tuple[str, Path]]:
    """What is wrong with a path as a pid file, and the path, with the content that is not to be lost in it."""
    precious = write(directory / "precious", "precious content\n")
    (directory / "link").symlink_to(precious)
    yield "it is a symbolic link", directory / "link"
    yield "it holds no process id", precious
    os.link(write(directory / "number", "4711\n"), directory / "second name")
    yield "it is no regular file, or has a second name", directory / "number"
    yield "it holds no process id|Permission denied|another user", Path("/proc/version")
    os.mkfifo(directory / "pipe")
    yield "it is no regular file, or has a second name", directory / "pipe"


def test_a_file_that_is_no_pid_file_keeps_its_content(tmp_path: Path) -> None:
    for reason, path in foreign_pid_files(tmp_path):
        before = path.read_text() if path.is_file() else None
        with pytest.raises(ConfigurationError, match=reason), pid_file(str(path)):
            pass
        assert before == (path.read_text() if path.is_file() else None)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make files of other users")
def test_a_pid_file_of_another_user_is_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "run.pid", "4711\n")
    os.chown(path, 65_534, -1)
    with pytest.raises(ConfigurationError, match="another user"), pid_file(str(path)):
        pass
    assert path.read_text() == "4711\n"


def test_nobody_else_can_open_a_pid_file_and_so_lock_it(tmp_path: Path) -> None:
    path = write(tmp_path / "run.pid", "4711\n")
    path.chmod(0o644)
    for _ in range(2):  # one that was left behind, and a new one
        with pid_file(str(path)):
            assert path.stat().st_mode & 0o777 == 0o600
        assert not path.exists()


def test_a_file_that_has_taken_its_place_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "run.pid"
    with pid_file(str(path)):
        path.unlink()
        write(path, "another one\n")
    assert path.read_text() == "another one\n"


@pytest.mark.parametrize("content", ["{pid}", "0", "-1", "99999999999999", "precious", ""])
def test_a_dump_signals_no_process_that_does_not_hold_the_pid_file(tmp_path: Path, content: str) -> None:
    with subprocess.Popen(["sleep", "60"]) as bystander:
        path = write(tmp_path / "run.pid", content.format(pid=bystander.pid))
        with path.open() as held:  # as somebody who can read it may do
            fcntl.flock(held, fcntl.LOCK_SH)
            done = subprocess.run([*GSCHED, "dump", "--pid-file", path], capture_output=True, text=True, timeout=60)
        assert done.returncode in (1, 3, 5) and len(done.stderr.splitlines()) == 1
        assert bystander.poll() is None
        bystander.kill()


def test_a_pid_file_that_cannot_be_written_is_an_error(app: Path) -> None:
    code, said = run_to_the_end(app, "-A", "plain", "--memory", "--pid-file", "no/such/directory/run.pid")
    assert code == 3 and "No such file or directory" in said


def test_usr1_tells_what_every_greenlet_does_and_harms_nobody(app: Path) -> None:
    write(app / "sleeper.py", """
        import gevent
        from gsched import GeventScheduler, current_run
        scheduler = GeventScheduler()
        def sleep_for_long():
            current_run().log.info("sleeping")
            gevent.sleep(60)
        scheduler.add_job(sleep_for_long, id="sleeper")
        """)  # fmt: skip
    with running(app, "-A", "sleeper", "--memory", "--drain-timeout", "0.1s") as runner:
        runner.wait_for("sleeping")
        runner.send(signal.SIGUSR1)
        stack = runner.wait_for("stacks.dumped")[0]["stack"]
        assert "in sleep_for_long" in stack and "sleeper@" in stack
        assert runner.end() == 8


class JumpingClock(SystemClock):
    """Each look at it is a second after the last."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        self._now += 1
        return self._now


def test_objects_that_survive_a_long_collection_are_frozen_but_not_again_and_again() -> None:
    collections = LongCollections(JumpingClock())
    collections.watch()
    try:
        counts = [gc.get_freeze_count()]
        kept = []
        for _ in range(2):
            kept += [[] for _ in range(1000)]
            gc.collect()  # takes a second, by this clock
            counts.append(gc.get_freeze_count())
        assert counts[1] >= counts[0] + 1000 and counts[2] < counts[1] + 1000
    finally:
        collections.stop()
        gc.unfreeze()


# -- systemd --------------------------------------------------------------------------------------------------------


def test_systemd_hears_of_start_reload_stop_and_is_fed(app: Path) -> None:
    write(app / "gsched.toml", "")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(app / "notify"))
        systemd.settimeout(20)
        variables = {"NOTIFY_SOCKET": str(app / "notify"), "WATCHDOG_USEC": "600000"}
        runner = Runner(app, "-A", "plain", "-c", "gsched.toml", "--memory", **variables)
        try:
            assert hear(systemd, "READY=1")
            assert hear(systemd, "WATCHDOG=1")
            runner.send(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in hear(systemd, "RELOADING=1")
            assert hear(systemd, "READY=1")
            runner.send(signal.SIGTERM)
            assert hear(systemd, "STOPPING=1")
            assert runner.end(None) == 0
        finally:
            runner.kill()


def hear(systemd: socket.socket, wanted: str) -> str:
    """The next message that says this."""
    while wanted not in (message := systemd.recv(4096).decode()).split("\n"):
        pass
    return message
