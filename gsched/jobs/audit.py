"""Who changed what: the last change of a job, and the entries of the audit."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from gsched.checks import checked_whole
from gsched.errors import ConfigurationError
from gsched.jobs.job import Job
from gsched.jobs.last_change import LastChange
from gsched.jobs.policy_options import policy_options
from gsched.times.instants import from_ms

KEPT_MS: Final = 90 * 86_400_000
ALL_JOBS: Final = "all jobs"  # as a target
ACTIONS: Final = (
    *("job.add", "job.change", "job.pause", "job.resume", "job.remove", "job.run"),
    *("run.cancel", "run.retry", "node.drain", "limit.set", "limit.remove", "group.pause", "group.resume"),
)
_LONGEST_VALUE: Final = 200  # characters
_SECRET: Final = ("args", "kwargs", "metadata")  # the audit is kept longer than what somebody put there by mistake
_NOT_RECORDED: Final = "(not recorded)"
_OPTIONS: Final = (
    *("name", "func_ref", "trigger", "next_run_time", "executor", "misfire_grace_time", "coalesce", "max_instances"),
    *("timeout_seconds",),
)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something that somebody did to jobs, runs, nodes or groups.

    :ivar id: unique; ids grow with time
    :ivar at: when, UTC
    :ivar action: one of ACTIONS
    :ivar target: the id of the job, the run or the node, or the pattern of the groups; of several jobs, the words that
        named them, such as "tag:etl"
    :ivar count: how many jobs or runs
    :ivar actor: a person or a program; None if it is not known
    :ivar via: how they reached the scheduler: "web", "cli", "api"
    :ivar reason: why, in their words
    :ivar address: from where, if they came over a network
    :ivar before: what the job or the limit was before, by option, as text; only what differs
    :ivar after: what it is since, likewise
    """

    id: str
    at: datetime
    action: str
    target: str
    count: int = 1
    actor: str | None = None
    via: str | None = None
    reason: str | None = None
    address: str | None = None
    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)


class Act(NamedTuple):
    """An act in progress: its kind, its actor, and the reason.

    :ivar at: ms since the epoch
    """

    at: int
    action: str
    actor: str | None = None
    via: str | None = None
    reason: str | None = None
    address: str | None = None

    def stamped(self, job: Job) -> Job:
        """The job, changed last by this."""
        return job.evolve(last_change=LastChange(self.at, self.action, self.actor, self.via, self.reason))

    def entry(self, target: str, count: int = 1, old: Job | None = None, new: Job | None = None) -> AuditEntry:
        """The entry of the audit.

        :param old: the job before, if there is one job that was changed
        :param new: the job since
        """
        before, after = ({}, {}) if old is None or new is None else differences(old, new)
        by = self.actor, self.via, self.reason, self.address
        return AuditEntry(entry_id(self.at), from_ms(self.at), self.action, target, count, *by, before, after)


def stamped(jobs: list[Job], act: Act | None) -> list[Job]:
    """The jobs with this act as their last change, if an actor is named."""
    return jobs if act is None else [act.stamped(job) for job in jobs]


def entry_id(at: int) -> str:
    """A new id for an entry: its time (ms), and a random end. Of several at one time the order is of no matter."""
    return f"{at:013}-{secrets.token_hex(6)}"


def time_of(an_id: str) -> int:
    """The time (ms) in an entry's id."""
    return int(an_id.partition("-")[0])


@dataclass(frozen=True)
class AuditQuery:
    """Which entries to list, the newest first; None: any.

    :ivar since: only what was done at this time (ms) or later
    :ivar until: only what was done before this time (ms)
    :ivar before: the page begins after this place: `next` of the page before
    """

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    since: int | None = None
    until: int | None = None
    before: str | None = None
    limit: int = 100

    def __post_init__(self) -> None:
        checked_whole("limit", self.limit, 1)
        for what in ("actor", "action", "target", "before"):
            if not isinstance(getattr(self, what), str | None):
                raise ConfigurationError(f"{what}: expected a text, got {getattr(self, what)!r}")
        if self.action is not None and self.action not in ACTIONS:
            raise ConfigurationError(f"action: {self.action!r} is unknown; it is one of {', '.join(ACTIONS)}")

    @property
    def first_id(self) -> str:
        """No entry of the list has a smaller id."""
        return "" if self.since is None else f"{max(self.since, 0):013}"

    @property
    def end_id(self) -> str:
        """All entries of the list have smaller ids."""
        ends = (None if self.until is None else f"{max(self.until, 0):013}", self.before, "~")
        return min(end for end in ends if end is not None)

    def matches(self, entry: AuditEntry) -> bool:
        """True if the entry belongs to the list."""
        return (
            self.actor in (None, entry.actor)
            and self.action in (None, entry.action)
            and self.target in (None, entry.target)
            and self.first_id <= entry.id < self.end_id
        )


class AuditPage(NamedTuple):
    """Entries of the audit, the newest first.

    :ivar next: where the next page begins: `AuditQuery.before`; None if there is none
    """

    entries: tuple[AuditEntry, ...]
    next: str | None = None


def audit_page(found: list[AuditEntry], query: AuditQuery) -> AuditPage:
    """The page of entries that a store has found: one more than wanted, if there is more."""
    page = tuple(found[: query.limit])
    return AuditPage(page, page[-1].id if len(found) > query.limit else None)


def differences(old: Job, new: Job) -> tuple[dict[str, str], dict[str, str]]:
    """The options that differ, as text, before and after. Values of arguments and metadata are left out."""
    before, after = _told(old), _told(new)
    changed = [name for name, value in after.items() if before.get(name) != value]
    hidden = dict.fromkeys((name for name in _SECRET if getattr(old, name) != getattr(new, name)), _NOT_RECORDED)
    return {name: before.get(name, "-") for name in changed} | hidden, {name: after[name] for name in changed} | hidden


def _told(job: Job) -> dict[str, str]:
    values = {name: getattr(job, name) for name in _OPTIONS} | policy_options(job.policy)
    values["tags"] = ", ".join(job.tags)
    return {name: "-" if value in (None, "") else str(value)[:_LONGEST_VALUE] for name, value in values.items()}
