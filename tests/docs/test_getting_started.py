"""The first minutes, as docs/getting-started.md tells them: its files are written, its commands are run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from waiting import LONGEST_SECONDS, wait_until

PAGE = Path(__file__).parents[2] / "docs" / "getting-started.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
HOME = "/home/ann/demo"  # the directory in which the page is
FILE = re.compile(r"`([\w.]+)`:\s*\Z")


class Step(NamedTuple):
    """A command of the page, and the output that is shown below it."""

    command: str
    output: list[str]

    @property
    def lasts(self) -> bool:
        """Whether it runs until Ctrl-C."""
        return self.command.startswith(("python ", "gsched run"))


def page() -> tuple[dict[str, str], list[Step]]:
    """The files and the commands of the page."""
    files, steps, text = {}, [], PAGE.read_text()
    for block in BLOCK.finditer(text):
        if block[1] == "console":
            for part in block[2].split("$ ")[1:]:
                command, *output = part.splitlines()
                steps.append(Step(command, output))
        elif named := FILE.search(text[: block.start()]):
            files[named[1]] = block[2]
    return files, steps


def shape(line: str) -> str:
    """What of a line is the same each time: no numbers, no widths of columns."""
    return re.sub(r"\s+", " ", re.sub(r"[\d.]*\d", "0", line)).strip()


class Terminal:
    """A directory, and the environment that commands have there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        own = {name: value for name, value in os.environ.items() if not name.startswith("GSCHED_")}
        self.environment = {**own, "PATH": f"{Path(sys.executable).parent}:{own['PATH']}", "TZ": "UTC"}

    def do(self, step: Step) -> str:
        """Run a command to its end: its output."""
        if step.command.startswith("export "):
            self.environment.update(pair.split("=") for pair in step.command.split()[1:])
            return ""
        done = subprocess.run(
            step.command, shell=True, cwd=self.directory, env=self.environment, capture_output=True, text=True,
            timeout=LONGEST_SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, (step.command, done.stdout, done.stderr)
        return done.stdout

    def begin(self, step: Step) -> subprocess.Popen[bytes]:
        """Start a command that goes on; its output is in the file `log`."""
        with open(self.directory / "log", "w") as log:
            return subprocess.Popen(
                ["/bin/sh", "-c", f"exec {step.command}"], cwd=self.directory, env=self.environment,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def wait_until(self, happened: Callable[[str], bool]) -> None:
        """Wait until the file `log` has what is wanted."""
        log = self.directory / "log"
        wait_until(lambda: happened(log.read_text().replace(str(self.directory), HOME)), log.read_text)


def shows(output: str, step: Step) -> bool:
    lines = {shape(line) for line in output.splitlines()}
    return {shape(line) for line in step.output} <= lines


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A fresh directory with the page's files."""
    for name, content in page()[0].items():
        (tmp_path / name).write_text(content)
    yield Terminal(tmp_path)


def test_the_page_does_what_it_says(terminal):
    goes_on: list[subprocess.Popen[bytes]] = []
    steps = page()[1]
    assert len(steps) > 10
    try:
        for step in steps:
            if step.lasts:
                end(goes_on)
                goes_on.append(terminal.begin(step))
                terminal.wait_until(lambda log, step=step: shows(log, step))
            else:
                output = terminal.do(step)
                assert shows(output, step), (step, output)
        terminal.wait_until(lambda log: "line='backing up'" in log)
        end(goes_on)
    finally:
        for process in goes_on:
            process.kill()


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    """Press Ctrl-C."""
    while processes:
        processes[-1].send_signal(signal.SIGINT)
        assert processes[-1].wait(LONGEST_SECONDS) == 0
        processes.pop()
