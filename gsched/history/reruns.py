"""Runs that ended without success and run again: the attempts that are to follow, and why some do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from gsched.history.queries import RunInfo
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome
from gsched.jobs.run import run_id
from gsched.times.instants import to_ms
from gsched.triggers.base import TRIGGER_ERRORS

MOST_WAITING: Final = 10_000  # runs of one job
WITHOUT_SUCCESS: Final = tuple(
    map(str, (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.LOST, Outcome.MISSED, Outcome.SKIPPED, Outcome.CANCELLED))
)
SEVERAL: Final = "the record is about several instants"
_LEAST: Final = timedelta(milliseconds=1)


class NextAttempt(NamedTuple):
    """The attempt that is to follow the last one of a run.

    :ivar scheduled: when the run was due (ms)
    :ivar request: the name of a run on request
    """

    job_id: str
    scheduled: int
    attempt: int
    request: str | None = None

    @property
    def run_id(self) -> str:
        return run_id(self.job_id, self.scheduled, self.request)


class Obstacle(StrEnum):
    """Why a store does not let an attempt wait. The first three are the states of an attempt that there is already."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"
    REMOVED = "removed"
    TOO_MANY = "too_many"
    REFUSED = "refused"

    def words(self, attempt: int) -> str:
        """The obstacle of this attempt, for people."""
        return _WORDS[self].format(attempt=attempt)


_WORDS: Final = {
    Obstacle.WAITING: "attempt {attempt} waits already",
    Obstacle.RUNNING: "attempt {attempt} is in progress",
    Obstacle.ENDED: "attempt {attempt} has ended already",
    Obstacle.REMOVED: "the job was removed",
    Obstacle.TOO_MANY: f"{MOST_WAITING:,} runs of the job wait already",
    Obstacle.REFUSED: "the database refuses the document",
}


@dataclass(frozen=True, slots=True)
class RetriedRun:
    """What `retry_runs` has done about a run.

    :ivar scheduled_at: when the run was due, UTC
    :ivar outcome: how its last attempt ended
    :ivar attempt: the number of the attempt that was added; None if none was
    :ivar left_out: why no attempt was added; None if one was
    """

    job_id: str
    run_id: str
    scheduled_at: datetime
    outcome: str
    attempt: int | None
    left_out: str | None


def next_attempt(record: RunInfo) -> NextAttempt:
    """The attempt that follows a record. An instant that ended without a run counts as the first attempt: a node that
    takes over finds the second one, and leaves the first alone."""
    return NextAttempt(record.job_id, to_ms(record.scheduled_at), max(record.attempt, 1) + 1, record.request)


def may_be_several(record: RunInfo) -> bool:
    """True if only the job's trigger says whether the record is about one instant."""
    return record.until is not None and record.until - record.scheduled_at > _LEAST


def has_several(record: RunInfo, job: Job) -> bool:
    """True if the record is about several instants of the job, as its trigger is now, or if that is not known."""
    try:
        following = job.next_ms(to_ms(record.scheduled_at))
    except TRIGGER_ERRORS:
        return True
    return record.until is not None and following is not None and following < to_ms(record.until)


def obstacles(
    attempts: Iterable[NextAttempt],
    states: Mapping[NextAttempt, str],
    jobs: Collection[str],
    waiting: Mapping[str, int],
) -> dict[NextAttempt, Obstacle]:
    """Why some of these attempts are not added.

    :param states: those that there are already, each "waiting", "running" or "ended"
    :param jobs: the ids of those of their jobs that there are
    :param waiting: how many runs of a job wait, by the job's id
    """
    found: dict[NextAttempt, Obstacle] = {}
    count = Counter(waiting)
    for attempt in attempts:
        if attempt in states:
            found[attempt] = Obstacle(states[attempt])
        elif attempt.job_id not in jobs:
            found[attempt] = Obstacle.REMOVED
        elif count[attempt.job_id] >= MOST_WAITING:
            found[attempt] = Obstacle.TOO_MANY
        else:
            count[attempt.job_id] += 1
    return found
