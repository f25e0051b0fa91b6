"""Findings of the doctor about groups, in every store: demand beyond a rate, and groups too large for one process."""

from __future__ import annotations

from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING, Final

from gsched.event_loop.slices import paced
from gsched.jobs.limits import rate_text
from gsched.jobs.query import JobQuery
from gsched.monitoring.doctor import OK, WARNING, Finding
from gsched.policies.demand import demands

if TYPE_CHECKING:
    from gsched.stores.base import BaseJobStore

MOST_JOBS: Final = 10_000
LARGEST_SHARE: Final = 0.25  # of all runs
_MOST_NAMED: Final = 5


def rate_finding(store: BaseJobStore) -> Finding:
    """Look for groups whose jobs are due more often than their rate allows."""
    limits = store.limits()
    due: defaultdict[str, float] = defaultdict(float)
    growing: set[str] = set()  # groups with a job each instant of which is to run
    if any(limit.rate is not None for limit in limits.by_pattern.values()):
        jobs = islice(store.matching(JobQuery(option="group")), MOST_JOBS)
        for job, demand in demands(paced(jobs), store.clock.now_ms()):
            group = str(job.policy.group)
            due[group] += demand
            if not job.coalesce:
                growing.add(group)
    found = []
    for group in sorted(due):
        limit = limits.of(group)
        if limit is not None and limit.rate is not None and due[group] > limit.rate * 1.001:
            beyond = f"{1 - limit.rate / due[group]:.0%}".replace("%", " %")
            then = "what waits grows" if group in growing else f"{beyond} are coalesced"
            found.append(f"{group}: {rate_text(1000 / due[group], 3)} due, {limit.rate_text} allowed: {then}")
    if not found:
        return Finding("group rates", OK, "no group is due more often than its rate allows")
    more = " ..." if len(found) > _MOST_NAMED else ""
    return Finding(
        "group rates", WARNING, f"{'; '.join(found[:_MOST_NAMED])}{more}",
        "let the jobs be due less often, raise the rate (gsched limit set), or accept it",
    )  # fmt: skip


def share_finding(store: BaseJobStore) -> Finding:
    """Look for groups with so many of all runs that the processes are used unevenly."""
    processes = sum(node.runs_jobs for node in store.nodes())
    shares: defaultdict[str | None, float] = defaultdict(float)
    if processes > 1:
        jobs = islice(store.matching(JobQuery(state="scheduled")), MOST_JOBS)
        for job, demand in demands(paced(jobs), store.clock.now_ms()):
            shares[job.policy.group] += demand
    total = sum(shares.values())
    found = {group: share / total for group, share in shares.items() if group and share > LARGEST_SHARE * total}
    if not found:
        return Finding("group sizes", OK, "no group keeps one of several processes much busier than the others")
    named = ", ".join(f"{group} ({share:.0%})".replace("%", " %") for group, share in found.items())
    return Finding(
        "group sizes", WARNING, f"much of all runs is in one group, and one of {processes} processes runs it: {named}",
        "give the jobs several groups, such as one for each host",
    )  # fmt: skip
