"""Why a request is refused: a status, a code for programs, a message and a remedy for people."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from gsched import errors
from gsched.wording import brief_message


class RequestRefused(Exception):
    """A request is answered with an error.

    :ivar status: the HTTP status
    :ivar code: what programs read
    :ivar remedy: what to do about it; None if the message says it
    :ivar headers: of the answer
    :ivar known: what is known all the same, beside the error
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        remedy: str | None = None,
        *,
        headers: dict[str, str] | None = None,
        known: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.remedy = remedy
        self.headers = headers or {}
        self.known = known or {}

    def as_object(self) -> dict[str, Any]:
        """The body of the answer."""
        return {"error": {"code": self.code, "message": str(self), "remedy": self.remedy}, **self.known}


def invalid(message: str, remedy: str | None = None) -> RequestRefused:
    """The request itself cannot be right."""
    return RequestRefused(400, "invalid", message, remedy)


class _Meaning(NamedTuple):
    error: type[BaseException]
    status: int
    code: str
    remedy: str | None = None


# The first that fits counts.
_READ_AGAIN: Final = "read the job again, and repeat the change if it is still meant"
_MEANINGS: Final = (
    _Meaning(errors.JobNotFoundError, 404, "not_found", "GET api/v1/jobs lists the jobs"),
    _Meaning(errors.RunNotFoundError, 404, "not_found", "GET api/v1/runs lists the runs; job/explain explains others"),
    _Meaning(errors.NodeNotFoundError, 404, "not_found", "GET api/v1/nodes lists the nodes"),
    _Meaning(errors.StoreConflictError, 409, "conflict", _READ_AGAIN),
    _Meaning(errors.JobIdConflictError, 409, "conflict"),
    _Meaning(errors.TooManyWaitingError, 409, "conflict"),
    _Meaning(errors.StoreUnreachableError, 503, "store_away", "check that the database runs, and ask again"),
    _Meaning(errors.StoreAccessError, 503, "store_away", "the server's database user needs to read and write there"),
    _Meaning(errors.StoreError, 503, "store_away", "`gsched doctor` looks for what is wrong with the store"),
    _Meaning(errors.SchedulerNotRunningError, 503, "not_running", "start the scheduler: only it can reach its store"),
    _Meaning(errors.ForkedError, 503, "not_running"),
    _Meaning(errors.EventLoopStalledError, 503, "busy", "a job holds the event loop: the log has hub.blocked"),
    _Meaning(errors.InvalidJobError, 400, "invalid"),
    _Meaning(errors.InvalidTriggerError, 400, "invalid"),
    _Meaning(errors.FuncRefError, 400, "invalid"),
    _Meaning(errors.ConfigurationError, 400, "invalid"),
)


def refused_by(error: Exception) -> RequestRefused | None:
    """The answer for one of the scheduler's errors; None for an error that nobody expects."""
    for meaning in _MEANINGS:
        if isinstance(error, meaning.error):
            assert isinstance(error, errors.GschedError)
            again = {"Retry-After": "5"} if meaning.status == 503 else {}
            return RequestRefused(meaning.status, meaning.code, brief_message(error), meaning.remedy, headers=again)
    return None
