"""Nodes in processes of their own, and the `gsched` command, on one database: for the tests of what operators see."""

from __future__ import annotations

import json
import os
import pty
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from command_line import in_process
from waiting import LONGEST_SECONDS, wait_until

from gsched import GeventScheduler, MongoDBJobStore
from gsched.jobs.funcref import UnresolvedFunctions

HERE = Path(__file__).parent


class Lines:
    """A process whose output lines are read as they come."""

    def __init__(self, command: list[str], **options: Any) -> None:
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=HERE,
            env={**os.environ, "PYTHONPATH": str(HERE), **options.pop("env", {})}, **options,
        )  # fmt: skip
        self.seen: list[str] = []
        self.errors: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self._lines.put), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self.errors.append), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: Any, tell: Callable[[Any], object]) -> None:
        for line in stream:
            tell(line.rstrip("\n"))

    def wait_for(self, *texts: str, seconds: float = LONGEST_SECONDS) -> str:
        """The next line that has all of these texts."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(deadline - time.monotonic(), 0.01))
            except queue.Empty:
                raise AssertionError(f"no line with {texts}: {self.seen[-20:]} {self.errors}") from None
            self.seen.append(str(line))
            if all(text in str(line) for text in texts):
                return str(line)

    def wait_for_error(self, text: str) -> str:
        """A line on stderr with this text."""
        return str(wait_until(lambda: next((e for e in self.errors if text in e), None), f"{text}: {self.errors}"))

    def end(self, number: int = signal.SIGTERM, seconds: float = LONGEST_SECONDS) -> int:
        """Send a signal, and wait: the exit code."""
        self.process.send_signal(number)
        return self.wait(seconds)

    def wait(self, seconds: float = LONGEST_SECONDS) -> int:
        """Wait for its end: the exit code."""
        code = self.process.wait(seconds)
        for reader in self._readers:
            reader.join(5)
        return code


class Terminal:
    """A command on a pseudo-terminal."""

    def __init__(self, command: list[str], env: dict[str, str] | None = None) -> None:
        self.pid, self._end = pty.fork()
        if self.pid == 0:
            os.environ |= {"TERM": "xterm", "COLUMNS": "120", "LINES": "50", **(env or {})}
            os.execv(command[0], command)
        self.text = ""
        self._seen = 0  # where what was waited for ends
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            while data := os.read(self._end, 65536):
                self.text += data.decode(errors="replace")
        except OSError:  # the terminal's other end is closed
            pass

    def wait_for(self, text: str, seconds: float = LONGEST_SECONDS) -> None:
        """Until this appears, after what was waited for before: it may have come since."""
        position = wait_until(
            lambda: self.text.find(text, self._seen) + 1, f"{text!r} on the terminal: {self.text[-2000:]!r}", seconds
        )
        self._seen = position - 1 + len(text)

    def interrupt(self) -> int:
        """Ctrl-C: the exit code."""
        os.write(self._end, b"\x03")
        _, status = wait_until(lambda: (got := os.waitpid(self.pid, os.WNOHANG))[0] and got, "its end")
        return os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


class Rig:
    """A database, its nodes, and commands that look at it."""

    wait_until = staticmethod(wait_until)

    def __init__(self, uri: str, database: str, directory: Path) -> None:
        self.uri, self.database = uri, database
        self.file = directory / "gsched.toml"
        store = {"url": uri, "database": database, "node_ttl": 2, "modules": ["insight_jobs"]}
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in store.items()]
        self.file.write_text("[store]\n" + "".join(lines))
        self.store = MongoDBJobStore(uri, database=database, node_ttl=2)
        self.scheduler = GeventScheduler(
            jobstores={"default": self.store}, timezone="UTC", functions=UnresolvedFunctions()
        )
        self.started: list[Lines] = []
        self.terminals: list[Terminal] = []

    def close(self) -> None:
        for terminal in self.terminals:
            terminal.kill()
        for each in self.started:
            each.process.kill()
            each.wait()
        self.scheduler.close()

    # -- nodes ----------------------------------------------------------------------------------------------------

    def node(self, *how: str) -> Lines:
        """Start a node, and wait until it has joined."""
        command = [sys.executable, "-u", str(HERE / "insight_node.py"), self.uri, self.database, "2", *how]
        self.started.append(Lines(command))
        self.started[-1].wait_for("joined as")
        return self.started[-1]

    def node_of(self, process: Lines) -> Any:
        """What the store knows of a node's process."""
        known = [node for node in self.scheduler.admin.get_nodes() if node.pid == process.process.pid]
        return known[0] if known else None

    def wait_for_slots(self, process: Lines, *counts: int) -> None:
        """Until the node owns so many slots."""
        wait_until(lambda: self.node_of(process).slots in counts, f"{counts} slots")

    def add(self, job_id: str, func: str = "succeed", trigger: Any = None, **options: Any) -> Any:
        """Add a job; without a trigger one that is due in a year."""
        given = trigger or {"trigger": "interval", "days": 365}
        return self.scheduler.add_job(f"insight_jobs:{func}", id=job_id, **given, **options)

    def pretend_node(self, name: str, **fields: Any) -> str:
        """Write down a node that there is not, heard of just now."""
        now = datetime.now(UTC)
        known = {"state": "alive", "watermark": now, "acked": now, "beat": 1, "draining": False, "started_at": now}
        document = {"_id": name, **known, "host": "far", "pid": 1, "beat_at": now, **fields}
        self.jobs.nodes.insert_one(document)
        return name

    @property
    def jobs(self) -> Any:
        """The collection of jobs, to write what the store would not."""
        return self.store._connection.jobs()

    # -- commands -------------------------------------------------------------------------------------------------

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "gsched", *arguments, "-c", str(self.file)]

    def run(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        """Run a command to its end, in this process; what it said on stdout and stderr."""
        done = in_process(*arguments, "-c", str(self.file))
        assert done.code == code, done
        assert "Traceback" not in done.err
        return done.out, done.err

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "-o", "json", code=code)[0])

    def start(self, *arguments: str) -> Lines:
        """Start a command whose output is read as it comes."""
        self.started.append(Lines(self.command(*arguments)))
        return self.started[-1]

    def follow(self, *arguments: str) -> Lines:
        """Start a command that follows, and wait until it does."""
        started = self.start(*arguments)
        started.wait_for_error("following")
        return started

    def on_terminal(self, *arguments: str, **env: str) -> Terminal:
        """Start a command on a pseudo-terminal."""
        self.terminals.append(Terminal(self.command(*arguments), env))
        return self.terminals[-1]


@pytest.fixture
def rig(uri: str, database: Any, tmp_path: Path) -> Iterator[Rig]:
    """A rig on a database of the test's own."""
    made = Rig(uri, database.name, tmp_path)
    yield made
    made.close()
