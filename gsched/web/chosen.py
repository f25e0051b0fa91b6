"""Which jobs an action is for: those with these ids, or those that a filter chooses, as many as the user has seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from gsched.jobs.query import JobQuery
from gsched.web.answers import chosen_by
from gsched.web.parameters import Parameters
from gsched.web.refusals import RequestRefused, invalid

if TYPE_CHECKING:
    from gsched.schedulers.base import BaseScheduler

MOST_CHOSEN: Final = 10_000  # jobs of one action
_PAGE: Final = 1000
_MAY_DIFFER: Final = 0.01  # of the number that the user has seen


@dataclass(frozen=True)
class ChosenJobs:
    """The jobs of an action.

    :ivar job_ids: each once
    :ivar words: what names them, for the audit
    :ivar jobstore: the store of all of them
    """

    job_ids: Sequence[str]
    words: str
    jobstore: str


def chosen_jobs(scheduler: BaseScheduler, body: Parameters, *, dry_run: bool) -> ChosenJobs:
    """The jobs that a request chooses by `ids`, or by `filter` and the number that it expects.

    :raises RequestRefused: if they are not chosen in one way, are too many, or are not as many as expected
    """
    jobstore, ids = _jobstore(scheduler, body.text("jobstore")), body.texts("ids", MOST_CHOSEN)
    wanted, expected = body.take("filter"), body.whole("expect", -1, 0, MOST_CHOSEN)
    if (wanted is None) == (not ids):
        raise invalid("choose jobs", "either by ids, or by filter: {q, prefix, tag, group, state}")
    if ids:
        return ChosenJobs(ids, ids[0] if len(ids) == 1 else f"{len(ids)} jobs", jobstore)
    if not isinstance(wanted, dict) or not wanted:
        remedy = "name q, prefix, tag, group or state"
        raise invalid(f"filter: expected an object with a condition, got {wanted!r}", remedy)
    if expected < 0 and not dry_run:
        raise invalid("expect: a filter needs it", "first ask with dry_run: true, and send the number that it matches")
    conditions = Parameters(wanted)
    query = chosen_by(conditions, sort="id", limit=_PAGE)
    conditions.check_none_left()
    found = list(_found(scheduler, query, jobstore))
    if not dry_run and abs(len(found) - expected) > expected * _MAY_DIFFER:
        raise RequestRefused(
            409, "conflict", f"the filter matches {len(found)} jobs now, not {expected}",
            "look at them, and repeat the action if it is still meant", known={"matched": len(found)},
        )  # fmt: skip
    return ChosenJobs(found, ", ".join(f"{name}:{value}" for name, value in wanted.items()), jobstore)


def _jobstore(scheduler: BaseScheduler, named: str | None) -> str:
    """The only store, or the one that is named."""
    if named is not None or len(scheduler.stores) == 1:
        return named or next(iter(scheduler.stores))
    raise invalid("jobstore: there are several", f"name one of {', '.join(scheduler.stores)}")


def _found(scheduler: BaseScheduler, query: JobQuery, jobstore: str) -> Iterator[str]:
    count = 0
    while True:
        page = scheduler.admin.find(query, jobstore)
        for row in page.rows:
            yield row.job.id
        count += len(page.rows)
        if page.stopped_early:
            raise invalid("q: the search takes too long", "choose by how ids begin: prefix")
        if count > MOST_CHOSEN:
            raise invalid(f"more than {MOST_CHOSEN} jobs at once", "choose fewer, by tag or prefix")
        if page.next is None:
            return
        query = replace(query, after=page.next)
