"""The buffer of records and tallies: the hub adds them without waiting, and the writing greenlet takes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain
from typing import Final

from gsched.history.records import Record
from gsched.jobs.tally import Tally
from gsched.stores.durable.tally_buffer import TallyBuffer
from gsched.stores.messages import ALWAYS

BATCH: Final = 250  # records per write: encoding them holds up all other greenlets
MOST_BUFFERED: Final = 250_000  # records, while the database does not answer; then the oldest are dropped


class RecordBuffer:
    """Keeps records and tallies until the database has them. A tally is written before the records that come with it.
    """

    def __init__(self) -> None:
        self._records: deque[Record] = deque()
        self._closing: deque[Record] = deque()  # of runs whose documents would stay in progress without them
        self._writing: list[Record] = []
        self._tallies = TallyBuffer()
        self._first = ALWAYS  # the earliest instant of what was added since the last write began
        self._first_in_writing = ALWAYS  # the earliest instant of what was added before that
        self._dropped = 0  # since `take_dropped` was called last

    def __len__(self) -> int:
        """The number of records that wait."""
        return len(self._records) + len(self._closing)

    def add(self, record: Record, closes: bool) -> None:
        """Keep a record until it is written. A full buffer drops its oldest record; one that closes nothing goes first.

        :param closes: the run may have a document, in progress, that this record closes
        """
        if len(self) >= MOST_BUFFERED:
            (self._records or self._closing).popleft()
            self._dropped += 1
        (self._closing if closes else self._records).append(record)
        self._first = min(self._first, record.scheduled_ms)

    def note_tally(self, job_id: str, tally: Tally, instant: int) -> None:
        """Keep a tally until it is written.

        :param instant: the first instant (ms) that this tally counts and the one before it does not
        """
        self._tallies.note(job_id, tally, instant)
        self._first = min(self._first, instant)

    def take_dropped(self) -> int:
        """The number of records that were dropped since the last call."""
        count, self._dropped = self._dropped, 0
        return count

    def first_unwritten(self) -> int:
        """Nothing of an instant (ms) before this one is still to be written; dropped records do not count."""
        return min(self._first, self._first_in_writing)

    def unwritten(self) -> Iterator[tuple[str, int]]:
        """Job id and first instant (ms) of each record and tally that is still to be written, without runs on request.
        """
        buffered = chain(self._writing, self._closing, self._records)
        records = ((record.job_id, record.scheduled_ms) for record in buffered if record.request is None)
        return chain(records, self._tallies.unwritten())

    def tallies(self, job_ids: Collection[str]) -> dict[str, Tally]:
        """The tallies of these jobs, by id, that are not written yet."""
        return self._tallies.of(job_ids)

    def has_counts(self) -> bool:
        """True if a tally is still to be written."""
        return bool(self._tallies)

    def write(
        self,
        write_batch: Callable[[list[Record]], None],
        write_tallies: Callable[[Mapping[str, Tally]], None],
    ) -> None:
        """Write what waits now, in batches. If a call raises, its batch waits on."""
        self._first_in_writing, self._first = self.first_unwritten(), ALWAYS
        for records in (self._closing, self._records):
            for _ in range(-(-len(records) // BATCH)):
                self._write_oldest(records, write_batch, write_tallies)
        self._tallies.write(write_tallies)
        self._first_in_writing = ALWAYS

    def _write_oldest(
        self,
        records: deque[Record],
        write_batch: Callable[[list[Record]], None],
        write_tallies: Callable[[Mapping[str, Tally]], None],
    ) -> None:
        batch = [records.popleft() for _ in range(min(BATCH, len(records)))]
        self._writing = batch
        try:
            self._tallies.write(write_tallies)
            write_batch(batch)
        except BaseException:
            records.extendleft(reversed(batch))
            raise
        finally:
            self._writing = []
