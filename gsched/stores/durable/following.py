"""Following: the events of a store for its followers, and polling for them if the database cannot report changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

from gsched.errors import StoreError
from gsched.event_loop.backoff import wait
from gsched.history.queries import RunInfo
from gsched.jobs.pause import Pause
from gsched.monitoring.cluster_events import StoreEvent, event_of_run

_POLL_SECONDS: Final = 1.0


class JobState(NamedTuple):
    """The part of a job whose changes are events."""

    rev: Any
    pause: Pause | None
    parked: str | None
    is_overdue: bool = False


class NodeState(NamedTuple):
    """The part of a node whose changes are events. `left`: the node ended by itself."""

    alive: bool = True
    left: bool = False
    draining: bool = False
    drain_requested: bool = False


class Picture(NamedTuple):
    """A store at one moment: jobs and nodes by id, owners by the numbers of slots.

    :ivar jobs: None if the store has too many jobs to read them all each time
    """

    jobs: Mapping[str, JobState] | None
    nodes: Mapping[str, NodeState]
    owners: Mapping[int, str | None]


class Pictures(Protocol):
    """Looks at a store, for `poll`. Both methods raise StoreError."""

    def picture(self) -> Picture:
        """The store as it is now."""

    def new_runs(self) -> Sequence[RunInfo]:
        """The records that were written since the last call; none the first time."""


# -- the events -------------------------------------------------------------------------------------------------------


def job_paused(at: datetime, job_id: str, pause: Pause) -> StoreEvent:
    """A job was paused."""
    about = {"reason": pause.reason, "by": pause.by, "until": pause.until, "cause": pause.cause}
    details = {name: value for name, value in about.items() if value is not None}
    return StoreEvent(at, "job.paused", job_id, details=details)


def job_parked(at: datetime, job_id: str, reason: Any) -> StoreEvent:
    """A job cannot be run, for this reason; None: it can again."""
    if reason is None:
        return StoreEvent(at, "job.healed", job_id)
    return StoreEvent(at, "job.parked", job_id, details={"reason": str(reason)})


def job_overdue(at: datetime, job_id: str, is_overdue: bool) -> StoreEvent:
    """A job is overdue, or is not any more."""
    return StoreEvent(at, "job.overdue" if is_overdue else "job.on_time_again", job_id)


def node_ended(at: datetime, node: str, left: bool) -> StoreEvent:
    """A node is dead: it left, or another node declared it dead."""
    return StoreEvent(at, "node.left" if left else "node.died", node=node)


def slot_moved(at: datetime, number: int, owner: str | None) -> StoreEvent:
    """A slot has another owner, or none."""
    return StoreEvent(at, "slot.released" if owner is None else "slot.taken", node=owner, slot=number)


# -- polling ----------------------------------------------------------------------------------------------------------


def poll(pictures: Pictures, why: str, stop: Callable[[], bool], now: Callable[[], datetime]) -> Iterator[StoreEvent]:
    """Give the events of each second, until `stop()`.

    :param why: why the database cannot report changes
    """
    before = pictures.picture()
    pictures.new_runs()
    yield StoreEvent(now(), "feed.unsupported", details={"reason": why})
    failed = False
    while not stop():
        wait(_POLL_SECONDS, stop)
        try:
            picture, runs = pictures.picture(), pictures.new_runs()
            failed = False
        except StoreError as lost:
            if not failed:
                yield StoreEvent(now(), "feed.lost", details={"reason": str(lost)})
            failed = True
            continue
        yield from differences(now(), before, picture)
        yield from (event_of_run(now(), run) for run in runs)
        before = picture


def differences(at: datetime, before: Picture, now: Picture) -> Iterator[StoreEvent]:
    """The events between two pictures."""
    if before.jobs is not None and now.jobs is not None:
        yield from _of_jobs(at, before.jobs, now.jobs)
    for node, state in now.nodes.items():
        yield from _of_node(at, node, before.nodes.get(node), state)
    for number, owner in now.owners.items():
        if owner != before.owners.get(number):
            yield slot_moved(at, number, owner)


def _of_jobs(at: datetime, before: Mapping[str, JobState], now: Mapping[str, JobState]) -> Iterator[StoreEvent]:
    for job_id, job in now.items():
        old = before.get(job_id)
        if old is None:
            yield StoreEvent(at, "job.added", job_id)
        elif job.rev != old.rev:
            yield _of_change(at, job_id, old.pause, job.pause)
        if job.is_overdue != (old is not None and old.is_overdue):
            yield job_overdue(at, job_id, job.is_overdue)
        if job.parked != (None if old is None else old.parked):
            yield job_parked(at, job_id, job.parked)
    for job_id in before.keys() - now.keys():
        yield StoreEvent(at, "job.removed", job_id)


def _of_change(at: datetime, job_id: str, old: Pause | None, new: Pause | None) -> StoreEvent:
    if new == old:
        return StoreEvent(at, "job.changed", job_id)
    return StoreEvent(at, "job.resumed", job_id) if new is None else job_paused(at, job_id, new)


def _of_node(at: datetime, node: str, old: NodeState | None, state: NodeState) -> Iterator[StoreEvent]:
    if old is None:
        yield StoreEvent(at, "node.joined", node=node)
        old = NodeState()
    if state.drain_requested and not old.drain_requested:
        yield StoreEvent(at, "node.drain_requested", node=node)
    if state.draining and not old.draining:
        yield StoreEvent(at, "node.draining", node=node)
    if not state.alive and old.alive:
        yield node_ended(at, node, state.left)
