"""Facts: what happened in a shared store, whichever process did it, as those who follow it hear of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from gsched.history import OUTCOMES, RunInfo
from gsched.nodes import NodeInfo

# Every fact, and what it means. Runs are told as the history records them, once they have ended.
FACTS: Final = {
    "job.added": "The job is in its store.",
    "job.changed": "The job was modified, rescheduled or replaced.",
    "job.paused": "The job is not due until it is resumed.",
    "job.resumed": "The job is due again.",
    "job.parked": "The job cannot be run (see `reason`); it is kept.",
    "job.healed": "A parked job can be run again.",
    "job.removed": "The job was removed, or its trigger has ended.",
    "jobs.removed": "The collection of jobs was dropped or renamed.",
    "run.requested": "Somebody asked for a run outside the schedule.",
    "run.running": "A run in progress was written down: one that takes long, was asked for, or is run again.",
    "run.succeeded": "The function returned; told only of successes that the history keeps.",
    "run.failed": "The function raised.",
    "run.timed_out": "The run took longer than the job's timeout.",
    "run.cancelled": "The run was cancelled.",
    "run.missed": "Due instants were later than misfire_grace_time.",
    "run.skipped": "The run could not be executed (see `reason`).",
    "run.coalesced": "A later instant ran for these; told only of those that the history keeps.",
    "run.lost": "The node died while the run was in progress.",
    "node.joined": "A scheduler takes part.",
    "node.drain_requested": "Somebody asked the node to drain.",
    "node.draining": "The node gives its jobs away.",
    "node.left": "The node has handed its jobs over and ended.",
    "node.died": "The node was silent for too long; its jobs are taken over.",
    "slot.taken": "A partition of the jobs has a new owner.",
    "slot.released": "A partition of the jobs has no owner.",
    "feed.opened": "What happens from now on is told.",
    "feed.lost": "The stream broke (see `reason`); what happens until it is open again is not told.",
    "feed.unsupported": "No change streams here (see `reason`): the store is looked at every second.",
}

# Those of the past that are on record.
RECORDED: Final = (*(f"run.{outcome}" for outcome in OUTCOMES), "node.joined", "node.left", "node.died")


@dataclass(frozen=True, slots=True)
class Fact:
    """Something happened in a store.

    :ivar at: when it was written, by the server's clock, UTC
    :ivar name: one of FACTS
    :ivar run: what became of a run, for run.* but run.requested
    :ivar details: what else there is to say, by name
    """

    at: datetime
    name: str
    job_id: str | None = None
    node: str | None = None
    slot: int | None = None
    run: RunInfo | None = None
    details: dict[str, Any] = field(default_factory=dict)


def fact_of_run(at: datetime, run: RunInfo) -> Fact:
    """What became of a run, as a fact."""
    said = {"run_id": run.run_id, "reason": run.reason, "error_type": run.error_type, "error": run.error_message}
    details = {key: value for key, value in said.items() if value is not None}
    return Fact(at, f"run.{run.outcome}", run.job_id, run.node, run=run, details=details)


def past_facts(runs: Iterable[RunInfo], nodes: Iterable[NodeInfo]) -> list[Fact]:
    """What is on record of the past, the oldest first: what became of runs, and which nodes came and went."""
    facts = [fact_of_run(run.finished_at or run.started_at or run.scheduled_at, run) for run in runs]
    for node in nodes:
        facts.append(Fact(node.started_at, "node.joined", node=node.id))
        if node.ended_at is not None:
            facts.append(Fact(node.ended_at, "node.left" if node.left else "node.died", node=node.id))
    return sorted(facts, key=lambda fact: fact.at)
