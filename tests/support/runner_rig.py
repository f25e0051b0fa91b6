"""Drives the real `gsched run`: its log as parsed lines, real signals, its exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from command_line import environment
from waiting import LONGEST_SECONDS, wait_until

GSCHED = [sys.executable, "-m", "gsched"]


class Runner:
    """A `gsched run` in a directory; its standard error goes to a file there, its state into the folder `state`.

    :param within: a program with its arguments that starts it
    """

    def __init__(
        self, directory: Path, *arguments: str, command: tuple[str, ...] = (), within: tuple[str, ...] = (),
        **variables: str,
    ) -> None:  # fmt: skip
        self.directory = directory
        self.log = directory / f"log-{time.monotonic_ns()}"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*within, *GSCHED, *(command or ("run",)), *arguments],
                cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                env=environment(**{"STATE_DIRECTORY": str(directory / "state"), **variables}), start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self.process.pid

    def text(self) -> str:
        """All that it has logged."""
        return self.log.read_text()

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """Its log lines, all or those of one event."""
        whole = self.text().rpartition("\n")[0]
        said = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in said if event in (None, line["event"])]

    def wait_for(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until it has logged this event so often; all of these lines."""
        wait_until(lambda: len(self.lines(event)) >= count or self.process.poll() is not None, self.text)
        found = self.lines(event)
        assert len(found) >= count, f"{event} is missing (exit code {self.process.poll()}):\n{self.text()}"
        return found

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, number: signal.Signals | None = signal.SIGTERM) -> int:
        """Send it this signal and wait for its end: the exit code."""
        if number is not None:
            self.send(number)
        return self.process.wait(LONGEST_SECONDS)

    def kill(self) -> None:
        """Kill it and all that it has forked, if they are still there."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(LONGEST_SECONDS)


@contextmanager
def running(directory: Path, *arguments: str, until: str = "scheduler.started", **variables: str) -> Iterator[Runner]:
    """A runner that has logged `until`; killed at the end of the block if it still runs."""
    runner = Runner(directory, *arguments, **variables)
    try:
        runner.wait_for(until)
        yield runner
    finally:
        runner.kill()


def run_to_the_end(directory: Path, *arguments: str, **variables: str) -> tuple[int, str]:
    """Run `gsched run` until it ends by itself: the exit code, and what it said on standard error."""
    runner = Runner(directory, *arguments, **variables)
    try:
        return runner.end(None), runner.text()
    finally:
        runner.kill()


def write(path: Path, text: str) -> Path:
    """Write a file whose text is indented as in the test."""
    path.write_text(textwrap.dedent(text))
    return path
