"""The claim protocol's operations on jobs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from pymongo import UpdateOne, errors as driver
from pymongo.client_session import ClientSession

from gsched.event_loop.batches import batches
from gsched.event_loop.slices import paced
from gsched.jobs.document import LONGEST_REASON, DocumentReader, instant_of
from gsched.jobs.job import Job
from gsched.stores.claims.database import Backlog, FormerSchedule, JobRecord, RefusedError
from gsched.stores.mongodb.claims.access import ClaimAccess
from gsched.stores.mongodb.documents.claims import (
    former_schedule,
    in_slots,
    is_former,
    is_named,
    job_record,
    not_of_others,
    own_fields,
)
from gsched.stores.mongodb.driver.bulk import write_all
from gsched.stores.mongodb.driver.codec import Document
from gsched.stores.mongodb.driver.connection import translate_errors
from gsched.times.instants import from_ms

_FETCH: Final = 250  # documents per batch: decoding a batch must not hold up the hub
_DECODED: Final = 100  # of them in a reply: no other greenlet has a turn while the driver decodes it
_FETCH_PARTS: Final = 1000  # documents per batch, if only a field or two of each are read


class JobClaims(ClaimAccess):
    """Reads the jobs in slots, and writes the fields that the claim protocol keeps in them."""

    def jobs_in(self, numbers: Collection[int], until: int) -> Iterator[Sequence[JobRecord]]:
        with translate_errors():
            found = iter(self._jobs.find(in_slots(numbers, until), batch_size=_FETCH))
        reader = self._reader()
        while True:
            with translate_errors():
                batch = list(islice(found, _FETCH))
            if not batch:
                return
            records = (job_record(document, reader) for document in paced(filter(is_named, batch)))
            # A document that somebody has copied has the slot of the original, until `read_jobs` adopts it.
            yield [record for record in records if record.slot in numbers]

    @translate_errors()
    def due_between(self, numbers: Collection[int], after: int, until: int) -> Iterable[str]:
        due = {"$gt": from_ms(after), "$lte": from_ms(until)}
        return [job["_id"] for job in self._parts({"slot": not_of_others(numbers), "next_run_time": due})]

    @translate_errors()
    def revisions(self, numbers: Collection[int], until: int) -> Mapping[str, int]:
        return {job["_id"]: job.get("rev") or 0 for job in self._parts(in_slots(numbers, until), "rev")}

    def _parts(self, wanted: Document, *fields: str) -> Iterator[Document]:
        """The matching jobs, with these fields only."""
        return filter(is_named, paced(self._jobs.find(wanted, ["_id", *fields], batch_size=_FETCH_PARTS)))

    @translate_errors()
    def read_jobs(self, ids: Collection[str]) -> Mapping[str, JobRecord]:
        reader, records = self._reader(), {}
        for some in batches(ids, _FETCH):
            for job in paced(self._jobs.find({"_id": {"$in": some}}, batch_size=_DECODED)):
                records[job["_id"]] = self._adopted(job, reader)
        return records

    def _adopted(self, document: Document, reader: DocumentReader) -> JobRecord:
        """The record of a job. If somebody inserted or copied its document by hand, the protocol's fields are set."""
        wrong = {key: value for key, value in own_fields(document).items() if document.get(key) != value}
        record = job_record({**document, **wrong}, reader)
        if wrong:
            # A missing field equals null in a query.
            as_read = {key: {"$eq": document.get(key)} for key in wrong}
            try:
                self._jobs.update_one({"_id": document["_id"], **as_read}, {"$set": wrong})
            except driver.WriteError as error:
                return record._replace(job=record.job.evolve(parked=_refusal(error)))
        return record

    @translate_errors()
    def admit(self, node: str, jobs: Sequence[JobRecord], claimed: int) -> bool:
        return self._change_admission(node, lambda session: self._mark_admitted(jobs, claimed, session))

    def _change_admission(self, node: str, write: Callable[[ClientSession | None], bool]) -> bool:
        try:
            return self._if_alive(node, write)
        except driver.OperationFailure as error:
            if error.has_error_label("TransientTransactionError"):
                return False  # somebody is changing one of these jobs at this moment: look at them again
            if isinstance(error, driver.WriteError):
                raise RefusedError(_refusal(error)) from error
            raise

    def _mark_admitted(self, jobs: Sequence[JobRecord], claimed: int, session: ClientSession | None) -> bool:
        """Mark the jobs that are as given, by one update for each revision. Gives whether all are as given."""
        groups: dict[tuple[int, bool], list[str]] = {}
        for record in jobs:
            due = record.job.next_run_ms
            groups.setdefault((record.job.rev, due is not None and due <= claimed), []).append(record.job.id)
        marked = 0
        for (rev, late), ids in groups.items():
            fields = {"admitted": True, "late_until": from_ms(claimed) if late else None}
            # Not {"admitted": False}: people may have written anything into that field.
            as_given = {"_id": {"$in": ids}, "rev": rev, "$expr": {"$ne": ["$admitted", True]}}
            marked += self._jobs.update_many(as_given, {"$set": fields}, session=session).matched_count
        return marked == len(jobs)

    @translate_errors()
    def begin_later(self, jobs: Sequence[JobRecord], announce: bool = False) -> None:
        later = []
        for record in jobs:
            due: Document = {"$max": {"next_run_time": instant_of(record.job), "begins": instant_of(record.job)}}
            if record.job.next_run_ms is None:
                due = {"$set": {"next_run_time": None}}
            if announce:
                due["$inc"] = {"rev": 1}
            as_given = {"_id": record.job.id, "rev": record.job.rev, "$expr": {"$ne": ["$admitted", True]}}
            later.append(UpdateOne(as_given, due))
        if later:
            self._write_some([record.job.id for record in jobs], later)

    @translate_errors()
    def formers_in(self, numbers: Collection[int]) -> Sequence[FormerSchedule]:
        return self._read_formers({"slot": {"$in": list(numbers)}})

    @translate_errors()
    def formers_of(self, job_ids: Collection[str]) -> Sequence[FormerSchedule]:
        return self._read_formers({"job_id": {"$in": list(job_ids)}})

    def _read_formers(self, wanted: Document) -> Sequence[FormerSchedule]:
        reader = self._reader()
        found = paced(self._formers.find(wanted, batch_size=_FETCH))
        return [former_schedule(each, reader) for each in self._sane("former schedule", found, is_former)]

    @translate_errors()
    def bound_formers(self, until: Mapping[str, int]) -> None:
        bounds = [UpdateOne({"_id": i, "until": None}, {"$set": {"until": from_ms(at)}}) for i, at in until.items()]
        if bounds:
            self._formers.bulk_write(bounds, ordered=False)

    @translate_errors()
    def forget_formers(self, ids: Collection[str]) -> None:
        if ids:
            self._formers.delete_many({"_id": {"$in": list(ids)}})

    @translate_errors()
    def write_back(self, due: Mapping[str, tuple[int, int]]) -> Collection[str]:
        if not due:
            return ()
        later = [
            UpdateOne(
                {"_id": job_id, "rev": rev, "admitted": True},
                {"$max": {"next_run_time": from_ms(instant)}},
            )
            for job_id, (rev, instant) in due.items()
        ]
        matched, refused = self._write_some(list(due), later)
        if matched == len(later):
            return due.keys()
        found = self._jobs.find({"_id": {"$in": list(due.keys() - refused)}, "admitted": True}, ["rev"])
        return [job["_id"] for job in found if job.get("rev") == due[job["_id"]][0]]

    @translate_errors()
    def note_backlogs(self, node: str, jobs: Mapping[str, Backlog]) -> Collection[str]:
        if not jobs:
            return ()
        try:
            noted = self._if_alive(node, lambda session: self._mark_late(jobs, session))
        except driver.OperationFailure as error:
            if not error.has_error_label("TransientTransactionError"):
                raise
            noted = False  # somebody is changing one of these jobs at this moment
        if not noted and len(jobs) > 1:
            return [job_id for some in jobs.items() for job_id in self.note_backlogs(node, dict([some]))]
        # At any revision: an earlier attempt may have noted it before somebody changed the job.
        found = self._jobs.find({"_id": {"$in": list(jobs)}, "admitted": True}, ["late_until"])
        return [job["_id"] for job in found if job.get("late_until") == from_ms(jobs[job["_id"]].until)]

    def _mark_late(self, jobs: Mapping[str, Backlog], session: ClientSession | None) -> bool:
        """Write these backlogs. Gives whether the database refuses none."""
        noting = [
            UpdateOne(
                {"_id": job_id, "rev": rev, "admitted": True},
                {"$max": {"next_run_time": from_ms(first), "late_until": from_ms(until)}},
            )
            for job_id, (rev, first, until) in jobs.items()
        ]
        return not self._write_some(list(jobs), noting, session)[1]

    @translate_errors()
    def close_late(self, ids: Collection[str], until: int) -> None:
        as_set, closed = {"late_until": from_ms(until)}, {"$set": {"late_until": None}}
        try:  # five times as fast as one by one
            self._jobs.update_many({"_id": {"$in": list(ids)}, **as_set}, closed)
        except driver.WriteError:  # it stops at the first document that the database refuses to change
            self._write_some(list(ids), [UpdateOne({"_id": job_id, **as_set}, closed) for job_id in ids])

    def _write_some(
        self, job_ids: Sequence[str], updates: Sequence[UpdateOne], session: ClientSession | None = None
    ) -> tuple[int, set[str]]:
        """Change these jobs. Gives how many matched, and the ids of those that the database refuses to change."""
        written = write_all(self._jobs, updates, session)
        for each in written.refused:
            self._report_refused(job_ids[each.number], each.reason)
        return written.matched, {job_ids[each.number] for each in written.refused}

    @translate_errors()
    def set_down(self, node: str, jobs: Sequence[Job]) -> bool:
        return self._change_admission(node, lambda session: self._mark_waiting(jobs, session))

    def _mark_waiting(self, jobs: Sequence[Job], session: ClientSession | None) -> bool:
        """Mark the jobs that are as given. Gives whether all are."""
        updates = []
        for job in jobs:
            waits = {"admitted": False, "next_run_time": instant_of(job), "late_until": None, "parked": job.parked}
            as_given = {"_id": job.id, "rev": job.rev, "admitted": True}
            updates.append(UpdateOne(as_given, {"$set": waits, "$inc": {"rev": 1}}))
        written = write_all(self._jobs, updates, session)
        if written.refused:
            raise RefusedError(_refusal(written.refused[0].reason))
        return written.matched == len(jobs)

    @translate_errors()
    def park(self, jobs: Sequence[Job]) -> Mapping[str, str]:
        notes = [UpdateOne({"_id": job.id, "rev": job.rev}, {"$set": {"parked": job.parked}}) for job in jobs]
        return {jobs[each.number].id: _refusal(each.reason) for each in write_all(self._jobs, notes).refused}


def _refusal(reason: object) -> str:
    return f"the database refuses to change its document: {reason}"[:LONGEST_REASON]
