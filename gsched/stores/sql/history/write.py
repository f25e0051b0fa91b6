"""Writing what became of runs: records, the counters of each job, the ends of jobs, and what has expired."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    String,
    and_,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    update as update_of,
)

from gsched.history.recent import CHARACTERS, KEPT, text_of
from gsched.history.records import LiveCounters, Record
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome
from gsched.jobs.tally import Tally
from gsched.stores.durable.answers import Removed
from gsched.stores.sql.claims.access import greatest
from gsched.stores.sql.driver.connection import SqlConnection
from gsched.stores.sql.driver.tables import Tables
from gsched.stores.sql.jobs.write import remove_jobs, tell
from gsched.stores.sql.rows.runs import ended_row, record_key
from gsched.times.clock import Clock

Values = dict[str, Any]
EXPIRED_AT_ONCE: Final = 500
KEEP_DEAD_MS: Final = 86_400_000  # dead nodes whose jobs others have
KEEP_CHANGES_MS: Final = 3_600_000  # news of changed jobs


class SqlRecords:
    """How outcomes are written: see `gsched.stores.durable.answers.Records`. The database refuses none of them.

    Each call is a transaction of some ten milliseconds, so that claims never wait long.

    :param keep: how long records are kept
    :param changed: gets the ids of jobs that are removed because they have ended
    """

    def __init__(
        self, connection: SqlConnection, clock: Clock, keep: timedelta, changed: Callable[[Iterable[str]], object]
    ) -> None:
        self._connection = connection
        self._tables = connection.tables
        self._clock = clock
        self._keep_ms = keep // timedelta(milliseconds=1)
        self._changed = changed

    def write(self, records: Sequence[Record]) -> Mapping[str, str]:
        expires_at = self._clock.now_ms() + self._keep_ms
        rows: dict[str, Values] = {}
        tags: dict[str, tuple[str, ...]] = {}
        for record in records:  # of several of one attempt the last counts
            key = record_key(record)
            if key not in rows or record.outcome != Outcome.LOST:
                rows[key], tags[key] = ended_row(record, expires_at), record.tags
        tag_rows = [{"key": key, "tag": tag} for key, these in tags.items() for tag in dict.fromkeys(these)]
        statement = self._overwriting()
        tagging = self._connection.insert(into=self._tables.run_tags).on_conflict_do_nothing()

        def transaction(connection: Connection) -> None:
            connection.execute(statement, list(rows.values()))
            if tag_rows:
                connection.execute(tagging, tag_rows)

        if rows:
            self._connection.write(transaction, urgent=True)
        return {}

    def _overwriting(self) -> Any:
        runs = self._tables.runs
        new = self._connection.insert(into=runs)
        fields = {column.name: new.excluded[column.name] for column in runs.columns if column.name in _OVERWRITTEN}
        is_news = or_(
            new.excluded.outcome != Outcome.LOST.value,
            runs.c.outcome.is_(None),
            runs.c.outcome == Outcome.LOST.value,
        )
        return new.on_conflict_do_update(index_elements=[runs.c.key], set_=fields, where=is_news)

    def count(self, tallies: Mapping[str, LiveCounters]) -> Mapping[str, str]:
        values = [_counted(job_id, tally) for job_id, tally in tallies.items()]
        statement = _counting(self._tables)
        if values:
            self._connection.write(lambda connection: connection.execute(statement, values), urgent=True)
        return {}

    def note_tallies(self, tallies: Mapping[str, Tally]) -> Mapping[str, str]:
        values = [
            {"job": job_id, "since": each.since, "begun": each.runs, "until": each.until, "failing": each.failing}
            for job_id, each in tallies.items()
        ]
        statement = _noting(self._tables)
        if values:
            self._connection.write(lambda connection: connection.execute(statement, values), urgent=True)
        return {}

    def remove_ended(self, jobs: Sequence[Job]) -> Removed:
        now = self._clock.now_ms()
        table, runs = self._tables.jobs, self._tables.runs
        awaited = select(runs.c.job_id).where(self._tables.unended)
        same = or_(*(and_(table.c.id == job.id, table.c.rev == job.rev) for job in jobs))
        over = select(table.c.id).where(same, table.c.id.not_in(awaited))
        ids = [job.id for job in jobs]
        kept = select(table.c.id).where(table.c.id.in_(ids))

        def transaction(connection: Connection) -> tuple[Sequence[str], set[str]]:
            ended = connection.execute(over).scalars().all()
            if ended:
                remove_jobs(connection, self._tables, ended)
                tell(connection, self._tables, ended, now, self._connection.origin)
            return ended, set(ids) - set(connection.execute(kept).scalars())

        if not jobs:
            return Removed((), {})
        ended, gone = self._connection.write(transaction, urgent=True)
        self._changed(ended)  # until the owner has looked, a crash would leave their last instants uncertain
        return Removed(gone, {})

    def expire(self) -> bool:
        """Remove some of what has expired; whether there is more."""
        now = self._clock.now_ms()
        runs, changes, nodes = self._tables.runs, self._tables.changes, self._tables.nodes
        outputs = self._tables.outputs
        expired = select(runs.c.key).where(runs.c.expires_at <= now).limit(EXPIRED_AT_ONCE)
        old = select(changes.c.seq).where(changes.c.at < now - KEEP_CHANGES_MS).limit(EXPIRED_AT_ONCE)

        def transaction(connection: Connection) -> bool:
            keys = connection.execute(expired).scalars().all()
            remove_runs(connection, self._tables, keys)
            gone = connection.execute(delete(changes).where(changes.c.seq.in_(old))).rowcount
            connection.execute(delete(outputs).where(outputs.c.expires_at <= now))  # of attempts without a record
            connection.execute(delete(nodes).where(nodes.c.settled_at < now - KEEP_DEAD_MS))
            return len(keys) == EXPIRED_AT_ONCE or gone == EXPIRED_AT_ONCE

        return self._connection.write(transaction, urgent=True)


_OVERWRITTEN: Final = frozenset(
    (
        "state", "node", "slot", "job_id", "job_name", "tags", "scheduled_at", "attempt", "request", "outcome",
        "reason", "until", "started_at", "finished_at", "error_type", "error_message", "traceback", "command",
        "expires_at",
    )
)  # fmt: skip


def remove_runs(connection: Connection, tables: Tables, keys: Sequence[str]) -> None:
    """Remove records, with the output of their runs."""
    if keys:
        connection.execute(delete(tables.run_tags).where(tables.run_tags.c.key.in_(keys)))
        connection.execute(delete(tables.outputs).where(tables.outputs.c.key.in_(keys)))
        connection.execute(delete(tables.runs).where(tables.runs.c.key.in_(keys)))


def _counting(tables: Tables) -> Any:
    jobs = tables.jobs
    recent = func.coalesce(jobs.c.recent, "").concat(bindparam("more_recent", type_=String))
    failing, succeeded = bindparam("failed_at", type_=BigInteger), bindparam("succeeded", type_=Boolean)
    return (
        update_of(jobs)
        .where(jobs.c.id == bindparam("job"))
        .values(
            runs=jobs.c.runs + bindparam("more_runs"),
            failures=jobs.c.failures + bindparam("more_failures"),
            last_run=_news("run_at", jobs.c.last_run),
            last_duration=_news("duration", jobs.c.last_duration),
            last_error=_news("error", jobs.c.last_error),
            failing_since=case(
                (failing.is_not(None) & succeeded, failing),
                (failing.is_not(None), func.coalesce(jobs.c.failing_since, failing)),
                (succeeded, None),
                else_=jobs.c.failing_since,
            ),
            recent=func.substr(recent, case((func.length(recent) > KEPT * CHARACTERS, -KEPT * CHARACTERS), else_=1)),
        )
    )


def _noting(tables: Tables) -> Any:
    """The update that keeps a tally. What a dead node writes late takes no run away."""
    jobs = tables.jobs
    begun, until, failing = (bindparam(name, type_=BigInteger) for name in ("begun", "until", "failing"))
    return (
        update_of(jobs)
        .where(jobs.c.id == bindparam("job"), jobs.c.created_at == bindparam("since"))
        .values(
            begun=greatest(jobs.c.begun, begun),
            failing=case((jobs.c.begun_until <= until, failing), else_=jobs.c.failing),
            begun_until=greatest(jobs.c.begun_until, until),
        )
    )


def _news(name: str, column: Any) -> ColumnElement[Any]:
    return func.coalesce(bindparam(name, type_=column.type if name != "run_at" else BigInteger()), column)


def _counted(job_id: str, tally: LiveCounters) -> Values:
    return {
        "job": job_id,
        "more_runs": tally.runs,
        "more_failures": tally.failures,
        "run_at": tally.started_ms,
        "duration": tally.duration,
        "error": tally.error,
        "more_recent": text_of(tally.last_outcomes()),
        "failed_at": tally.failing_ms,
        "succeeded": tally.has_succeeded,
    }
