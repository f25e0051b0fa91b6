"""Real runners whose wall clock is set while they run: by faketime, which leaves the machine's clock alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from runner_rig import Runner, running, write
from waiting import wait_until

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)

pytestmark = pytest.mark.skipif(LIBRARY is None, reason="needs Debian's package faketime")

HOUR = 3600
RIGHT = 0
INTERVAL, CRON = "interval", "cron"


class SetClock:
    """The wall clock of a runner, as an administrator sets it. Elapsed time goes on as it does."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "clock"
        self.set(RIGHT)
        self.variables = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, seconds: int) -> None:
        """Set it so many seconds ahead of the right time."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+}\n")
        os.replace(new, self._file)


@pytest.fixture
def clock(tmp_path: Path) -> SetClock:
    return SetClock(tmp_path)


@pytest.fixture
def runner(tmp_path: Path, clock: SetClock) -> Iterator[Runner]:
    """A runner of an interval and of a cron job, with jobs in memory, that logs every run."""
    write(tmp_path / "jobs.py", "def tick(): pass\n")
    write(tmp_path / "gsched.toml", f"""
        [log]
        level = "debug"
        run_events = "all"
        [[job]]
        id = "{INTERVAL}"
        func = "jobs:tick"
        trigger = {{ type = "interval", seconds = 0.3 }}
        [[job]]
        id = "{CRON}"
        func = "jobs:tick"
        trigger = {{ type = "cron", second = "*" }}
        """)  # fmt: skip
    with running(tmp_path, "-c", "gsched.toml", "--memory", **clock.variables) as runner:
        yield runner


def ids_of(runner: Runner, job_id: str) -> list[str]:
    """The ids of a job's runs, in the order in which they ended."""
    return [line["run_id"] for line in runner.lines("run.succeeded") if line["job_id"] == job_id]


def wait_for_more(runner: Runner, job_id: str) -> None:
    """Wait until two more runs of the job have ended."""
    enough = len(ids_of(runner, job_id)) + 2
    wait_until(lambda: len(ids_of(runner, job_id)) >= enough, runner.text)


@pytest.mark.parametrize(
    ("settings", "go_on"),
    [
        pytest.param([-HOUR], [INTERVAL], id="back"),
        pytest.param([-HOUR, RIGHT], [INTERVAL, CRON], id="back, and right again"),
        pytest.param([+HOUR], [INTERVAL, CRON], id="forward"),
        pytest.param([+HOUR, RIGHT], [INTERVAL], id="forward, and right again"),
        pytest.param([-HOUR, -2 * HOUR], [INTERVAL], id="back twice"),
    ],
)
def test_no_run_id_is_given_twice_when_the_clock_is_set(
    runner: Runner, clock: SetClock, settings: list[int], go_on: list[str]
) -> None:
    """Intervals go on whatever the clock shows; cron goes on where the clock shows what has not been decided."""
    wait_for_more(runner, INTERVAL)
    wait_for_more(runner, CRON)
    for count, seconds in enumerate(settings, 1):
        clock.set(seconds)
        runner.wait_for("clock.skewed", count)
        wait_for_more(runner, INTERVAL)
    for job_id in go_on:
        wait_for_more(runner, job_id)
    for job_id in (INTERVAL, CRON):
        ids = ids_of(runner, job_id)
        assert ids == sorted(set(ids))
    jumps = [after - before for before, after in zip([RIGHT, *settings], settings)]
    assert [round(line["seconds"]) for line in runner.lines("clock.skewed")] == jumps
    assert runner.end() == 0
