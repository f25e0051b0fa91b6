"""Programs in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap


def run_program(
    program: str, *flags: str, interrupt_after: str | None = None, timeout: float = 30
) -> tuple[str, str, int]:
    """Run a Python program: its output, its error output and its exit code.

    :param interrupt_after: send SIGINT once it has printed this
    """
    process = subprocess.Popen(
        [sys.executable, "-u", *flags, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "TZ": "UTC"},
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    out = ""
    try:
        if interrupt_after is not None:
            while interrupt_after not in out:
                line = process.stdout.readline()
                assert line, process.stderr.read()
                out += line
            process.send_signal(signal.SIGINT)
        rest, error = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return out + rest, error, process.returncode
