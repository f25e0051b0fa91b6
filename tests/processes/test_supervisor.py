"""`gsched run --processes N`: real processes, real signals, kill -9."""

from __future__ import annotations

import os
import signal
import socket
import urllib.request
from pathlib import Path

import pytest
from ports import free_port
from runner_rig import Runner, run_to_the_end, running, write
from waiting import wait_until

from gsched.runner.supervisor.children import Child, worst

pytest_plugins = ["mongodb"]

JOBS = 40  # so many that one of two processes owns all of them once in 2 ** 39 times


@pytest.fixture
def place(tmp_path: Path, uri: str, database) -> Path:
    """A directory with an application and a configuration file on the session's MongoDB."""
    write(tmp_path / "jobs.py", """
        import os, gevent, structlog
        def tick():
            structlog.get_logger("app").info("ticked")
        def stubborn():
            structlog.get_logger("app").info("began")
            gevent.sleep(60)
        def crash():
            os.abort()
        """)  # fmt: skip
    configure(tmp_path, uri, database.name, *(f"tick-{number}" for number in range(JOBS)))
    return tmp_path


def configure(
    directory: Path, uri: str, database: str, *ids: str, func: str = "jobs:tick", seconds: float = 0.5
) -> None:
    head = f"[store]\nurl = '{uri}'\ndatabase = '{database}'\nnode_ttl = '2s'\n[gsched]\nprocesses = 2\n"
    jobs = "".join(
        f'[[job]]\nid = "{job_id}"\nfunc = "{func}"\ntrigger = {{ type = "interval", seconds = {seconds} }}\n'
        for job_id in ids
    )
    write(directory / "gsched.toml", head + jobs)


def supervised(place: Path, *arguments: str, **variables: str):
    """A supervisor whose two processes run."""
    return running(place, "-c", "gsched.toml", *arguments, until="scheduler.started", **variables)


def pids(runner: Runner) -> list[int]:
    """The processes that run now, by number."""
    latest = {line["process"]: line["started"] for line in runner.lines("process.started")}
    return [latest[number] for number in sorted(latest)]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_processes_share_the_jobs_and_end_together(place: Path) -> None:
    with supervised(place) as runner:
        runner.wait_for("scheduler.started", 2)
        wait_until(lambda: len({line["pid"] for line in runner.lines("ticked")}) == 2, runner.text)
        runner.send(signal.SIGHUP)
        runner.wait_for("configuration.reloaded", 2)
        runner.send(signal.SIGUSR1)
        runner.wait_for("stacks.dumped", 2)
        assert runner.end() == 0
        assert [line["code"] for line in runner.lines("process.ended")] == [0, 0]
        run_ids = [line["run_id"] for line in runner.lines("ticked")]
        assert len(run_ids) == len(set(run_ids))


def test_a_process_that_is_killed_is_replaced_and_its_jobs_go_on(place: Path) -> None:
    with supervised(place) as runner:
        runner.wait_for("scheduler.started", 2)
        victim = pids(runner)[0]
        os.kill(victim, signal.SIGKILL)
        assert runner.wait_for("process.ended")[0]["signal"] == "SIGKILL"
        runner.wait_for("process.started", 3)
        runner.wait_for("scheduler.started", 3)
        assert victim not in pids(runner)
        assert runner.end() == 0


def test_processes_drain_when_their_supervisor_is_killed(place: Path) -> None:
    with supervised(place) as runner:
        runner.wait_for("scheduler.started", 2)
        children = pids(runner)
        runner.end(signal.SIGKILL)
        wait_until(lambda: not any(map(is_alive, children)), runner.text)
        assert len(runner.lines("scheduler.stopped")) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])  # Ctrl-C, systemd
def test_one_signal_to_all_processes_is_one_wish_and_a_second_one_cancels(
    place: Path, uri: str, database, number: signal.Signals
) -> None:
    configure(place, uri, database.name, "stubborn", func="jobs:stubborn", seconds=1)
    with supervised(place) as runner:
        runner.wait_for("began")
        runner.wait_for("scheduler.started", 2)
        os.killpg(runner.pid, number)
        runner.wait_for("scheduler.draining", 2)
        wait_until(lambda: len(runner.lines("process.ended")) == 1, runner.text)  # the other waits for its run
        assert not runner.lines("run.cancelled")
        os.killpg(runner.pid, number)
        assert runner.end(None) == 8
        assert runner.lines("run.cancelled")


def test_an_error_of_the_application_is_logged_once(place: Path) -> None:
    code, said = run_to_the_end(place, "-c", "gsched.toml", "-A", "jobs:nothing")
    assert code == 3 and said.count("there is no 'nothing'") == 1


def test_processes_cannot_share_memory(place: Path, tmp_path: Path) -> None:
    code, said = run_to_the_end(place, "-A", "jobs", "--memory", "--processes", "2")
    assert code == 3 and "cannot share jobs in memory" in said and said.count("cannot share") == 1


def test_a_process_that_dies_again_and_again_is_restarted_ever_more_slowly(place: Path, uri: str, database) -> None:
    configure(place, uri, database.name, "crash", func="jobs:crash")
    with supervised(place) as runner:
        ended = runner.wait_for("process.ended", 3)
        assert {line["signal"] for line in ended} == {"SIGABRT"}
        assert runner.end() in (0, 1)


def test_each_process_has_a_probe_port_of_its_own(place: Path) -> None:
    port = free_port(neighbours=1)
    with supervised(place, "--probe", f"127.0.0.1:{port}") as runner:
        runner.wait_for("scheduler.started", 2)
        for number in (port, port + 1):
            with urllib.request.urlopen(f"http://127.0.0.1:{number}/livez", timeout=10) as answer:
                assert answer.status == 200


def test_systemd_hears_from_the_supervisor_when_all_run(place: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(place / "notify"))
        systemd.settimeout(20)
        with supervised(place, NOTIFY_SOCKET=str(place / "notify"), WATCHDOG_USEC="3000000") as runner:
            while "READY=1\nSTATUS=2 processes" not in (message := systemd.recv(4096).decode()):
                assert message in ("WATCHDOG=1",)
            runner.wait_for("scheduler.started", 2)
            os.kill(pids(runner)[1], signal.SIGSTOP)  # no event loop turns there any more
            assert runner.wait_for("process.killed")[0]["silent"] is True
            runner.wait_for("scheduler.started", 3)
            assert runner.end() == 0


def test_pauses_before_restarts_grow_and_differ() -> None:
    pauses = []
    child = Child(0)
    for _ in range(8):
        child.ended(1.0)
        pauses.append(child.start_at - 1.0)
    assert 0.25 <= pauses[0] <= 1 and 15 <= pauses[-1] <= 30
    assert len(set(pauses)) == len(pauses)
    assert all(0 < pause <= 30 for pause in pauses)


@pytest.mark.parametrize(
    ("codes", "code"), [([], 0), ([0, 0], 0), ([0, 8], 8), ([8, 3], 3), ([8, -9, 0], 1), ([0, 4, 8], 4)]
)
def test_the_worst_exit_code_counts(codes: list[int], code: int) -> None:
    assert worst(codes) == code
