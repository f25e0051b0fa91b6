"""Events of a shared store, from whichever process, as `follow` delivers them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from gsched.history.queries import OUTCOMES, RunInfo
from gsched.jobs.outcomes import Outcome
from gsched.monitoring.nodes import NodeInfo

# Every event, and its meaning. Events about runs come when the history records the run, after its end.
STORE_EVENTS: Final = {
    "job.added": "The job is in its store.",
    "job.changed": "The job was modified, rescheduled or replaced.",
    "job.paused": "The job is not due until it is resumed.",
    "job.resumed": "The job is due again.",
    "job.parked": "The job cannot be run (see `reason`); it is kept.",
    "job.healed": "A parked job can be run again.",
    "job.overdue": "No run has succeeded within `expect_success_every`.",
    "job.on_time_again": "The job is not overdue any more: a run has succeeded, or somebody has changed the job.",
    "job.removed": "The job was removed, or its trigger has ended.",
    "jobs.removed": "The collection of jobs was dropped or renamed.",
    "run.requested": "A run outside the schedule was requested.",
    "run.running": "A run in progress was recorded: one that takes long, was requested, or runs again.",
    "run.succeeded": "The function returned; only for successes that the history keeps.",
    "run.failed": "The function raised.",
    "run.timed_out": "The run took longer than the job's timeout.",
    "run.cancelled": "The run was cancelled.",
    "run.missed": "Due instants were later than misfire_grace_time.",
    "run.skipped": "The run could not be executed (see `reason`).",
    "run.coalesced": "A later instant ran for these; only for those that the history keeps.",
    "run.lost": "The node died while the run was in progress.",
    "run.retrying": "An attempt failed; another follows.",
    "node.joined": "A scheduler takes part.",
    "node.drain_requested": "The node was asked to drain.",
    "node.draining": "The node gives its jobs away.",
    "node.left": "The node has handed its jobs over and ended.",
    "node.died": "The node was silent for too long; its jobs are taken over.",
    "slot.taken": "A partition of the jobs has a new owner.",
    "slot.released": "A partition of the jobs has no owner.",
    "feed.opened": "Events from now on are delivered.",
    "feed.lost": "The stream broke (see `reason`); events until it is open again are not delivered.",
    "feed.unsupported": "No change streams here (see `reason`): the store is read every second.",
}

# The events of the past, of which there are records.
RECORDED: Final = (*(f"run.{outcome}" for outcome in OUTCOMES), "node.joined", "node.left", "node.died")


@dataclass(frozen=True, slots=True)
class StoreEvent:
    """Something that happened in a store.

    :ivar at: when it was written, by the server's clock, UTC
    :ivar name: one of STORE_EVENTS
    :ivar run: how the run ended, for run.*, except run.requested
    :ivar details: more about it, by name
    """

    at: datetime
    name: str
    job_id: str | None = None
    node: str | None = None
    slot: int | None = None
    run: RunInfo | None = None
    details: dict[str, Any] = field(default_factory=dict)


def event_of_run(at: datetime, run: RunInfo) -> StoreEvent:
    """The event of a run that has ended, with its outcome."""
    about = {"run_id": run.run_id, "reason": run.reason, "error_type": run.error_type, "error": run.error_message}
    details = {key: value for key, value in about.items() if value is not None}
    name = "run.retrying" if run.outcome == Outcome.RETRIED else f"run.{run.outcome}"
    return StoreEvent(at, name, run.job_id, run.node, run=run, details=details)


def past_events(runs: Iterable[RunInfo], nodes: Iterable[NodeInfo]) -> list[StoreEvent]:
    """The events of the past, from the records of runs and nodes, the oldest first."""
    found = [event_of_run(run.finished_at or run.started_at or run.scheduled_at, run) for run in runs]
    for node in nodes:
        found.append(StoreEvent(node.started_at, "node.joined", node=node.id))
        if node.ended_at is not None:
            found.append(StoreEvent(node.ended_at, "node.left" if node.left else "node.died", node=node.id))
    return sorted(found, key=lambda event: event.at)
