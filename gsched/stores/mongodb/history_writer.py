"""Records of the history on their way into the database."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import chain
from typing import Final

from pymongo import InsertOne, UpdateOne

from gsched.clock import Clock
from gsched.instants import from_ms
from gsched.records import Record
from gsched.run import Outcome
from gsched.slices import paced
from gsched.stores.base import ALWAYS
from gsched.stores.mongodb.bulk import DUPLICATE, Refusal, write_all
from gsched.stores.mongodb.connection import Document, Jobs
from gsched.stores.mongodb.history import expiring_document, record_key

BATCH: Final = 250  # what the driver encodes at one go holds up everybody else
MOST_BUFFERED: Final = 250_000  # records, while the database does not take them; beyond that some are dropped
_RECORDS: Final = "records of the history"


class HistoryWriter:
    """Keeps records until the database has them.

    :param keep: how long the history is kept
    :param say_refused: told what the database does not take: what that is, the ids of the jobs, and why
    """

    def __init__(
        self, clock: Clock, keep: timedelta, say_refused: Callable[[str, Sequence[str], Iterable[Refusal]], None]
    ) -> None:
        self._clock = clock
        self._keep = keep
        self._say_refused = say_refused
        self._records: deque[Record] = deque()
        self._closing: deque[Record] = deque()  # of what may be written down as in progress, and would be so for ever
        self._writing: list[Record] = []
        self._first = ALWAYS  # the earliest instant of the records that came since they were written last
        self._first_in_writing = ALWAYS  # the same of those that came before
        self._dropped = 0  # since this was last asked for

    def __len__(self) -> int:
        """How many records wait."""
        return len(self._records) + len(self._closing)

    def add(self, record: Record, closes: bool) -> None:
        """Keep it until it is written. Of too many the oldest is dropped, and rather one that closes nothing."""
        if len(self) >= MOST_BUFFERED:
            (self._records or self._closing).popleft()
            self._dropped += 1
        (self._closing if closes else self._records).append(record)
        self._first = min(self._first, record.scheduled_ms)

    def take_dropped(self) -> int:
        """How many records were dropped since this was last asked for."""
        count, self._dropped = self._dropped, 0
        return count

    def first_unwritten(self) -> int:
        """No record of an instant (ms) before this one is still to be written, but for those that were dropped."""
        return min(self._first, self._first_in_writing)

    def unwritten(self) -> Iterator[tuple[str, int]]:
        """The jobs' ids and first instants of the records that are still to be written, but for runs on request."""
        buffered = chain(self._writing, self._closing, self._records)
        return ((record.job_id, record.scheduled_ms) for record in buffered if record.request is None)

    def write(self, jobs: Jobs) -> None:
        """Write what waits; what comes meanwhile is for the next time. What could not be written waits on."""
        self._first_in_writing, self._first = self.first_unwritten(), ALWAYS
        for records in (self._closing, self._records):
            for _ in range(-(-len(records) // BATCH)):
                self._write_oldest(jobs, records)
        self._first_in_writing = ALWAYS

    def _write_oldest(self, jobs: Jobs, records: deque[Record]) -> None:
        batch = [records.popleft() for _ in range(min(BATCH, len(records)))]
        self._writing = batch
        try:
            self._write_batch(jobs, batch)
        except BaseException:
            records.extendleft(reversed(batch))
            raise
        finally:
            self._writing = []

    def _write_batch(self, jobs: Jobs, batch: list[Record]) -> None:
        """Insert, which costs the server a tenth of an upsert; what is there already is overwritten."""
        documents = self._documents(batch)
        inserted = write_all(jobs.runs, [InsertOne(dict(document)) for document in documents])
        self._say_refused(_RECORDS, _job_ids(documents), inserted.refused)
        there = [documents[each.number] for each in inserted.refused if each.code == DUPLICATE]
        if there:
            overwritten = write_all(jobs.runs, [*map(_overwrite, there)])
            self._say_refused(_RECORDS, _job_ids(there), overwritten.refused)

    def _documents(self, batch: list[Record]) -> list[Document]:
        """Their documents, one for each id: of several the last counts, but "lost" is no news."""
        expires_at = from_ms(self._clock.now_ms()) + self._keep
        documents: dict[str, Document] = {}
        for record in paced(batch):
            key = record_key(record)
            if key not in documents or record.outcome != Outcome.LOST:
                documents[key] = expiring_document(record, expires_at)
        return list(documents.values())


def _job_ids(documents: Iterable[Document]) -> list[str]:
    return [document["job_id"] for document in documents]


def _overwrite(document: Document) -> UpdateOne:
    """The update where there is a document of this attempt; "lost" is no news where its node said something else."""
    key = document["_id"]
    fields = {name: value for name, value in document.items() if name != "_id"}
    if document["outcome"] == Outcome.LOST:
        return UpdateOne({"_id": key, "outcome": {"$in": [None, Outcome.LOST.value]}}, {"$set": fields}, upsert=True)
    return UpdateOne({"_id": key}, {"$set": fields}, upsert=True)
