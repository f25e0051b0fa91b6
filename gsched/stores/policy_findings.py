"""Findings of the doctor about jobs' policies, in every store: overdue jobs, retries that never begin, runs that never
end; about groups, and about notifiers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from gsched.errors import JobNotFoundError, StoreError
from gsched.history.queries import RunQuery
from gsched.history.recent import RecentOutcome
from gsched.jobs.outcomes import Outcome, Reason
from gsched.jobs.query import JobQuery
from gsched.monitoring.doctor import OK, PROBLEM, WARNING, Finding
from gsched.monitoring.overdue import overdue_finding
from gsched.notices.status import CHECK, notifier_finding
from gsched.policies.retries import SHORTEN, why_never_retried
from gsched.stores.group_findings import rate_finding, share_finding

if TYPE_CHECKING:
    from gsched.stores.base import BaseJobStore

MOST_LOOKED_AT: Final = 1000  # jobs, and records
REPLACED_IN_A_ROW: Final = 10  # runs
_MOST_ASKED_FOR: Final = 50  # jobs whose last outcomes are read
_MOST_NAMED: Final = 5


def policy_findings(store: BaseJobStore) -> Iterator[Finding]:
    """Look for overdue jobs, for jobs whose retries never begin or whose runs are always replaced, and at groups."""
    for name, look in _CHECKS:
        try:
            yield look(store)
        except StoreError as error:
            yield Finding(name, PROBLEM, f"could not be looked at: {error}", "see the message")


def _overdue(store: BaseJobStore) -> Finding:
    return overdue_finding(store.overdue(), store.clock.now_ms())


def _never_retried(store: BaseJobStore) -> Finding:
    jobs = store.find(JobQuery(option="retries", limit=MOST_LOOKED_AT))
    found = {job.id: why for job in jobs if (why := why_never_retried(job)) is not None}
    if not found:
        return Finding("retries", OK, "no job's next run always comes before its retries")
    named = "; ".join(f"{job_id}: {found[job_id]}" for job_id in list(found)[:_MOST_NAMED])
    return Finding("retries", WARNING, f"never retried: {named}{_more(found)}", SHORTEN)


def _always_replaced(store: BaseJobStore) -> Finding:
    cancelled = store.runs(RunQuery(outcome=Outcome.CANCELLED, limit=MOST_LOOKED_AT))
    replaced = Counter(record.job_id for record in cancelled if record.reason == Reason.REPLACED)
    often = [job_id for job_id, count in replaced.most_common(_MOST_ASKED_FOR) if count >= REPLACED_IN_A_ROW]
    found = [job_id for job_id in often if _are_cancelled(_recent(store, job_id))]
    if not found:
        return Finding("overlap", OK, f"no job's last {REPLACED_IN_A_ROW} runs were all replaced")
    named = ", ".join(found[:_MOST_NAMED])
    return Finding(
        "overlap", WARNING,
        f"the last {REPLACED_IN_A_ROW} runs were all stopped in favour of the next one: {named}{_more(found)}",
        'let them be due less often than a run takes, or set overlap="queue"',
    )  # fmt: skip


def _notifiers(store: BaseJobStore) -> Finding:
    return notifier_finding(store.outbox(), store.clock.now_ms())


_CHECKS: Final = (
    ("overdue jobs", _overdue),
    ("retries", _never_retried),
    ("overlap", _always_replaced),
    ("group rates", rate_finding),
    ("group sizes", share_finding),
    (CHECK, _notifiers),
)


def _recent(store: BaseJobStore, job_id: str) -> Iterable[RecentOutcome]:
    try:
        return store.counters(job_id).recent
    except JobNotFoundError:
        return ()


def _are_cancelled(recent: Iterable[RecentOutcome]) -> bool:
    """True if the last runs were cancelled. Coalesced instants have no run of their own."""
    outcomes = [each.outcome for each in recent if each.outcome != Outcome.COALESCED]
    return outcomes[-REPLACED_IN_A_ROW:] == [Outcome.CANCELLED] * REPLACED_IN_A_ROW


def _more(found: Iterable[str]) -> str:
    return " ..." if len(list(found)) > _MOST_NAMED else ""
