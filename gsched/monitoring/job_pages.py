"""Pages of jobs: each job with its counters and last outcomes beside its definition."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic, TypeVar

from gsched.history.queries import JobCounters
from gsched.jobs.job import Job

J = TypeVar("J")

PAGE: Final = 100  # jobs, if the query has no limit
MOST_COUNTED: Final = 10_000  # jobs; what is beyond is "10,000 and more"
MOST_TAGS: Final = 200
SECONDS: Final = 1.0  # that a search may take


@dataclass(frozen=True, slots=True)
class JobRow(Generic[J]):
    """A job in a list.

    :ivar job: the job; from a scheduler's verbs a handle on it
    :ivar counters: its counts, its last outcomes, and since when it fails
    :ivar added: when it was added, UTC
    :ivar changed: when it was changed last, UTC
    """

    job: J
    counters: JobCounters
    added: datetime | None = None
    changed: datetime | None = None


@dataclass(frozen=True, slots=True)
class JobPage(Generic[J]):
    """Some jobs of an ordered list.

    :ivar next: where the next page begins: `JobQuery.after`; None if there is none
    :ivar stopped_early: the search took too long: there may be more in between. Write more of the text, or search for
        how ids begin (`JobQuery.prefix`)
    """

    rows: tuple[JobRow[J], ...]
    next: str | None = None
    stopped_early: bool = False


StoredRow = JobRow[Job]
StoredPage = JobPage[Job]
