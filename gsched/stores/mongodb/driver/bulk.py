"""Bulk writes that tell a document which the database refuses from a database that fails.

The database refuses a document that breaks a validator or would be too large, and one that cannot be changed because
somebody wrote strange values into it. Another attempt would fail as well. The other documents are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError

DUPLICATE: Final = 11000  # the code if a document with this id exists already


class Refusal(NamedTuple):
    """An operation that the database refuses.

    :ivar number: its place among the operations
    :ivar code: the server's error code
    """

    number: int
    code: int
    reason: str


class Written(NamedTuple):
    """The result of a bulk write.

    :ivar matched: how many documents matched an update
    :ivar deleted: how many documents were deleted
    """

    matched: int
    deleted: int
    refused: list[Refusal]


def write_all(collection: Any, operations: Sequence[Any], session: ClientSession | None = None) -> Written:
    """Write in any order. In a transaction, one refusal undoes all of them.

    :raises PyMongoError: if the write fails for another reason than single documents
    """
    try:
        result = collection.bulk_write(operations, ordered=False, session=session).bulk_api_result
    except BulkWriteError as error:
        result = error.details or {}
        if result.get("writeConcernErrors") or not result.get("writeErrors"):
            raise
    refused = [Refusal(each["index"], each["code"], each["errmsg"]) for each in result["writeErrors"]]
    return Written(result["nMatched"], result["nRemoved"], refused)
