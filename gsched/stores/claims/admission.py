"""Admission: the watermark covers jobs that were added or changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeGuard

from gsched.errors import StoreError
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Reason
from gsched.jobs.tally import newer
from gsched.stores.claims.database import FencedError, FormerSchedule, JobRecord, RefusedError
from gsched.stores.claims.parking import Parking
from gsched.stores.claims.session import Session
from gsched.stores.claims.succession import Succession
from gsched.stores.claims.waiting_runs import WaitingRuns
from gsched.stores.messages import Admitted, Changed, Dropped
from gsched.triggers.base import TRIGGER_ERRORS

BATCH = 200  # jobs per transaction; the watermark waits for it
MOST_ATTEMPTS = 100  # at admitting one revision of a job


class Admission:
    """Looks at jobs that changed, and has the hub run them as they are now."""

    def __init__(self, session: Session, succession: Succession) -> None:
        self._session = session
        self._succession = succession
        self._awaiting: set[str] = set()  # jobs that other nodes still have, because they were in other groups
        self._near: dict[str, None] = {}  # ids of jobs that are due soon: the watermark must not pass them
        self._changed: dict[str, None] = {}  # ids of others, in the order in which they came
        # Admissions that may have happened: revision and first due.
        self._attempted: dict[str, tuple[int, int | None]] = {}
        self._fruitless: Counter[tuple[str, int]] = Counter()  # attempts that failed, by id and revision
        self._parking = Parking(session, self.look_at)
        self._waiting = WaitingRuns(session, self._can_run, self.look_at)

    @property
    def unsure(self) -> bool:
        """An admission may have happened without the hub knowing. The watermark must not advance then."""
        return bool(self._attempted)

    @property
    def unsettled(self) -> bool:
        """The result of an attempt is unknown. Slots must not be given away then."""
        return self._waiting.unsettled or self._parking.unsettled

    @property
    def pending(self) -> bool:
        """There are jobs to look at, or results to store."""
        return bool(self._near or self._changed or self._parking.pending or self._waiting.pending)

    @property
    def has_near(self) -> bool:
        """Some jobs due within the horizon have not been looked at yet."""
        return bool(self._near)

    def look_at(self, job_ids: Iterable[str]) -> None:
        """Look again at these jobs, which may have changed."""
        self._changed.update(dict.fromkeys(job_ids))

    def look_at_near(self, job_ids: Iterable[str]) -> None:
        """Look at these jobs first: the horizon has reached them."""
        self._near.update(dict.fromkeys(job_ids))

    def hub_parks(self, job: Job, reason: str | None) -> None:
        """The hub cannot run the job, for this reason; None: it can again."""
        self._parking.hub_parks(job, reason)

    def expect_runs(self, dues: Mapping[str, int]) -> None:
        """Runs of these jobs wait, and the earliest of each is due then (ms)."""
        self._waiting.expect(dues)

    @property
    def next_waiting(self) -> int | None:
        """When to look for the next waiting run, ms; None if none waits within the horizon."""
        return self._waiting.next_due

    def work(self, now: int, is_paused: bool) -> None:
        """Look at some of the jobs that may have changed; those for which the watermark waits come first. Waiting runs
        come last, and few at a time, so that other jobs do not wait for them.

        :param is_paused: begin no retries
        """
        self._look_at_some()
        self._parking.store()
        self._waiting.work(now, is_paused)

    def _look_at_some(self) -> None:
        ids = list(islice(self._attempted or self._near or self._changed, BATCH))
        if not ids:
            return
        near = [job_id for job_id in ids if job_id in self._near]
        for job_id in ids:  # before reading them: a job that changes meanwhile is looked at again
            self._near.pop(job_id, None)
            self._changed.pop(job_id, None)
        try:
            self._handle(ids, self._read(ids))
        except BaseException:  # whatever it is, the jobs are still to be looked at
            self.look_at_near(near)
            self.look_at(ids)
            raise

    def _read(self, ids: Sequence[str]) -> Mapping[str, JobRecord]:
        """The jobs as they are now, each with the latest tally."""
        unwritten = self._session.progress.tallies(ids)  # before the jobs are read: one that is written meanwhile is in
        records = self._session.database.read_jobs(ids)  # neither otherwise
        if not unwritten:
            return records
        tallies = {job_id: newer(unwritten.get(job_id), record.tally) for job_id, record in records.items()}
        return {job_id: record._replace(tally=tallies[job_id]) for job_id, record in records.items()}

    def _handle(self, ids: Sequence[str], records: Mapping[str, JobRecord]) -> None:
        # Jobs that are gone or no longer admitted. Their runs in progress are recorded here, because people who edit
        # documents by hand leave no former schedule.
        over = {job_id for job_id in ids if not _goes_on(records.get(job_id))}
        self._session.recorded.record_those_of(self._session.holdings, over)
        early = self._postponed(over)
        over -= early
        # From here until the hub has the message, no other greenlet has a turn.
        self._awaiting.difference_update(ids)
        self._succession.stop({job_id: self._first_undecided(job_id) for job_id in over})
        waiting: list[JobRecord] = []
        for job_id in ids:
            if job_id in early:
                continue
            record = records.get(job_id)
            if self._parking.is_setting_down(job_id):
                continue  # `Parking` has it looked at once that is stored
            if not self._is_ours(record):
                self._session.holdings.parked.discard(job_id)
                self._drop(job_id, Reason.REMOVED_OR_PAUSED if record is None else self._fate(record))
                continue
            if self._session.holdings.slot_of(job_id) != record.slot:
                self._drop(job_id, self._fate(record))
                self._session.holdings.place(job_id, record.slot)
            if self._is_to_be_admitted(record):
                waiting.append(record)
        formers = self._succession.end(over, records) if over else ()
        self._session.database.begin_later(self._succession.spent(filter(None, map(records.get, over)), formers))
        self._admit([*self._without_decided(waiting, formers)])
        self._waiting.look_at(job_id for job_id in ids if self._may_have_waiting_runs(job_id, records.get(job_id)))
        for job_id in ids:
            if not self._is_ours(records.get(job_id)):
                self._session.holdings.lose(job_id)

    def _postponed(self, over: Collection[str]) -> set[str]:
        """The jobs whose progress is unknown while the hub has unread messages. They are looked at again later."""
        if not self._session.hub.unread():
            return set()
        early = {each for each in over if self._session.holdings.revision(each) is not None}
        self.look_at(early)
        return early

    def _first_undecided(self, job_id: str) -> int | None:
        """The first instant of the job's former schedule that is not decided; None if no such instant is claimed."""
        if self._session.holdings.revision(job_id) is not None:
            return self._session.hub.due(job_id)
        dormant = self._session.holdings.dormant.get(job_id)
        return self._attempted.get(job_id, (0, None))[1] if dormant is None else dormant.due

    def _without_decided(self, records: Iterable[JobRecord], formers: Sequence[FormerSchedule]) -> Iterator[JobRecord]:
        """The jobs as they are to be admitted, without instants that former schedules have decided."""
        for record in records:
            if self._succession.awaits_others(record, formers):
                self._awaiting.add(record.job.id)  # the other node announces the job when it is done
                continue
            try:
                later = self._succession.without_decided(record, formers)
            except TRIGGER_ERRORS as error:
                self._set_aside(record, f"its trigger raised {error!r}")
                continue
            if later is not record and later.job.next_run_ms is not None:
                self._session.database.begin_later([later])
            yield later

    def _may_have_waiting_runs(self, job_id: str, record: JobRecord | None) -> bool:
        return self._session.holdings.owns(job_id) and (record is None or self._can_run(record))

    def _is_ours(self, record: JobRecord | None) -> TypeGuard[JobRecord]:
        return record is not None and record.slot in self._session.holdings.slots

    def _can_run(self, record: JobRecord) -> bool:
        job = record.job
        return job.parked is None and not self._parking.is_aside(job) and job.id not in self._awaiting

    def _is_to_be_admitted(self, record: JobRecord) -> bool:
        """Handle a job in a slot of this node. A trigger that raises parks only its own job.

        :return: whether the job is to be admitted
        """
        try:
            return self._handle_one(record)
        except (StoreError, FencedError):
            raise
        except TRIGGER_ERRORS as error:
            self._set_aside(record, f"its trigger raised {error!r}")
            return False

    def _set_aside(self, record: JobRecord, reason: str) -> None:
        """Park a job until somebody changes it."""
        self._drop(record.job.id)
        self._parking.set_aside(record.job, reason)

    def _drop(self, job_id: str, reason: Reason | None = Reason.REMOVED_OR_PAUSED) -> None:
        self._attempted.pop(job_id, None)
        if self._session.holdings.forget(job_id):
            self._session.hub.post(Dropped(job_id, reason=reason))

    def _fate(self, record: JobRecord) -> Reason | None:
        """Why instants end that wait here, because the job has another schedule. None if that one has them, too: the
        job has only got another group."""
        due = self._session.hub.due(record.job.id)
        return None if due is not None and record.is_due_at(due) else Reason.RESCHEDULED

    def _handle_one(self, record: JobRecord) -> bool:
        record = self._parking.as_known(record)
        job, due = record.job, record.job.next_run_ms
        # A healed job may run once its healing is stored, because the hub's own finding must come after that.
        may_run = self._parking.compare(record) and job.parked is None and not job.paused
        if record.admitted and not may_run:
            self._set_down(record)
            return False
        if not record.admitted:
            # The schedule by which the hub has the job is over.
            self._drop(job.id, self._fate(record) if may_run else Reason.REMOVED_OR_PAUSED)
            return may_run and (due is None or due <= self._session.holdings.horizon)
        revision, first = self._attempted.pop(job.id, (None, None))
        if revision is not None:
            self._announce(record, first)
        elif self._session.holdings.revision(job.id) is None:
            self._announce_if_near(record)
        elif self._session.holdings.revision(job.id) != job.rev:
            self._session.holdings.know_change(record)
            self._session.hub.post(Changed(job, record.tally))
        return False

    def _set_down(self, record: JobRecord) -> None:
        """Set down an admitted job that cannot be run. When it is healed, it goes on from here and repeats nothing."""
        job = record.job
        if self._session.holdings.revision(job.id) is None:
            dormant = self._session.holdings.dormant.get(job.id)
            due = self._first_due(record) if dormant is None else dormant.due
        elif self._session.hub.unread():  # how far the job is, is unknown until the hub has read its messages
            self._parking.postpone(job.id)
            self.look_at([job.id])
            return
        else:
            due, late_until = self._session.hub.due(job.id), self._session.holdings.late.get(job.id)
            self._drop(job.id, None)
            if late_until is not None and (due is None or due > late_until):  # all late ones began: still to be closed
                self._session.holdings.late[job.id] = late_until
        self._parking.set_down(job, due)

    def _first_due(self, record: JobRecord) -> int | None:
        """The first instant after the watermark with which this node took the slot of an admitted job."""
        return record.first_after(self._session.holdings.slots[record.slot].taken_at)

    def _announce_if_near(self, record: JobRecord) -> None:
        """Hand the hub an admitted job that it does not have, if the job is due within the horizon or has ended."""
        dormant = self._session.holdings.dormant.get(record.job.id)
        if dormant is None:
            due = self._first_due(record)
        else:
            due = dormant.due
            self._session.holdings.dormant[record.job.id] = dormant._replace(rev=record.job.rev)
        # A job whose trigger has ended is kept while a former owner runs it: the owner may die. The next scan finds it.
        holdings, database = self._session.holdings, self._session.database
        if due <= holdings.horizon if due is not None else not database.is_running(record.job.id, record.slot):
            self._announce(record, due, is_new=False)

    def _announce(self, record: JobRecord, due: int | None, is_new: bool = True) -> None:
        if due is not None and due <= record.late_until:
            self._session.holdings.late[record.job.id] = record.late_until
        self._session.holdings.know(record)
        fence = self._session.holdings.slots[record.slot].fence
        self._session.hub.post(Admitted(record.job, due, fence, is_new, record.tally))

    def _admit(self, records: list[JobRecord]) -> None:
        """Admit all in one transaction. If one of them changed meanwhile, admit one by one."""
        if not records:
            return
        for record in records:
            self._attempted[record.job.id] = (record.job.rev, record.job.next_run_ms)
        claimed, refusal = self._session.holdings.watermark, None
        try:
            admitted = self._session.database.admit(self._session.node, records, claimed)
        except RefusedError as error:
            admitted, refusal = False, str(error)
        if admitted:
            for record in records:
                del self._attempted[record.job.id]
                self._fruitless.pop((record.job.id, record.job.rev), None)
                self._announce(record._replace(late_until=claimed), record.job.next_run_ms)
        elif len(records) > 1:
            for record in records:
                self._session.beat()
                self._admit([record])
        else:
            self._try_again(records[0], refusal)

    def _try_again(self, record: JobRecord, refusal: str | None) -> None:
        """Look again at a job that was not admitted. Park it after too many attempts, or if the database refuses it."""
        which = record.job.id, record.job.rev
        self._fruitless[which] += 1
        if refusal is None and self._fruitless[which] >= MOST_ATTEMPTS:
            refusal = f"the database has not admitted it in {MOST_ATTEMPTS} attempts"
        if refusal is None:
            self.look_at([record.job.id])
        else:
            del self._fruitless[which]
            self._set_aside(record, refusal)


def _goes_on(record: JobRecord | None) -> bool:
    """True if the job exists, is admitted and is not paused: its schedule goes on."""
    return record is not None and record.admitted and not record.job.paused
