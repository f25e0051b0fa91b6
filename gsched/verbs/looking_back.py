"""The history: what became of due instants."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

from gsched.errors import JobNotFoundError
from gsched.explaining import explain
from gsched.explanation import Case, Explanation
from gsched.history import JobFigures, RunInfo, RunQuery, as_past, newest_first
from gsched.instants import as_instant, to_ms
from gsched.verbs.places import Places

_NO_RECORD = (
    ", and there is no record of one: if it has ended, its runs succeeded, and of these there is what the option "
    "history_successes says"
)


class LookingBack(Places):
    """The verbs that tell what became of jobs."""

    def get_runs(
        self,
        job_id: str | None = None,
        jobstore: str | None = None,
        outcome: str | None = None,
        since: datetime | date | timedelta | str | None = None,
        until: datetime | date | timedelta | str | None = None,
        tag: str | None = None,
        limit: int = 100,
        skip: int = 0,
        run_id: str | None = None,
    ) -> list[RunInfo]:
        """What became of due instants, the newest first, as far as the stores' history has it.

        It has everything but successes, and of those what the stores' option `history_successes` says. With MongoDB it
        is that of all nodes, written within seconds; the scheduler need not run.

        :param outcome: only runs with this one of `Outcome`, or "running"
        :param since: only what was due then or later: a datetime, ISO text, or how long ago (timedelta, "1h")
        :param until: only what was due before
        :param tag: only of jobs that had this tag
        :param limit: give at most so many
        :param skip: leave out so many of the newest
        :param run_id: only the attempts of this run
        :raises ConfigurationError: for an argument that cannot be meant
        """
        now = self.now_ms()
        begin = as_past(since, now, self.timezone, "since")
        query = RunQuery(job_id, outcome, begin, as_past(until, now, self.timezone, "until"), tag, limit, skip, run_id)
        return self._at_home(self._runs, jobstore, query)

    def _runs(self, jobstore: str | None, query: RunQuery) -> list[RunInfo]:
        aliases = self._aliases(jobstore)
        if len(aliases) == 1:
            return self._stores[aliases[0]].runs(query)
        whole = replace(query, limit=query.skip + query.limit, skip=0)
        found = [run for alias in aliases for run in self._stores[alias].runs(whole)]
        return newest_first(lambda run: run.scheduled_at, found, query)

    def get_figures(self, job_id: str, jobstore: str | None = None) -> JobFigures:
        """How often a job ran and failed, and its last run; with MongoDB on all nodes, as of some seconds ago.

        Raises JobNotFoundError.
        """
        return self._at_home(lambda: self._store(self._find(job_id, jobstore).jobstore).figures(job_id))

    def explain(
        self, job_id: str, instant: datetime | date | str | float, jobstore: str | None = None
    ) -> Explanation:
        """What became of a job at an instant, and why; `str()` of it says it in words.

        It tells what is recorded from what is inferred: of most runs that succeed there is no record.

        :param instant: a datetime, a date, ISO text or seconds since the epoch; without a zone in the scheduler's
        :raises JobNotFoundError: if there is neither such a job nor a record of one
        :raises ConfigurationError: if `instant` is not understood
        """
        return self._at_home(self._explain, job_id, to_ms(as_instant(instant, self.timezone, "instant")), jobstore)

    def _explain(self, job_id: str, instant: int, jobstore: str | None) -> Explanation:
        try:
            job = self._find(job_id, jobstore)
            store = self._store(job.jobstore)
            figures = store.figures(job_id)
        except JobNotFoundError:  # by now, at least: jobs end at any moment
            return self._explain_removed(job_id, instant, jobstore)
        earlier = instant - (job.misfire_grace_ms or 0)
        account = store.account(job, instant)
        case = Case(
            job_id, instant, self.now_ms(), job, account,
            records=store.runs(RunQuery(job_id, None, instant, instant + 1)),
            missed=store.runs(RunQuery(job_id, "missed", earlier, instant + 1)),
            figures=figures,
        )  # fmt: skip
        return explain(case)

    def _explain_removed(self, job_id: str, instant: int, jobstore: str | None) -> Explanation:
        for alias in self._aliases(jobstore):
            store = self._stores[alias]
            if store.runs(RunQuery(job_id, limit=1)):
                records = store.runs(RunQuery(job_id, None, instant, instant + 1))
                return explain(Case(job_id, instant, self.now_ms(), None, store.account(None, instant), records))
        raise JobNotFoundError(job_id, _NO_RECORD)
