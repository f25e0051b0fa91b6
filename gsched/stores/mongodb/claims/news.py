"""Changes by other processes, read from a change stream on the collection of jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from pymongo import errors as driver

from gsched.stores.durable.answers import ChangeNotice, NoNewsError
from gsched.stores.mongodb.driver.connection import Connection
from gsched.stores.mongodb.driver.streams import changes_in, is_unsupported, opened, why_unsupported
from gsched.times.instants import to_ms

# Only writes of the API change `rev`. Notes that owners write into their jobs are no news.
_PIPELINE: Final[list[dict[str, Any]]] = [
    {
        "$match": {
            "$or": [
                {"operationType": {"$ne": "update"}},
                {"updateDescription.updatedFields.rev": {"$exists": True}},
            ]
        }
    },
    {"$project": {"operationType": 1, "documentKey": 1, "wallTime": 1}},
]


class MongoNews:
    """Reads one change stream: see `News`. No resume token is kept: each stream begins when it is opened."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def listen(self, stop: Callable[[], bool]) -> Iterator[ChangeNotice]:
        try:
            with opened(self._connection.control()[self._connection.name], _PIPELINE) as stream:
                yield ChangeNotice(None)  # after the stream is open: a rescan finds all earlier writes
                for change in changes_in(stream, stop):
                    yield from _read(change)
        except driver.OperationFailure as error:
            if is_unsupported(error):
                raise NoNewsError(why_unsupported(error)) from error
            raise


def _read(change: Mapping[str, Any]) -> Iterator[ChangeNotice]:
    made = change.get("wallTime")  # servers have it from 6.0 on
    made_ms = to_ms(made) if isinstance(made, datetime) else None
    if "documentKey" not in change:
        yield ChangeNotice(None, made_ms)  # the collection was dropped or renamed
    elif isinstance(job_id := change["documentKey"]["_id"], str):  # a document with another id is no job
        yield ChangeNotice(job_id, made_ms)
