"""Which jobs to list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gsched.checks import checked_whole
from gsched.errors import InvalidJobError
from gsched.jobs.cursor import BY_ID, BY_NAME, BY_TIME, JobCursor
from gsched.jobs.job import Job
from gsched.jobs.policy_options import own_policy_options

STATES = ("scheduled", "paused", "parked")
SORTS = (BY_TIME, BY_ID)


@dataclass(frozen=True)
class JobQuery:
    """Which jobs to list. A job has to meet every condition that is not None.

    :ivar tag: the job has this tag
    :ivar state: the job is "scheduled", "paused" or "parked"
    :ivar text: the job's id or name contains this text
    :ivar prefix: the job's id begins with this text
    :ivar metadata: the job's metadata has these values
    :ivar option: the job has a policy, with this option at another value than the default
    :ivar skip: how many jobs to leave out at the start of the list
    :ivar limit: how many jobs to list at most
    :ivar group: the job is in this group
    :ivar failing: the job's last run that counts has failed (see `gsched.history.queries.JobCounters`)
    :ivar overdue: no run of the job has succeeded within its `expect_success_every`
    :ivar sort: the order of pages: "next", those that are not paused by their next run times, then the paused ones; or
        "id". Jobs that are searched for by `text` always come by id, and those with the text in their names only last
    :ivar after: the page begins after this place: `next` of the page before
    """

    tag: str | None = None
    state: str | None = None
    text: str | None = None
    skip: int = 0
    limit: int | None = None
    prefix: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    option: str | None = None
    group: str | None = None
    failing: bool = False
    overdue: bool = False
    sort: str = BY_TIME
    after: str | None = None

    def matches(self, job: Job, now: int) -> bool:
        """True if the job has what the query asks for, at `now` (ms).

        `failing` and `overdue` do not count here: the store knows them, and the job does not.
        """
        return (
            (self.tag is None or self.tag in job.tags)
            and (self.text is None or self.text.lower() in f"{job.id}\n{job.name}".lower())
            and (self.prefix is None or job.id.startswith(self.prefix))
            and (self.state is None or self.state == job.state_at(now))
            and (self.option is None or self.option in own_policy_options(job.policy))
            and self.group in (None, job.policy.group)
            and all(job.metadata.get(key) == value for key, value in self.metadata.items())
        )

    def _check_place(self, cursor: JobCursor) -> None:
        orders = (BY_ID, BY_NAME) if self.text is not None else (self.sort,)
        if cursor.order not in orders:
            raise InvalidJobError(f"after: {self.after!r} is a place in a list of another order ({cursor.order})")

    @property
    def cursor(self) -> JobCursor | None:
        """The place after which the page begins; None: at the start."""
        return None if self.after is None else JobCursor.read(self.after)

    def __post_init__(self) -> None:
        if self.state is not None and self.state not in STATES:
            raise InvalidJobError(f"state: expected one of {', '.join(STATES)}, got {self.state!r}")
        if self.sort not in SORTS:
            raise InvalidJobError(f"sort: expected one of {', '.join(SORTS)}, got {self.sort!r}")
        if self.after is not None:
            self._check_place(JobCursor.read(self.after))
        for what, value in (("skip", self.skip), ("limit", 0 if self.limit is None else self.limit)):
            checked_whole(what, value, 0)
