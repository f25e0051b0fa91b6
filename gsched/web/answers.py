"""What the API answers to GET: each method is one path. None of them changes anything."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from heapq import nsmallest
from typing import TYPE_CHECKING, Any, Final

from gsched import __version__
from gsched.errors import JobNotFoundError, RunNotFoundError
from gsched.event_loop.slices import give_way, paced
from gsched.history.queries import RunQuery
from gsched.jobs.audit import AuditQuery
from gsched.jobs.export import to_json
from gsched.jobs.query import SORTS, STATES, JobQuery
from gsched.monitoring.error_groups import BY, MOST_RECORDS
from gsched.schedulers.handle import JobHandle
from gsched.shapes.groups import GROUP
from gsched.shapes.jobs import JOB_ROW, job_values, next_run_times
from gsched.shapes.overview import OVERVIEW
from gsched.shapes.questions import AUDIT_ENTRY, ERROR_GROUP, INSTANT, LOAD, RATE
from gsched.shapes.runs import ATTEMPT, EXPLANATION, OUTPUT, RUN
from gsched.shapes.shape import Shape, as_json, as_object
from gsched.shapes.stores import FINDING, NODE
from gsched.times.instants import from_ms, timezone_name
from gsched.times.relative import as_past
from gsched.web.parameters import MOST_IDS

if TYPE_CHECKING:
    from gsched.monitoring.groups import GroupInfo
    from gsched.web.asking import Ask, Served
    from gsched.web.news import LiveNews

FAILING: Final = "failing"  # in place of a state, as is the next
OVERDUE: Final = "overdue"
LISTED: Final = (*STATES, FAILING, OVERDUE)

_PAGE: Final = 100
_MOST_LISTED: Final = 200
_MOST_INSTANTS: Final = 300
_MOST_NEXT: Final = 50
_ALL: Final = 10**9
_AFTER_JOB: Final = re.compile("[@!]")  # in a run's id
_MOST_ATTEMPTS: Final = 1_000_000


class ApiAnswers:
    """Answers questions about the jobs of a scheduler.

    :param news: has the overviews of the last minutes
    """

    def __init__(self, served: Served, news: LiveNews) -> None:
        self._served = served
        self._news = news
        self._scheduler = served.scheduler

    # -- the whole ------------------------------------------------------------------------------------------------

    def me(self, ask: Ask) -> dict[str, Any]:
        """The user of the request, their permissions, and what the page needs to know about the server."""
        stores = self._scheduler.stores.items()
        return {
            "actor": ask.user.name,
            "may": sorted(ask.may),
            "read_only": self._served.read_only,
            "title": self._served.title,
            "stores": [
                {"jobstore": alias, "kind": type(store).__name__, "shared": store.shared} for alias, store in stores
            ],
            "running": self._scheduler.running,
            "zone": timezone_name(self._scheduler.timezone),
            "version": __version__,
            "now": self._as_of(),
        }

    def overview(self, ask: Ask) -> dict[str, Any]:
        """Jobs, nodes, runs and troubles at a glance."""
        jobstore = ask.query.text("jobstore")
        series = self._news.series(jobstore)
        return {**as_object(OVERVIEW, self._news.overview(jobstore)), "as_of": self._as_of(), "series": series}

    def nodes(self, ask: Ask) -> dict[str, Any]:
        """The schedulers that share the store."""
        found = self._scheduler.admin.get_nodes(ask.query.text("jobstore"))
        return {"nodes": _each(NODE, found), "as_of": self._as_of()}

    def groups(self, ask: Ask) -> dict[str, Any]:
        """The groups that jobs are in: first those whose jobs wait, then those with a pause or a limit."""
        limit = ask.query.whole("limit", _PAGE, 1, _MOST_LISTED)
        found = self._scheduler.admin.get_groups(ask.query.text("jobstore"))
        return {"groups": _each(GROUP, nsmallest(limit, found, key=_urgency)), "of": len(found), "as_of": self._as_of()}

    def doctor(self, ask: Ask) -> dict[str, Any]:
        """Problems, with their remedies."""
        return {"findings": _each(FINDING, self._scheduler.admin.diagnose_stores(ask.query.text("jobstore")))}

    def audit(self, ask: Ask) -> dict[str, Any]:
        """A page of the audit."""
        query = ask.query
        wanted = AuditQuery(
            query.text("actor"), query.text("action"), query.text("target"), self._past(ask, "since"),
            self._past(ask, "until"), query.text("before"), query.whole("limit", _PAGE, 1, _MOST_LISTED),
        )  # fmt: skip
        page = self._scheduler.admin.audit(wanted, query.text("jobstore"))
        return {"entries": _each(AUDIT_ENTRY, page.entries), "next": page.next}

    # -- jobs -----------------------------------------------------------------------------------------------------

    def jobs(self, ask: Ask) -> dict[str, Any]:
        """A page of jobs."""
        query = ask.query
        sort, limit = query.one_of("sort", SORTS) or SORTS[0], query.whole("limit", _PAGE, 1, _MOST_LISTED)
        wanted = chosen_by(query, limit=limit, sort=sort, after=query.text("after"))
        page = self._scheduler.admin.find(wanted, query.text("jobstore"))
        return {
            "jobs": _each(JOB_ROW, page.rows),
            "next": page.next,
            "stopped_early": page.stopped_early,
            "as_of": self._as_of(),
        }

    def counts(self, ask: Ask) -> dict[str, Any]:
        """How many jobs there are: in all, in each state that wants a look, and among those that are chosen."""
        jobstore = ask.query.text("jobstore")
        wanted = chosen_by(ask.query)
        known = self._news.overview(jobstore).jobs
        counted = {"total": JobQuery(), **{state: JobQuery(state=state) for state in ("paused", "parked")}}
        counts = {name: known.get(name) for name in counted}
        for name, count in counts.items():
            if count is None:  # the overview has no cheap number
                counts[name] = self._scheduler.admin.count(counted[name], jobstore, most=_ALL)
        counts[FAILING] = self._scheduler.admin.count(JobQuery(failing=True), jobstore)
        counts[OVERDUE] = self._scheduler.admin.count(JobQuery(overdue=True), jobstore)
        matched = counts["total"] if wanted == JobQuery() else self._scheduler.admin.count(wanted, jobstore)
        return {**counts, "matched": matched}

    def tags(self, ask: Ask) -> dict[str, Any]:
        """The tags that most jobs have."""
        found = self._scheduler.admin.tags(ask.query.text("jobstore"))
        return {"tags": [{"tag": tag, "jobs": jobs} for tag, jobs in found.items()]}

    def rows(self, ask: Ask) -> dict[str, Any]:
        """Some jobs, as they are now; those that are gone are left out."""
        ids = ask.query.texts("id", MOST_IDS)
        found = self._scheduler.admin.rows(ids, ask.query.text("jobstore")) if ids else {}
        return {"rows": _each(JOB_ROW, found.values()), "as_of": self._as_of()}

    def job(self, ask: Ask) -> dict[str, Any]:
        """All about a job."""
        return self.whole_job(ask, ask.query.needed("id"), ask.query.text("jobstore"))

    def whole_job(self, ask: Ask, job_id: str, jobstore: str | None) -> dict[str, Any]:
        """All about the job with this id. Raises JobNotFoundError."""
        job = self._scheduler.get_job(job_id, jobstore)
        row = None if job is None else self._scheduler.admin.rows([job_id], job.jobstore).get(job_id)
        if row is None:
            raise JobNotFoundError(job_id)
        values = {
            **as_json(job_values(row.job, row.counters, self._served.now())),
            **as_object(JOB_ROW, row),
            "added": as_json(row.added),
            "changed": as_json(row.changed),
            "recent": as_json([each._asdict() for each in row.counters.recent]),
        }
        return values | {name: json_text(value) for name, value in shown_arguments(ask, row.job).items()}

    def instants(self, ask: Ask) -> dict[str, Any]:
        """What became of each instant of a job, and why."""
        query = ask.query
        found = self._scheduler.admin.instants(
            query.needed("id"), query.text("jobstore"), since=query.text("since") or "1h", until=query.text("until"),
            limit=query.whole("limit", _MOST_INSTANTS, 1, _MOST_INSTANTS),
        )  # fmt: skip
        return {"instants": _each(INSTANT, found)}

    def next(self, ask: Ask) -> dict[str, Any]:
        """When a job is due next."""
        job = self._job(ask)
        return {"next": self.next_times(job, ask.query.whole("count", 10, 1, _MOST_NEXT))}

    def next_times(self, job: Any, count: int) -> list[dict[str, Any]]:
        """The next times of a job's definition, each with whether the zone's offset differs from the one before."""
        times = list(next_run_times(job, self._served.now(), count))
        before = [from_ms(self._served.now(), job.trigger.timezone), *times]
        changes = (time.utcoffset() != last.utcoffset() for time, last in zip(times, before))
        return [{"at": as_json(time), "offset_changes": changed} for time, changed in zip(times, changes)]

    def explain(self, ask: Ask) -> dict[str, Any]:
        """What became of one instant of a job, and why."""
        query = ask.query
        found = self._scheduler.explain(query.needed("id"), query.needed("at"), query.text("jobstore"))
        record = None if found.record is None else as_object(RUN, found.record)
        return {**as_object(EXPLANATION, found), "record": record}

    # -- runs -----------------------------------------------------------------------------------------------------

    def runs(self, ask: Ask) -> dict[str, Any]:
        """A page of runs."""
        query = ask.query
        wanted = RunQuery(
            query.text("job"), query.text("outcome"), self._past(ask, "since"), self._past(ask, "until"),
            query.text("tag"), query.whole("limit", _PAGE, 1, _MOST_LISTED), before=query.text("before"),
            node=query.text("node"),
        )  # fmt: skip
        page = self._scheduler.admin.runs(wanted, query.text("jobstore"))
        return {"runs": _each(RUN, page.runs), "next": page.next}

    def run(self, ask: Ask) -> dict[str, Any]:
        """A run: its attempts, the last one first, with their tracebacks; and what became of its instant."""
        run_id, jobstore = ask.query.needed("id"), ask.query.text("jobstore")
        attempts = self._scheduler.get_runs(run_id=run_id, jobstore=jobstore)
        if not attempts:
            raise RunNotFoundError(run_id)
        attempts.sort(key=lambda attempt: attempt.attempt, reverse=True)
        last = attempts[0]
        explained = None
        if last.request is None:
            explained = as_object(EXPLANATION, self._scheduler.explain(last.job_id, last.scheduled_at, jobstore))
        return {"run_id": run_id, "job_id": last.job_id, "attempts": _each(ATTEMPT, attempts), "explained": explained}

    def output(self, ask: Ask) -> dict[str, Any]:
        """What an attempt at a run has printed, without the secrets of its job's arguments."""
        run_id, jobstore = ask.query.needed("id"), ask.query.text("jobstore")
        attempt = ask.query.whole("attempt", 0, 1, _MOST_ATTEMPTS)
        found = self._scheduler.get_output(run_id, attempt or None, jobstore)
        for mark in _AFTER_JOB.finditer(run_id):  # both may be in a job's id, too
            if (job := self._scheduler.get_job(run_id[: mark.start()], jobstore)) is not None:
                shown_arguments(ask, job)  # the output may repeat what is masked there
        return {**as_object(OUTPUT, found), "text": ask.redaction.long_text(found.text, give_way)}

    def errors(self, ask: Ask) -> dict[str, Any]:
        """Failures, those that are alike together."""
        query = ask.query
        found = self._scheduler.admin.error_groups(
            query.text("jobstore"), since=query.text("since") or "24h", tag=query.text("tag"),
            by=query.one_of("by", BY) or BY[0], limit=query.whole("limit", MOST_RECORDS, 1, MOST_RECORDS),
        )  # fmt: skip
        window = {"records": found.records, "since": as_json(found.since)}
        return {"groups": _each(ERROR_GROUP, found.groups), "window": window}

    def load(self, ask: Ask) -> dict[str, Any]:
        """The load ahead."""
        found = self._scheduler.admin.load(ask.query.text("jobstore"), zone=ask.query.text("zone"))
        return {name: as_json(read(found)) for name, read in paced(LOAD.items())}

    def rates(self, ask: Ask) -> dict[str, Any]:
        """What ran in each step of time."""
        query = ask.query
        found = self._scheduler.admin.rates(
            query.text("jobstore"), since=query.text("since") or "1h", until=query.text("until"),
            step=query.text("step") or "1m",
        )  # fmt: skip
        return {"rates": _each(RATE, found)}

    # -- helpers --------------------------------------------------------------------------------------------------

    def _job(self, ask: Ask) -> Any:
        job_id = ask.query.needed("id")
        return self._served.engine.call(self._served.engine.find, job_id, ask.query.text("jobstore"))

    def _past(self, ask: Ask, name: str) -> int | None:
        return as_past(ask.query.text(name), self._served.now(), self._scheduler.timezone, name)

    def _as_of(self) -> Any:
        return as_json(from_ms(self._served.now(), self._scheduler.timezone))


def chosen_by(parameters: Any, **more: Any) -> JobQuery:
    """The jobs that parameters choose by q, prefix, tag, group and state."""
    state = parameters.one_of("state", LISTED)
    return JobQuery(
        tag=parameters.text("tag"),
        state=state if state in STATES else None,
        text=parameters.text("q"),
        prefix=parameters.text("prefix"),
        group=parameters.text("group"),
        failing=state == FAILING,
        overdue=state == OVERDUE,
        **more,
    )


def shown_arguments(ask: Ask, job: JobHandle) -> dict[str, Any]:
    """A job's arguments and metadata as the user may see them, in JSON's types with tags for what JSON has not."""
    stored = stored_arguments(job.definition)
    return {
        "args": ask.redaction.arguments(job.func, stored["args"]),
        **{name: ask.redaction.named("", stored[name]) for name in ("kwargs", "metadata")},
    }


def json_text(value: Any) -> str:
    """A value as users read and write it."""
    return json.dumps(value, ensure_ascii=False)


def stored_arguments(job: Any) -> dict[str, Any]:
    """A job's arguments and metadata in JSON's types. Objects in memory without a form in JSON are shown by their repr.
    """
    values: Mapping[str, Any] = {"args": list(job.args), "kwargs": dict(job.kwargs), "metadata": dict(job.metadata)}
    return {name: _in_json(value) for name, value in values.items()}


def _in_json(value: Any) -> Any:
    try:
        return to_json(value)
    except TypeError:
        return as_json(value)


def _urgency(group: GroupInfo) -> tuple[int, bool, bool, str]:
    """The key that sorts groups: those in which most jobs wait come first, then paused and limited ones."""
    waiting = 0 if group.activity is None else group.activity.waiting
    return -waiting, group.pause is None, group.limit is None, group.name


def _each(shape: Shape, items: Iterable[Any]) -> list[dict[str, Any]]:
    return [as_object(shape, item) for item in paced(items)]
