"""Answers of a store that follow from its other answers. A store that can ask its database gives them itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import tzinfo
from heapq import merge, nlargest, nsmallest
from itertools import islice
from typing import TYPE_CHECKING, Final

from gsched.errors import JobNotFoundError
from gsched.event_loop.slices import paced
from gsched.history.queries import RUNNING, RunInfo, RunPage, RunPlace, RunQuery
from gsched.jobs.cursor import BY_ID, BY_NAME, BY_TIME, JobCursor
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome
from gsched.jobs.query import JobQuery
from gsched.monitoring.error_groups import BAD, ErrorGroups, groups_of_errors
from gsched.monitoring.groups import MOST_COUNTED, GroupInfo, groups_of
from gsched.monitoring.job_pages import PAGE, JobPage, JobRow, StoredPage, StoredRow
from gsched.monitoring.load import Load, load_ahead
from gsched.times.instants import from_ms, to_ms

if TYPE_CHECKING:
    from gsched.history.instants import InstantInfo
    from gsched.stores.base import BaseJobStore

_AT_ONCE: Final = 250  # records that are read at once
_MOST_RUNNING: Final = 100
_MOST_RECORDS: Final = 1000  # of one job within the period of its instants


# -- pages of jobs ----------------------------------------------------------------------------------------------------


def page_of(store: BaseJobStore, query: JobQuery) -> StoredPage:
    """A page from all jobs that match. Other greenlets have turns meanwhile."""
    now, wanted = store.clock.now_ms(), (query.limit or PAGE) + 1
    keys = (_key(job, query, now) for job in paced(store.matching(query)))
    start = None if query.cursor is None else _order(query.cursor)
    found = nsmallest(wanted, (key for key in keys if start is None or key > start))
    page = found[: wanted - 1]
    rows = store.rows([key[-1] for key in page])
    end = str(_cursor(page[-1])) if len(found) == wanted and page else None
    return JobPage(tuple(rows[key[-1]] for key in page if key[-1] in rows), end)


_Key = tuple[int, int, str]


def _key(job: Job, query: JobQuery, now: int) -> _Key:
    """The job's place in the list, in a form that is compared."""
    if query.text is not None:
        return _KINDS[BY_ID if query.text.lower() in job.id.lower() else BY_NAME], 0, job.id
    if query.sort == BY_ID:
        return _KINDS[BY_ID], 0, job.id
    due = job.next_due_ms(now)
    return int(job.paused), _NO_TIME if due is None else due, job.id


_NO_TIME: Final = 1 << 62
_KINDS: Final = {BY_ID: 2, BY_NAME: 3}


def _order(place: JobCursor) -> _Key:
    if place.order == BY_TIME:
        return int(place.paused), _NO_TIME if place.due is None else place.due, place.id
    return _KINDS[place.order], 0, place.id


def _cursor(key: _Key) -> JobCursor:
    kind, due, job_id = key
    if kind < _KINDS[BY_ID]:
        return JobCursor(BY_TIME, bool(kind), None if due == _NO_TIME else due, job_id)
    return JobCursor.by_id(job_id, BY_ID if kind == _KINDS[BY_ID] else BY_NAME)


def rows_of(store: BaseJobStore, job_ids: Iterable[str]) -> dict[str, StoredRow]:
    """The rows of these jobs, one by one."""
    rows = {}
    for job_id in paced(job_ids):
        try:
            job, counters = store.get(job_id), store.counters(job_id)
        except JobNotFoundError:  # it was removed meanwhile
            continue
        known = store.evidence(job, store.clock.now_ms())
        times = (None if each is None else from_ms(each) for each in (known.added, known.changed))
        rows[job_id] = JobRow(job, counters, *times)
    return rows


def groups_in(store: BaseJobStore) -> list[GroupInfo]:
    """The groups, from the first jobs that are in some."""
    grouped = islice(store.matching(JobQuery(option="group")), MOST_COUNTED + 1)
    jobs = Counter(str(job.policy.group) for job in paced(grouped))
    limits, now = store.limits(), store.clock.now_ms()
    return groups_of(jobs, limits, store.group_activities(), now, is_whole=jobs.total() <= MOST_COUNTED)


def count_of(store: BaseJobStore, query: JobQuery, most: int) -> int:
    """How many jobs match, up to `most`."""
    return sum(1 for _ in paced(islice(store.matching(query), most)))


def tags_of(store: BaseJobStore, most: int) -> dict[str, int]:
    """The tags that most jobs have, and how many have each."""
    counts = Counter(tag for job in paced(store.matching(JobQuery())) for tag in job.tags)
    return dict(nlargest(most, counts.items(), key=lambda each: (each[1], each[0])))


# -- pages of records -------------------------------------------------------------------------------------------------


def run_place(run: RunInfo) -> RunPlace:
    """The place of a record in pages."""
    is_lost_span = run.until is not None and run.attempt == 0 and run.outcome == Outcome.LOST
    return RunPlace(to_ms(run.scheduled_at), f"{run.run_id}#{Outcome.LOST if is_lost_span else run.attempt}")


def run_page_of(store: BaseJobStore, query: RunQuery) -> RunPage:
    """A page of records, from lists of them."""
    start, wanted = query.place, query.limit + 1
    until = query.until if start is None else min(start.scheduled + 1, query.until or start.scheduled + 1)
    most = wanted
    while True:
        found = store.runs(replace(query, before=None, until=until, limit=most, skip=0))
        rest = sorted(found, key=run_place, reverse=True)
        rest = rest if start is None else [run for run in rest if run_place(run) < start]
        if len(rest) >= wanted or len(found) < most:
            return page_of_runs(rest, query)
        most *= 4


def page_of_runs(found: list[RunInfo], query: RunQuery) -> RunPage:
    """The page of records that a store has found, in order: one more than wanted, if there is more."""
    page = tuple(run if run.traceback is None else replace(run, traceback=None) for run in found[: query.limit])
    return RunPage(page, str(run_place(page[-1])) if len(found) > query.limit else None)


def error_groups_of(
    store: BaseJobStore, since: int, tag: str | None, by: str, most: int, until: int | None = None
) -> ErrorGroups:
    """The groups of the newest failures."""
    query = RunQuery(since=since, until=until, tag=tag, limit=min(most, _AT_ONCE))
    each = [_records(store, replace(query, outcome=outcome)) for outcome in BAD]
    records = list(paced(islice(merge(*each, key=run_place, reverse=True), most + 1)))
    return groups_of_errors(paced(records[:most]), by, from_ms(since), len(records) <= most)


def _records(store: BaseJobStore, query: RunQuery) -> Iterator[RunInfo]:
    """The records that match, the newest first, read page by page."""
    while True:
        page = store.run_page(query)
        yield from page.runs
        if page.next is None:
            return
        query = replace(query, before=page.next)


# -- one job's instants, and the load ahead ---------------------------------------------------------------------------


def instants_in(store: BaseJobStore, job_id: str, since: int, until: int, most: int) -> list[InstantInfo]:
    """What became of the job's instants: from its trigger, its records, its last outcomes and the claims."""
    from gsched.history.instants import due_instants, instants_of  # few programs need it

    job, counters = store.get(job_id), store.counters(job_id)
    records = [
        *islice(_records(store, RunQuery(job_id, None, since, until, limit=_AT_ONCE)), _MOST_RECORDS),
        *store.runs(RunQuery(job_id, RUNNING, limit=_MOST_RUNNING)),
    ]
    instants = due_instants(job, since, until, records, most)
    if not instants:
        return []
    return instants_of(job, instants, records, counters, store.evidence(job, instants[-1]), store.clock.now_ms())


def load_of(store: BaseJobStore, zone: tzinfo) -> Load:
    """The load ahead."""
    return load_ahead(store.sample(), store.clock.now_ms(), zone)
