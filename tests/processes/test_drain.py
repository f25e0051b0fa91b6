"""How a runner ends: runs may end, within limits; and two that are restarted in turn lose and double nothing."""

from __future__ import annotations

import signal
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest
from runner_rig import Runner, running, write
from waiting import wait_until

pytest_plugins = ["mongodb"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write(tmp_path / "jobs.py", """
        import gevent, os, structlog
        from gsched import GeventScheduler, current_run
        log = structlog.get_logger("app")

        def work(seconds):
            log.info("work.began")
            gevent.sleep(seconds)
            log.info("work.ended")

        def refuses(seconds):
            log.info("work.began")
            while True:
                try:
                    gevent.sleep(seconds)
                except BaseException as error:
                    log.info("work.refused", error=type(error).__name__)

        def note():
            run = current_run()
            with open("runs", "a") as runs:
                lateness = (run.started_at - run.scheduled_at).total_seconds()
                runs.write(f"{run.job_id} {run.scheduled_at.timestamp():.3f} {lateness:.3f} {os.getpid()}\\n")
            gevent.sleep(0.05)

        def stops():
            scheduler.shutdown()

        scheduler = GeventScheduler()
        """)  # fmt: skip
    return tmp_path


def configure(place: Path, func: str, args: str = "[]", head: str = "") -> None:
    write(place / "gsched.toml", f"""
{head}
[[job]]
id = "one"
func = "jobs:{func}"
args = {args}
trigger = {{ type = "interval", seconds = 0.5 }}
""")  # fmt: skip


def started(place: Path, *arguments: str):
    return running(place, "-A", "jobs:scheduler", "-c", "gsched.toml", "--memory", *arguments, until="work.began")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_runs_in_progress_may_end_and_nothing_new_begins(place: Path, number: signal.Signals) -> None:
    configure(place, "work", "[1.5]")
    with started(place) as runner:
        assert runner.end(number) == 0
        assert len(runner.lines("work.began")) == len(runner.lines("work.ended")) == 1
        assert runner.lines("scheduler.draining")[0]["running"] == 1


def test_runs_that_do_not_end_within_the_drain_timeout_are_cancelled_and_the_exit_code_says_so(place: Path) -> None:
    configure(place, "work", "[60]")
    with started(place, "--drain-timeout", "0.3s") as runner:
        assert runner.end() == 8
        assert runner.lines("scheduler.stopped")[0]["cut"] == 1
        assert [line["job_id"] for line in runner.lines("run.cancelled")] == ["one"]


def test_a_second_signal_cancels_at_once(place: Path) -> None:
    configure(place, "work", "[60]")
    with started(place) as runner:
        runner.send(signal.SIGTERM)
        runner.wait_for("scheduler.draining")
        assert runner.end(signal.SIGTERM) == 8
        assert len(runner.lines("run.cancelled")) == runner.lines("scheduler.stopped")[0]["cut"] == 1


def test_a_job_that_refuses_to_be_cancelled_is_abandoned(place: Path) -> None:
    configure(place, "refuses", "[60]")
    with started(place, "--drain-timeout", "0.1s") as runner:
        assert runner.end() == 8
        assert [line["error"] for line in runner.lines("work.refused")] == ["RunCancelled", "GreenletExit"]
        assert runner.lines("scheduler.stopped")[0]["cut"] == 1


def test_a_job_may_end_the_runner(place: Path) -> None:
    configure(place, "stops")
    with running(place, "-A", "jobs:scheduler", "-c", "gsched.toml", "--memory") as runner:
        assert runner.end(None) == 0


def test_a_rolling_restart_of_two_runners_misses_and_doubles_nothing(place: Path, uri: str, database) -> None:
    jobs = "".join(
        f'[[job]]\nid = "job-{number}"\nfunc = "jobs:note"\n'
        f'trigger = {{ type = "interval", seconds = {0.5 + number % 4 / 4}, start_date = 2026-01-01T00:00:00Z }}\n'
        for number in range(40)
    )
    every_instant = "[defaults]\ncoalesce = false\nmax_instances = 10\n"
    write(place / "gsched.toml", f"[store]\nurl = '{uri}'\ndatabase = '{database.name}'\n{every_instant}{jobs}")

    def start() -> Runner:
        runner = Runner(place, "-c", "gsched.toml", "-v")
        runner.wait_for("node.joined")
        return runner

    def wait_for_runs_of_both() -> None:
        pids = {str(runner.pid) for runner in runners}
        wait_until(lambda: pids <= {line.split()[3] for line in (place / "runs").read_text().splitlines()})

    runners: list[Runner] = []
    try:
        runners += [start(), start()]
        wait_until(lambda: (place / "runs").exists())
        wait_for_runs_of_both()
        begin = time.time()
        for number in (0, 1, 0):
            assert runners[number].end() == 0
            runners[number].kill()
            runners[number] = start()
            wait_for_runs_of_both()
        end = time.time()
        assert [runner.end() for runner in runners] == [0, 0]
    finally:
        for runner in runners:
            runner.kill()

    runs = [line.split() for line in (place / "runs").read_text().splitlines()]
    seen = Counter((job_id, round(float(at) * 1000)) for job_id, at, *_ in runs)
    assert max(seen.values()) == 1
    missing = _wanted(begin, end) - seen.keys()
    assert not missing
    # The jobs of a node that ends are handed over. If they were not, they would wait for the TTL, which is 10 s.
    assert max(float(lateness) for _, at, lateness, _ in runs if begin < float(at) < end) < 5


def _wanted(begin: float, end: float) -> set[tuple[str, int]]:
    """Every instant of the forty jobs from `begin` to `end`."""
    epoch = round(datetime.fromisoformat("2026-01-01T00:00:00Z").timestamp() * 1000)
    wanted = set()
    for number in range(40):
        period = round((0.5 + number % 4 / 4) * 1000)
        first = -(-(round(begin * 1000) - epoch) // period)
        last = (round(end * 1000) - epoch) // period
        wanted |= {(f"job-{number}", epoch + count * period) for count in range(first, last + 1)}
    return wanted
