"""Succession: the instants of a schedule that a user's write has ended get their outcomes before it is forgotten.

A former schedule (`FormerSchedule`) stays in the database as long as a crash could leave an instant of it without an
outcome. Six rules:

- A node that takes a slot rescues the claimed instants of former schedules as it does those of the job's own schedule:
  they run again or are lost, depending on the job's `recover`.
- The owner stops the former schedule in its hub, and notes in the database the time up to which instants of it may have
  begun: its watermark at that moment. None begins later, because the hub gets `Dropped` before the next `Claimed`.
- The former schedule is forgotten when all its instants that began have ended, with their outcomes written, or have
  recorded runs.
- An instant that the former schedule has decided is not due again: the job's own schedule begins after it. A paused job
  with a date would be resumed with that date, or is due at the end of its pause: if the date has been decided, the job
  is never due.
- A user may end a pause early, and the owner may hear of that after the end of the pause. If the owner has decided the
  first instant after the pause by then, the pause has lasted until its end: earlier instants are not due.
- A job that gets another group moves to another slot. The owner of the old slot stops the former schedule, waits until
  its own runs of the job have ended, stores the job without the instants that the schedule has decided, and forgets the
  schedule. The owner of the new slot admits the job only then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from gsched.stores.claims.database import FormerSchedule, JobRecord, SlotRecord
from gsched.stores.claims.rescue import JobInSlot
from gsched.stores.claims.session import Session
from gsched.triggers import DateTrigger
from gsched.triggers.base import TRIGGER_ERRORS

FORGOTTEN_AT_ONCE = 1000  # the watermark waits while their jobs are read


class Ended(NamedTuple):
    """A former schedule of the job, in this slot, that has stopped.

    Its instants up to `until` (ms) were decided, or were in progress on a node that died. No later instant has begun.
    """

    job_id: str
    slot: int
    until: int


class Succession:
    """Stops former schedules, and forgets them when their instants have outcomes."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._ended: dict[str, Ended] = {}  # by the ids of their documents
        self._unstored: dict[str, int] = {}  # those whose `until` is not in the database yet, with it
        self._unseen: set[str] = set()  # jobs with former schedules in this node's slots that are still to be ended
        self._stopped: dict[str, int] = {}  # jobs on their way into `_ended`, with the last instant that was decided

    @property
    def unsettled(self) -> bool:
        """Only this node knows the `until` of some former schedule. Acked must not pass the instants after it, which
        nobody has decided."""
        return bool(self._stopped or self._unstored)

    # -- a slot is taken ----------------------------------------------------------------------------------------------

    def inherit(self, slots: dict[int, SlotRecord], read: Collection[JobRecord]) -> list[JobInSlot]:
        """The former schedules of jobs in these slots, for the rescue of their claimed instants.

        Call it after reading the jobs: then each schedule that had ended by that time has a document.

        :param read: the jobs of these slots, which the caller rescues
        """
        formers = self._session.database.formers_in(slots.keys())
        jobs = self._session.database.read_jobs({each.record.job.id for each in formers}) if formers else {}
        known = {(each.job.id, each.schedule) for each in [*read, *jobs.values()]}
        # The other schedules go on, or went on when the jobs were read.
        ended = [each for each in formers if (each.record.job.id, each.record.schedule) not in known]
        for each in ended:
            until = slots[each.record.slot].watermark
            until = until if each.until is None else min(each.until, until)
            self._end(each, until)
        jobs = {job_id: self._as_due(job, ended) for job_id, job in jobs.items()}
        return [self._inherit(each, slots[each.record.slot], jobs, ended) for each in ended]

    def _as_due(self, job: JobRecord, ended: Iterable[FormerSchedule]) -> JobRecord:
        try:
            return self.without_decided(job, ended)
        except TRIGGER_ERRORS:  # of a user's trigger: the job will be parked
            return job

    def _inherit(
        self,
        former: FormerSchedule,
        slot: SlotRecord,
        jobs: Mapping[str, JobRecord],
        ended: Iterable[FormerSchedule],
    ) -> JobInSlot:
        record, until = former.record, self._ended[former.id].until
        job = jobs.get(record.job.id)
        others = [each.record for each in ended] if job is None else [*(each.record for each in ended), job]
        later = [each for each in others if each.job.id == record.job.id and each.schedule > record.schedule]
        return JobInSlot(_as_now(record, job), slot._replace(watermark=until), tuple(later))

    # -- a user has changed a job -------------------------------------------------------------------------------------

    def stop(self, dues: Mapping[str, int | None]) -> None:
        """Note that the hub drops these jobs now.

        :param dues: the first instant (ms) of each job that the hub has not decided
        """
        watermark = self._session.holdings.watermark
        for job_id, due in dues.items():
            self._stopped.setdefault(job_id, watermark if due is None else min(due - 1, watermark))

    def end(self, job_ids: Collection[str], records: Mapping[str, JobRecord]) -> Sequence[FormerSchedule]:
        """End the former schedules of these jobs, which the hub has dropped.

        :param records: the jobs as they are now
        :return: their former schedules
        """
        holdings = self._session.holdings
        places = ((job_id, records[job_id].slot if job_id in records else -1) for job_id in job_ids)
        ours = [i for i, slot in places if slot in holdings.slots or i in self._unseen or holdings.owns(i)]
        self._unseen.difference_update(ours)
        formers = self._session.database.formers_of(ours) if ours else ()
        for former in formers:
            job_id, record = former.record.job.id, records.get(former.record.job.id)
            is_ours = former.record.slot in holdings.slots
            if is_ours and not _goes_on(former, record) and former.id not in self._ended:
                until = self._stopped.get(job_id, self._session.holdings.watermark)
                self._end(former, until)
        for job_id in job_ids:
            self._stopped.pop(job_id, None)
        self.settle()
        return formers

    def awaits_others(self, job: JobRecord, formers: Iterable[FormerSchedule]) -> bool:
        """True if another node still has a former schedule of the job, because the job was in another group then."""
        its = (each for each in formers if each.record.job.id == job.job.id and not _goes_on(each, job))
        return any(each.record.slot not in self._session.holdings.slots for each in its)

    def without_decided(self, job: JobRecord, formers: Iterable[FormerSchedule]) -> JobRecord:
        """The job without those first instants that one of its former schedules has decided."""
        if job.admitted:
            return job
        its = [each for each in formers if each.record.job.id == job.job.id and each.id in self._ended]
        due = job.job.next_run_ms
        while due is not None and its and (until := max(self._decided_until(each, job, due) for each in its)) >= due:
            due = job.job.next_ms(until)
        return job if due == job.job.next_run_ms else job._replace(job=job.job.evolve(next_run_ms=due), begins=due)

    def spent(self, jobs: Iterable[JobRecord], formers: Sequence[FormerSchedule]) -> list[JobRecord]:
        """Those of these paused jobs whose last instant a former schedule has decided, as jobs that are never due."""
        dates = [job for job in jobs if job.job.pause is not None and not job.admitted and _is_resumed_as_it_is(job)]
        later = [self.without_decided(job, formers) for job in dates if job.job.next_run_ms is not None]
        return [job for job in later if job.job.next_run_ms is None]

    def _end(self, former: FormerSchedule, until: int) -> None:
        self._ended[former.id] = Ended(former.record.job.id, former.record.slot, until)
        self._unstored[former.id] = until

    def _decided_until(self, former: FormerSchedule, job: JobRecord, instant: int) -> int:
        """Up to when (ms) a former schedule has decided the instants of the job from `instant` on; -1 if it has not
        decided this one."""
        if not self._has_decided(former, job, instant):
            return -1
        until = self._ended[former.id].until
        # A job that only moved to another group may have thousands of them.
        return max(instant, until) if former.record.job.trigger == job.job.trigger else instant

    def _has_decided(self, former: FormerSchedule, job: JobRecord, instant: int) -> bool:
        """True if a former schedule has decided an instant of the job. A date is one instant, wherever pauses move it.
        """
        record, until = former.record, self._ended[former.id].until
        if record.begins is None or record.begins > until:
            return False
        if (date := _date_of(job)) is not None and date == _date_of(record):
            return True
        if instant < record.begins:
            return _was_paused(record) and record.job.trigger.same_schedule(job.job.trigger)
        return instant <= until and record.is_due_at(instant)

    def unseen(self, numbers: Collection[int]) -> list[str]:
        """The ids of the jobs in these slots with a former schedule that this node has not ended yet."""
        found = self._session.database.formers_in(numbers)
        unseen = [each.record.job.id for each in found if each.id not in self._ended]
        self._unseen.update(unseen)
        return unseen

    def settle(self) -> None:
        """Store the `until` of each former schedule, also those that an error kept back."""
        if self._unstored:
            self._session.database.bound_formers(self._unstored)
            self._unstored = {}

    # -- all of it is over --------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Forget some of the former schedules whose begun instants have all ended."""
        # A former schedule in a slot that another node attached in the end is that node's to forget.
        self._ended = {i: each for i, each in self._ended.items() if each.slot in self._session.holdings.slots}
        if self._ended:
            first = self._session.progress.first_open_of({each.job_id for each in self._ended.values()})
            over = (i for i, each in self._ended.items() if first.get(each.job_id, each.until + 1) > each.until)
            some = list(islice(over, FORGOTTEN_AT_ONCE))
            jobs = self._session.database.read_jobs({self._ended[i].job_id for i in some}) if some else {}
            away = [i for i in some if self._is_away(self._ended[i], jobs)]
            self._forget([i for i in some if i not in away and not self._is_followed(self._ended[i], jobs)])
            if away:
                busy = {run.job.id for run in self._session.hub.unfinished()}
                self._hand_on([i for i in away if self._ended[i].job_id not in busy])

    def _is_away(self, ended: Ended, jobs: Mapping[str, JobRecord]) -> bool:
        """True if the job waits for its admission by the owner of another slot."""
        job = jobs.get(ended.job_id)
        return job is not None and not job.admitted and job.slot not in self._session.holdings.slots

    def _hand_on(self, ids: Collection[str]) -> None:
        """Forget these former schedules of jobs that are in other nodes' slots by now."""
        formers = self._session.database.formers_of({self._ended[i].job_id for i in ids}) if ids else ()
        formers = [each for each in formers if each.id in ids]
        if formers and self._store_without_decided(formers):
            self._forget(ids)
            self._announce(formers)

    def _store_without_decided(self, formers: Sequence[FormerSchedule]) -> bool:
        """Store the jobs that wait for their admission without the instants that these schedules have decided.

        :return: whether all are stored so; a job may have changed meanwhile
        """
        followed = self._followed(formers)
        if followed:
            self._session.database.begin_later([self._as_due(job, formers) for job in followed], announce=True)
            followed = self._followed(formers)
        return not followed

    def _announce(self, formers: Sequence[FormerSchedule]) -> None:
        """Tell the owners of other slots that these schedules, for which their jobs wait, are forgotten."""
        slots = self._session.holdings.slots
        jobs = [job for job in self._jobs_of(formers).values() if not job.admitted and job.slot not in slots]
        if jobs:
            self._session.database.begin_later(jobs, announce=True)

    @staticmethod
    def _is_followed(ended: Ended, jobs: Mapping[str, JobRecord]) -> bool:
        """True if the job still waits for its admission, with instants that the former schedule may have decided."""
        job = jobs.get(ended.job_id)
        if job is None or job.admitted or (job.job.paused and not _is_resumed_as_it_is(job)):
            return False
        due = job.job.next_run_ms
        if due is not None and job.job.pause is not None and _is_resumed_as_it_is(job):
            due = job.job.pause.due_ms or due  # its date, which is due at the end of its pause
        return due is not None and due <= ended.until

    def give_up(self, numbers: Collection[int]) -> bool:
        """Forget the former schedules in these slots: all runs in progress in them are recorded. A job that still waits
        for its admission is stored without the instants that they have decided.

        :return: whether all are forgotten; a job may have changed meanwhile
        """
        formers = self._session.database.formers_in(numbers)
        if not self._store_without_decided(self._end_all(formers)):
            return False
        self._forget([each.id for each in formers])
        self._announce(formers)
        return True

    def _end_all(self, formers: Sequence[FormerSchedule]) -> list[FormerSchedule]:
        """End those of these schedules that do not go on: this node runs them up to the watermark."""
        jobs = self._jobs_of(formers)
        schedules = {(job_id, job.schedule) for job_id, job in jobs.items()}
        ended = [each for each in formers if (each.record.job.id, each.record.schedule) not in schedules]
        for each in ended:
            if each.id not in self._ended:
                until = self._session.holdings.watermark if each.until is None else each.until
                self._end(each, until)
        self.settle()
        return ended

    def _followed(self, formers: Sequence[FormerSchedule]) -> list[JobRecord]:
        """The jobs that wait for their admission with instants that one of these schedules has decided."""
        jobs = self._jobs_of(formers)
        ids = {each.record.job.id for each in formers if self._is_followed(self._ended[each.id], jobs)}
        return [job for job_id, job in jobs.items() if job_id in ids and self._as_due(job, formers) is not job]

    def _jobs_of(self, formers: Sequence[FormerSchedule]) -> Mapping[str, JobRecord]:
        return self._session.database.read_jobs({each.record.job.id for each in formers}) if formers else {}

    def _forget(self, ids: Iterable[str]) -> None:
        over = list(ids)
        self._session.database.forget_formers(over)
        for each in over:
            self._ended.pop(each, None)
            self._unstored.pop(each, None)


def _goes_on(former: FormerSchedule, job: JobRecord | None) -> bool:
    """True if this is a copy of the job's present schedule: its writer was killed before it ended that schedule."""
    return job is not None and job.schedule == former.record.schedule


def _is_resumed_as_it_is(job: JobRecord) -> bool:
    """True if `resume_job` leaves a paused job's next run time as it is, though that has passed: that of a date. Of
    other triggers it takes the next instant after now."""
    return isinstance(job.job.trigger, DateTrigger)


def _date_of(job: JobRecord) -> datetime | None:
    """When a job is due that is due only once, as its trigger has it; None for other jobs."""
    trigger = job.job.trigger
    return trigger.run_date if isinstance(trigger, DateTrigger) else None


def _was_paused(former: JobRecord) -> bool:
    """True if the schedule began at the end of a pause."""
    return former.job.pause is not None and former.job.pause.until_ms is not None


def _as_now(former: JobRecord, job: JobRecord | None) -> JobRecord:
    """The job as it is now, with its former schedule. A removed job comes as it was, without its function, so that its
    instants are lost."""
    if job is None:
        return former
    due_as_it_was = job.job.evolve(trigger=former.job.trigger, next_run_ms=former.job.next_run_ms)
    is_its_own = job.tally is not None and former.schedule >= job.tally.since  # not of a removed job with this id
    return former._replace(job=due_as_it_was, tally=job.tally if is_its_own else None)
