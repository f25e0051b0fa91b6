"""Functions for worker processes; importing this module is cheap."""

from __future__ import annotations

import os
import time
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from gsched.errors import RunInterrupted
from gsched.jobs.run import current_run

seen: ContextVar[str] = ContextVar("seen", default="nothing")


class WantsTwo(Exception):
    """Cannot be made again from its pickle."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


class Unpicklable(Exception):
    def __reduce__(self) -> Any:
        raise TypeError("not me")


class LoadsBadly:
    def __reduce__(self) -> Any:
        return (os.path.join, (1,))


class SlowToLoad:
    """Is loaded when somebody writes into a fifo."""

    def __init__(self, fifo: str) -> None:
        self._fifo = fifo

    def __reduce__(self) -> Any:
        return (echo, (self._fifo,))


def add(a: int, b: int = 0) -> int:
    return a + b


def fail(error: type[BaseException], *args: Any) -> None:
    raise error(*args)


def generator() -> Any:
    yield


def badly() -> LoadsBadly:
    return LoadsBadly()


def describe() -> dict[str, Any]:
    run = current_run()
    run.log.bind(a="logger is there")
    names = ("id", "job_id", "scheduled_at", "started_at", "attempt", "fence", "cancelled")
    return {name: getattr(run, name) for name in names}


def remember(value: str) -> None:
    seen.set(value)


def recall() -> str:
    return seen.get()


def die(status: int) -> None:
    os._exit(status)


def sockets() -> int:
    """How many sockets this process has open."""
    links = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return sum(link.startswith("socket:") for link in links)


def echo(path: str) -> str:
    """What somebody writes into the fifo `path`."""
    return Path(path).read_text()


def compute_for_ever(begun: str, cleaned: str) -> None:
    """Opens the fifo `begun`, then uses the CPU."""
    try:
        Path(begun).write_text("begun")
        while True:
            pass
    finally:
        Path(cleaned).write_text(f"cancelled={current_run().cancelled}")


def block_for_ever(begun: str, cleaned: str) -> None:
    """Opens the fifo `begun`, then waits in one long call."""
    try:
        Path(begun).write_text("begun")
        time.sleep(1_000_000)
    finally:
        Path(cleaned).write_text(f"cancelled={current_run().cancelled}")


def swallow(begun: str) -> None:
    """Does not stop when it is told to."""
    Path(begun).write_text("begun")
    while True:
        try:
            time.sleep(1_000_000)
        except RunInterrupted:
            pass
