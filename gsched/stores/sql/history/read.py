"""Reading what became of runs: lists, the counters of a job, and what helps to explain an instant."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import chain
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, desc, literal, null, select, tuple_

from gsched.history.explanation import Evidence
from gsched.history.queries import UNENDED, JobCounters, RunInfo, RunPage, RunQuery, newest_first
from gsched.history.retention import RetentionPolicy
from gsched.jobs.job import Job
from gsched.stores.derived import page_of_runs
from gsched.stores.durable.evidence import NODES_KEPT_MS, JobTimes, Owner, SlotClaims, claim_evidence
from gsched.stores.sql.driver.connection import SqlConnection
from gsched.stores.sql.driver.tables import Tables
from gsched.stores.sql.rows.jobs import counters_of
from gsched.stores.sql.rows.runs import run_info
from gsched.times.clock import Clock


class SqlHistory:
    """Works in any process, whether its scheduler runs or not. See BaseJobStore for what each verb gives.

    :param row: gives the row of a job, by its id; raises JobNotFoundError
    """

    def __init__(
        self,
        connection: SqlConnection,
        clock: Clock,
        row: Callable[[str], Row[Any]],
        keeping: RetentionPolicy,
        keep: timedelta,
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._row = row
        self._keeping = keeping
        self._keep_ms = keep // timedelta(milliseconds=1)

    def runs(self, query: RunQuery) -> list[RunInfo]:
        tables, most = self._connection.tables, query.skip + query.limit

        def transaction(connection: Connection) -> tuple[Sequence[Row[Any]], Mapping[str, Row[Any]]]:
            rows = [row for wanted in _filters(tables, query) for row in _newest(connection, tables, wanted, most)]
            page = newest_first(lambda row: (row.scheduled_at, row.attempt), rows, query)
            return page, _jobs_of_bare(connection, tables, page)

        page, jobs = self._connection.read(transaction)
        return [_info(row, jobs) for row in page]

    def run_page(self, query: RunQuery) -> RunPage:
        tables = self._connection.tables
        after = [] if query.place is None else [_place(tables) < tuple_(*map(literal, query.place))]

        def transaction(connection: Connection) -> tuple[Sequence[Row[Any]], Mapping[str, Row[Any]]]:
            most = query.limit + 1
            pages = (_page(connection, tables, [*wanted, *after], most) for wanted in _filters(tables, query))
            page = sorted(chain(*pages), key=lambda row: (row.scheduled_at, row.key), reverse=True)[:most]
            return page, _jobs_of_bare(connection, tables, page)

        page, jobs = self._connection.read(transaction)
        return page_of_runs([_info(row, jobs) for row in page], query)

    def counters(self, job_id: str) -> JobCounters:
        return counters_of(self._row(job_id), self._clock.now_ms())

    def evidence(self, job: Job | None, instant: int) -> Evidence:
        now = self._clock.now_ms()
        known = Evidence(successes=self._keeping.successes, since=now - self._keep_ms)
        if job is None:
            return known
        row, tables = self._row(job.id), self._connection.tables
        slot, away = self._connection.read(
            lambda connection: (_claims(connection, tables, row.slot), _away(connection, tables, instant, now))
        )
        known = known._replace(added=row.created_at, changed=row.updated_at, parked=row.parked, away=away)
        times = JobTimes(row.admitted, row.next_run, row.begins, row.late_until)
        return claim_evidence(known, times, slot, instant, now)


# -- lists ------------------------------------------------------------------------------------------------------------


def _filters(tables: Tables, query: RunQuery) -> Iterable[list[ColumnElement[bool]]]:
    """The conditions for records in the period, and for spans that begin before it and reach into it."""
    runs = tables.runs
    wanted: list[ColumnElement[bool]] = []
    if query.job_id is not None:
        wanted.append(runs.c.job_id == query.job_id)
    if query.run_id is not None:  # "$" follows "#", which comes before the attempt
        wanted += [runs.c.key >= f"{query.run_id}#", runs.c.key < f"{query.run_id}$"]
    if query.tag is not None:
        recorded = select(tables.run_tags.c.key).where(tables.run_tags.c.tag == query.tag)
        tagged = select(tables.job_tags.c.job_id).where(tables.job_tags.c.tag == query.tag)
        wanted.append(runs.c.key.in_(recorded) | (tables.unended & runs.c.job_id.in_(tagged)))
    if query.node is not None:
        wanted.append(runs.c.node == query.node)
    if query.outcome is not None:
        is_so = tables.unended & (runs.c.state == query.outcome)
        wanted.append(is_so if query.outcome in UNENDED else runs.c.outcome == query.outcome)
    due: list[ColumnElement[bool]] = []
    if query.since is not None:
        due.append(runs.c.scheduled_at >= query.since)
        yield [*wanted, runs.c.until > query.since, runs.c.scheduled_at < query.since]
    if query.until is not None:
        due.append(runs.c.scheduled_at < query.until)
    yield [*wanted, *due]


def _newest(connection: Connection, tables: Tables, wanted: Any, most: int) -> Sequence[Row[Any]]:
    runs = tables.runs
    order = desc(runs.c.scheduled_at), desc(runs.c.attempt)
    return connection.execute(select(runs).where(*wanted).order_by(*order).limit(most)).all()


def _place(tables: Tables) -> Any:
    """The place of a record in pages."""
    return tuple_(tables.runs.c.scheduled_at, tables.runs.c.key)


def _page(connection: Connection, tables: Tables, wanted: Any, most: int) -> Sequence[Row[Any]]:
    """Records without their tracebacks, which are long."""
    runs = tables.runs
    columns = (column for column in runs.columns if column is not runs.c.traceback)
    order = desc(runs.c.scheduled_at), desc(runs.c.key)
    page: Any = select(*columns, null().label("traceback")).where(*wanted).order_by(*order).limit(most)
    rows: Sequence[Row[Any]] = connection.execute(page).all()
    return rows


def read_infos(connection: Connection, tables: Tables, wanted: Any) -> tuple[Sequence[Row[Any]], list[RunInfo]]:
    """The rows that a statement on the table of runs gives, and what they say."""
    rows: Sequence[Any] = connection.execute(wanted).all()
    jobs = _jobs_of_bare(connection, tables, rows)
    return rows, [_info(row, jobs) for row in rows]


def _jobs_of_bare(connection: Connection, tables: Tables, rows: Sequence[Row[Any]]) -> Mapping[str, Row[Any]]:
    """The jobs of rows that lack their names and tags: of runs that have not ended, or that another node has ended."""
    jobs, ids = tables.jobs, list({row.job_id for row in rows if row.job_name is None})
    wanted = select(jobs.c.id, jobs.c.name, jobs.c.document).where(jobs.c.id.in_(ids))
    found: Sequence[Any] = connection.execute(wanted).all() if ids else ()
    return {row.id: row for row in found}


def _info(row: Row[Any], jobs: Mapping[str, Row[Any]]) -> RunInfo:
    if row.job_name is not None:
        return run_info(row, row.job_name, json.loads(row.tags or "[]"))
    job = jobs.get(row.job_id)
    return run_info(row, "", ()) if job is None else run_info(row, job.name, json.loads(job.document)["tags"])


# -- how far the claims have come -------------------------------------------------------------------------------------


def _claims(connection: Connection, tables: Tables, number: int) -> SlotClaims | None:
    """The slot; None if it is not there."""
    slots, nodes = tables.slots, tables.nodes
    slot = connection.execute(select(slots).where(slots.c.id == number)).first()
    if slot is None:
        return None
    follows = select(nodes.c.id, nodes.c.watermark, nodes.c.acked).where(nodes.c.id == slot.owner)
    node = connection.execute(follows).first() if slot.attached else None
    return SlotClaims(slot.watermark, slot.acked, slot.open_from, None if node is None else Owner(*node))


def _away(connection: Connection, tables: Tables, instant: int, now: int) -> int | None:
    """When a node began to run jobs, if none did at the instant; None if one did, or if that is not known."""
    nodes = tables.nodes
    if instant < now - NODES_KEPT_MS:
        return None
    there = select(nodes.c.id).where(nodes.c.started_at <= instant, nodes.c.watermark >= instant).limit(1)
    if connection.execute(there).first() is not None:
        return None
    following = select(nodes.c.started_at).where(nodes.c.started_at > instant).order_by(nodes.c.started_at).limit(1)
    began: int | None = connection.execute(following).scalar()
    return began
