"""Ends the process of a command."""

from __future__ import annotations

import os
import sys
from contextlib import suppress


def end(code: int) -> int:
    """End the process at once with this exit code. Gives the code if the interpreter must end the process.

    Everything is closed by then. At the interpreter's exit, PyMongo would wait half a second for its threads. If code
    of users was imported, the interpreter must end the process, because that code may have exit handlers.
    """
    if not _has_users_code():
        _flush()
        os._exit(code)
    return code


def _has_users_code() -> bool:
    """True if an application, or functions of one, were imported. Finding out imports nothing."""
    application = sys.modules.get("gsched.runner.application")
    return "gsched.runner.runner" in sys.modules or bool(application and application.imported)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # the reader is gone or the stream closed; the exit code was decided before
            stream.flush()
