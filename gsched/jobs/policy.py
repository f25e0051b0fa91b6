"""A job's policy: what becomes of runs that fail, overlap, are missed, take long, or are cut off; and its group."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

# What becomes of an instant that is due while max_instances runs are in progress.
SKIP: Final = "skip"
QUEUE: Final = "queue"
CANCEL: Final = "cancel"
OVERLAPS: Final = (SKIP, QUEUE, CANCEL)

_MOST_SHARED: Final = 10_000  # different policies that are remembered


@dataclass(frozen=True, slots=True)
class Policy:
    """The options of a job that most jobs leave at their defaults. Equal policies are one object, which jobs share.

    :ivar retries: how many failed attempts of a run are followed by another one
    :ivar retry_delays_ms: the waits before the attempts that follow; the last one repeats
    :ivar retry_backoff: each repetition of the last wait is so many times as long as the one before
    :ivar retry_max_delay_ms: waits grow to this at most
    :ivar retry_jitter: up to this part of a wait is left out, 0-1
    :ivar retry_on: only these errors are retried; None: all
    :ivar give_up_on: these errors are not retried
    :ivar retry_within_ms: no attempt begins later than so long after the scheduled time; None: no limit
    :ivar overlap: what becomes of an instant that is due while max_instances runs are in progress: "skip" ends it,
        "queue" lets it wait, "cancel" stops the oldest run in its favour
    :ivar max_catchup: how many of several late instants run, the last ones; None: all
    :ivar max_runs: after so many runs the job ends; None: never
    :ivar max_consecutive_failures: after so many failures in a row the job is paused; None: never
    :ivar failure_pause_ms: how long that pause is; None: until somebody resumes the job
    :ivar expect_success_every_ms: the job is overdue when no run has succeeded for so long; None: it is never overdue
    :ivar finish_within_ms: a run is slow that has not succeeded so long after its scheduled time; None: none is
    :ivar recoveries: how often a run may begin again after a crash; None: any number of times
    :ivar notify: the names of notifiers that are told about the job, beside those that are for it anyway
    :ivar group: the jobs with which it shares a limit, by their common name; None: it is in no group
    :ivar keep_output_bytes: so much of each attempt's output is kept; None: none is
    :ivar acts_on_begin: True if an option has something to do when a run begins, beside the group
    """

    retries: int = 0
    retry_delays_ms: tuple[int, ...] = (10_000,)
    retry_backoff: float = 2.0
    retry_max_delay_ms: int = 3_600_000
    retry_jitter: float = 0.1
    retry_on: tuple[str, ...] | None = None
    give_up_on: tuple[str, ...] | None = None
    retry_within_ms: int | None = None
    overlap: str = SKIP
    max_catchup: int | None = None
    max_runs: int | None = None
    max_consecutive_failures: int | None = None
    failure_pause_ms: int | None = None
    expect_success_every_ms: int | None = None
    finish_within_ms: int | None = None
    recoveries: int | None = 0
    group: str | None = None
    notify: tuple[str, ...] = ()
    keep_output_bytes: int | None = None
    acts_on_begin: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        acts = self.overlap == CANCEL or self.is_timed or self.keep_output_bytes is not None
        object.__setattr__(self, "acts_on_begin", acts)

    @property
    def counts(self) -> bool:
        """True if runs or failures of the job are counted."""
        return self.max_runs is not None or self.max_consecutive_failures is not None

    @property
    def is_timed(self) -> bool:
        """True if the job has a time by which a run is to succeed."""
        return self.expect_success_every_ms is not None or self.finish_within_ms is not None

    @property
    def recover(self) -> bool | int:
        """The option: True, False or a number of times."""
        return True if self.recoveries is None else self.recoveries or False

    def with_changes(self, **changes: Any) -> Policy:
        """The shared policy with some fields changed."""
        return shared(replace(self, **changes))


NO_POLICY: Final = Policy()
_shared: Final[dict[Policy, Policy]] = {}


def shared(policy: Policy) -> Policy:
    """The one object for all policies that are equal to this one. The default is always `NO_POLICY`."""
    if policy == NO_POLICY:
        return NO_POLICY
    if len(_shared) >= _MOST_SHARED:
        _shared.clear()
    return _shared.setdefault(policy, policy)
