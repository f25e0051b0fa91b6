"""Writing in bulk: a document that the database refuses to change is told apart from a database that fails.

It refuses what breaks a rule that people have set, would be too large, or cannot be changed so because people wrote
something strange. To try that again is in vain, and the other documents are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError

DUPLICATE: Final = 11000  # the code where there is a document with this id already


class Refusal(NamedTuple):
    """One that was refused: which of the operations, with what code, and why."""

    number: int
    code: int
    reason: str


class Written(NamedTuple):
    """What became of the operations: how many documents were found to be changed, and removed; what was refused."""

    matched: int
    deleted: int
    refused: list[Refusal]


def write_all(collection: Any, operations: Sequence[Any], session: ClientSession | None = None) -> Written:
    """Write them, in any order; in a transaction none of them, where one is refused.

    Raises the driver's errors where more than single documents is concerned.
    """
    try:
        told = collection.bulk_write(operations, ordered=False, session=session).bulk_api_result
    except BulkWriteError as error:
        told = error.details or {}
        if told.get("writeConcernErrors") or not told.get("writeErrors"):
            raise
    refused = [Refusal(each["index"], each["code"], each["errmsg"]) for each in told["writeErrors"]]
    return Written(told["nMatched"], told["nRemoved"], refused)
