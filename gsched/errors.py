"""Every exception that gsched raises. All derive from GschedError; the class docstring is the default message."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_MESSAGE = 2000
LONGEST_DELAY_SECONDS = 3650 * 86_400


class GschedError(Exception):
    """Base of all gsched errors."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or " ".join((type(self).__doc__ or "").split()))


class ConfigurationError(GschedError, ValueError):
    """A setting is unknown, missing or has a value that cannot work."""


class SchedulerAlreadyRunningError(GschedError):
    """The scheduler is already running; configure it before start() or shut it down first."""


class SchedulerNotRunningError(GschedError):
    """The scheduler is not running; call start() first."""


class ForkedError(GschedError):
    """The process was forked after the scheduler had started; the scheduler goes on in the parent only.

    Start the scheduler in each child, or one of its own: gunicorn's post_worker_init hook, uWSGI's @postfork.
    """


class NotInRunError(GschedError):
    """current_run() was called outside a run."""


class NothingRanError(GschedError):
    """A function returned a coroutine or another awaitable, so that nothing of it ran."""


class EventLoopStalledError(GschedError):
    """A call from another thread was withdrawn and not made, because the scheduler's event loop does not turn."""


class JobError(GschedError):
    """Something is wrong with one job."""


class JobNotFoundError(JobError, KeyError):
    """No job has this id."""

    def __init__(self, job_id: str, more: str = "") -> None:
        super().__init__(f"no job has the id {job_id!r}{more}")
        self.job_id = job_id

    __str__ = Exception.__str__  # KeyError would print the repr of the message


class JobIdConflictError(JobError):
    """A job with this id exists already."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"the job id {job_id!r} is taken; pass replace_existing=True to replace that job")
        self.job_id = job_id


# APScheduler 3's names
JobLookupError = JobNotFoundError
ConflictingIdError = JobIdConflictError


class InvalidJobError(JobError, ValueError):
    """A job's options or arguments cannot work."""


class NodeNotFoundError(GschedError, KeyError):
    """No node has this id."""

    def __init__(self, node_id: str) -> None:
        super().__init__(f"no node has the id {node_id!r}")
        self.node_id = node_id

    __str__ = Exception.__str__  # KeyError would print the repr of the message


class RunNotFoundError(GschedError, KeyError):
    """The history has no record of a run with this id: it is not due yet, it succeeded, or its records have expired."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"the history has no run {run_id!r}")
        self.run_id = run_id

    __str__ = Exception.__str__  # KeyError would print the repr of the message


class LimitNotFoundError(GschedError, KeyError):
    """No limit has this pattern."""

    def __init__(self, pattern: str) -> None:
        super().__init__(f"there is no limit {pattern!r}; get_limits() and `gsched limit list` name all of them")
        self.pattern = pattern

    __str__ = Exception.__str__  # KeyError would print the repr of the message


class GroupNotPausedError(GschedError, KeyError):
    """No such group is paused."""

    def __init__(self, group: str) -> None:
        super().__init__(f"the group {group!r} is not paused; a pause of 'host:*' is ended by that name")
        self.group = group

    __str__ = Exception.__str__  # KeyError would print the repr of the message


class FuncRefError(JobError, LookupError):
    """A function reference cannot be made or resolved."""


class InvalidTriggerError(GschedError, ValueError):
    """A trigger's arguments are not understood or can never work."""


class WorkerDiedError(GschedError):
    """A worker process ended while it executed a run."""


class CommandFailedError(GschedError):
    """A shell command ended with a status that is not 0, or by a signal.

    :ivar status: the exit status, or minus the number of the signal
    :ivar output: the last lines that it wrote
    :ivar limit: the limit of the job that made it fail, such as "cpu_time_max = 10s"
    """

    def __init__(self, status: int, output: Iterable[str] = (), limit: str | None = None) -> None:
        self.status = status
        self.output = list(output)
        self.limit = limit
        end = f"ended by {signal_name(-status)}" if status < 0 else f"exit status {status}"
        if limit is not None:
            end = f"the command reached {limit}: {end}"
        super().__init__(": ".join([end, " | ".join(self.output)]) if self.output else end)


def signal_name(number: int) -> str:
    """The name of a signal, such as "SIGKILL"."""
    from signal import Signals  # only this error needs it

    try:
        return Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


class EmbeddedMongoError(GschedError):
    """The embedded MongoDB cannot be found, started or stopped."""


class EmbeddedMongoUnusableError(EmbeddedMongoError):
    """The embedded MongoDB cannot be used until the machine is repaired: a directory's owner, a missing package."""


class RunInterrupted(BaseException):
    """Raised inside a run that is to stop. Not an Exception, so that `except Exception` in a job lets it through."""


class RunTimedOut(RunInterrupted):
    """The run takes longer than its job's timeout."""

    def __init__(self, timeout_seconds: float) -> None:
        super().__init__(f"the run took longer than {timeout_seconds:g} s")


class RunCancelled(RunInterrupted):
    """The run was cancelled: by cancel_run(), or because the scheduler shuts down."""


class Retry(GschedError):
    """Raised by a job: this attempt has failed, and another one is to begin later.

    :ivar delay: seconds from the end of this attempt; None: as the job's `retry_delay` says
    :ivar at: the time at which the next attempt begins, instead of a delay
    :ivar count: False: the attempt spends none of the job's `retries`
    :raises ValueError: for a delay that is no time from now on, a time without a zone, or both
    """

    def __init__(
        self, delay: float | timedelta | None = None, at: datetime | None = None, count: bool = True
    ) -> None:
        self.delay = delay.total_seconds() if isinstance(delay, timedelta) else delay
        self.at = at
        self.count = count
        if self.delay is not None and (at is not None or not _is_delay(self.delay)):
            raise ValueError(f"Retry: expected either a delay from 0 (seconds or a timedelta) or a time, got {delay!r}")
        if at is not None and (not isinstance(at, datetime) or at.tzinfo is None):
            raise ValueError(f"Retry: at: expected a datetime with its zone, got {at!r}")
        super().__init__(f"the job asks for another attempt{self._when()}")

    def _when(self) -> str:
        if self.at is not None:
            return f" at {self.at.isoformat()}"
        return "" if self.delay is None else f" in {self.delay:g} s"

    def __reduce__(self) -> tuple[type[Retry], tuple[float | None, datetime | None, bool]]:
        return type(self), (self.delay, self.at, self.count)


class RateLimited(Retry):
    """Raised by a job: a server asks for fewer calls. No run of the job's group begins for so long, and this run is the
    first to begin again. If the group has no limit, only this run waits, as with Retry(seconds, count=False).

    :ivar seconds: how long, from the end of this attempt
    :raises ValueError: for seconds that are no time from now on
    """

    def __init__(self, seconds: float | timedelta) -> None:
        self.seconds: float = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
        if not _is_delay(self.seconds):
            raise ValueError(f"RateLimited: expected seconds from 0, or a timedelta, got {seconds!r}")
        super().__init__(self.seconds, count=False)

    def __reduce__(self) -> tuple[type[RateLimited], tuple[float]]:  # type: ignore[override]
        return type(self), (self.seconds,)


def _is_delay(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= LONGEST_DELAY_SECONDS


class GiveUp(GschedError):
    """Raised by a job: the run has failed, and no attempt follows, whatever its `retries`."""


class StoreError(GschedError):
    """The job store's database refused an operation; the message has the reason."""


class StoreUnreachableError(StoreError):
    """The job store's database did not answer in time, has no primary, or the connection broke.

    Check the address, the network and that the server runs; nothing else is needed, the next call tries again.
    """


class StoreAccessError(StoreError):
    """The job store's database refuses this user, or the operation. The user needs readWrite on the database."""


class TooManyWaitingError(StoreError):
    """Too many requested runs of the job wait already. Request again when some of them have started."""


class StoreConflictError(StoreError):
    """Other processes kept changing the same jobs at the same time; try again."""


class RemoteTraceback(Exception):
    """The cause of an exception from a worker process: its traceback there, as text. It is never raised itself."""


def message_of(error: BaseException) -> str:
    """The error's message, shortened to LONGEST_MESSAGE characters and fit to be stored, whatever its `str()` does."""
    try:
        message = str(error)
    except Exception as other:
        message = f"<its str() raised {type(other).__name__}>"
    return message[:LONGEST_MESSAGE].encode(errors="replace").decode()


def error_names(error: BaseException) -> frozenset[str]:
    """The names that match this error in `retry_on` and `give_up_on`: those of its class and of its base classes."""
    known: frozenset[str] | None = getattr(error, "names_in_worker", None)
    return names_of_class(type(error)) if known is None else known


def names_of_class(kind: type) -> frozenset[str]:
    """The names of the class and of its base classes, each with and without its module."""
    names = set()
    for each in kind.__mro__:
        names |= {each.__name__, each.__qualname__, f"{each.__module__}.{each.__qualname__}"}
    return frozenset(names)
