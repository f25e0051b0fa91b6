"""Processes that serve the dashboard, and requests to them over HTTP."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import environment
from waiting import LONGEST_SECONDS, wait_until

FROM_PAGE = {"X-Gsched": "1", "Sec-Fetch-Site": "same-origin", "Content-Type": "application/json"}


class Site:
    """A process that serves the dashboard.

    :ivar base: the address of its pages
    """

    def __init__(self, command: list[str], log: Path, **variables: str) -> None:
        self.log = log
        self._file = log.open("wb")
        self.process = subprocess.Popen(
            command, stdout=self._file, stderr=subprocess.STDOUT, cwd=log.parent, env=environment(**variables)
        )
        self.base = ""
        self.headers: dict[str, str] = {}

    def output(self) -> str:
        return self.log.read_text()

    def wait_for_address(self) -> Site:
        """Until a command of ours listens."""
        found = wait_until(lambda: re.search(r'"web.opened", "address": "([^"]+)"', self.output()), self.output)
        self.base = f"http://{found[1]}"
        return self

    def wait_for_answer(self, base: str) -> Site:
        """Until a server of others answers at this address."""
        self.base = base
        wait_until(self._answers, self.output)
        return self

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.output()
        try:
            return bool(self.get("me"))
        except OSError:
            return False

    def open(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> Any:
        data = None if body is None else json.dumps(body).encode()
        given = {**self.headers, **(FROM_PAGE if body is not None else {}), **headers}
        request = urllib.request.Request(f"{self.base}{path}", data, given, method=method)
        return urllib.request.urlopen(request, timeout=LONGEST_SECONDS)

    def get(self, path: str) -> Any:
        with self.open(f"/api/v1/{path}") as answer:
            return json.load(answer)

    def post(self, path: str, body: Any, method: str = "POST", **headers: str) -> Any:
        with self.open(f"/api/v1/{path}", method, body, **headers) as answer:
            return json.load(answer)

    def status(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> int:
        """The status of an answer, of a refusal, too."""
        try:
            with self.open(path, method, body, **headers) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def end(self) -> int:
        """The exit code after a TERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LONGEST_SECONDS)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._file.close()


Serve = Callable[..., Site]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts processes, and kills what is left of them."""
    started: list[Site] = []

    def start(*command: object, **variables: str) -> Site:
        started.append(Site([str(each) for each in command], tmp_path / f"log-{len(started)}", **variables))
        return started[-1]

    yield start
    for each in started:
        each.close()
