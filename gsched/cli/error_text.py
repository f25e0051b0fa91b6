"""The text of errors for users: a line for the error, and one for the remedy."""

from __future__ import annotations

from typing import Final

from gsched.errors import GschedError, StoreAccessError, StoreUnreachableError
from gsched.runner.exit_codes import CommandRefused
from gsched.wording import brief_message

_TRACEBACKS: Final = "This is a bug in gsched, or in code that it called; gsched -v shows where."


def error_text(error: Exception) -> tuple[str, str | None]:
    """The message of an error, and its remedy, if one is known."""
    if isinstance(error, CommandRefused):
        return str(error), error.remedy
    if isinstance(error, StoreUnreachableError):
        remedy = "Check the address or the path, and that the server runs."
        return f"the store does not answer: {brief_message(error)}", remedy
    if isinstance(error, StoreAccessError):
        return f"the store refuses access: {brief_message(error)}", "The user needs the right to read and write there."
    if isinstance(error, GschedError):
        return str(error), None
    if isinstance(error, OSError) and error.strerror:
        return ": ".join(filter(None, (error.filename, error.strerror))), None
    return f"{type(error).__name__}: {error}", _TRACEBACKS
