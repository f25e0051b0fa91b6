"""The schedulers inside real servers, as the examples for Flask, Django and FastAPI start them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from ports import free_port
from waiting import LONGEST_SECONDS, wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
MISSING = [name for name in ("flask", "django", "fastapi", "uvicorn", "gunicorn") if find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(MISSING) and os.environ.get("CI") != "true", reason=f"not installed: {', '.join(MISSING)}"
)


class Server:
    """A server in a session of its own, as in a terminal of its own."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self._log = log

    def output(self) -> str:
        return self._log.read_text()

    def get(self) -> str:
        """The page, or nothing while the server does not answer."""
        return self._ask("GET", "/")

    def greet(self) -> str:
        """Have the server add a job that runs once."""
        return self._ask("POST", "/greetings/bob")

    def _ask(self, method: str, path: str) -> str:
        assert self.process.poll() is None, self.output()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=LONGEST_SECONDS) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def ticks(self) -> list[str]:
        """The instants of the recurring job that have run, in any process."""
        return re.findall(r"^(\S+) tick in", self.output(), re.M)

    def greeters(self) -> list[str]:
        """The process of each run of a job that the server added."""
        # Lines into which another thread has written do not count.
        return re.findall(r"hello bob from \w+ (\d+)$", self.output(), re.M)

    def process_of_page(self) -> str:
        """The process that answers requests."""
        return re.findall(r'"(?:process|worker)": ?(\d+)', self.get())[0]

    def wait_for_jobs(self, processes: int = 1) -> None:
        """Wait until the recurring job has run some times, and so many processes have run jobs."""
        wait_until(self.get, self.output)
        wait_until(self._greet_until(processes), self.output)
        seen = len(self.ticks())
        wait_until(lambda: len(self.ticks()) >= seen + 3, self.output)

    def _greet_until(self, processes: int) -> Callable[[], bool]:
        """Greets at each call, until so many processes have greeted, and so often that no idle one was overlooked."""
        return lambda: bool(self.greet()) and len(set(self.greeters())) >= processes and len(self.greeters()) >= 12

    def interrupt(self) -> None:
        """Ctrl-C in the terminal: every process of the server ends, and none writes a traceback."""
        os.killpg(self.process.pid, signal.SIGINT)
        code = self.process.wait(LONGEST_SECONDS)
        wait_until(lambda: not living_in(self.process.pid), lambda: (living_in(self.process.pid), self.output()))
        assert "Traceback" not in self.output(), self.output()
        assert code == 0, self.output()


def living_in(session: int) -> list[int]:
    """The processes of a session, without those that have ended."""
    living = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _parent, _group, its_session, *_ = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(its_session) == session and state != "Z":
            living.append(int(stat.parent.name))
    return living


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    path = os.pathsep.join([str(tmp_path), str(EXAMPLES), str(EXAMPLES.parent)])
    return {**os.environ, "EXAMPLE_JOBS": str(tmp_path / "jobs"), "PYTHONPATH": path, "HOME": str(tmp_path)}


Start = Callable[..., "contextmanager[Server]"]


@pytest.fixture
def served(tmp_path: Path, environment: dict[str, str]) -> Start:
    """Starts a server with these arguments of Python, in which PORT stands for a free port; kills what is left."""

    @contextmanager
    def start(*arguments: object) -> Iterator[Server]:
        port, log = free_port(), tmp_path / "output"
        command = [sys.executable, *(str(each).replace("PORT", str(port)) for each in arguments)]
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, cwd=tmp_path, env=environment, start_new_session=True
            )
        try:
            yield Server(process, port, log)
        finally:
            for pid in living_in(process.pid):
                os.kill(pid, signal.SIGKILL)
            process.wait()

    return start


def each_once(ticks: list[str]) -> bool:
    """Whether these are instants of one job, due twice a second, and none ran twice."""
    offsets = {int(tick.partition(".")[2]) % 500_000 for tick in ticks}
    return len(offsets) == 1 and len(ticks) == len(set(ticks))


# -- Flask ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--debug",)], ids=["plain", "reloader"])
def test_flasks_own_server_runs_jobs_in_one_process_until_ctrl_c(served: Start, options: tuple[str, ...]) -> None:
    with served(EXAMPLES / "flask_app.py", "--port", "PORT", *options) as server:
        server.wait_for_jobs()
        assert set(server.greeters()) == {server.process_of_page()}
        server.interrupt()
        assert each_once(server.ticks())


def test_a_scheduler_that_flasks_reloader_starts_twice_runs_each_instant_once(served: Start, tmp_path: Path) -> None:
    program = "import sys, flask_app; flask_app.start(); flask_app.app.run(port=int(sys.argv[1]), debug=True)"
    (tmp_path / "twice.py").write_text(program)
    with served("twice.py", "PORT") as server:
        server.wait_for_jobs(processes=2)
        server.interrupt()
        assert each_once(server.ticks())


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["", "preload"])
@pytest.mark.parametrize("kind", ["sync", "gthread"])
def test_the_workers_of_gunicorn_share_the_jobs_until_ctrl_c(
    served: Start, kind: str, preload: tuple[str, ...]
) -> None:
    threads = "1" if kind == "sync" else "4"
    hooks = EXAMPLES / "flask_gunicorn.conf.py"
    options = ("-c", hooks, "-b", "127.0.0.1:PORT", "--threads", threads, *preload)
    with served("-m", "gunicorn", *options, "flask_app:app") as server:
        server.wait_for_jobs(processes=2)
        assert f"Using worker: {kind}" in server.output()
        server.interrupt()
        assert each_once(server.ticks())


# -- Django -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--nothreading",)], ids=["threads", "one-thread"])
def test_djangos_runserver_runs_jobs_in_the_process_that_serves(served: Start, options: tuple[str, ...]) -> None:
    with served(EXAMPLES / "django_app.py", "runserver", *options, "PORT") as server:
        server.wait_for_jobs()
        assert set(server.greeters()) == {server.process_of_page()}
        server.interrupt()
        assert each_once(server.ticks())


@pytest.mark.parametrize("starts", [False, True], ids=["without-scheduler", "with-scheduler"])
def test_a_management_command_ends_at_its_end(environment: dict[str, str], starts: bool) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "django_app.py", "check"],
        env={**environment, **({"RUN_MAIN": "true"} if starts else {})},
        capture_output=True, text=True, timeout=LONGEST_SECONDS,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "no issues" in done.stdout
    assert Path(environment["EXAMPLE_JOBS"], "jobs.sqlite").exists() == starts


MANAGE = """
import os, sys
from django.core.management import execute_from_command_line

os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"
execute_from_command_line(sys.argv)
"""
SETTINGS = """
DEBUG, SECRET_KEY, ROOT_URLCONF, WSGI_APPLICATION = True, "a test", "django_app", "site_wsgi.application"
"""
WSGI = """
import os
from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()

from django_app import start
print("started in", os.getpid(), flush=True)
start()
"""


def test_a_scheduler_at_the_end_of_djangos_wsgi_module_starts_only_in_the_process_that_serves(
    served: Start, tmp_path: Path
) -> None:
    for name, text in (("manage", MANAGE), ("site_settings", SETTINGS), ("site_wsgi", WSGI)):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
    with served("manage.py", "check") as command:
        assert command.process.wait(LONGEST_SECONDS) == 0
        assert "started" not in command.output()
    with served("manage.py", "runserver", "PORT") as server:
        server.wait_for_jobs()
        assert set(server.greeters()) == {server.process_of_page()}
        assert server.output().count("started in") == 1
        server.interrupt()


# -- FastAPI ----------------------------------------------------------------------------------------------------------


def test_one_process_of_uvicorn_runs_jobs_until_ctrl_c(served: Start) -> None:
    with served(EXAMPLES / "fastapi_app.py", "--port", "PORT", "--workers", 1) as server:
        server.wait_for_jobs()
        server.interrupt()
        assert "Application shutdown complete" in server.output()
        assert each_once(server.ticks())


def test_the_workers_of_uvicorn_share_the_jobs_until_ctrl_c(served: Start) -> None:
    with served("-m", "uvicorn", "--port", "PORT", "--workers", 2, "fastapi_app:app") as server:
        server.wait_for_jobs(processes=2)
        server.interrupt()
        assert server.output().count("Application shutdown complete") == 2
        assert each_once(server.ticks())


def test_the_reloader_of_uvicorn_starts_one_scheduler(served: Start) -> None:
    with served("-m", "uvicorn", "--port", "PORT", "--reload", "fastapi_app:app") as server:
        server.wait_for_jobs()
        assert set(server.greeters()) == {server.process_of_page()}
        server.interrupt()
        assert each_once(server.ticks())
