"""Runs on request: taken from the documents of their jobs, and handed to the hub, once each."""

from __future__ import annotations

from collections.abc import Callable

from gsched.batches import batches
from gsched.planning import Span
from gsched.run import Outcome, Reason
from gsched.stores.base import HubSide, Lost, RunRequested
from gsched.stores.mongodb.cluster import Cluster, JobRecord, RunRecord
from gsched.stores.mongodb.partition import slot_of
from gsched.stores.mongodb.tenure import Tenure

AT_ONCE = 200  # runs per transaction: the watermark waits for it


class Requests:
    """Takes them, for one tenure.

    :param keep_alive: called between steps that write, so that others do not take us for dead
    """

    def __init__(self, cluster: Cluster, tenure: Tenure, hub: HubSide, keep_alive: Callable[[], None]) -> None:
        self._cluster = cluster
        self._tenure = tenure
        self._hub = hub
        self._keep_alive = keep_alive
        self._taking: dict[str, dict[str, RunRequested]] = {}  # those that we may have taken: what the hub is told

    @property
    def unsettled(self) -> bool:
        """Whether requests may have been taken of which the hub does not know. One that a job does not have any more
        would be taken for ours, though another node, which owns the job by then, took it."""
        return bool(self._taking)

    def resolve(self, job_id: str, record: JobRecord | None) -> None:
        """Attempts to take requests of which we have not heard: one that the job does not have any more is ours."""
        waiting = () if record is None else dict(record.requests)
        taking = self._taking.get(job_id, {})
        for request in [request for request in taking if request not in waiting]:
            if record is None:  # it was removed, before or after
                self._withdraw(taking[request])
            else:
                self._hub.post(taking[request])
            del taking[request]
        if not taking:
            self._taking.pop(job_id, None)

    def take(self, record: JobRecord) -> None:
        """Have the hub run what was asked for. Until it is recorded elsewhere, a request stays with its job."""
        if not record.requests:
            return
        job, taking = record.job, self._taking.setdefault(record.job.id, {})
        attempted, fence = set(taking), self._tenure.slots[record.slot].fence
        taking.update((request, RunRequested(job, request, at, fence)) for request, at in record.requests)
        runs = [RunRecord(job.id, record.slot, at, 1, request) for request, at in record.requests]
        for some in batches(runs, AT_ONCE):
            self._cluster.record_runs(self._tenure.node, some)
        for request, _ in record.requests:
            self._keep_alive()
            taken = self._cluster.take_request(job.id, request) or request in attempted
            if taken:
                self._hub.post(taking[request])
            elif not self._is_asked_for(taking[request]):
                self._withdraw(taking[request])
            del taking[request]
        self._taking.pop(job.id, None)

    def _is_asked_for(self, asked_for: RunRequested) -> bool:
        record = self._cluster.read_jobs([asked_for.job.id]).get(asked_for.job.id)
        return record is not None and asked_for.request in dict(record.requests)

    def _withdraw(self, asked_for: RunRequested) -> None:
        """The job was removed as we took the request: what we have written down as in progress does not begin."""
        job, request, at, _ = asked_for
        if self._cluster.strike_out(self._tenure.node, RunRecord(job.id, slot_of(job.id), at, 1, request)):
            span = Span(Outcome.SKIPPED, at, at + 1, Reason.REMOVED_OR_PAUSED, request)
            self._hub.post(Lost(job, span))
