"""Succession: what became of schedules that users' writes have ended is seen to before they are forgotten.

A former schedule (see `former.py`) stays in the database as long as a crash could leave instants of it without an
outcome. Three rules:

- Whoever takes a slot treats instants of a former schedule, if they were claimed and are not known to have ended, as
  it treats those of the job's own schedule: they run again, or are lost, as the job says.
- The owner that ends it in its hub notes up to when its instants may have begun: its watermark then. Nothing of it
  begins later, for the hub is told to drop the job before it is told that more is claimed.
- It is forgotten when what began by it has ended, or is written down by itself, and its outcomes are written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from gsched.stores.mongodb.cluster import Cluster, FormerSchedule, JobRecord, SlotRecord
from gsched.stores.mongodb.partition import slot_of
from gsched.stores.mongodb.progress import Progress
from gsched.stores.mongodb.tenure import Tenure
from gsched.stores.mongodb.uncertain import JobInSlot


class Ended(NamedTuple):
    """A former schedule of this job, of which nothing began that was due after `until` (ms)."""

    job_id: str
    until: int


class Succession:
    """Sees to former schedules, for one tenure."""

    def __init__(self, cluster: Cluster, tenure: Tenure, progress: Progress) -> None:
        self._cluster = cluster
        self._tenure = tenure
        self._progress = progress
        self._ended: dict[str, Ended] = {}  # by the ids of their documents
        self._unstored: dict[str, int] = {}  # until when; what the database does not know of that

    # -- a slot is taken ----------------------------------------------------------------------------------------------

    def inherit(self, slots: dict[int, SlotRecord], read: Collection[JobRecord]) -> list[JobInSlot]:
        """The former schedules of jobs in these slots, as jobs that may have been in progress.

        To be called after the jobs were read: what was ended by then has a document.

        :param read: jobs of these slots that are seen to by themselves
        """
        formers = self._cluster.formers_in(slots.keys())
        jobs = self._cluster.read_jobs({each.record.job.id for each in formers}) if formers else {}
        known = {(each.job.id, each.schedule) for each in [*read, *jobs.values()]}
        # Others go on, or did when they were read.
        ended = [each for each in formers if (each.record.job.id, each.record.schedule) not in known]
        return [self._inherit(each, slots[each.record.slot], jobs, ended) for each in ended]

    def _inherit(
        self,
        former: FormerSchedule,
        slot: SlotRecord,
        jobs: Mapping[str, JobRecord],
        ended: Iterable[FormerSchedule],
    ) -> JobInSlot:
        record, until = former.record, slot.watermark if former.until is None else min(former.until, slot.watermark)
        self._ended[former.id] = Ended(record.job.id, until)
        self._unstored[former.id] = until
        job = jobs.get(record.job.id)
        others = [each.record for each in ended] if job is None else [*(each.record for each in ended), job]
        later = [each for each in others if each.job.id == record.job.id and each.schedule > record.schedule]
        return JobInSlot(_as_now(record, job), slot._replace(watermark=until), tuple(later))

    # -- a user has changed a job -------------------------------------------------------------------------------------

    def end(self, job_ids: Collection[str], records: Mapping[str, JobRecord]) -> None:
        """The hub has been told to drop these jobs, as they were; `records` has them as they are."""
        ours = [job_id for job_id in job_ids if slot_of(job_id) in self._tenure.slots]
        for former in self._cluster.formers_of(ours) if ours else ():
            job_id, record = former.record.job.id, records.get(former.record.job.id)
            goes_on = record is not None and record.schedule == former.record.schedule
            if not goes_on and former.id not in self._ended:
                self._ended[former.id] = Ended(job_id, self._tenure.watermark)
                self._unstored[former.id] = self._tenure.watermark
        self.settle()

    def unseen(self, numbers: Collection[int]) -> list[str]:
        """The jobs in these slots with a former schedule that nobody has told of."""
        return [each.record.job.id for each in self._cluster.formers_in(numbers) if each.id not in self._ended]

    def settle(self) -> None:
        """Note up to when they may have begun: what an error kept from being noted, too."""
        if self._unstored:
            self._cluster.bound_formers(self._unstored)
            self._unstored = {}

    # -- all of it is over --------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Forget those of which all that began has ended."""
        # What was inherited with a slot that others attached in the end is theirs.
        self._ended = {i: each for i, each in self._ended.items() if slot_of(each.job_id) in self._tenure.slots}
        if self._ended:
            first = self._progress.first_open_of({each.job_id for each in self._ended.values()})
            self._forget([i for i, each in self._ended.items() if first.get(each.job_id, each.until + 1) > each.until])

    def give_up(self, numbers: Collection[int]) -> None:
        """What was in progress in these slots is written down: nothing of their former schedules is uncertain."""
        self._forget([each.id for each in self._cluster.formers_in(numbers)])

    def _forget(self, ids: Iterable[str]) -> None:
        over = list(ids)
        self._cluster.forget_formers(over)
        for each in over:
            self._ended.pop(each, None)
            self._unstored.pop(each, None)


def _as_now(former: JobRecord, job: JobRecord | None) -> JobRecord:
    """The job as it is, but due as it was. One that was removed is as it was, without its function: it is lost."""
    if job is None:
        return former
    due_as_it_was = job.job.evolve(trigger=former.job.trigger, next_run_ms=former.job.next_run_ms)
    return former._replace(job=due_as_it_was)
