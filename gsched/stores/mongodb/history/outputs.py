"""The output of attempts, in pieces.

A document is {_id, number, content, expires_at}. `_id` is that of the attempt's document in the collection of runs,
"/" and the place of the piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from pymongo import UpdateMany, UpdateOne

from gsched.history.outputs import StoredOutput
from gsched.jobs.output import Piece
from gsched.stores.durable.answers import OutputPart
from gsched.stores.mongodb.documents.runs import run_key
from gsched.stores.mongodb.driver.bulk import write_all
from gsched.stores.mongodb.driver.codec import Document, Jobs
from gsched.stores.mongodb.driver.connection import Connection, translate_errors
from gsched.times.clock import Clock
from gsched.times.instants import from_ms


class MongoOutputs:
    """See `gsched.stores.durable.answers.Outputs`.

    :param keep: how long output is kept
    """

    def __init__(self, connection: Connection, clock: Clock, keep: timedelta) -> None:
        self._connection = connection
        self._clock = clock
        self._keep = keep

    @translate_errors()
    def write(self, parts: Sequence[OutputPart]) -> None:
        expires_at = from_ms(self._clock.now_ms()) + self._keep
        operations: list[Any] = []
        for part in parts:
            key = run_key(part.run_id, part.attempt)
            for place, number, content in part.pieces:
                fields = {"number": number, "content": content, "expires_at": expires_at}
                operations.append(UpdateOne({"_id": f"{key}/{place}"}, {"$set": fields}, upsert=True))
            if part.ended:  # its first pieces may be old
                operations.append(UpdateMany(_pieces_of(key), {"$set": {"expires_at": expires_at}}))
        if operations:
            write_all(self._connection.jobs().outputs, operations)

    @translate_errors()
    def read(self, run_id: str, attempt: int | None) -> StoredOutput | None:
        jobs = self._connection.jobs()
        number = _last_attempt(jobs, run_id) if attempt is None else attempt
        found = jobs.outputs.find(_pieces_of(run_key(run_id, number)))
        pieces = (Piece(int(it["_id"].rpartition("/")[2]), it["number"], bytes(it["content"])) for it in found)
        in_order = tuple(sorted(pieces, key=lambda piece: piece.number))
        return StoredOutput(number, in_order) if in_order else None


def remove_outputs(jobs: Jobs, keys: Sequence[str]) -> None:
    """Remove the output of attempts, by the ids of their documents in the collection of runs."""
    jobs.outputs.delete_many({"$or": [_pieces_of(key) for key in keys]})


def _pieces_of(key: str) -> Document:
    return {"_id": {"$gte": f"{key}/", "$lt": f"{key}0"}}  # "0" follows "/"


def _last_attempt(jobs: Jobs, run_id: str) -> int:
    """The last attempt at the run that has output; 0 if none has."""
    found = jobs.outputs.find({"_id": {"$gte": f"{run_id}#", "$lt": f"{run_id}$"}}, ["_id"])  # "$" follows "#"
    return max((int(each["_id"].rpartition("#")[2].partition("/")[0]) for each in found), default=0)
