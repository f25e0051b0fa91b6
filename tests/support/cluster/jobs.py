"""What the nodes run. Every run appends a line to a file, in one write, when it starts and when it ends."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import gevent

from gsched import current_run


class Recorder:
    """Writes down what this process runs; set up by the node program."""

    node = "?"
    path: str | None = None
    in_run: Callable[[], object] = staticmethod(lambda: None)  # called between start and end

    def write(self, what: str, **said: Any) -> None:
        """One line, one write: lines of several processes do not mix."""
        run = current_run()
        line = {
            "what": what,
            "node": self.node,
            "job": run.job_id,
            "at": run.scheduled_ms,
            "time": time.time(),
            "attempt": run.attempt,
            "fence": run.fence,
            "request": run.request,
            **said,
        }
        append(self.path, line)


recorder = Recorder()


def append(path: str | None, line: dict[str, Any]) -> None:
    """Append a line to a file that other processes append to as well."""
    assert path is not None, "the node program sets it"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(file, (json.dumps(line, default=str) + "\n").encode())
    finally:
        os.close(file)


def tick() -> None:
    """A short run."""
    recorder.write("start")
    recorder.in_run()
    recorder.write("end")


def work(seconds: float) -> None:
    """A run that waits, as for a network."""
    recorder.write("start")
    recorder.in_run()
    gevent.sleep(seconds)
    recorder.write("end")


def work_long_on(node: str) -> None:
    """A run that outlasts any test on one node, and is short on the others."""
    recorder.write("start")
    gevent.sleep(600 if recorder.node == node else 0.1)
    recorder.write("end")


def fail() -> None:
    """A short run that fails: of that nobody must be silent."""
    tick()
    raise RuntimeError("as it is meant to")


def flaky(succeeds_at: int) -> None:
    """A short run that fails in its first attempts."""
    tick()
    if current_run().attempt < succeeds_at:
        raise RuntimeError("as it is meant to")


def numbered(number: int, seconds: float, succeeds_at: int) -> None:
    """A run whose lines tell by which definition of its job it ran. It fails in its first attempts."""
    recorder.write("start", number=number)
    gevent.sleep(seconds)
    recorder.write("end", number=number)
    if current_run().attempt < succeeds_at:
        raise RuntimeError("as it is meant to")


def vanishing() -> None:
    """A function that older nodes do not have: the node program can take it away."""
    tick()


def __getattr__(name: str) -> Any:
    """To be asked for one of its names ends the program."""
    if name == "exiting":
        sys.exit("usage: jobs COMMAND")
    raise AttributeError(name)
