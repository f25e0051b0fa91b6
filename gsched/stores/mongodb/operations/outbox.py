"""What is to be told to notifiers, and how their channels do: see `gsched.notices.outbox.Outbox`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pymongo import UpdateMany, UpdateOne
from pymongo.errors import DuplicateKeyError

from gsched.notices.notice import REPEATED, Notice
from gsched.notices.outbox import KEPT_MS, ChannelState, Due, OpenFailure
from gsched.stores.mongodb.documents.notices import (
    addition,
    notice_in,
    notifier_document,
    open_failure_in,
    state_in,
    subtraction,
)
from gsched.stores.mongodb.driver.bulk import DUPLICATE, write_all
from gsched.stores.mongodb.driver.codec import Jobs
from gsched.stores.mongodb.driver.connection import Connection, translate_errors
from gsched.times.instants import from_ms

_REPEATED: Final = sorted(REPEATED)


class MongoOutbox:
    """Works in any process, whether its scheduler runs or not."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def _notices(self) -> Jobs:
        return self._connection.jobs().notices

    @property
    def _notifiers(self) -> Jobs:
        return self._connection.jobs().notifiers

    @translate_errors()
    def add(self, notices: Sequence[Notice]) -> None:
        operations = [UpdateOne({"_id": notice.id}, addition(notice), upsert=True) for notice in notices]
        while operations:
            refused = write_all(self._notices, operations).refused
            # Another node has added one with the same id at the same time.
            operations = [operations[each.number] for each in refused if each.code == DUPLICATE]

    @translate_errors()
    def due(self, notifier: str, now: int, most: int) -> Due:
        wanted = {"notifier": notifier, "due_at": {"$type": "date", "$lte": from_ms(now)}}
        found, broken = list[Notice](), dict[str, str]()
        for document in self._notices.find(wanted, sort=[("due_at", 1)], limit=most):
            try:
                found.append(notice_in(document))
            except ValueError as error:
                broken[document["_id"]] = f"a document of {self._notices.name} was malformed, and is removed: {error}"
        if broken:
            self._notices.delete_many({"_id": {"$in": list(broken)}})
        return Due(found, list(broken.values()))

    @translate_errors()
    def told(self, notices: Sequence[Notice], next_at: int) -> None:
        write_all(self._notices, [UpdateOne({"_id": each.id}, subtraction(each, next_at)) for each in notices])
        over = [notice.id for notice in notices if notice.kind not in REPEATED]
        self._notices.delete_many({"_id": {"$in": over}, "due_at": None})

    @translate_errors()
    def open_failures(self, most: int) -> Sequence[OpenFailure]:
        wanted = {"open": True, "kind": {"$in": _REPEATED}, "job_id": {"$ne": ""}}
        found = map(open_failure_in, self._notices.find(wanted, limit=most))
        return [failure for failure in found if failure is not None]

    @translate_errors()
    def close(self, jobs: Sequence[tuple[str, str]]) -> None:
        if jobs:
            closed = {"$set": {"open": False}}
            wanted = ({"job_id": job_id, "jobstore": store, "kind": {"$in": _REPEATED}} for store, job_id in jobs)
            write_all(self._notices, [UpdateMany(each, closed) for each in wanted])

    @translate_errors()
    def states(self) -> Sequence[ChannelState]:
        return [state_in(document) for document in self._notifiers.find()]

    @translate_errors()
    def swap_state(self, state: ChannelState) -> bool:
        before = state.rev - 1 or {"$not": {"$type": "number"}}
        wanted = {"_id": state.notifier, "rev": before}
        try:
            result = self._notifiers.replace_one(wanted, notifier_document(state), upsert=state.rev == 1)
        except DuplicateKeyError:  # it has another revision
            return False
        return result.matched_count > 0 or result.upserted_id is not None

    @translate_errors()
    def expire(self, now: int) -> None:
        is_told = {"open": False, "due_at": None, "next_at": {"$lte": from_ms(now)}}
        self._notices.delete_many({"$or": [is_told, {"last_at": {"$lt": from_ms(now - KEPT_MS)}}]})
