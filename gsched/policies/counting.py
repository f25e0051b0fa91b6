"""Counting: a job ends after so many runs, and is paused after so many failures in a row. Pure functions."""

from __future__ import annotations

from typing import Final

from gsched.errors import message_of
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome, Reason, Result
from gsched.jobs.pause import BY_FAILURES, Pause
from gsched.jobs.pause_document import LONGEST_REASON
from gsched.jobs.policy import Policy
from gsched.jobs.run import Run
from gsched.jobs.tally import Tally
from gsched.policies.planning import Plan
from gsched.triggers.base import TRIGGER_ERRORS

LONGEST_FAILURE_PAUSE_MS: Final = 86_400_000
_FAILURES: Final = (Outcome.FAILED, Outcome.TIMED_OUT)


def limited(plan: Plan, left: int) -> Plan:
    """The plan of a job that may begin only so many more runs. With the last of them the job ends."""
    if len(plan.starts) < left:
        return plan
    starts = plan.starts[:left]
    spans = [span for span in plan.spans if starts and span.first < starts[-1]]
    return Plan(starts, tuple(spans), None)


def first_left_out(plan: Plan, left: int) -> int | None:
    """The first instant (ms) of a plan that `limited` leaves out; None if there is none."""
    last = plan.starts[:left][-1] if plan.starts[:left] else -1
    spans = (span.first for span in plan.spans if span.first > last)
    return min([*plan.starts[left:], *spans, *([] if plan.next_due is None else [plan.next_due])], default=None)


def why_over(job: Job, now: int) -> Reason:
    """Why the job, which has ended, is not due any more after `now` (ms)."""
    try:
        goes_on = job.policy.max_runs is not None and job.next_ms(now) is not None
    except TRIGGER_ERRORS:
        goes_on = False
    return Reason.MAX_RUNS if goes_on else Reason.TRIGGER_ENDED


def counted(tally: Tally, run: Run, outcome: Outcome) -> Tally:
    """The tally after a run has ended.

    - Any success ends the row of failures.
    - A run that the schedule did not ask for (`run_job`, `retry_runs`) adds no failure.
    - Other outcomes change nothing. An attempt that another follows is none.
    """
    if outcome is Outcome.SUCCEEDED:
        failing = 0
    elif outcome in _FAILURES and _is_scheduled(run):
        failing = tally.failing + 1
    else:
        return tally
    until = max(tally.until, run.scheduled_ms) if _is_scheduled(run) else tally.until
    return tally._replace(failing=failing, until=until)


def _is_scheduled(run: Run) -> bool:
    return run.request is None and (run.attempt == 1 or run.is_retry or run.recoveries > 0)


def pause_after(policy: Policy, failing: int, result: Result, now: int) -> Pause | None:
    """The pause of a job after a failure; None if it goes on.

    The first pause lasts `failure_pause`. The run after it is a probe: if that fails, too, the next pause is twice as
    long, up to a day.

    :param failing: how many of the job's runs have failed in a row
    :param result: how the last one ended
    :param now: milliseconds since the epoch
    """
    most = policy.max_consecutive_failures
    if most is None or failing < most:
        return None
    until = None
    if policy.failure_pause_ms is not None:
        longest = max(policy.failure_pause_ms, LONGEST_FAILURE_PAUSE_MS)
        until = now + min(policy.failure_pause_ms * 2 ** min(failing - most, 40), longest)
    failures = "1 failure" if failing == 1 else f"{failing} failures in a row"
    reason = f"{failures}; last: {_last(result)}"
    return Pause(reason[:LONGEST_REASON], None, now, until, BY_FAILURES, failing)


def _last(result: Result) -> str:
    if result.error is None:
        return str(result.reason or result.outcome)
    message = " ".join(message_of(result.error).split())
    return f"{type(result.error).__name__}: {message}" if message else type(result.error).__name__
