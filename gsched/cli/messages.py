"""What commands say of errors, to people: in a line, with what to do about it on the next."""

from __future__ import annotations

from typing import Final

from gsched.errors import GschedError, StoreAccessError, StoreUnreachableError
from gsched.runner.exits import CommandRefused
from gsched.wording import said_by

_TRACEBACKS: Final = "This is a bug in gsched, or in code that it called; gsched -v shows where."


def explained(error: Exception) -> tuple[str, str | None]:
    """What went wrong, and what to do about it."""
    if isinstance(error, CommandRefused):
        return str(error), error.remedy
    if isinstance(error, StoreUnreachableError):
        return f"the store does not answer: {said_by(error)}", "Check the address, and that the server runs."
    if isinstance(error, StoreAccessError):
        return f"the store does not let us in: {said_by(error)}", "It needs readWrite on the database."
    if isinstance(error, GschedError):
        return str(error), None
    if isinstance(error, OSError) and error.strerror:
        return ": ".join(filter(None, (error.filename, error.strerror))), None
    return f"{type(error).__name__}: {error}", _TRACEBACKS
