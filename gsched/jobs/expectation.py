"""Expectations: by when a job must succeed again, or is overdue."""

from __future__ import annotations

from typing import NamedTuple

from gsched.jobs.job import Job


class Expectation(NamedTuple):
    """By when a job with `expect_success_every` must succeed again. It is kept with the job. Times are ms.

    :ivar since: when the job succeeded last, or from when on its first success is expected
    :ivar overdue_at: the job is overdue from then on: `expect_success_every` after `since`
    :ivar is_told: the event `job.overdue` was published for this
    """

    since: int
    overdue_at: int
    is_told: bool = False

    def after_success(self, at: int) -> Expectation:
        """The expectation after a success at this time (ms). A success before `since` changes nothing."""
        return self if at <= self.since else Expectation(at, at + self.overdue_at - self.since)


def expectation_of(job: Job, known: Expectation | None, now: int) -> Expectation | None:
    """The expectation of a job that is added or changed at `now` (ms); None if the job expects nothing.

    A paused job expects nothing. A pause with an end counts as over: a success is expected from that end on. A job that
    is new, resumed, or that did not have the option before, begins to count now.

    :param known: the expectation that the job had before
    """
    every = job.policy.expect_success_every_ms
    if every is None or job.paused:
        return None
    pause = job.pause_at(now)
    if pause is not None and pause.until_ms is not None:
        since = pause.until_ms
    else:
        since = now if known is None else min(known.since, now)
    return Expectation(since, since + every, known is not None and known.is_told and since + every <= now)
