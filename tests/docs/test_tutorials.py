"""The first minutes, as the tutorials tell them: their files are written, their commands are run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

import pytest
from ports import free_port
from waiting import LONGEST_SECONDS, wait_until

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / "getting-started.md", *sorted((DOCS / "tutorials").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
HOME = "/home/ann/demo"  # the directory in which the page is
FILE = re.compile(r"`([\w./]+)`:\s*\Z")
PORT = "8000"  # of the pages; a test has one of its own
GOES_ON = ("gsched run", "gunicorn ", "python manage.py runserver", "python first.py", "python serve", "uvicorn ")
LOOKS = ("curl -s http", "gsched errors", "gsched job list")  # changes nothing, and may show what is not there at once
CURL = re.compile(r"curl -s (?:-X (\w+) )?(\S+)")  # the test asks by itself: not every machine has curl


class File(NamedTuple):
    """A file that the reader writes."""

    name: str
    content: str


class Shown(NamedTuple):
    """Lines that the program which goes on writes some time."""

    lines: list[str]


class Step(NamedTuple):
    """A command of the page, and the output that is shown below it."""

    command: str
    output: list[str]

    @property
    def lasts(self) -> bool:
        """Whether it runs until Ctrl-C."""
        return self.command.startswith(GOES_ON)


def things_to_do(page: Path) -> Iterator[File | Shown | Step]:
    """The files, commands and lines of a page, in order, with a free port."""
    text = re.sub(rf"\b{PORT}\b", str(free_port()), page.read_text())
    for block in BLOCK.finditer(text):
        if block[1] == "console":
            for part in block[2].split("$ ")[1:]:
                command, *output = part.splitlines()
                yield Step(command, output)
        elif named := FILE.search(text[: block.start()]):
            yield File(named[1], block[2])
        elif block[1] == "text":
            yield Shown(block[2].splitlines())


def shape(line: str) -> str:
    """What of a line is the same each time: no ids of requests, no numbers, no widths of columns."""
    return re.sub(r"\s+", " ", re.sub(r"[\d.]*\d", "0", re.sub(r"\b[0-9a-f]{32}\b", "", line))).strip()


class Terminal:
    """A directory, and the environment that commands have there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        own = {name: value for name, value in os.environ.items() if not name.startswith("GSCHED_")}
        self.environment = {**own, "PATH": f"{Path(sys.executable).parent}:{own['PATH']}", "TZ": "UTC"}

    def write(self, file: File) -> None:
        path = self.directory / file.name
        path.parent.mkdir(exist_ok=True)
        path.write_text(file.content)

    def do(self, step: Step) -> str:
        """Run a command to its end: its output."""
        if asked := CURL.fullmatch(step.command):
            with urlopen(Request(asked[2], method=asked[1] or "GET"), timeout=LONGEST_SECONDS) as answer:
                return str(answer.read(), "utf-8")
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


def shows(output: str, wanted: list[str]) -> bool:
    lines = {shape(line) for line in output.splitlines()}
    return {shape(line) for line in wanted} <= lines


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    goes_on: list[subprocess.Popen[bytes]] = []
    steps = 0
    try:
        for thing in things_to_do(page):
            if isinstance(thing, File):
                terminal.write(thing)
            elif isinstance(thing, Shown):
                terminal.wait_until(partial(shows, wanted=thing.lines))
            elif thing.lasts:
                end(goes_on)
                goes_on.append(terminal.begin(thing))
                terminal.wait_until(partial(shows, wanted=thing.output))
            elif thing.command.startswith(LOOKS):
                wait_until(lambda step=thing: shows(terminal.do(step), step.output), thing.command)
            else:
                output = terminal.do(thing)
                assert shows(output, thing.output), (thing, output)
            steps += 1
        end(goes_on)
    finally:
        for process in goes_on:
            process.kill()
    assert steps > 2


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    """Press Ctrl-C."""
    while processes:
        processes[-1].send_signal(signal.SIGINT)
        assert processes[-1].wait(LONGEST_SECONDS) in (0, -signal.SIGINT)  # that of a program which does not handle it
        processes.pop()
