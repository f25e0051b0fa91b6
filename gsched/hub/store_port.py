"""The hub as a store sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from gsched.events import SchedulerEvent
from gsched.hub.lane import Lane
from gsched.jobs.job import Job
from gsched.jobs.run import Run
from gsched.stores.messages import NONE_LATE, Claimed, Message, StoreTime


class LanePort:
    """The hub as the store of one lane sees it: the `HubPort` that a store is started with.

    :param receive: takes a message for the hub to handle
    :param publish: publishes an event
    :param unfinished: returns the runs of all stores that are submitted and not settled
    :param activity: returns what the scheduler did and is doing
    :param obstacle: returns why a job could not run, or None
    """

    def __init__(
        self,
        lane: Lane,
        receive: Callable[[Lane, Message], None],
        publish: Callable[[SchedulerEvent], None],
        unfinished: Callable[[], Iterable[Run]],
        activity: Callable[[], Mapping[str, Any]],
        obstacle: Callable[[Job], str | None],
    ) -> None:
        self._lane = lane
        self.alias = lane.alias
        self._receive = receive
        self._publish = publish
        self._unfinished = unfinished
        self.activity = activity
        self.obstacle = obstacle

    def post(self, message: Message) -> None:
        if not isinstance(message, (Claimed, StoreTime)):
            self._lane.unread += 1
        self._receive(self._lane, message)

    def emit(self, event: SchedulerEvent) -> None:
        event.alias = self._lane.alias
        self._publish(event)

    def unfinished(self) -> Iterator[Run]:
        return (run for run in self._unfinished() if run.entry.lane is self._lane)

    def next_due(self, after: int, late: Mapping[str, int] = NONE_LATE) -> int | None:
        return self._lane.first_undecided(after, late)

    def waiting_since(self, before: int) -> list[str]:
        return [entry.job.id for entry in self._lane.waiting() if entry.held is not None and entry.held < before]

    def due(self, job_id: str) -> int | None:
        entry = self._lane.entries.get(job_id)
        return None if entry is None else entry.first

    def undecided(self, job_id: str, until: int, most: int) -> list[int]:
        entry = self._lane.entries.get(job_id)
        return [] if entry is None or entry.parked else list(islice(entry.undecided(until), most))

    def gives_up(self) -> bool:
        return bool(self._lane.unsure)

    def unread(self) -> bool:
        return self._lane.unread > 0
