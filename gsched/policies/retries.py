"""Retries: decides whether another attempt follows a failed one, and when. Pure functions, without state and clock."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, floor
from typing import Final
from zlib import crc32

from gsched.errors import CommandFailedError, GiveUp, Retry, error_names
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome, Reason, Result, RetryAt
from gsched.jobs.policy import Policy
from gsched.jobs.policy_options import TIMEOUT, exit_statuses
from gsched.jobs.run import Run
from gsched.times.durations import rough_duration
from gsched.times.instants import to_ms
from gsched.triggers.base import TRIGGER_ERRORS, BaseTrigger, checked_last, checked_next

SHORTEN: Final = "shorten retry_delay, or set coalesce=False"  # the remedy for a job that is never retried
_RETRIED: Final = (Outcome.FAILED, Outcome.TIMED_OUT)
_MOST_LOOKED_AT: Final = 1000  # gaps between instants


def retry_after(
    job: Job, run: Run, result: Result, ended: int, waits: bool = False, is_limited: bool = False
) -> RetryAt | Reason | None:
    """When the next attempt of a run begins; or why none does; None if the job has no say in it.

    :param job: the run's job as it is now: changed options count from the next failure on
    :param result: how the attempt ended
    :param ended: when it ended (ms)
    :param waits: an instant of the job is due, and waits for a free instance
    :param is_limited: the job raised RateLimited, and its later instants wait until the retry has begun

    - Only what failed or was timed out is retried.
    - A job that raises Retry or GiveUp decides itself; `retry_on` and `give_up_on` are not asked then.
    - `tries` counts the attempts that failed, but for those of a Retry with count=False.
    - No attempt begins later than `retry_within` after the scheduled time.
    - With coalesce, an instant that waits, or that comes before the retry would, supersedes the retry.
    """
    if result.outcome not in _RETRIED:
        return None
    error = result.error
    if isinstance(error, GiveUp):
        return Reason.GAVE_UP
    if not isinstance(error, Retry):
        if not job.policy.retries:
            return None
        if not _is_retried(job.policy, result):
            return Reason.GAVE_UP
    tries = run.tries + 1
    counts = error.count if isinstance(error, Retry) else True
    if counts and tries > job.policy.retries:
        return Reason.RETRIES_EXHAUSTED
    due = _due(job.policy, run.id, tries, error, ended)
    return _obstacle(job, run, due, ended, waits, is_limited) or RetryAt(due, tries if counts else run.tries)


def _is_retried(policy: Policy, result: Result) -> bool:
    if policy.give_up_on is not None and _is_named(result, policy.give_up_on):
        return False
    return policy.retry_on is None or _is_named(result, policy.retry_on)


def _is_named(result: Result, names: tuple[str, ...]) -> bool:
    """True if one of the names is the error's class, one of its base classes, or its exit status."""
    error = result.error
    if result.outcome is Outcome.TIMED_OUT and TIMEOUT in names:
        return True
    if error is None:
        return False
    return not error_names(error).isdisjoint(names) or (
        isinstance(error, CommandFailedError) and any(_has_status(error.status, name) for name in names)
    )


def _has_status(status: int, name: str) -> bool:
    statuses = exit_statuses(name)
    return statuses is not None and statuses[0] <= status <= statuses[1]


def _due(policy: Policy, run_id: str, attempt: int, error: BaseException | None, ended: int) -> int:
    if isinstance(error, Retry):
        if error.at is not None:
            return max(to_ms(error.at), ended)
        if error.delay is not None:
            return ended + ceil(error.delay * 1000)
    return ended + delay_ms(policy, run_id, attempt)


def delay_ms(policy: Policy, run_id: str, number: int) -> int:
    """How long the run waits before its retry of this number, the first being 1.

    A wait grows up to `retry_max_delay`; one that was given is not cut. The jitter is a hash of the run and the number:
    runs that failed together do not begin again together.
    """
    listed = policy.retry_delays_ms
    given = listed[min(number, len(listed)) - 1]
    most = max(given, policy.retry_max_delay_ms)
    try:
        longest = min(given * policy.retry_backoff ** max(0, number - len(listed)), most)
    except OverflowError:
        longest = most
    left_out = policy.retry_jitter * crc32(f"{run_id}#{number}".encode()) / 2**32
    return round(longest * (1 - left_out))


def _obstacle(job: Job, run: Run, due: int, ended: int, waits: bool, is_limited: bool) -> Reason | None:
    """Why there is no attempt at `due`."""
    within = job.policy.retry_within_ms
    if within is not None and due > run.scheduled_ms + within:
        return Reason.RETRY_WITHIN
    may_be_superseded = job.coalesce and run.request is None and not is_limited
    if may_be_superseded and (waits or comes_before(job, ended, due)):
        return Reason.SUPERSEDED
    return None


def comes_before(job: Job, after: int, due: int) -> bool:
    """True if the job has an instant after `after` and not after `due` (ms)."""
    try:
        following = job.next_due_ms(after)
    except TRIGGER_ERRORS:  # then the next decision parks the job
        return False
    return following is not None and following <= due


def why_never_retried(job: Job) -> str | None:
    """Why no failed run of the job is retried, although it has retries; None if some may be.

    A retry is superseded if the job coalesces and its next instant comes first. That holds for every retry if no two
    instants are further apart than the shortest wait for a first retry. A job that raises Retry may ask for less.
    """
    policy = job.policy
    if not policy.retries or not job.coalesce or job.next_run_ms is None:
        return None
    wait = floor(policy.retry_delays_ms[0] * (1 - policy.retry_jitter))
    try:
        longest = _longest_gap(job.trigger, job.next_run_ms, wait - job.trigger.jitter_ms)
    except TRIGGER_ERRORS:
        return None
    if longest is None:
        return None
    return (
        f"its next run comes first: a retry waits {rough_duration(wait / 1000)} or longer, "
        f"and the next run comes within {rough_duration((longest + job.trigger.jitter_ms) / 1000)}"
    )


@lru_cache(maxsize=256)  # many jobs that are added together have the same trigger
def _longest_gap(trigger: BaseTrigger, first: int, most: int) -> int | None:
    """The longest time between two instants, as far as they are looked at; None if one is longer than `most`.

    :param first: an instant, from which on they are looked at
    """
    instant, longest = first, 0
    for _ in range(_MOST_LOOKED_AT):
        following = checked_next(trigger, instant)
        if following is None or following - instant > most:
            return None
        longest = max(longest, following - instant)
        instant = checked_last(trigger, following, instant + most)  # up to there all are closer together
    return longest
