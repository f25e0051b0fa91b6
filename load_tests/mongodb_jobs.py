"""What the nodes of the MongoDB load tests run: each start becomes a line of the node's log.

The node program sets the log up. Lines are read by mongodb_cluster.py.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from gsched import current_run


class Log:
    """A file that only this process writes: "job scheduled_ms started_seconds value" a line.

    :param at_once: write each line at once, so that nothing is lost when the process is killed; else at the end, so
        that no job waits for a disk
    """

    def __init__(self, path: str, at_once: bool) -> None:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._path, self._lines = path, list[str]()
        self.add: Callable[[str], object] = self._lines.append
        if at_once:
            self.add = lambda line: os.write(file, line.encode())

    def close(self) -> None:
        """Write what was kept."""
        with Path(self._path).open("a") as file:
            file.writelines(self._lines)


log: Log | None = None


def noted(value: int = 0) -> None:
    """Note when this run started."""
    started = time.time()
    run = current_run()
    assert log is not None, "the node program sets it"
    log.add(f"{run.job_id} {run.scheduled_ms} {started:.6f} {value}\n")


def their_noted(job_id: str) -> None:
    """The same for a scheduler that does not tell a job which run it is."""
    assert log is not None, "the node program sets it"
    log.add(f"{job_id} 0 {time.time():.6f} 0\n")


def fetched(host: str, seconds: float) -> None:
    """Note when this run started, with 0, and when it ended, with 1: a request to the host that takes so long."""
    noted(0)
    time.sleep(seconds)
    noted(1)
