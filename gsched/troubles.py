"""Troubles: what ended badly within the last minutes, by job, and by tag and error; and runs that last."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from gsched.run import Outcome

BAD: Final = tuple(str(o) for o in Outcome if o not in (Outcome.SUCCEEDED, Outcome.COALESCED))
LATELY_SECONDS: Final = 600.0
MOST_RECORDS: Final = 1000  # that are looked at
MOST_TROUBLES: Final = 20

_NO_FAILURES: Final = (Outcome.SKIPPED, Outcome.MISSED)
_LONGEST_ERROR: Final = 80
_VARIABLE: Final = re.compile(r"0x[0-9a-f]+|\d+|'[^']*'|\"[^\"]*\"", re.IGNORECASE)


class PastRun(NamedTuple):
    """What is looked at of a record.

    :ivar tag: the job's first tag, "" for none
    :ivar error: what its error said, or the reason
    :ivar seconds: how long it took, None if it did not begin
    """

    job_id: str
    tag: str
    outcome: str
    error_type: str | None
    error: str | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class JobTrouble:
    """What the history says of a job within the last minutes.

    :ivar failures: how many of its runs ended badly
    :ivar skips: how many times due instants were skipped
    :ivar misses: how many times due instants were missed
    :ivar longest: of its runs that are on record the longest, seconds; successes below 3 s mostly are not
    :ivar last_error: what the last one of these said
    """

    job_id: str
    failures: int
    skips: int
    misses: int
    longest: float | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class TroubleGroup:
    """What ended badly within the last minutes in the same way.

    :ivar tag: the first tag of the jobs, "" for none
    :ivar error: the error's type and message, or the reason; numbers and quoted texts, in which errors differ, are "#"
    :ivar count: how many records there are
    :ivar jobs: of how many jobs
    :ivar latest_job_id: of which job the last one is
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
    :ivar node: the node that runs it; None if it is in the process that was asked
    """

    job_id: str
    run_id: str
    seconds: float
    node: str | None = None


def troubles_of(past: Iterable[PastRun]) -> tuple[JobTrouble, ...]:
    """Jobs that fail or take long, the worst first.

    :param past: what ended badly, and what took long, the newest first
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
    """What ended badly, together where tag, outcome and error are the same; failures first, then the most.

    :param past: what ended, the newest first
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
    said = _VARIABLE.sub("#", " ".join((run.error or "").split()))[:_LONGEST_ERROR]
    return ": ".join(filter(None, (run.error_type, said)))
