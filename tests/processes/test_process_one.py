"""The runner as process 1, as in a container."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from runner_rig import Runner, write
from waiting import wait_until

NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
WITH_ORPHAN = (*NAMESPACE, "sh", "-c", '(sleep 0.1 &); exec "$@"', "sh")


def may_unshare() -> bool:
    return shutil.which("unshare") is not None and subprocess.run([*NAMESPACE, "true"], check=False).returncode == 0


@pytest.mark.skipif(os.getuid() != 0 or not may_unshare(), reason="only root may make a namespace of processes")
def test_orphans_are_reaped_and_the_runners_own_children_have_their_status(tmp_path: Path) -> None:
    write(
        tmp_path / "jobs.py",
        """
        import os, subprocess
        from pathlib import Path
        import structlog
        from gsched import GeventScheduler

        def look():
            if not Path("/proc/self/task/1/children").read_text():  # those that are left to be reaped, too
                status = subprocess.run(["sh", "-c", "(sleep 0.01 &); exit 7"]).returncode
                structlog.get_logger("app").info("looked", pid=os.getpid(), status=status)

        scheduler = GeventScheduler()
        scheduler.add_job(look, "interval", seconds=0.1, id="look")
        """,
    )
    runner = Runner(tmp_path, "-A", "jobs", "--memory", within=WITH_ORPHAN)
    try:
        wait_until(lambda: len(runner.lines("looked")) >= 3, runner.text)
        assert {(line["pid"], line["status"]) for line in runner.lines("looked")} == {(1, 7)}
    finally:
        runner.kill()
