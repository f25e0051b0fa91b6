"""Admission: letting the watermark cover jobs that were added or changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

from gsched.errors import StoreError
from gsched.job import Job
from gsched.run import Reason
from gsched.stores.base import Admitted, Changed, Dropped, HubSide
from gsched.stores.mongodb.cluster import Cluster, FencedError, JobRecord, RefusedError
from gsched.stores.mongodb.parking import Parking
from gsched.stores.mongodb.partition import slot_of
from gsched.stores.mongodb.requests import Requests
from gsched.stores.mongodb.succession import Succession
from gsched.stores.mongodb.tenure import Tenure
from gsched.stores.mongodb.written_runs import WrittenRuns
from gsched.triggers.base import TRIGGER_ERRORS

BATCH = 200  # jobs per transaction: the watermark waits for it
MOST_ATTEMPTS = 100  # at admitting a job as it is


class Admission:
    """Looks at jobs that changed, and sees to it that the hub runs them as they are now, for one tenure.

    :param keep_alive: called between steps that write, so that others do not take us for dead
    """

    def __init__(
        self,
        cluster: Cluster,
        tenure: Tenure,
        hub: HubSide,
        written: WrittenRuns,
        keep_alive: Callable[[], None],
        succession: Succession,
    ) -> None:
        self._cluster = cluster
        self._tenure = tenure
        self._hub = hub
        self._written = written
        self._keep_alive = keep_alive
        self._succession = succession
        self._near: dict[str, None] = {}  # ids of jobs that are due soon: the watermark must not pass them
        self._changed: dict[str, None] = {}  # ids of others, in the order in which they came
        # Admissions that may have happened: revision and first due.
        self._attempted: dict[str, tuple[int, int | None]] = {}
        self._fruitless: Counter[tuple[str, int]] = Counter()  # attempts that came to nothing, by id and revision
        self._parking = Parking(cluster, tenure, hub, written, keep_alive, self.look_at)
        self._requests = Requests(cluster, tenure, hub, keep_alive, self._can_run)

    @property
    def unsure(self) -> bool:
        """Whether admissions may have happened of which the hub does not know: the watermark must not advance then."""
        return bool(self._attempted)

    @property
    def unsettled(self) -> bool:
        """Whether slots must not be given away, because of attempts of which we have not heard."""
        return self._requests.unsettled or self._parking.unsettled

    @property
    def pending(self) -> bool:
        """Whether there is something to look at."""
        return bool(self._near or self._changed or self._parking.pending or self._requests.pending)

    @property
    def has_near(self) -> bool:
        """Whether there are jobs that are due soon, and are not looked at yet."""
        return bool(self._near)

    def look_at(self, job_ids: Iterable[str]) -> None:
        """These jobs may have changed."""
        self._changed.update(dict.fromkeys(job_ids))

    def look_at_near(self, job_ids: Iterable[str]) -> None:
        """These jobs are due within the horizon by now."""
        self._near.update(dict.fromkeys(job_ids))

    def hub_parks(self, job: Job, reason: str | None) -> None:
        """The hub cannot run the job, for this reason, or can again."""
        self._parking.hub_parks(job, reason)

    def work(self) -> None:
        """Look at some of the jobs that may have changed: first at those for which the watermark waits. Runs on request
        come last, and few at a time: however many wait of a job, other jobs do not wait for them."""
        self._look_at_some()
        self._parking.store()
        self._requests.take_some()

    def _look_at_some(self) -> None:
        ids = list(islice(self._attempted or self._near or self._changed, BATCH))
        if not ids:
            return
        near = [job_id for job_id in ids if job_id in self._near]
        for job_id in ids:  # before they are read: what changes meanwhile is to be looked at again
            self._near.pop(job_id, None)
            self._changed.pop(job_id, None)
        try:
            self._handle(ids, self._cluster.read_jobs(ids))
        except BaseException:  # whatever it is, they are to be looked at
            self.look_at_near(near)
            self.look_at(ids)
            raise

    def _handle(self, ids: Sequence[str], records: Mapping[str, JobRecord]) -> None:
        # What is in progress of a job that is not, or not so, any more: people who write into documents by hand leave
        # no former schedule.
        over = {job_id for job_id in ids if not _goes_on(records.get(job_id))}
        self._written.write_those_of(self._tenure, over)
        waiting: list[JobRecord] = []
        for job_id in ids:
            record = records.get(job_id)
            if self._parking.is_setting_down(job_id):
                continue  # it is looked at when that is stored
            if record is None or record.slot not in self._tenure.slots:
                self._tenure.parked.discard(job_id)
                self._drop(job_id)
            elif self._is_to_be_admitted(record):
                waiting.append(record)
        if over:
            self._succession.end(over, records)
        self._admit(waiting)
        self._requests.look_at(job_id for job_id in ids if self._may_have_requests(job_id, records.get(job_id)))

    def _may_have_requests(self, job_id: str, record: JobRecord | None) -> bool:
        is_ours = slot_of(job_id) in self._tenure.slots
        return is_ours and (record is None or self._can_run(record))

    def _can_run(self, record: JobRecord) -> bool:
        return record.job.parked is None and not self._parking.is_aside(record.job)

    def _is_to_be_admitted(self, record: JobRecord) -> bool:
        """See to a job of ours; whether it is to be admitted. One that is beyond belief disturbs no other."""
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
        if self._tenure.forget(job_id):
            self._hub.post(Dropped(job_id, reason=reason))

    def _handle_one(self, record: JobRecord) -> bool:
        record = self._parking.as_known(record)
        job, due = record.job, record.job.next_run_ms
        # One that is healed may run when that is stored: what the hub then finds of it has the last word.
        may_run = self._parking.compare(record) and job.parked is None and not job.paused
        if record.admitted and not may_run:
            self._set_down(record)
            return False
        if not record.admitted:
            # Whatever it was before is over.
            self._drop(job.id, Reason.RESCHEDULED if may_run else Reason.REMOVED_OR_PAUSED)
            return may_run and (due is None or due <= self._tenure.horizon)
        revision, first = self._attempted.pop(job.id, (None, None))
        if revision is not None:
            self._announce(record, first)
        elif self._tenure.revision(job.id) is None:
            self._announce_if_near(record)
        elif self._tenure.revision(job.id) != job.rev:
            self._tenure.know_change(record)
            self._hub.post(Changed(job))
        return False

    def _set_down(self, record: JobRecord) -> None:
        """It may not run as it is, and goes on from here when it may: what it has run, it must not run again."""
        job = record.job
        if self._tenure.revision(job.id) is None:
            dormant = self._tenure.dormant.get(job.id)
            due = self._first_due(record) if dormant is None else dormant.due
        elif self._hub.unread():  # it does not know yet how far the job is
            self._parking.postpone(job.id)
            self.look_at([job.id])
            return
        else:
            due, late_until = self._hub.due(job.id), self._tenure.late.get(job.id)
            self._drop(job.id, None)
            if late_until is not None and (due is None or due > late_until):  # that has begun: to be noted as ended
                self._tenure.late[job.id] = late_until
        self._parking.set_down(job, due)

    def _first_due(self, record: JobRecord) -> int | None:
        """The first instant of a job that is admitted, and has not been ours, that is ours."""
        return record.first_after(self._tenure.slots[record.slot].taken_at)

    def _announce_if_near(self, record: JobRecord) -> None:
        """An admitted job that the hub does not have: it was, or is, beyond the horizon, or its trigger has ended."""
        dormant = self._tenure.dormant.get(record.job.id)
        if dormant is None:
            due = self._first_due(record)
        else:
            due = dormant.due
            self._tenure.dormant[record.job.id] = dormant._replace(rev=record.job.rev)
        # A job whose trigger has ended is kept while former owners run it, for they may die; the next scan finds it.
        if due <= self._tenure.horizon if due is not None else not self._cluster.is_running(record.job.id):
            self._announce(record, due, is_new=False)

    def _announce(self, record: JobRecord, due: int | None, is_new: bool = True) -> None:
        if due is not None and due <= record.late_until:
            self._tenure.late[record.job.id] = record.late_until
        self._tenure.know(record)
        self._hub.post(Admitted(record.job, due, self._tenure.slots[record.slot].fence, is_new))

    def _admit(self, records: list[JobRecord]) -> None:
        """Admit all in one transaction; where one of them changed meanwhile, one by one."""
        if not records:
            return
        for record in records:
            self._attempted[record.job.id] = (record.job.rev, record.job.next_run_ms)
        claimed, refusal = self._tenure.watermark, None
        try:
            admitted = self._cluster.admit(self._tenure.node, records, claimed)
        except RefusedError as error:
            admitted, refusal = False, str(error)
        if admitted:
            for record in records:
                del self._attempted[record.job.id]
                self._fruitless.pop((record.job.id, record.job.rev), None)
                self._announce(record._replace(late_until=claimed), record.job.next_run_ms)
        elif len(records) > 1:
            for record in records:
                self._keep_alive()
                self._admit([record])
        else:
            self._try_again(records[0], refusal)

    def _try_again(self, record: JobRecord, refusal: str | None) -> None:
        """Look again at a job that was not admitted; but not at one that will not be, as it is, for ever."""
        which = record.job.id, record.job.rev
        self._fruitless[which] += 1
        if refusal is None and self._fruitless[which] >= MOST_ATTEMPTS:
            refusal = f"the database has not taken it up in {MOST_ATTEMPTS} attempts"
        if refusal is None:
            self.look_at([record.job.id])
        else:
            del self._fruitless[which]
            self._set_aside(record, refusal)


def _goes_on(record: JobRecord | None) -> bool:
    """Whether the job is there, and due as it was."""
    return record is not None and record.admitted and not record.job.paused
