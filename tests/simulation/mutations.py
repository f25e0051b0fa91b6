"""The protocol's guards, taken away one at a time: each must make some seed fail, or it guards nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from gsched.dispatch import Dispatch
from gsched.lane import Entry, Lane
from gsched.stores.base import ALWAYS, Claimed, Dropped
from gsched.stores.mongodb import rescue as rescue_module, slots as slots_module
from gsched.stores.mongodb.admission import Admission
from gsched.stores.mongodb.cluster import JobRecord
from gsched.stores.mongodb.incarnation import Incarnation
from gsched.stores.mongodb.membership import Membership
from gsched.stores.mongodb.ownership import Ownership
from gsched.stores.mongodb.partition import slot_of
from gsched.stores.mongodb.requests import Requests
from gsched.stores.mongodb.rescue import Rescues
from gsched.stores.mongodb.slots import Slots
from gsched.stores.mongodb.succession import Succession
from gsched.stores.mongodb.tenure import Dormant, Tenure
from gsched.stores.mongodb.written_runs import WrittenRuns

from . import cluster, process, users as users_module
from .cluster import FormerDocument, SimCluster
from .users import Users

MUTATIONS: dict[str, Callable[[], Any]] = {}


def mutation(make: Callable[[], Any]) -> Callable[[], Any]:
    """Register what takes a guard away, under its name."""
    MUTATIONS[make.__name__] = make
    return make


# -- guards in the database's operations ----------------------------------------------------------------------------


@mutation
def dead_nodes_advance() -> Any:
    def advance(self: SimCluster, node: str, watermark: int, acked: int, draining: bool) -> bool:
        def do() -> bool:
            mine = self._db.nodes[node]
            mine.watermark, mine.acked, mine.draining = max(mine.watermark, watermark), acked, draining
            mine.beat += 1
            return True

        return bool(self.step(f"advance {node} {watermark} {acked} {draining}", do))

    return patch.object(SimCluster, "advance", advance)


@mutation
def watermarks_go_back() -> Any:
    def advance(self: SimCluster, node: str, watermark: int, acked: int, draining: bool) -> bool:
        def do() -> bool:
            mine = self._db.nodes[node]
            if mine.alive:
                mine.watermark, mine.acked, mine.draining = watermark, acked, draining
                mine.beat += 1
            return mine.alive

        return bool(self.step(f"advance {node} {watermark} {acked} {draining}", do))

    return patch.object(SimCluster, "advance", advance)


@mutation
def owned_slots_are_taken() -> Any:
    return _slots_change("take_slots", lambda slot, node: _free(slot))


@mutation
def slots_of_others_are_attached() -> Any:
    def steal(slot: cluster.SlotDocument, node: str) -> None:
        slot.owner = node

    return _slots_change("attach_slots", steal)


@mutation
def releases_have_no_fence() -> Any:
    def release_slots(self: SimCluster, node: str, fences: dict[int, int], watermark: int) -> None:
        def do(number: int) -> None:
            slot = self._db.slots[number]
            if slot.owner == node:
                slot.watermark = slot.acked = max(slot.watermark, watermark) if slot.attached else slot.watermark
                slot.owner, slot.attached, slot.open_from = None, False, None

        self._step_each(f"release by {node} {watermark}", sorted(fences), do)

    return patch.object(SimCluster, "release_slots", release_slots)


@mutation
def slots_forget_from_when_they_are_open() -> Any:
    def reset(slot: cluster.SlotDocument, node: str) -> None:
        if slot.owner == node and not slot.attached:
            slot.acked = slot.watermark

    return _slots_change("attach_slots", reset)


@mutation
def admission_of_other_revisions() -> Any:
    return patch.object(SimCluster, "_may_be_admitted", lambda self, given, found: True)


@mutation
def admission_by_dead_nodes() -> Any:
    return _unfenced("admit")


@mutation
def backlogs_noted_by_dead_nodes() -> Any:
    return _unfenced("backlogs")


@mutation
def late_admissions_leave_no_trace() -> Any:
    real = SimCluster.admit

    def admit(self: SimCluster, node: str, jobs: Any, claimed: int) -> bool:
        done = real(self, node, jobs, claimed)
        for record in jobs if done else ():
            if record.job.id in self._db.jobs:
                self._db.jobs[record.job.id].late_until = -1
        return done

    return patch.object(SimCluster, "admit", admit)


@mutation
def burying_whatever_the_beat() -> Any:
    def bury(self: SimCluster, node: str, beat: int) -> bool:
        return _bury(self, node, self._db.nodes[node].beat)

    return patch.object(SimCluster, "bury", bury)


@mutation
def older_times_are_written_back() -> Any:
    def write_back(self: SimCluster, due: dict[str, tuple[int, int]]) -> list[str]:
        def do(job_id: str) -> None:
            document = self._db.jobs.get(job_id)
            if document is not None:
                document.job = document.job.evolve(next_run_ms=due[job_id][1])

        self._step_each("write back", sorted(due), do)
        return sorted(due)

    return patch.object(SimCluster, "write_back", write_back)


@mutation
def dead_nodes_write_runs_down() -> Any:
    return _unfenced("record")


@mutation
def runs_that_ended_are_written_down_again() -> Any:
    def record_runs(self: SimCluster, node: str, runs: Any) -> None:
        def do(run: Any) -> None:
            self._db.runs[cluster._key(run)] = cluster.RunDocument(node, run)

        self._step_each(f"record {node}", sorted(runs, key=cluster._key), do)

    return patch.object(SimCluster, "record_runs", record_runs)


@mutation
def ended_jobs_are_removed_with_their_requests() -> Any:
    def end_job(self: SimCluster, job_id: str, rev: int) -> None:
        self.step(f"end {job_id} {rev}", lambda: self._db.jobs.pop(job_id, None))

    return patch.object(SimCluster, "end_job", end_job)


@mutation
def ids_that_are_used_again_meet_their_past() -> Any:
    real = Users.__init__

    def begin(self: Users, *args: Any) -> None:
        real(self, *args)
        self.first_rev = lambda: 1

    return patch.object(Users, "__init__", begin)


# -- guards in the hub ------------------------------------------------------------------------------------------------


@mutation
def hub_runs_what_is_not_claimed() -> Any:
    return patch.object(Lane, "may_run_until", lambda self, clock: self.now(clock))


@mutation
def hub_does_not_look_when_claims_expire() -> Any:
    return patch.object(Lane, "may_run_until", lambda self, clock: min(self.now(clock), self.claimed))


@mutation
def rescues_do_not_wait_for_a_free_instance() -> Any:
    def skip(self: Dispatch, entry: Entry) -> None:
        run = entry.lane.owed.pop(entry).popleft()
        if entry.running < run.job.max_instances:
            self._submit(entry, run)
        else:
            self._skip(entry.lane, run, "max_instances")

    return patch.object(Dispatch, "run_owed", skip)


@mutation
def hub_runs_released_jobs_on() -> Any:
    return patch.object(slots_module, "Dropped", lambda job_id, until: Dropped(job_id, ALWAYS))


@mutation
def hub_drops_released_jobs_at_once() -> Any:
    return patch.object(slots_module, "Dropped", lambda job_id, until: Dropped(job_id))


# -- guards in the ownership greenlet ---------------------------------------------------------------------------


@mutation
def claims_never_expire() -> Any:
    def claimed(until: int, horizon: int, expires: float) -> Claimed:
        return Claimed(until, horizon)

    return patch("gsched.stores.mongodb.incarnation.Claimed", claimed)


@mutation
def claims_expire_too_late() -> Any:
    def claimed(until: int, horizon: int, expires: float) -> Claimed:
        return Claimed(until, horizon, expires + process.PACE.ttl)

    return patch("gsched.stores.mongodb.incarnation.Claimed", claimed)


@mutation
def processes_that_stand_still_count_as_ended() -> Any:
    def has_ended(self: SimCluster, process: Any) -> bool:
        return self._db.one_machine and (process.dead or process.stands_still)

    return patch.object(SimCluster, "has_ended", has_ended)


@mutation
def nodes_are_dead_too_soon() -> Any:
    real = Membership.__init__

    def begin(self: Membership, clock: Any, ttl_seconds: float) -> None:
        real(self, clock, ttl_seconds / 3)

    return patch.object(Membership, "__init__", begin)


@mutation
def acked_follows_the_watermark() -> Any:
    return patch.object(Incarnation, "_ended_until", lambda self: self.tenure.watermark)


@mutation
def acked_does_not_wait_for_messages() -> Any:
    return patch("gsched.store_side.StoreSide.unread", lambda self: False)


@mutation
def acked_does_not_wait_for_runs() -> Any:
    return patch.object(WrittenRuns, "missing", lambda self: [])


@mutation
def acked_does_not_wait_for_what_is_due() -> Any:
    return patch("gsched.store_side.StoreSide.next_due", lambda self, after, late=None: None)


@mutation
def acked_does_not_wait_for_a_backlog() -> Any:
    def first_undecided(self: Lane, after: int, late: Any) -> int | None:
        known = [entry.held for entry in self.waiting() if entry.held is not None]
        due = self.timetable.next_due()
        first = min(known if due is None else [due, *known], default=None)
        return first if first is not None and first > after else None

    return patch.object(Lane, "first_undecided", first_undecided)


@mutation
def acked_does_not_wait_for_records() -> Any:
    return patch.object(process.SimStore, "first_unwritten", lambda self: ALWAYS)


@mutation
def late_jobs_do_not_wait_for_records() -> Any:
    return patch.object(process.SimStore, "unwritten", lambda self: iter(()))


@mutation
def releases_do_not_wait_for_records() -> Any:
    return patch.object(Incarnation, "_may_release", lambda self: True)


@mutation
def releases_do_not_write_down_what_has_not_begun() -> Any:
    return patch.object(WrittenRuns, "_note_ahead", lambda self, tenure, numbers: [])


@mutation
def runs_count_as_recorded_too_soon() -> Any:
    real = SimCluster.record_runs

    def record_runs(self: SimCluster, node: str, runs: Any) -> None:
        self._process.store.ownership.written._writing.clear()
        real(self, node, runs)

    return patch.object(SimCluster, "record_runs", record_runs)


@mutation
def watermark_passes_the_horizon() -> Any:
    return patch.object(Tenure, "loaded", property(lambda self: ALWAYS, lambda self, value: None), create=True)


@mutation
def unsure_admissions_are_forgotten() -> Any:
    real = Admission._admit

    def admit(self: Admission, records: Any) -> None:
        try:
            real(self, records)
        finally:
            self._attempted.clear()

    return patch.object(Admission, "_admit", admit)


@mutation
def unsure_requests_are_forgotten() -> Any:
    real = Requests._begin

    def begin(self: Requests, records: Any) -> None:
        try:
            real(self, records)
        finally:
            self._taking = ()

    return patch.object(Requests, "_begin", begin)


@mutation
def runs_of_removed_jobs_wait_for_ever() -> Any:
    return patch.object(SimCluster, "skip_waiting", lambda self, node, runs: None)


@mutation
def requests_begin_that_others_took() -> Any:
    real = SimCluster.begin_waiting

    def begin_waiting(self: SimCluster, node: str, runs: Any) -> Any:
        real(self, node, runs)
        return runs

    return patch.object(SimCluster, "begin_waiting", begin_waiting)


@mutation
def dead_nodes_begin_requests() -> Any:
    return _unfenced("begin")


@mutation
def unsure_attachments_are_forgotten() -> Any:
    real = Slots.settle

    def settle(self: Slots) -> None:
        self._attaching = []
        real(self)

    return patch.object(Slots, "settle", settle)


@mutation
def unsure_releases_are_forgotten() -> Any:
    real = Slots.settle

    def settle(self: Slots) -> None:
        self._releasing.clear()
        real(self)

    return patch.object(Slots, "settle", settle)


@mutation
def slots_taken_by_mistake_are_kept() -> Any:
    return patch.object(SimCluster, "give_back_slots", lambda self, node, numbers: None)


@mutation
def releases_at_an_earlier_watermark() -> Any:
    real = SimCluster.release_slots

    def release_slots(self: SimCluster, node: str, fences: Any, watermark: int) -> None:
        real(self, node, fences, watermark - 1000)

    return patch.object(SimCluster, "release_slots", release_slots)


@mutation
def releases_do_not_write_runs_down() -> Any:
    def release(self: Incarnation, numbers: Any) -> None:
        self._close_late(job_id for job_id in list(self.tenure.late) if slot_of(job_id) in numbers)
        self._slots.release(numbers)

    return patch.object(Incarnation, "_release", release)


@mutation
def jobs_given_back_are_forgotten() -> Any:
    real = Tenure.give_back

    def give_back(self: Tenure, job_id: str, rev: int, due: int | None) -> None:
        real(self, job_id, rev, due)
        self.dormant.pop(job_id, None)

    return patch.object(Tenure, "give_back", give_back)


@mutation
def unsure_writes_are_believed_at_once() -> Any:
    def settle(self: Incarnation) -> None:
        self._slots.settle()
        self._backlogs.settle()
        while self._admission.unsure:
            self._admission.work()
            self.advance_if_due()

    return patch.object(Incarnation, "settle", settle)


@mutation
def deaths_are_believed_before_a_majority_knows() -> Any:
    return patch.object(SimCluster, "_final", SimCluster._seen)


@mutation
def parked_jobs_are_not_awaited() -> Any:
    def keep_back(self: Tenure, job: Any, due: int | None) -> None:
        self.dormant[job.id] = Dormant(job.rev, due)

    return patch.object(Tenure, "keep_back", keep_back)


@mutation
def parked_jobs_stay_covered() -> Any:
    return patch.object(SimCluster, "set_down", lambda self, node, jobs: True)


@mutation
def dead_nodes_set_jobs_down() -> Any:
    return _unfenced("set down")


@mutation
def backlogs_are_not_noted() -> Any:
    return patch.object(SimCluster, "note_backlogs", lambda self, node, jobs: jobs.keys())


@mutation
def uncertain_instants_are_forgotten() -> Any:
    return patch.object(rescue_module, "uncertain_spans", lambda record, slot: [])


@mutation
def former_schedules_are_not_looked_at() -> Any:
    return patch.object(Succession, "inherit", lambda self, slots, read: [])


@mutation
def users_copy_no_schedule() -> Any:
    return patch.object(users_module, "FormerDocument", lambda job, *copied: FormerDocument(job, 0, None, -1, until=0))


@mutation
def schedules_end_that_are_not_as_they_were_copied() -> Any:
    return patch.object(users_module, "_copied", lambda document: ())


@mutation
def former_schedules_are_forgotten_at_once() -> Any:
    real = Succession.end

    def end(self: Succession, job_ids: Any, records: Any) -> None:
        real(self, job_ids, records)
        self._forget(list(self._ended))

    return patch.object(Succession, "end", end)


@mutation
def former_schedules_have_no_bound() -> Any:
    return patch.object(SimCluster, "bound_formers", lambda self, until: None)


@mutation
def former_schedules_answer_for_what_later_ones_have() -> Any:
    return patch("gsched.stores.mongodb.uncertain._shared", lambda job, span: iter(()))


@mutation
def former_schedules_stay_when_slots_are_given_away() -> Any:
    return patch.object(Succession, "give_up", lambda self, numbers: None)


@mutation
def written_runs_are_forgotten() -> Any:
    return patch.object(Rescues, "written", lambda self, runs: [])


@mutation
def what_has_ended_runs_again() -> Any:
    return patch.object(SimCluster, "ended_runs", lambda self, job_ids, since: [])


@mutation
def records_stay_with_dead_nodes() -> Any:
    real = SimCluster.record_runs

    def record_runs(self: SimCluster, node: str, runs: Any) -> None:
        before = {key: document.node for key, document in self._db.runs.items()}
        real(self, node, runs)
        for key, owner in before.items():
            self._db.runs[key].node = owner

    return patch.object(SimCluster, "record_runs", record_runs)


@mutation
def rescues_are_not_written_down() -> Any:
    real = SimCluster.record_runs

    def record_runs(self: SimCluster, node: str, runs: Any) -> None:
        real(self, node, [run for run in runs if run.attempt == 1])

    return patch.object(SimCluster, "record_runs", record_runs)


@mutation
def late_instants_after_a_takeover_are_skipped() -> Any:
    real = JobRecord.first_after

    def first_after(record: Any, watermark: int) -> int | None:
        return real(record, watermark + 2000)

    return patch.object(JobRecord, "first_after", first_after)


@mutation
def stopping_does_not_wait_for_the_last_claim() -> Any:
    def stop(self: Ownership) -> None:
        self._wishes.stopping = True
        self._wakeup.set()

    return patch.object(Ownership, "stop", stop)


@mutation
def leaving_says_that_all_has_ended() -> Any:
    real = SimCluster.leave

    def leave(self: SimCluster, node: str, acked: int) -> None:
        real(self, node, self._db.nodes[node].watermark)

    return patch.object(SimCluster, "leave", leave)


# -- how --------------------------------------------------------------------------------------------------------


def _slots_change(method: str, before: Callable[[cluster.SlotDocument, str], None]) -> Any:
    """Change slots right before the operation looks at them."""
    real = getattr(SimCluster, method)

    def changed(self: SimCluster, node: str, numbers: Any, *args: Any) -> Any:
        for number in sorted(numbers):
            before(self._db.slots[number], node)
        return real(self, node, numbers, *args)

    return patch.object(SimCluster, method, changed)


def _free(slot: cluster.SlotDocument) -> None:
    slot.owner = None


_bury = SimCluster.bury


def _unfenced(unguarded: str) -> Any:
    real = SimCluster._fence

    def fence(self: SimCluster, node: str, operation: str) -> None:
        if operation != unguarded:
            real(self, node, operation)

    return patch.object(SimCluster, "_fence", fence)
