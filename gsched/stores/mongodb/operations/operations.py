"""The operators' verbs for a store in MongoDB."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gsched.jobs.audit import AuditEntry, AuditPage, AuditQuery
from gsched.jobs.job import Job
from gsched.monitoring.activity import Overview
from gsched.monitoring.cluster_events import StoreEvent
from gsched.monitoring.doctor import Finding
from gsched.monitoring.nodes import NodeInfo
from gsched.monitoring.overdue import in_overview
from gsched.monitoring.rates import NotedMinute
from gsched.monitoring.store_statistics import StoreStatistics
from gsched.stores.expectations import Expectations
from gsched.stores.mongodb.documents.audit import audit_document
from gsched.stores.mongodb.driver.connection import Connection, translate_errors
from gsched.stores.mongodb.operations.activity import overview_of, publish_activity
from gsched.stores.mongodb.operations.audit import find_audit
from gsched.stores.mongodb.operations.cancel import cancel_requests, request_cancel
from gsched.stores.mongodb.operations.doctor import MongoDiagnosis
from gsched.stores.mongodb.operations.follow import MongoFollowing
from gsched.stores.mongodb.operations.maintenance import count_records, purge_records, statistics_of
from gsched.stores.mongodb.operations.minutes import note_minute, read_hours, read_minutes
from gsched.stores.mongodb.operations.nodes import claims_of, read_nodes, request_drain
from gsched.times.clock import Clock


class MongoOperations:
    """See `Operations`. Works in any process, whether its scheduler runs or not.

    :param ttl: seconds without a beat after which a node is silent
    """

    def __init__(self, connection: Connection, clock: Clock, expectations: Expectations, ttl: float) -> None:
        self._connection = connection
        self._clock = clock
        self._expectations = expectations
        self._ttl = ttl

    @translate_errors()
    def ping(self) -> None:
        self._connection.control().command("ping")

    @translate_errors()
    def statistics(self) -> StoreStatistics:
        return statistics_of(self._connection.jobs(), self._clock.now_ms())

    @translate_errors()
    def count_records(self, before: int) -> int:
        return count_records(self._connection.jobs(), before)

    @translate_errors()
    def purge(self, before: int, progress: Callable[[int], object] | None = None) -> int:
        return purge_records(self._connection.jobs(), before, progress)

    @translate_errors()
    def nodes(self) -> list[NodeInfo]:
        return read_nodes(self._connection.jobs(), self._ttl)

    @translate_errors()
    def claimed_until(self) -> Callable[[Job], int]:
        return claims_of(self._connection.jobs())

    @translate_errors()
    def request_drain(self, node_id: str) -> None:
        request_drain(self._connection.jobs(), node_id)

    @translate_errors()
    def request_cancel(self, run_id: str) -> bool:
        return request_cancel(self._connection.jobs(), run_id)

    @translate_errors()
    def cancel_requests(self, attempts: Sequence[tuple[str, int]]) -> Collection[str]:
        return cancel_requests(self._connection.jobs(), attempts)

    @translate_errors()
    def record_audit(self, entry: AuditEntry) -> None:
        self._connection.jobs().audit.insert_one(audit_document(entry))

    @translate_errors()
    def audit(self, query: AuditQuery) -> AuditPage:
        return find_audit(self._connection.jobs(), query)

    @translate_errors()
    def note_minute(self, node: str, minute: NotedMinute) -> None:
        note_minute(self._connection.jobs(), node, minute)

    @translate_errors()
    def minutes(self, since: int, until: int) -> Sequence[NotedMinute]:
        return read_minutes(self._connection.jobs(), since, until)

    @translate_errors()
    def hours(self, since: int, until: int) -> Sequence[NotedMinute]:
        return read_hours(self._connection.jobs(), since, until)

    @translate_errors()
    def overview(self) -> Overview:
        now = self._clock.now_ms()
        overdue = in_overview(self._expectations.overdue(now), now)
        return replace(overview_of(self._connection.jobs(), now, self._ttl), overdue=overdue)

    @translate_errors()
    def publish(self, node: str, activity: Mapping[str, Any]) -> None:
        publish_activity(self._connection.jobs(), node, activity)

    def follow(self, stop: Callable[[], bool]) -> Iterator[StoreEvent]:
        return MongoFollowing(self._connection, self._clock).follow(stop)

    def diagnose(self, further: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
        return MongoDiagnosis(self._connection, self._clock, self._ttl).diagnose(further)
