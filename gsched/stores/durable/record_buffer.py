"""The buffer of records and tallies: the hub adds them without waiting, and the writing greenlet takes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain, islice
from typing import Final, NamedTuple

from gsched.history.records import Record
from gsched.jobs.tally import Tally
from gsched.stores.messages import ALWAYS

BATCH: Final = 250  # records per write: encoding them holds up all other greenlets
MOST_BUFFERED: Final = 250_000  # records, while the database does not answer; then the oldest are dropped


class Counted(NamedTuple):
    """A tally that is to be written, and the first instant (ms) that the written one does not count."""

    tally: Tally
    instant: int


class RecordBuffer:
    """Keeps records and tallies until the database has them. A tally is written before the records that come with it.
    """

    def __init__(self) -> None:
        self._records: deque[Record] = deque()
        self._closing: deque[Record] = deque()  # of runs whose documents would stay in progress without them
        self._writing: list[Record] = []
        self._tallies: dict[str, Counted] = {}
        self._writing_tallies: dict[str, Counted] = {}
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
        known = self._tallies.get(job_id)
        self._tallies[job_id] = Counted(tally, instant if known is None else min(instant, known.instant))
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
        counted = chain(self._writing_tallies.items(), self._tallies.items())
        return chain(records, ((job_id, each.instant) for job_id, each in counted))

    def tallies(self, job_ids: Collection[str]) -> dict[str, Tally]:
        """Those tallies of these jobs, by id, that are still to be written."""
        if not self._tallies and not self._writing_tallies:
            return {}
        known = ((job_id, self._tallies.get(job_id) or self._writing_tallies.get(job_id)) for job_id in job_ids)
        return {job_id: each.tally for job_id, each in known if each is not None}

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
        self._write_tallies(write_tallies)
        self._first_in_writing = ALWAYS

    def _write_tallies(self, write_tallies: Callable[[Mapping[str, Tally]], None]) -> None:
        for _ in range(-(-len(self._tallies) // BATCH)):
            batch = {job_id: self._tallies.pop(job_id) for job_id in list(islice(self._tallies, BATCH))}
            self._writing_tallies = batch
            try:
                write_tallies({job_id: each.tally for job_id, each in batch.items()})
            except BaseException:
                for job_id, each in batch.items():
                    newer = self._tallies.get(job_id, each)
                    self._tallies[job_id] = newer._replace(instant=min(newer.instant, each.instant))
                raise
            finally:
                self._writing_tallies = {}

    def _write_oldest(
        self,
        records: deque[Record],
        write_batch: Callable[[list[Record]], None],
        write_tallies: Callable[[Mapping[str, Tally]], None],
    ) -> None:
        batch = [records.popleft() for _ in range(min(BATCH, len(records)))]
        self._writing = batch
        try:
            self._write_tallies(write_tallies)
            write_batch(batch)
        except BaseException:
            records.extendleft(reversed(batch))
            raise
        finally:
            self._writing = []
