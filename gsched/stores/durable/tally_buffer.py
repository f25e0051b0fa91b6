"""The buffer of tallies: counts of jobs that the database does not have yet."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain, islice
from typing import Final, NamedTuple

from gsched.jobs.tally import Tally

BATCH: Final = 250  # tallies per write


class Counted(NamedTuple):
    """A tally that is to be written, and the first instant (ms) that the written one does not count."""

    tally: Tally
    instant: int


class TallyBuffer:
    """Keeps the latest tally of each job until the database has it."""

    def __init__(self) -> None:
        self._waiting: dict[str, Counted] = {}
        self._writing: dict[str, Counted] = {}

    def __bool__(self) -> bool:
        """True if a tally is still to be written."""
        return bool(self._waiting or self._writing)

    def note(self, job_id: str, tally: Tally, instant: int) -> None:
        """Keep a tally until it is written.

        :param instant: the first instant (ms) that this tally counts and the one before it does not
        """
        known = self._waiting.get(job_id)
        self._waiting[job_id] = Counted(tally, instant if known is None else min(instant, known.instant))

    def unwritten(self) -> Iterator[tuple[str, int]]:
        """Job id and first instant (ms) of each tally that is still to be written."""
        return ((job_id, each.instant) for job_id, each in chain(self._writing.items(), self._waiting.items()))

    def of(self, job_ids: Collection[str]) -> dict[str, Tally]:
        """The tallies of these jobs, by id, that are not written yet."""
        if not self:
            return {}
        known = ((job_id, self._waiting.get(job_id) or self._writing.get(job_id)) for job_id in job_ids)
        return {job_id: each.tally for job_id, each in known if each is not None}

    def write(self, write_batch: Callable[[Mapping[str, Tally]], None]) -> None:
        """Write what waits now, in batches. If `write_batch` raises, its batch waits on."""
        for _ in range(-(-len(self._waiting) // BATCH)):
            batch = self._writing = {job_id: self._waiting.pop(job_id) for job_id in list(islice(self._waiting, BATCH))}
            try:
                write_batch({job_id: each.tally for job_id, each in batch.items()})
            except BaseException:
                for job_id, each in batch.items():
                    newer = self._waiting.get(job_id, each)
                    self._waiting[job_id] = newer._replace(instant=min(newer.instant, each.instant))
                raise
            finally:
                self._writing = {}
