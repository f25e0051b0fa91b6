"""Pauses of a store's jobs: those that are alike are shown together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from gsched.jobs.pause import BY_FAILURES, Pause
from gsched.monitoring.doctor import OK, WARNING, Finding

MOST_LOOKED_AT: Final = 1000  # paused jobs
_MOST_GROUPS: Final = 20
_MOST_NAMED: Final = 5


class PausedJob(NamedTuple):
    """A job that is paused now."""

    job_id: str
    pause: Pause


@dataclass(frozen=True, slots=True)
class PauseGroup:
    """Jobs that are paused for the same reason by the same person, until the same time.

    :ivar reason: why; None if nobody gave a reason
    :ivar by: who paused them; None if that is not known
    :ivar until: when they go on, UTC; None: when somebody resumes them
    :ivar cause: "user", or "failures" if too many runs failed in a row
    :ivar jobs: how many jobs, of the thousand that are looked at
    :ivar job_id: one of them
    :ivar since: when the first of them was paused, UTC; None if that is not known
    """

    reason: str | None
    by: str | None
    until: datetime | None
    cause: str
    jobs: int
    job_id: str
    since: datetime | None


def groups_of_pauses(paused: Iterable[PausedJob]) -> tuple[PauseGroup, ...]:
    """The groups, those of failures first, then the largest."""
    groups: dict[tuple[str | None, str | None, datetime | None, str], list[PausedJob]] = {}
    for each in paused:
        pause = each.pause
        groups.setdefault((pause.reason, pause.by, pause.until, pause.cause), []).append(each)
    made = [PauseGroup(*key, len(jobs), jobs[0].job_id, _first(jobs)) for key, jobs in groups.items()]
    made.sort(key=lambda group: (group.cause != BY_FAILURES, -group.jobs, group.job_id))
    return tuple(made[:_MOST_GROUPS])


def _first(jobs: Iterable[PausedJob]) -> datetime | None:
    return min((each.pause.at for each in jobs if each.pause.at is not None), default=None)


def paused_finding(paused: Sequence[PausedJob]) -> Finding:
    """The finding about jobs that are paused."""
    if not paused:
        return Finding("paused jobs", OK, "none")
    failing = [each for each in paused if each.pause.cause == BY_FAILURES]
    some = (failing or paused)[:_MOST_NAMED]
    named = "; ".join(f"{each.job_id}: {each.pause.words()}" for each in some)
    count = f"{len(paused)}{'+' if len(paused) == MOST_LOOKED_AT else ''}"
    if not failing:
        return Finding("paused jobs", OK, f"{count}: {named}{' ...' if len(paused) > len(some) else ''}")
    return Finding(
        "paused jobs", WARNING,
        f"{len(failing)} of {count} paused jobs failed too often: {named}{' ...' if len(failing) > len(some) else ''}",
        "mend them, then `gsched job resume ID`",
    )  # fmt: skip
