"""Troubles: failures within the last minutes, by job, and by tag and error; and long runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from gsched.jobs.outcomes import Outcome
from gsched.monitoring.error_groups import BAD, normalised

LATELY_SECONDS: Final = 600.0
MOST_RECORDS: Final = 1000  # that are looked at
MOST_TROUBLES: Final = 20

_NO_FAILURES: Final = (Outcome.SKIPPED, Outcome.MISSED)
_LONGEST_ERROR: Final = 80


class PastRun(NamedTuple):
    """The part of a record that troubles are made of.

    :ivar tag: the job's first tag, "" for none
    :ivar error: the message of its error, or the reason
    :ivar seconds: how long it took; None if it did not start
    """

    job_id: str
    tag: str
    outcome: str
    error_type: str | None
    error: str | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class JobTrouble:
    """The failures of a job within the last minutes.

    :ivar failures: how many of its runs failed, timed out, were cancelled or lost
    :ivar skips: how many times due instants were skipped
    :ivar misses: how many times due instants were missed
    :ivar longest: the duration of its longest recorded run, seconds; most successes below 3 s have no record
    :ivar last_error: the message of the last error
    """

    job_id: str
    failures: int
    skips: int
    misses: int
    longest: float | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class TroubleGroup:
    """Alike failures within the last minutes.

    :ivar tag: the first tag of the jobs, "" for none
    :ivar error: the error's type and message, or the reason; numbers and quoted texts are "#", because they differ
    :ivar count: how many records
    :ivar jobs: how many jobs
    :ivar latest_job_id: the job of the latest record
    """

    tag: str
    outcome: str
    error: str
    count: int
    jobs: int
    latest_job_id: str


@dataclass(frozen=True, slots=True)
class LongRun:
    """A run in progress.

    :ivar seconds: for how long it has been due
    :ivar node: the node that runs it; None: this process
    """

    job_id: str
    run_id: str
    seconds: float
    node: str | None = None


def troubles_of(past: Iterable[PastRun]) -> tuple[JobTrouble, ...]:
    """Jobs that fail or take long, the worst first.

    :param past: failures and long runs, the newest first
    """
    by_job: dict[str, list[PastRun]] = {}
    for run in past:
        by_job.setdefault(run.job_id, []).append(run)
    troubles = [_trouble(job_id, runs) for job_id, runs in by_job.items()]
    troubles.sort(key=lambda each: (-each.failures, -each.misses, -each.skips, -(each.longest or 0), each.job_id))
    return tuple(troubles[:MOST_TROUBLES])


def _trouble(job_id: str, runs: Sequence[PastRun]) -> JobTrouble:
    counts = Counter(run.outcome for run in runs)
    failures = sum(count for outcome, count in counts.items() if outcome in BAD and outcome not in _NO_FAILURES)
    longest = max((run.seconds for run in runs if run.seconds is not None), default=None)
    error = next((run.error for run in runs if run.outcome in BAD), None)
    return JobTrouble(job_id, failures, counts[Outcome.SKIPPED], counts[Outcome.MISSED], longest, error)


def groups_of(past: Iterable[PastRun]) -> tuple[TroubleGroup, ...]:
    """Failures, grouped by tag, outcome and error: failed runs first, then the largest group.

    :param past: ended runs, the newest first
    """
    groups: dict[tuple[str, str, str], list[PastRun]] = {}
    for run in past:
        if run.outcome in BAD:
            groups.setdefault((run.tag, run.outcome, _error_of(run)), []).append(run)
    made = [
        TroubleGroup(*key, len(runs), len({run.job_id for run in runs}), runs[0].job_id) for key, runs in groups.items()
    ]
    made.sort(key=lambda group: (group.outcome in _NO_FAILURES, -group.count, group.tag, group.error))
    return tuple(made[:MOST_TROUBLES])


def _error_of(run: PastRun) -> str:
    message = normalised(run.error)[:_LONGEST_ERROR]
    return ": ".join(filter(None, (run.error_type, message)))
