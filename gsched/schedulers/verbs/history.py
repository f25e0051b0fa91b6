"""The verbs on the history: records of runs, counters, and explanations."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

from gsched.checks import checked_whole
from gsched.errors import RunNotFoundError
from gsched.history.explanation import Explanation
from gsched.history.outputs import KeptOutput, is_going_on, output_of
from gsched.history.queries import WAITING, JobCounters, RunInfo, RunQuery, newest_first
from gsched.schedulers.explaining import explained
from gsched.schedulers.verbs.verbs import Verbs
from gsched.times.instants import as_instant, to_ms
from gsched.times.relative import as_past


class HistoryVerbs(Verbs):
    """The verbs on the history."""

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
        """The recorded outcomes of due instants, the newest first.

        The history has every outcome without success, and the successes that the stores' option `history_successes`
        keeps. With MongoDB it is the history of all nodes, written within seconds, and the scheduler need not run.

        :param outcome: only runs with this `Outcome`, or "running"
        :param since: only instants at this time or later: a datetime, ISO text, or how long ago (timedelta, "1h")
        :param until: only instants before this time, in the same forms
        :param tag: only runs of jobs that had this tag
        :param limit: at most so many
        :param skip: leave out so many of the newest
        :param run_id: only the attempts of this run
        :raises ConfigurationError: for an argument that makes no sense
        """
        now, zone = self._engine.now_ms(), self._engine.timezone
        begin, end = as_past(since, now, zone, "since"), as_past(until, now, zone, "until")
        query = RunQuery(job_id, outcome, begin, end, tag, limit, skip, run_id)
        return self._engine.call(self._runs, jobstore, query)

    def _runs(self, jobstore: str | None, query: RunQuery) -> list[RunInfo]:
        aliases = self._engine.aliases(jobstore)
        if len(aliases) == 1:
            return self._engine.stores[aliases[0]].runs(query)
        whole = replace(query, limit=query.skip + query.limit, skip=0)
        found = [run for alias in aliases for run in self._engine.stores[alias].runs(whole)]
        return newest_first(lambda run: (run.scheduled_at, run.attempt), found, query)

    def get_output(
        self, run_id: str, attempt: int | None = None, jobstore: str | None = None, *, after: int = 0
    ) -> KeptOutput:
        """What an attempt at a run has printed, as far as its job's `keep_output` keeps it; with a database some
        seconds late, whichever process runs it.

        :param attempt: default: the last one that has begun
        :param after: only what came after so many bytes: `end` of an earlier answer
        :raises RunNotFoundError: if there is neither a record of the attempt nor output of it
        """
        if attempt is not None:
            checked_whole("attempt", attempt, 1)
        checked_whole("after", after, 0)
        return self._engine.call(self._output, run_id, attempt, jobstore, after)

    def _output(self, run_id: str, attempt: int | None, jobstore: str | None, after: int) -> KeptOutput:
        for alias in self._engine.aliases(jobstore):
            store = self._engine.stores[alias]
            records = {run.attempt: run for run in store.runs(RunQuery(run_id=run_id)) if run.outcome != WAITING}
            stored = store.output(run_id, max(records, default=None) if attempt is None else attempt)
            known = stored.attempt if stored is not None else max(records, default=0) if attempt is None else attempt
            if stored is not None or known in records:
                going_on = is_going_on(stored, records.get(known), self._engine.now_ms())
                pieces = () if stored is None else stored.pieces
                return output_of(run_id, known, pieces, after=after, going_on=going_on)
        raise RunNotFoundError(run_id)

    def get_counters(self, job_id: str, jobstore: str | None = None) -> JobCounters:
        """How often a job ran and failed, and its last run; with MongoDB on all nodes, as of some seconds ago.

        Raises JobNotFoundError.
        """
        return self._engine.call(self._counters, job_id, jobstore)

    def _counters(self, job_id: str, jobstore: str | None) -> JobCounters:
        return self._engine.store(self._engine.find(job_id, jobstore).jobstore).counters(job_id)

    def explain(
        self, job_id: str, instant: datetime | date | str | float, jobstore: str | None = None
    ) -> Explanation:
        """How an instant of a job ended, and why; `str()` of the result gives it in words.

        The result distinguishes recorded outcomes from inferred ones: most runs that succeed have no record.

        :param instant: a datetime, a date, ISO text or seconds since the epoch; without a zone in the scheduler's
        :raises JobNotFoundError: if there is neither such a job nor a record of one
        :raises ConfigurationError: if `instant` is not understood
        """
        asked = to_ms(as_instant(instant, self._engine.timezone, "instant"))
        return self._engine.call(explained, self._engine, job_id, asked, jobstore)
