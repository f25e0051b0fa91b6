"""How a command's process ends."""

from __future__ import annotations

import os
import sys
from contextlib import suppress


def end(code: int) -> int:
    """End the process at once with this exit code; the code, if the interpreter has to end it.

    By then everything is closed and flushed. At the interpreter's exit, PyMongo would wait half a second for threads
    that are about to end. Code of users may have exit handlers of its own, which must run.
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
