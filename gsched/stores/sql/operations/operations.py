"""What operators ask for: see `gsched.stores.durable.answers.Operations`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from gsched.jobs.audit import AuditEntry, AuditPage, AuditQuery
from gsched.jobs.job import Job
from gsched.monitoring.activity import Overview
from gsched.monitoring.cluster_events import StoreEvent
from gsched.monitoring.doctor import Finding
from gsched.monitoring.nodes import NodeInfo
from gsched.monitoring.overdue import in_overview
from gsched.monitoring.rates import NotedMinute
from gsched.monitoring.store_statistics import StoreStatistics
from gsched.stores.durable.following import poll
from gsched.stores.expectations import Expectations
from gsched.stores.sql.driver.connection import SqlConnection
from gsched.stores.sql.history.purge import count_records, purge
from gsched.stores.sql.history.write import SqlRecords
from gsched.stores.sql.operations import audit, cancel, maintenance, minutes, nodes, overview
from gsched.stores.sql.operations.doctor import SqlDoctor
from gsched.stores.sql.operations.follow import SqlPictures
from gsched.times.clock import Clock
from gsched.times.instants import from_ms

_EXPIRE_EVERY_SECONDS: Final = 30.0
_WHY_LOOKING: Final = "SQLite does not tell of changes"


class SqlOperations:
    """Works in any process, whether its scheduler runs or not.

    :param ttl: seconds without a beat after which a node is silent
    :param changed: gets the ids of jobs whose owners are to look at them again
    """

    def __init__(
        self,
        connection: SqlConnection,
        clock: Clock,
        records: SqlRecords,
        expectations: Expectations,
        ttl: float,
        changed: Callable[[Iterable[str]], object],
    ) -> None:
        self._changed = changed
        self._connection = connection
        self._clock = clock
        self._records = records
        self._expectations = expectations
        self._ttl = ttl
        self._expire_at = 0.0  # monotonic

    def ping(self) -> None:
        maintenance.ping(self._connection)

    def statistics(self) -> StoreStatistics:
        return maintenance.statistics(self._connection, self._clock.now_ms())

    def count_records(self, before: int) -> int:
        return count_records(self._connection, before)

    def purge(self, before: int, progress: Callable[[int], object] | None = None) -> int:
        return purge(self._connection, before, progress)

    def nodes(self) -> list[NodeInfo]:
        now = self._clock.now_ms()
        return self._connection.read(lambda line: nodes.read_nodes(line, self._connection.tables, now, self._ttl))

    def claimed_until(self) -> Callable[[Job], int]:
        return nodes.claimed_until(self._connection)

    def request_drain(self, node_id: str) -> None:
        nodes.request_drain(self._connection, node_id, self._clock.now_ms())

    def request_cancel(self, run_id: str) -> bool:
        job_id = cancel.request_cancel(self._connection, run_id, self._clock.now_ms())
        if job_id is not None:
            self._changed([job_id])
        return job_id is not None

    def cancel_requests(self, attempts: Sequence[tuple[str, int]]) -> Collection[str]:
        return cancel.cancel_requests(self._connection, attempts)

    def record_audit(self, entry: AuditEntry) -> None:
        audit.record_audit(self._connection, entry)

    def audit(self, query: AuditQuery) -> AuditPage:
        return audit.find_audit(self._connection, query)

    def note_minute(self, node: str, minute: NotedMinute) -> None:
        minutes.note_minute(self._connection, node, minute)

    def minutes(self, since: int, until: int) -> Sequence[NotedMinute]:
        return minutes.read_minutes(self._connection, since, until, by_hour=False)

    def hours(self, since: int, until: int) -> Sequence[NotedMinute]:
        return minutes.read_minutes(self._connection, since, until, by_hour=True)

    def follow(self, stop: Callable[[], bool]) -> Iterator[StoreEvent]:
        return poll(SqlPictures(self._connection), _WHY_LOOKING, stop, lambda: from_ms(self._clock.now_ms()))

    def overview(self) -> Overview:
        now = self._clock.now_ms()
        overdue = in_overview(self._expectations.overdue(now), now)
        return replace(overview.overview(self._connection, now, self._ttl), overdue=overdue)

    def diagnose(self, further: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
        return SqlDoctor(self._connection, self._clock, self._ttl).diagnose(further)

    def publish(self, node: str, activity: Mapping[str, Any]) -> None:
        """Let others read what a node does. Now and then the node also removes what has expired."""
        overview.publish(self._connection, node, activity, self._clock.now_ms())
        if self._clock.monotonic() >= self._expire_at:
            self._expire_at = self._clock.monotonic() + _EXPIRE_EVERY_SECONDS
            while self._records.expire():
                pass
            audit.expire_audit(self._connection, self._clock.now_ms())
