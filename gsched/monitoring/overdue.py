"""Overdue jobs: those of which no run has succeeded for longer than their `expect_success_every`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from gsched.monitoring.doctor import OK, PROBLEM, Finding
from gsched.times.durations import rough_duration
from gsched.times.instants import from_ms

MOST_LOOKED_AT: Final = 1000  # overdue jobs of a store
_MOST_NAMED: Final = 5


class OverdueJob(NamedTuple):
    """A job that is overdue. Times are ms since the epoch.

    :ivar since: when it succeeded last, or from when on its first success was expected
    :ivar overdue_at: since when it has been overdue
    :ivar is_told: the event `job.overdue` was published
    """

    job_id: str
    since: int
    overdue_at: int
    is_told: bool = False

    def words(self, now: int) -> str:
        """How long ago the job's last run succeeded, in words."""
        return f"no success for {rough_duration((now - self.since) / 1000)}"


@dataclass(frozen=True, slots=True)
class OverdueReport:
    """A store's answer to the question which jobs are overdue.

    :ivar jobs: these jobs, of all nodes, the longest overdue first; the first thousand
    :ivar at: when the store answered, ms
    :ivar age: how many seconds ago that was
    """

    jobs: Sequence[OverdueJob]
    at: int
    age: float

    def words(self) -> str:
        """The answer and its age, in a line."""
        asked = f"as of {self.age:.0f} s ago"
        if not self.jobs:
            return f"no job is overdue, {asked}"
        named = "; ".join(f"{each.job_id}: {each.words(self.at)}" for each in self.jobs[:_MOST_NAMED])
        return f"{counted(self.jobs)} overdue, {asked}: {named}{' ...' if len(self.jobs) > _MOST_NAMED else ''}"


@dataclass(frozen=True, slots=True)
class Overdue:
    """An overdue job in an overview.

    :ivar since: when it succeeded last, or from when on its first success was expected, UTC
    :ivar seconds: for how long it has been overdue
    """

    job_id: str
    since: datetime
    seconds: float


def in_overview(jobs: Sequence[OverdueJob], now: int) -> tuple[Overdue, ...]:
    """The jobs as an overview at `now` (ms) has them."""
    return tuple(Overdue(each.job_id, from_ms(each.since), (now - each.overdue_at) / 1000) for each in jobs)


def counted(jobs: Sequence[object]) -> str:
    """How many jobs there are, with the verb: "1 job is", "1,000+ jobs are"."""
    more = "+" if len(jobs) >= MOST_LOOKED_AT else ""
    return "1 job is" if len(jobs) == 1 else f"{len(jobs):,}{more} jobs are"


def overdue_finding(jobs: Sequence[OverdueJob], now: int) -> Finding:
    """The doctor's finding about overdue jobs at `now` (ms)."""
    if not jobs:
        return Finding("overdue jobs", OK, "none")
    named = "; ".join(f"{each.job_id}: {each.words(now)}" for each in jobs[:_MOST_NAMED])
    return Finding(
        "overdue jobs", PROBLEM, f"{counted(jobs)} overdue: {named}{' ...' if len(jobs) > _MOST_NAMED else ''}",
        "`gsched runs list --job ID` shows how its runs ended; `gsched job explain ID TIME` says why one did not run",
    )  # fmt: skip
