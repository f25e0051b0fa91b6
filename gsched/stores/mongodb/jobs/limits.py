"""The limits and pauses of groups, in the collections `jobs.limits` and `jobs.pauses`, each by its pattern."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gsched.errors import GroupNotPausedError, LimitNotFoundError, StoreError
from gsched.jobs.limits import GroupLimit, GroupLimits, checked_pattern, limit_document, read_limit
from gsched.jobs.pause import PLAIN, Pause
from gsched.jobs.pause_document import pause_document, read_pause
from gsched.stores.mongodb.driver.codec import Document, Jobs
from gsched.stores.mongodb.driver.connection import Connection, translate_errors
from gsched.times.clock import Clock
from gsched.times.instants import from_ms


class MongoLimits:
    """Works in any process, whether its scheduler runs or not. See BaseJobStore for what each method does."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    @translate_errors()
    def limits(self) -> GroupLimits:
        """See BaseJobStore. Raises StoreError for a document that somebody has written by hand, and wrongly."""
        return stored_limits(self._connection.jobs(), self._clock.now_ms(), _refuse)

    @translate_errors()
    def set_limit(self, limit: GroupLimit) -> None:
        document = limit_document(limit)
        self._connection.jobs().limits.replace_one({"_id": limit.pattern}, document, upsert=True)

    @translate_errors()
    def remove_limit(self, pattern: str) -> None:
        if not self._connection.jobs().limits.delete_one({"_id": pattern}).deleted_count:
            raise LimitNotFoundError(pattern)

    @translate_errors()
    def pause_group(self, pattern: str, pause: Pause) -> None:
        self._forget_ended()
        self._connection.jobs().pauses.replace_one({"_id": pattern}, pause_document(pause) or {}, upsert=True)

    @translate_errors()
    def resume_group(self, pattern: str) -> None:
        self._forget_ended()
        if not self._connection.jobs().pauses.delete_one({"_id": pattern}).deleted_count:
            raise GroupNotPausedError(pattern)

    def _forget_ended(self) -> None:
        """Remove pauses that have ended."""
        now = from_ms(self._clock.now_ms())
        self._connection.jobs().pauses.delete_many({"until": {"$type": "date", "$lte": now}})


def stored_limits(jobs: Jobs, now: int, complain: Callable[[str], object]) -> GroupLimits:
    """The limits of groups, and the pauses that hold at `now` (ms).

    :param complain: called with a message about each document that is malformed, and left out
    """
    limits = _read(jobs.limits, lambda document: read_limit(document["_id"], document), complain)
    pauses = _read(jobs.pauses, _pause_in, complain)
    return GroupLimits((limit for _, limit in limits), dict(pauses)).at(now)


def _read(
    collection: Jobs, read: Callable[[Document], Any], complain: Callable[[str], object]
) -> Iterator[tuple[str, Any]]:
    for document in collection.find():
        try:
            yield document["_id"], read(document)
        except ValueError as error:
            complain(f"a document of {collection.name} is malformed ({error}): {document!r}")


def _pause_in(document: Document) -> Pause:
    checked_pattern("_id", document["_id"])
    return read_pause(document.get("until") is None, document) or PLAIN


def _refuse(complaint: str) -> None:
    raise StoreError(complaint)
