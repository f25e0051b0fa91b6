"""Every exception that gsched raises. All derive from GschedError; the class docstring is the default message."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_MESSAGE = 2000


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

    Create and start a scheduler in each child: gunicorn's post_worker_init hook, uWSGI's @postfork.
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


class InvalidJobError(JobError, ValueError):
    """A job's options or arguments cannot work."""


class NodeNotFoundError(GschedError, KeyError):
    """No node has this id."""

    def __init__(self, node_id: str) -> None:
        super().__init__(f"no node has the id {node_id!r}")
        self.node_id = node_id

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
    """

    def __init__(self, status: int, output: Iterable[str] = ()) -> None:
        self.status = status
        self.output = list(output)
        said = ": " + " | ".join(self.output) if self.output else ""
        super().__init__((f"ended by {_signal_name(-status)}" if status < 0 else f"exit status {status}") + said)


def _signal_name(number: int) -> str:
    from signal import Signals  # only this error needs it

    try:
        return Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


class EmbeddedMongoError(GschedError):
    """The embedded MongoDB cannot be found, started or stopped."""


class EmbeddedMongoUnusableError(EmbeddedMongoError):
    """The embedded MongoDB cannot be used until a person changes something: a directory's owner, what is installed."""


class RunInterrupted(BaseException):
    """Raised inside a run that is to stop. Not an Exception, so that `except Exception` in a job lets it through."""


class RunTimedOut(RunInterrupted):
    """The run takes longer than its job's timeout."""

    def __init__(self, timeout_seconds: float) -> None:
        super().__init__(f"the run took longer than {timeout_seconds:g} s")


class RunCancelled(RunInterrupted):
    """The run was cancelled: by cancel_run(), or because the scheduler shuts down."""


class StoreError(GschedError):
    """The job store's database refused an operation; its message says why."""


class StoreUnreachableError(StoreError):
    """The job store's database did not answer in time, has no primary, or the connection broke.

    Check the address, the network and that the server runs; nothing else is needed, the next call tries again.
    """


class StoreAccessError(StoreError):
    """The job store's database does not let this user in, or not do this. It needs readWrite on the database."""


class TooManyWaitingError(StoreError):
    """So many runs of the job that were asked for wait already. Ask again when some of them have begun."""


class StoreConflictError(StoreError):
    """Others kept changing the same jobs while they were being changed here; try again."""


def message_of(error: BaseException) -> str:
    """The error's message, shortened to LONGEST_MESSAGE characters and fit to be stored, whatever its `str()` does."""
    try:
        message = str(error)
    except Exception as other:
        message = f"<its str() raised {type(other).__name__}>"
    return message[:LONGEST_MESSAGE].encode(errors="replace").decode()
