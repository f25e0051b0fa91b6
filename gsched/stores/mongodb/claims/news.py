"""Changes by other processes, read from a change stream on the collections of jobs, limits and pauses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from pymongo import errors as driver

from gsched.stores.durable.answers import ChangeNotice, NoNewsError
from gsched.stores.mongodb.driver.connection import Connection
from gsched.stores.mongodb.driver.streams import changes_in, is_unsupported, opened, why_unsupported
from gsched.times.instants import to_ms


def _pipeline(jobs: str) -> list[dict[str, Any]]:
    """Only writes of the API change `rev`. Notes that owners write into their jobs are no news.

    :param jobs: the name of the collection of jobs
    """
    limits = [f"{jobs}.limits", f"{jobs}.pauses"]
    return [
        {
            "$match": {
                "$or": [
                    {"to.coll": {"$in": [jobs, *limits]}},  # another collection takes the place of one of these
                    {"ns.coll": {"$in": limits}},
                    {"ns.coll": jobs, "operationType": {"$ne": "update"}},
                    {"ns.coll": jobs, "updateDescription.updatedFields.rev": {"$exists": True}},
                ]
            }
        },
        {"$project": {"operationType": 1, "documentKey": 1, "wallTime": 1, "ns": 1, "to": 1}},
    ]


class MongoNews:
    """Reads one change stream: see `News`. No resume token is kept: each stream begins when it is opened."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def listen(self, stop: Callable[[], bool]) -> Iterator[ChangeNotice]:
        try:
            jobs = self._connection.name
            with opened(self._connection.control(), _pipeline(jobs)) as stream:
                yield ChangeNotice(None)  # after the stream is open: a rescan finds all earlier writes
                for change in changes_in(stream, stop):
                    yield from _read(change, jobs)
        except driver.OperationFailure as error:
            if is_unsupported(error):
                raise NoNewsError(why_unsupported(error)) from error
            raise


def _read(change: Mapping[str, Any], jobs: str) -> Iterator[ChangeNotice]:
    made = change.get("wallTime")  # servers have it from 6.0 on
    made_ms = to_ms(made) if isinstance(made, datetime) else None
    if jobs not in (change["ns"]["coll"], change.get("to", {}).get("coll")):
        yield ChangeNotice(None, made_ms, limits=True)
    elif "documentKey" not in change:
        yield ChangeNotice(None, made_ms)  # the collection was dropped or renamed
    elif isinstance(job_id := change["documentKey"]["_id"], str):  # a document with another id is no job
        yield ChangeNotice(job_id, made_ms)
