"""Explanations of instants, for the verb `explain` and for notifications."""

from __future__ import annotations

from gsched.errors import JobNotFoundError
from gsched.history.explanation import Explanation, Question
from gsched.history.queries import RUNNING, RunQuery
from gsched.jobs.limits import NO_LIMITS
from gsched.monitoring.groups import why_held
from gsched.schedulers.components import Components
from gsched.stores import BaseJobStore

_MOST_RUNNING = 100
_NO_RECORD = (
    ", and there is no record of one: there never was such a job, or it has ended and its runs succeeded; "
    "the option history_successes decides which successes have a record"
)


def explained(components: Components, job_id: str, instant: int, jobstore: str | None) -> Explanation:
    """How an instant of a job ended, and why. Called in the scheduler's thread.

    :param instant: ms since the epoch
    :raises JobNotFoundError: if there is neither such a job nor a record of one
    """
    from gsched.history.explain import explain  # few programs need it

    return explain(_question(components, job_id, instant, jobstore))


def _question(components: Components, job_id: str, instant: int, jobstore: str | None) -> Question:
    try:
        job = components.find(job_id, jobstore)
        store = components.store(job.jobstore)
        counters = store.counters(job_id)
    except JobNotFoundError:  # it may have ended a moment ago
        return _question_about_removed(components, job_id, instant, jobstore)
    earlier = instant - (job.misfire_grace_ms or 0)
    evidence = store.evidence(job, instant)
    return Question(
        job_id, instant, components.now_ms(), job, evidence,
        records=store.runs(RunQuery(job_id, None, instant, instant + 1)),
        missed=store.runs(RunQuery(job_id, "missed", earlier, instant + 1)),
        counters=counters,
        running=store.runs(RunQuery(job_id, RUNNING, limit=_MOST_RUNNING)),
        turn=_turn(store, job.policy.group, components.now_ms()),
    )  # fmt: skip


def _turn(store: BaseJobStore, group: str | None, now: int) -> str | None:
    """Why jobs of this group wait for their turn; None if none does."""
    if group is None or (limits := store.limits()) == NO_LIMITS:
        return None
    return why_held(limits, store.group_activities(), group, now)


def _question_about_removed(components: Components, job_id: str, instant: int, jobstore: str | None) -> Question:
    for alias in components.aliases(jobstore):
        store = components.stores[alias]
        if store.runs(RunQuery(job_id, limit=1)):
            records = store.runs(RunQuery(job_id, None, instant, instant + 1))
            evidence = store.evidence(None, instant)
            return Question(job_id, instant, components.now_ms(), None, evidence, records)
    raise JobNotFoundError(job_id, _NO_RECORD)
