"""Groups: what each of them is doing, and what limits it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from gsched.jobs.limits import GroupLimit, GroupLimits
from gsched.jobs.pause import Pause
from gsched.times.instants import from_ms

MOST_COUNTED: Final = 10_000  # jobs that are in groups


@dataclass(frozen=True, slots=True)
class GroupActivity:
    """What a group with a limit or a pause is doing, in the process that owns its jobs.

    :ivar running: how many runs are in progress or wait for a worker
    :ivar waiting: how many jobs wait for their turn
    :ivar starts: how many runs began within the last minute
    :ivar held_since: since when a job has been waiting for its turn, without a break; None if none waits
    """

    group: str
    running: int
    waiting: int
    starts: int
    held_since: datetime | None = None

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> GroupActivity:
        """The same, made of the plain values of `gsched.hub.activity.activity_of`."""
        since = plain["held_since"]
        counts = plain["running"], plain["waiting"], plain["starts"]
        return cls(plain["group"], *counts, None if since is None else from_ms(since))


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """A group.

    :ivar jobs: how many jobs it has; None if there are more than 10,000 jobs in groups
    :ivar limit: its limit; None if it has none
    :ivar pause: its pause; None if it is not paused
    :ivar activity: what it is doing; None if no process tells
    """

    name: str
    jobs: int | None
    limit: GroupLimit | None
    pause: Pause | None
    activity: GroupActivity | None


def why_held(limits: GroupLimits, activities: Iterable[GroupActivity], group: str, now: int) -> str | None:
    """Why jobs of the group wait for their turn at `now` (ms), in words; None if none does."""
    pause, limit = limits.pause_of(group, now), limits.of(group)
    if pause is not None:
        return f"group {group} is {pause.words()}"
    doing = next((each for each in activities if each.group == group and each.waiting), None)
    if doing is None or limit is None:
        return None
    jobs = "1 job waits" if doing.waiting == 1 else f"{doing.waiting} jobs wait"
    if limit.concurrency is not None and doing.running >= limit.concurrency:
        return f"group {group} has {doing.running} of {limit.concurrency} runs in progress, and {jobs}"
    return f"group {group} has a limit ({limit.words()}), and {jobs}"


def groups_of(
    jobs: Mapping[str, int], limits: GroupLimits, activities: Iterable[GroupActivity], now: int, *, is_whole: bool
) -> list[GroupInfo]:
    """The groups, by name.

    :param jobs: how many jobs some groups have
    :param now: milliseconds since the epoch
    :param is_whole: these are all groups with all their jobs
    """
    doing = {activity.group: activity for activity in activities}
    exact = (pattern for pattern in (*limits.by_pattern, *limits.pauses) if not pattern.endswith("*"))
    return [
        GroupInfo(
            name, jobs.get(name, 0) if is_whole else None, limits.of(name), limits.pause_of(name, now), doing.get(name)
        )
        for name in sorted({*jobs, *doing, *exact})
    ]
