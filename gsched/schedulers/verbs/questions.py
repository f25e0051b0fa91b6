"""What dashboards and commands ask of a store: pages, groups, rates, the load ahead and the audit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta, tzinfo
from functools import partial
from typing import TYPE_CHECKING, Any

from gsched.checks import checked_whole
from gsched.errors import ConfigurationError, InvalidJobError
from gsched.history.queries import RunPage, RunQuery
from gsched.jobs.audit import ACTIONS, Act, AuditPage, AuditQuery
from gsched.jobs.job import Job
from gsched.jobs.query import JobQuery
from gsched.monitoring.error_groups import MOST_RECORDS, ErrorGroups, checked_by
from gsched.monitoring.job_pages import MOST_COUNTED, MOST_TAGS, JobPage, JobRow
from gsched.monitoring.load import Load
from gsched.monitoring.rates import HOUR_MS, Rate, checked_step, rates_of
from gsched.schedulers.acting import act
from gsched.schedulers.engine import Engine, modified_event
from gsched.schedulers.handle import JobActions, JobHandle
from gsched.schedulers.verbs.change import modified
from gsched.stores import BaseJobStore
from gsched.times.instants import as_instant, as_timezone, to_ms
from gsched.times.relative import as_past

if TYPE_CHECKING:
    from gsched.history.instants import InstantInfo

Past = datetime | date | timedelta | str | None
MOST_INSTANTS = 300
MOST_LISTED = 1000  # jobs or records of a page


class QuestionVerbs:
    """The questions of dashboards. Each is bounded, and none holds up the event loop.

    A `jobstore` of None is the only store; with several stores, name one.
    """

    def __init__(self, engine: Engine, actions: JobActions) -> None:
        self._engine = engine
        self._actions = actions

    def _one_store(self, jobstore: str | None) -> BaseJobStore:
        aliases = self._engine.aliases(jobstore)
        if len(aliases) != 1:
            raise ConfigurationError(f"jobstore: name one of {', '.join(aliases)}" if aliases else "there is no store")
        return self._engine.store(aliases[0])

    # -- jobs ---------------------------------------------------------------------------------------------------------

    def find(self, query: JobQuery | None = None, jobstore: str | None = None) -> JobPage[JobHandle]:
        """A page of jobs, each with its counters and last outcomes.

        The next page begins after the place that this one gives as `next`: `replace(query, after=page.next)`. It costs
        the same at any depth. By time, a job that runs in between may be on both pages, or on neither; with `sort="id"`
        each is on one.

        :raises InvalidJobError: if `limit` is above 1,000, or the query has `skip`, which pages do not take
        """
        query = query or JobQuery()
        if query.skip:
            raise InvalidJobError("skip: pages begin after a place, not after a number of jobs; use after")
        _check_limit(query.limit)
        page = self._engine.call(self._one_store(jobstore).page, query)
        return JobPage(tuple(map(self._row, page.rows)), page.next, page.stopped_early)

    def rows(self, job_ids: Iterable[str], jobstore: str | None = None) -> dict[str, JobRow[JobHandle]]:
        """These jobs with their counters and last outcomes, by id; ids without a job are left out."""
        ids = list(dict.fromkeys(job_ids))
        _check_limit(len(ids) or None)
        found = self._engine.call(self._one_store(jobstore).rows, ids)
        return {job_id: self._row(row) for job_id, row in found.items()}

    def _row(self, row: JobRow[Job]) -> JobRow[JobHandle]:
        return JobRow(JobHandle(self._actions, self._engine, row.job), row.counters, row.added, row.changed)

    def count(self, query: JobQuery | None = None, jobstore: str | None = None, most: int = MOST_COUNTED) -> int:
        """How many jobs match. `most` means: so many, or more."""
        checked_whole("most", most, 1)
        return self._engine.call(self._one_store(jobstore).count, query or JobQuery(), most)

    def tags(self, jobstore: str | None = None, most: int = MOST_TAGS) -> dict[str, int]:
        """The tags that most jobs have, the most frequent first, and how many jobs have each.

        The database counts them: about a second for 10^6 jobs.
        """
        checked_whole("most", most, 1)
        return self._engine.call(self._one_store(jobstore).tags, most)

    # -- the history --------------------------------------------------------------------------------------------------

    def runs(self, query: RunQuery | None = None, jobstore: str | None = None) -> RunPage:
        """A page of records of runs, the newest first, without tracebacks; runs in progress are among them.

        The next page begins after the place that this one gives as `next`: `replace(query, before=page.next)`.

        :raises ConfigurationError: if `limit` is above 1,000, or the query has `skip`, which pages do not take
        """
        query = query or RunQuery()
        if query.skip:
            raise ConfigurationError("skip: pages begin after a place, not after a number of records; use before")
        _check_limit(query.limit)
        return self._engine.call(self._one_store(jobstore).run_page, query)

    def instants(
        self,
        job_id: str,
        jobstore: str | None = None,
        *,
        since: Past = "1h",
        until: Past = None,
        limit: int = MOST_INSTANTS,
    ) -> list[InstantInfo]:
        """What became of each instant at which a job was due, and why: as `explain`, for many.

        :param since: from this time on: a datetime, ISO text, or how long ago (timedelta, "1h")
        :param until: before this time, which may be ahead; None (default): until now
        :param limit: the last instants, at most 300
        :return: the instants, the oldest first
        :raises JobNotFoundError: if there is no such job
        """
        if checked_whole("limit", limit, 1) > MOST_INSTANTS:
            raise ConfigurationError(f"limit: expected at most {MOST_INSTANTS}, got {limit}")
        begin, end = self._period(since, until)
        return self._engine.call(self._instants, job_id, jobstore, begin, end, limit)

    def _instants(self, job_id: str, jobstore: str | None, begin: int, end: int, limit: int) -> list[InstantInfo]:
        store = self._engine.store(self._engine.find(job_id, jobstore).jobstore)
        return store.instants(job_id, begin, end, limit)

    def error_groups(
        self,
        jobstore: str | None = None,
        *,
        since: Past = "24h",
        tag: str | None = None,
        by: str = "error",
        limit: int = MOST_RECORDS,
    ) -> ErrorGroups:
        """The failures since then, those that are alike together, the largest group first.

        :param tag: only of jobs that had this tag
        :param by: "error" (the outcome, the type and the message without its numbers), "job" or "node"
        :param limit: look at so many of the newest records at most; the answer says how far back they reach
        """
        if checked_whole("limit", limit, 1) > 10 * MOST_RECORDS:
            raise ConfigurationError(f"limit: expected at most {10 * MOST_RECORDS}, got {limit}")
        begin, _ = self._period(since, None)
        return self._engine.call(self._one_store(jobstore).error_groups, begin, tag, checked_by(by), limit)

    # -- how much -----------------------------------------------------------------------------------------------------

    def load(self, jobstore: str | None = None, *, zone: tzinfo | str | None = None) -> Load:
        """How many runs are due in each hour of the next week, and in each minute of the next hour.

        Of many jobs some are looked at. It may take a second: keep the answer for some minutes.

        :param zone: of the hours; None (default): the scheduler's
        """
        tz = self._engine.timezone if zone is None else as_timezone(zone)
        return self._engine.call(self._one_store(jobstore).load, tz)

    def rates(
        self, jobstore: str | None = None, *, since: Past = "1h", until: Past = None, step: Any = "1m"
    ) -> list[Rate]:
        """What the schedulers of the store did in each step of time, the oldest first.

        Minutes are kept for two days, hours for 60. The minute that goes on is not among them.

        :param step: a part of an hour in whole minutes, or whole hours
        :raises ConfigurationError: for other steps, or more than 3,000 of them
        """
        every = checked_step(step)
        begin, end = self._period(since, until)
        store = self._one_store(jobstore)
        begin -= begin % every
        noted = self._engine.call(store.minutes if every < HOUR_MS else store.hours, begin, end)
        return rates_of(noted, begin, end, every)

    def _period(self, since: Past, until: Past) -> tuple[int, int]:
        now, tz = self._engine.now_ms(), self._engine.timezone
        begin = as_past(since, now, tz, "since")
        if isinstance(until, datetime):
            end: int | None = to_ms(as_instant(until, tz, "until"))
        else:
            end = as_past(until, now, tz, "until")
        end = now + 1 if end is None else end
        if begin is None or begin >= end:
            raise ConfigurationError("since: must be before until")
        return begin, end

    # -- changes ------------------------------------------------------------------------------------------------------

    def change_many(
        self,
        job_ids: Iterable[str],
        changes: Mapping[str, Any],
        jobstore: str | None = None,
        *,
        reason: str | None = None,
    ) -> int:
        """Change many jobs alike, hundreds in a round trip. Ids without a job are left out.

        :param changes: arguments of `modify_job`
        :param reason: why, for the audit
        :return: how many jobs were changed
        :raises InvalidJobError, InvalidTriggerError: if a value is wrong; jobs that were changed before stay changed
        """
        ids = list(dict.fromkeys(job_ids))
        done = act("job.change", self._engine.now_ms(), reason=reason)
        change = partial(_changed, self._engine, dict(changes))
        alias = self._one_store(jobstore).alias
        words = f"{len(ids)} jobs"
        return sum(1 for _ in self._engine.change_jobs(ids, change, alias, modified_event, done, words))

    def request_cancel(self, run_id: str, jobstore: str | None = None, *, reason: str | None = None) -> bool:
        """Cancel a run, in whatever process it is in progress; a run that waits in the database never begins.

        A run of this process is cancelled at once. Others are found if the store has a record of them: those that take
        longer than a few seconds, those that were requested, and retries. Their process learns of it by the change
        feed, within a fraction of a second.

        :param reason: why, for the audit
        :return: False if no such run is known; it may have ended, or have begun a moment ago
        """
        done = act("run.cancel", self._engine.now_ms(), reason=reason)
        return self._engine.call(self._request_cancel, run_id, jobstore, done)

    def _request_cancel(self, run_id: str, jobstore: str | None, done: Act | None) -> bool:
        here = self._engine.cancel(lambda run: run.id == run_id and jobstore in (None, run.job.jobstore))
        asked = (alias for alias in self._engine.aliases(jobstore) if self._engine.store(alias).request_cancel(run_id))
        alias = here[0].job.jobstore if here else next(asked, None)
        if alias is not None:
            self._engine.record(done, alias, run_id, 1)
        return alias is not None

    # -- who did what -------------------------------------------------------------------------------------------------

    def audit(self, query: AuditQuery | None = None, jobstore: str | None = None) -> AuditPage:
        """What was done on somebody's behalf (see `gsched.acting`), the newest first.

        The next page begins after the place that this one gives as `next`: `replace(query, before=page.next)`.
        """
        query = query or AuditQuery()
        _check_limit(query.limit)
        return self._engine.call(self._one_store(jobstore).audit, query)

    def record_audit(self, action: str, target: str, count: int = 1, jobstore: str | None = None) -> None:
        """Keep in the audit that the actor of the calling code (see `gsched.acting`) did something.

        The verbs do it themselves; this is for programs that do one thing in many calls.

        :param action: one of `gsched.jobs.audit.ACTIONS`
        :param target: to what: an id, or the words that name several
        :param count: to how many
        """
        if action not in ACTIONS:
            raise ConfigurationError(f"action: {action!r} is unknown; it is one of {', '.join(ACTIONS)}")
        done = act(action, self._engine.now_ms())
        self._engine.call(self._engine.record, done, self._one_store(jobstore).alias, target, count)


def _check_limit(limit: int | None) -> None:
    if limit is not None and not 1 <= limit <= MOST_LISTED:
        raise ConfigurationError(f"limit: expected 1 to {MOST_LISTED}, got {limit}")


def _changed(engine: Engine, changes: Mapping[str, Any], job: Job) -> Job:
    return modified(engine, job, changes)
