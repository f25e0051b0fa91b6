"""Exit codes, and the code of each error."""

from __future__ import annotations

from enum import IntEnum

from gsched import errors


class Exit(IntEnum):
    """The exit codes of commands."""

    OK = 0
    FAILED = 1  # the operation failed
    USAGE = 2
    INVALID = 3  # application or configuration
    UNREACHABLE = 4  # the store
    NOT_FOUND = 5
    CONFLICT = 6
    UNHEALTHY = 7
    DRAIN_TIMED_OUT = 8
    INTERRUPTED = 130


class CommandRefused(Exception):
    """A command cannot do what it was asked to; the message is for people.

    :param code: the exit code
    :param remedy: what to do about it, on a line of its own
    """

    def __init__(self, message: str, code: Exit = Exit.FAILED, remedy: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.remedy = remedy


# The first that fits counts.
_CODES: tuple[tuple[type[BaseException], Exit], ...] = (
    (errors.JobNotFoundError, Exit.NOT_FOUND),
    (errors.NodeNotFoundError, Exit.NOT_FOUND),
    (errors.RunNotFoundError, Exit.NOT_FOUND),
    (errors.LimitNotFoundError, Exit.NOT_FOUND),
    (errors.GroupNotPausedError, Exit.NOT_FOUND),
    (errors.JobIdConflictError, Exit.CONFLICT),
    (errors.StoreConflictError, Exit.CONFLICT),
    (errors.StoreUnreachableError, Exit.UNREACHABLE),
    (errors.StoreAccessError, Exit.UNREACHABLE),
    (errors.EmbeddedMongoUnusableError, Exit.INVALID),
    (errors.EmbeddedMongoError, Exit.UNREACHABLE),
    (errors.ConfigurationError, Exit.INVALID),
    (errors.InvalidJobError, Exit.USAGE),
    (errors.InvalidTriggerError, Exit.USAGE),
    (errors.GschedError, Exit.FAILED),
)


def code_of(error: BaseException) -> Exit:
    """The exit code that an error of ours gives."""
    if isinstance(error, CommandRefused):
        return error.code
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.FAILED)
