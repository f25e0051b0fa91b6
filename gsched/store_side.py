"""What a store sees of the hub."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from gsched.events import SchedulerEvent
from gsched.job import Job
from gsched.lane import Lane
from gsched.run import Run
from gsched.stores.base import NONE_LATE, Claimed, Message, StoreTime


class StoreSide:
    """The hub as the store of one lane sees it: the `HubSide` that a store is started with.

    :param receive: takes a message for the hub to handle
    :param publish: publishes an event
    :param unfinished: gives the runs that have been submitted and not settled, of all stores
    :param activity: says what the scheduler did and is doing
    :param obstacle: says why a job could not be run
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
