"""Runs the command line: the real executable, over pipes or in a pseudo-terminal, or the command in this process."""

from __future__ import annotations

import io
import os
import pty
import resource
import select
import subprocess
import sys
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from gevent import monkey
from waiting import LONGEST_SECONDS

from gsched.cli.app import run_command_line

EXECUTABLE = str(Path(sys.executable).with_name("gsched"))


class Done(NamedTuple):
    """What a command left: its output, its error output, its exit code."""

    out: str
    err: str
    code: int


class Used(NamedTuple):
    """What a command used of the machine: seconds of processor time, bytes of memory at most."""

    cpu_seconds: float
    memory: int


def environment(**variables: str) -> dict[str, str]:
    """This process's, for programs in the time zone UTC, with these."""
    return {**os.environ, "TZ": "UTC", **variables}


def begin(*arguments: str, directory: str | os.PathLike[str] | None = None, **variables: str) -> subprocess.Popen[str]:
    """A command that runs, its outputs in pipes."""
    return subprocess.Popen(
        [EXECUTABLE, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=directory, env=environment(**variables),
    )  # fmt: skip


def gsched(
    *arguments: str, stdin: str = "", directory: str | os.PathLike[str] | None = None, **variables: str
) -> Done:
    """Run a command over pipes."""
    done = subprocess.run(
        [EXECUTABLE, *arguments], input=stdin, capture_output=True, text=True, cwd=directory,
        env=environment(**variables), timeout=LONGEST_SECONDS, check=False,
    )  # fmt: skip
    return Done(done.stdout, done.stderr, done.returncode)


def measured(*arguments: str, **variables: str) -> tuple[str, Used]:
    """Run a command that succeeds: its output, and what it used."""
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen([EXECUTABLE, *arguments], stdout=out, env=environment(**variables))
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        out.seek(0)
        return out.read(), Used(_cpu_seconds(used), used.ru_maxrss * 1024)


def _cpu_seconds(used: resource.struct_rusage) -> float:
    return used.ru_utime + used.ru_stime


def on_terminal(*arguments: str, keys: str = "", columns: int = 80, **variables: str) -> Done:
    """Run a command in a pseudo-terminal: what it shows, and its exit code.

    :param keys: what is typed, when the first output is there
    """
    pid, terminal = pty.fork()
    if pid == 0:
        terminal_is = {"TERM": "xterm", "COLUMNS": str(columns), "LINES": "24"}
        os.execve(EXECUTABLE, [EXECUTABLE, *arguments], environment(**terminal_is, **variables))
    shown, typed = b"", False
    try:
        while select.select([terminal], [], [], LONGEST_SECONDS)[0]:
            try:
                part = os.read(terminal, 65_536)
            except OSError:  # its end, on Linux
                break
            if not part:
                break
            shown += part
            if not typed and keys:
                os.write(terminal, keys.encode())
                typed = True
    finally:
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
    return Done(shown.decode().replace("\r\n", "\n"), "", os.waitstatus_to_exitcode(status))


def in_shell(command: str) -> Done:
    """Run a shell's command line, in which "gsched" is the executable."""
    line = command.replace("gsched", EXECUTABLE, 1)
    done = subprocess.run(
        line, shell=True, capture_output=True, text=True, env=environment(), timeout=LONGEST_SECONDS, check=False
    )
    return Done(done.stdout, done.stderr, done.returncode)


def in_process(
    *arguments: str, stdin: str = "", directory: str | os.PathLike[str] | None = None, **variables: str
) -> Done:
    """Run a command in this process, with pipes that are none: at a twentieth of the cost.

    Not for those that patch the process: `run`, `check`, and all that import an application.
    """
    was_patched = monkey.is_module_patched("threading")
    streams = {"stdin": _stream(stdin), "stdout": _stream(), "stderr": _stream()}
    with (
        patch.dict(os.environ, environment(**variables)),
        patch.multiple(sys, **streams),
        chdir(directory or "."),
    ):
        code = run_command_line(list(arguments))
    assert monkey.is_module_patched("threading") == was_patched, "this command has patched the process of the tests"
    return Done(_written(streams["stdout"]), _written(streams["stderr"]), code)


def _stream(text: str = "") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8", write_through=True)


def _written(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()
