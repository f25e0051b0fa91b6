"""The verb that runs ended runs again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Final

from gsched.checks import checked_whole
from gsched.errors import ConfigurationError, JobNotFoundError, RunNotFoundError
from gsched.history.queries import UNENDED, RunInfo, RunQuery
from gsched.history.reruns import (
    SEVERAL,
    WITHOUT_SUCCESS,
    Obstacle,
    RetriedRun,
    has_several,
    may_be_several,
    next_attempt,
)
from gsched.jobs.outcomes import Outcome
from gsched.schedulers.acting import act
from gsched.schedulers.verbs.verbs import Verbs
from gsched.stores import BaseJobStore
from gsched.times.instants import to_ms
from gsched.times.relative import as_past
from gsched.wording import did_you_mean

_PAGE: Final = 500  # records that are read at once


class RetryVerbs(Verbs):
    """The verb that runs ended runs again."""

    def retry_runs(
        self,
        run_ids: Iterable[str] | None = None,
        jobstore: str | None = None,
        *,
        job_id: str | None = None,
        tag: str | None = None,
        outcome: str | None = None,
        since: datetime | date | timedelta | str | None = None,
        limit: int = 1000,
        dry_run: bool = False,
    ) -> list[RetriedRun]:
        """Run again, now, what the history records as ended without success: failed, timed out, lost, missed, skipped
        and cancelled runs.

        Each runs with its own id and scheduled time, and the next attempt number. The retries of its job count anew. It
        runs on a paused job, too, and waits for a free instance. With a shared store this scheduler need not run.

        Left out are runs whose next attempt is there already, runs of removed jobs, records that are about several
        instants, and runs of jobs of which 10,000 runs wait. So a repeated call adds nothing twice.

        :param run_ids: these runs, whatever their outcome, also successes; nothing else may be chosen then
        :param job_id: only runs of this job
        :param tag: only runs of jobs that had this tag
        :param outcome: only runs with this outcome; default: all without success
        :param since: only instants at this time or later: a datetime, ISO text, or how long ago (timedelta, "1h")
        :param limit: add so many attempts at most, those of the newest runs
        :param dry_run: add nothing, only tell what would be added
        :return: the chosen runs, the newest first: the attempt that was added, or why none was
        :raises ConfigurationError: unless runs are chosen, or for an argument that makes no sense
        :raises RunNotFoundError: if the history has no record of a named run; none is added then
        :raises SchedulerNotRunningError: if the scheduler does not run, and a store is not shared with others
        """
        checked_whole("limit", limit, 1)
        chosen = (job_id, tag, outcome, since)
        if run_ids is not None:
            if isinstance(run_ids, str):
                raise ConfigurationError(f"run_ids: expected a list of ids, got {run_ids!r}")
            if any(each is not None for each in chosen):
                raise ConfigurationError("run_ids: name the runs, or choose them by job_id, tag, outcome and since")
            ids = list(dict.fromkeys(run_ids))
            named = self._engine.call(self._retry_named, ids, jobstore, limit, dry_run)
            return self._recorded(named, jobstore, dry_run)
        if all(each is None for each in chosen):
            raise ConfigurationError("choose runs: run_ids, job_id, tag, outcome or since")
        _check_outcome(outcome)
        begin = as_past(since, self._engine.now_ms(), self._engine.timezone, "since")
        query = RunQuery(job_id, outcome, begin, None, tag, _PAGE)
        retried = self._engine.call(self._retry_chosen, query, jobstore, limit, dry_run)
        return self._recorded(retried, jobstore, dry_run)

    def _recorded(self, retried: list[RetriedRun], jobstore: str | None, dry_run: bool) -> list[RetriedRun]:
        """The same; what was added is in the audit of the first store that was asked."""
        added = [each.run_id for each in retried if each.attempt is not None]
        done = None if dry_run else act("run.retry", self._engine.now_ms())
        if added:
            target = added[0] if len(added) == 1 else f"{len(added)} runs"
            self._engine.call(self._engine.record, done, self._engine.aliases(jobstore)[0], target, len(added))
        return retried

    # -- named runs -----------------------------------------------------------------------------------------------

    def _retry_named(self, run_ids: Sequence[str], jobstore: str | None, limit: int, dry_run: bool) -> list[RetriedRun]:
        if len(run_ids) > limit:
            raise ConfigurationError(f"run_ids: {len(run_ids)} runs are more than the limit, {limit}")
        stores = [self._store(alias, dry_run) for alias in self._engine.aliases(jobstore)]
        last = [(store, self._last(store, run_ids)) for store in stores]
        known = {record.run_id for _, records in last for record in records}
        for run_id in run_ids:
            if run_id not in known:
                raise RunNotFoundError(run_id)
        done = [each for store, records in last for each, _ in _retry(store, records, dry_run)]
        return _newest_first(done)

    def _last(self, store: BaseJobStore, run_ids: Sequence[str]) -> list[RunInfo]:
        """The last attempts of these runs, of those that the store has."""
        return [record for run_id in run_ids for record in store.runs(RunQuery(run_id=run_id, limit=1))]

    # -- chosen runs ----------------------------------------------------------------------------------------------

    def _retry_chosen(self, query: RunQuery, jobstore: str | None, limit: int, dry_run: bool) -> list[RetriedRun]:
        done: list[RetriedRun] = []
        for alias in self._engine.aliases(jobstore):
            store = self._store(alias, dry_run)
            records = _without_success(store, query)
            while (room := limit - sum(each.attempt is not None for each in done)) > 0:
                some = list(islice(records, min(room, _PAGE)))
                done += [each for each, why in _retry(store, some, dry_run) if why is not Obstacle.ENDED]
                if not some:
                    break
        return _newest_first(done)

    def _store(self, alias: str, dry_run: bool) -> BaseJobStore:
        store = self._engine.store(alias)
        if not store.shared and not dry_run:  # otherwise another process may run them
            self._engine.require_running()
        return store


def _retry(store: BaseJobStore, records: Sequence[RunInfo], dry_run: bool) -> list[tuple[RetriedRun, Obstacle | None]]:
    """Add the attempts that follow these records of ended runs. Gives what became of each, and the store's obstacle."""
    left_out = {record: why for record in records if (why := _left_out(store, record)) is not None}
    attempts = {record: next_attempt(record) for record in records if record not in left_out}
    obstacles = store.retry_runs(list(attempts.values()), dry_run) if attempts else {}
    done: list[tuple[RetriedRun, Obstacle | None]] = []
    for record in records:
        attempt = attempts.get(record)
        obstacle = None if attempt is None else obstacles.get(attempt)
        why = left_out.get(record) if attempt is None or obstacle is None else obstacle.words(attempt.attempt)
        added = None if attempt is None or why is not None else attempt.attempt
        about = record.job_id, record.run_id, record.scheduled_at, record.outcome
        done.append((RetriedRun(*about, added, why), obstacle))
    return done


def _left_out(store: BaseJobStore, record: RunInfo) -> str | None:
    """Why no attempt can follow a record, as far as the record and its job say; None if one can."""
    if record.outcome in UNENDED:
        return Obstacle(record.outcome).words(record.attempt)
    if not may_be_several(record):
        return None
    try:
        return SEVERAL if has_several(record, store.get(record.job_id)) else None
    except JobNotFoundError:
        return Obstacle.REMOVED.words(record.attempt)


def _without_success(store: BaseJobStore, query: RunQuery) -> Iterator[RunInfo]:
    """The records of runs without success, the newest first, one of each run."""
    outcomes = WITHOUT_SUCCESS if query.outcome is None else (query.outcome,)
    of_each = [_records(store, replace(query, outcome=outcome)) for outcome in outcomes]
    seen: set[str] = set()
    for record in merge(*of_each, key=lambda record: (record.scheduled_at, record.attempt), reverse=True):
        if record.run_id not in seen:
            seen.add(record.run_id)
            yield record


def _records(store: BaseJobStore, query: RunQuery) -> Iterator[RunInfo]:
    """The records that match, the newest first, read page by page."""
    while True:
        page = store.runs(query)
        yield from page
        last = to_ms(page[-1].scheduled_at) if page else 0
        if len(page) < query.limit or (query.since is not None and last < query.since):
            return
        known = sum(to_ms(record.scheduled_at) == last for record in page)  # the next page has all of that time again
        known += query.skip if query.until == last + 1 else 0
        query = replace(query, until=last + 1, skip=known)


def _check_outcome(outcome: str | None) -> None:
    """Raise ConfigurationError for an outcome of which no runs can be chosen."""
    if outcome is not None and outcome not in WITHOUT_SUCCESS:
        if outcome == Outcome.SUCCEEDED:
            raise ConfigurationError("outcome: runs that succeeded run again only if they are named by run_ids")
        hint = did_you_mean(outcome, WITHOUT_SUCCESS) or f"; it is one of {', '.join(WITHOUT_SUCCESS)}"
        raise ConfigurationError(f"outcome: {outcome!r} cannot run again{hint}")


def _newest_first(done: Iterable[RetriedRun]) -> list[RetriedRun]:
    return sorted(done, key=attrgetter("scheduled_at"), reverse=True)
