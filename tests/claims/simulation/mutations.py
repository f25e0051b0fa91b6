"""The protocol's guards, taken away one at a time: each must make some seed fail, or it guards nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from gsched.hub.dispatch import Dispatch
from gsched.hub.gates import Gate, Gates
from gsched.hub.hub import Hub
from gsched.hub.lane import Entry, Lane
from gsched.hub.tallies import Tallies
from gsched.stores.claims import rescue as rescue_module, slots as slots_module
from gsched.stores.claims.admission import Admission
from gsched.stores.claims.beats import Beats
from gsched.stores.claims.database import JobRecord
from gsched.stores.claims.holdings import Dormant, Holdings
from gsched.stores.claims.intervals import Intervals
from gsched.stores.claims.live_node import LiveNode
from gsched.stores.claims.membership import Membership
from gsched.stores.claims.ownership import Ownership
from gsched.stores.claims.partition import slot_of
from gsched.stores.claims.progress import Progress
from gsched.stores.claims.recorded_runs import RecordedRuns
from gsched.stores.claims.rescue import Rescues
from gsched.stores.claims.slots import Slots
from gsched.stores.claims.succession import Succession
from gsched.stores.claims.waiting_runs import WaitingRuns
from gsched.stores.messages import ALWAYS, Claimed, Dropped

from . import cluster, process, users as users_module
from .cluster import FormerDocument, SimDatabase
from .users import Users

MUTATIONS: dict[str, Callable[[], Any]] = {}


def mutation(make: Callable[[], Any]) -> Callable[[], Any]:
    """Register what takes a guard away, under its name."""
    MUTATIONS[make.__name__] = make
    return make


# -- guards in the database's operations ----------------------------------------------------------------------------


@mutation
def dead_nodes_advance() -> Any:
    def advance(self: SimDatabase, node: str, watermark: int, acked: int, draining: bool) -> bool:
        def do() -> bool:
            mine = self._db.nodes[node]
            mine.watermark, mine.acked, mine.draining = max(mine.watermark, watermark), acked, draining
            mine.beat += 1
            return True

        return bool(self.step(f"advance {node} {watermark} {acked} {draining}", do))

    return patch.object(SimDatabase, "advance", advance)


@mutation
def watermarks_go_back() -> Any:
    def advance(self: SimDatabase, node: str, watermark: int, acked: int, draining: bool) -> bool:
        def do() -> bool:
            mine = self._db.nodes[node]
            if mine.alive:
                mine.watermark, mine.acked, mine.draining = watermark, acked, draining
                mine.beat += 1
            return mine.alive

        return bool(self.step(f"advance {node} {watermark} {acked} {draining}", do))

    return patch.object(SimDatabase, "advance", advance)


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
    def release_slots(self: SimDatabase, node: str, fences: dict[int, int], watermark: int) -> None:
        def do(number: int) -> None:
            slot = self._db.slots[number]
            if slot.owner == node:
                slot.watermark = slot.acked = max(slot.watermark, watermark) if slot.attached else slot.watermark
                slot.owner, slot.attached, slot.open_from = None, False, None

        self._step_each(f"release by {node} {watermark}", sorted(fences), do)

    return patch.object(SimDatabase, "release_slots", release_slots)


@mutation
def slots_forget_from_when_they_are_open() -> Any:
    def reset(slot: cluster.SlotDocument, node: str) -> None:
        if slot.owner == node and not slot.attached:
            slot.acked = slot.watermark

    return _slots_change("attach_slots", reset)


@mutation
def admission_of_other_revisions() -> Any:
    return patch.object(SimDatabase, "_may_be_admitted", lambda self, given, found: True)


@mutation
def admission_by_dead_nodes() -> Any:
    return _unfenced("admit")


@mutation
def backlogs_noted_by_dead_nodes() -> Any:
    return _unfenced("backlogs")


@mutation
def late_admissions_leave_no_trace() -> Any:
    real = SimDatabase.admit

    def admit(self: SimDatabase, node: str, jobs: Any, claimed: int) -> bool:
        done = real(self, node, jobs, claimed)
        for record in jobs if done else ():
            if record.job.id in self._db.jobs:
                self._db.jobs[record.job.id].late_until = -1
        return done

    return patch.object(SimDatabase, "admit", admit)


@mutation
def burying_whatever_the_beat() -> Any:
    def bury(self: SimDatabase, node: str, beat: int) -> bool:
        return _bury(self, node, self._db.nodes[node].beat)

    return patch.object(SimDatabase, "bury", bury)


@mutation
def older_times_are_written_back() -> Any:
    def write_back(self: SimDatabase, due: dict[str, tuple[int, int]]) -> list[str]:
        def do(job_id: str) -> None:
            document = self._db.jobs.get(job_id)
            if document is not None:
                document.job = document.job.evolve(next_run_ms=due[job_id][1])

        self._step_each("write back", sorted(due), do)
        return sorted(due)

    return patch.object(SimDatabase, "write_back", write_back)


@mutation
def dead_nodes_write_runs_down() -> Any:
    return _unfenced("record")


@mutation
def runs_that_ended_are_written_down_again() -> Any:
    def record_runs(self: SimDatabase, node: str, runs: Any) -> None:
        def do(run: Any) -> None:
            self._db.runs[cluster.run_key(run)] = cluster.RunDocument(node, run)

        self._step_each(f"record {node}", sorted(runs, key=cluster.run_key), do)

    return patch.object(SimDatabase, "record_runs", record_runs)


@mutation
def ended_jobs_are_removed_with_their_requests() -> Any:
    def end_job(self: SimDatabase, job_id: str, rev: int) -> None:
        self.step(f"end {job_id} {rev}", lambda: self._db.jobs.pop(job_id, None))

    return patch.object(SimDatabase, "end_job", end_job)


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

    return patch("gsched.stores.claims.live_node.Claimed", claimed)


@mutation
def claims_expire_too_late() -> Any:
    def claimed(until: int, horizon: int, expires: float) -> Claimed:
        return Claimed(until, horizon, expires + process.PACE.ttl)

    return patch("gsched.stores.claims.live_node.Claimed", claimed)


@mutation
def processes_that_stand_still_count_as_ended() -> Any:
    def has_ended(self: SimDatabase, process: Any) -> bool:
        return self._db.one_machine and (process.dead or process.stands_still)

    return patch.object(SimDatabase, "has_ended", has_ended)


@mutation
def nodes_are_dead_too_soon() -> Any:
    real = Membership.__init__

    def begin(self: Membership, clock: Any, ttl_seconds: float) -> None:
        real(self, clock, ttl_seconds / 3)

    return patch.object(Membership, "__init__", begin)


@mutation
def acked_follows_the_watermark() -> Any:
    return patch.object(LiveNode, "_ended_until", lambda self: self.holdings.watermark)


@mutation
def acked_does_not_wait_for_messages() -> Any:
    return patch("gsched.hub.store_port.LanePort.unread", lambda self: False)


@mutation
def acked_does_not_wait_for_runs() -> Any:
    return patch.object(RecordedRuns, "missing", lambda self: [])


@mutation
def acked_does_not_wait_for_what_is_due() -> Any:
    return patch("gsched.hub.store_port.LanePort.next_due", lambda self, after, late=None: None)


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
    return patch.object(LiveNode, "_may_release", lambda self: True)


@mutation
def releases_do_not_write_down_what_has_not_begun() -> Any:
    return patch.object(RecordedRuns, "_note_ahead", lambda self, holdings, numbers: [])


@mutation
def runs_count_as_recorded_too_soon() -> Any:
    real = SimDatabase.record_runs

    def record_runs(self: SimDatabase, node: str, runs: Any) -> None:
        self._process.store.ownership.recorded._recording.clear()
        real(self, node, runs)

    return patch.object(SimDatabase, "record_runs", record_runs)


@mutation
def watermark_passes_the_horizon() -> Any:
    return patch.object(Holdings, "loaded", property(lambda self: ALWAYS, lambda self, value: None), create=True)


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
    real = WaitingRuns._begin

    def begin(self: WaitingRuns, records: Any) -> None:
        try:
            real(self, records)
        finally:
            self._taking = ()

    return patch.object(WaitingRuns, "_begin", begin)


@mutation
def runs_of_removed_jobs_wait_for_ever() -> Any:
    real = WaitingRuns._may_begin

    def may_begin(self: WaitingRuns, waiting: Any, records: Any, now: int) -> bool:
        return waiting.run.job_id in records and real(self, waiting, records, now)

    return patch.object(WaitingRuns, "_may_begin", may_begin)


@mutation
def requests_begin_that_others_took() -> Any:
    real = SimDatabase.begin_waiting

    def begin_waiting(self: SimDatabase, node: str, runs: Any) -> Any:
        real(self, node, runs)
        return runs

    return patch.object(SimDatabase, "begin_waiting", begin_waiting)


@mutation
def dead_nodes_begin_requests() -> Any:
    return _unfenced("begin")


@mutation
def failed_attempts_count_as_ended_at_once() -> Any:
    return patch.object(RecordedRuns, "_unended", lambda self: self._hub.unfinished())


@mutation
def dead_nodes_add_retries() -> Any:
    return _unfenced("add")


@mutation
def waiting_runs_begin_before_they_count_as_in_progress() -> Any:
    return patch.object(SimDatabase, "begin_waiting", lambda self, node, runs: runs)


@mutation
def rescues_know_no_later_attempts() -> Any:
    return patch.object(Rescues, "_later_attempts", lambda self, numbers, since: ())


@mutation
def runs_that_have_not_begun_stay_with_a_node_that_leaves() -> Any:
    return patch.object(SimDatabase, "put_back", lambda self, node, runs: None)


@mutation
def runs_of_fenced_nodes_are_retried() -> Any:
    return patch.object(Dispatch, "disown", lambda self, lane: None)


@mutation
def jobs_end_before_their_retries() -> Any:
    return patch.object(Lane, "awaits_runs", lambda self, entry: False)


@mutation
def slots_are_given_away_before_retries_are_added() -> Any:
    def unsettled(self: WaitingRuns) -> bool:
        return bool(self._taking)

    return patch.object(WaitingRuns, "unsettled", property(unsettled))


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
    return patch.object(SimDatabase, "give_back_slots", lambda self, node, numbers: None)


@mutation
def releases_at_an_earlier_watermark() -> Any:
    real = SimDatabase.release_slots

    def release_slots(self: SimDatabase, node: str, fences: Any, watermark: int) -> None:
        real(self, node, fences, watermark - 1000)

    return patch.object(SimDatabase, "release_slots", release_slots)


@mutation
def runs_elsewhere_do_not_count_for_limits() -> Any:
    return patch.object(Gates, "count_elsewhere", lambda self, counts, now: None)


@mutation
def groups_have_no_limits() -> Any:
    return patch.object(Gate, "room", lambda self, now: ALWAYS)


@mutation
def buckets_are_full_after_a_takeover() -> Any:
    return patch.object(Gates, "take_slots", lambda self, numbers, slot_of, now: None)


@mutation
def jobs_are_admitted_though_other_nodes_have_them() -> Any:
    return patch.object(Succession, "awaits_others", lambda self, job, formers: False)


@mutation
def jobs_are_handed_on_with_runs_in_progress() -> Any:
    def hand_on(self: Succession, ids: Any) -> None:
        original(self, [i for i, each in self._ended.items() if i in ids or each.job_id in _busy(self)])

    def _busy(self: Succession) -> set[str]:
        return {run.job.id for run in self._session.hub.unfinished()}

    original = Succession._hand_on
    return patch.object(Succession, "_hand_on", hand_on)


@mutation
def jobs_are_handed_on_with_what_was_decided() -> Any:
    return patch.object(Succession, "_store_without_decided", lambda self, formers: True)


@mutation
def jobs_are_not_read_again_when_they_are_handed_on() -> Any:
    original = cluster.SimDatabase.begin_later
    return patch.object(cluster.SimDatabase, "begin_later", lambda self, jobs, announce=False: original(self, jobs))


@mutation
def recovered_runs_stay_with_the_former_group() -> Any:
    return patch("gsched.stores.claims.rescue.slot_of_job", lambda job: slot_of(job.id))


@mutation
def releases_do_not_write_runs_down() -> Any:
    def release(self: LiveNode, numbers: Any) -> None:
        self._close_late(job_id for job_id in list(self.holdings.late) if self.holdings.slot_of(job_id) in numbers)
        self._slots.release(numbers)

    return patch.object(LiveNode, "_release", release)


@mutation
def jobs_given_back_are_forgotten() -> Any:
    real = Holdings.give_back

    def give_back(self: Holdings, job_id: str, rev: int, due: int | None) -> None:
        real(self, job_id, rev, due)
        self.dormant.pop(job_id, None)

    return patch.object(Holdings, "give_back", give_back)


@mutation
def unsure_writes_are_believed_at_once() -> Any:
    def settle(self: LiveNode) -> None:
        self._slots.settle()
        self._backlogs.settle()
        while self._admission.unsure:
            self._admission.work()
            self.advance_if_due()

    return patch.object(LiveNode, "settle", settle)


@mutation
def deaths_are_believed_before_a_majority_knows() -> Any:
    return patch.object(SimDatabase, "_final", SimDatabase._seen)


@mutation
def parked_jobs_are_not_awaited() -> Any:
    def keep_back(self: Holdings, job: Any, due: int | None) -> None:
        self.dormant[job.id] = Dormant(job.rev, due)

    return patch.object(Holdings, "keep_back", keep_back)


@mutation
def parked_jobs_stay_covered() -> Any:
    return patch.object(SimDatabase, "set_down", lambda self, node, jobs: True)


@mutation
def dead_nodes_set_jobs_down() -> Any:
    return _unfenced("set down")


@mutation
def backlogs_are_not_noted() -> Any:
    return patch.object(SimDatabase, "note_backlogs", lambda self, node, jobs: jobs.keys())


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
    return patch.object(SimDatabase, "bound_formers", lambda self, until: None)


@mutation
def what_former_schedules_decided_is_due_again() -> Any:
    return patch.object(Succession, "without_decided", lambda self, job, formers: job)


@mutation
def former_schedules_are_forgotten_before_what_they_decided_is_left_out() -> Any:
    return patch.object(Succession, "_is_followed", staticmethod(lambda ended, jobs: False))


@mutation
def paused_jobs_are_resumed_with_dates_that_were_decided() -> Any:
    return patch("gsched.stores.claims.succession._is_resumed_as_it_is", lambda job: False)


@mutation
def dates_are_due_again_at_the_end_of_their_pauses() -> Any:
    return patch("gsched.stores.claims.succession._date_of", lambda job: None)


@mutation
def pauses_that_were_ended_early_repeat_what_was_decided() -> Any:
    return patch("gsched.stores.claims.succession._was_paused", lambda former: False)


@mutation
def former_schedules_answer_for_what_later_ones_have() -> Any:
    return patch("gsched.stores.claims.rescue._shared", lambda job, span: iter(()))


@mutation
def former_schedules_stay_when_slots_are_given_away() -> Any:
    return patch.object(Succession, "give_up", lambda self, numbers: None)


@mutation
def written_runs_are_forgotten() -> Any:
    return patch.object(Rescues, "recorded", lambda self, runs: [])


@mutation
def what_has_ended_runs_again() -> Any:
    return patch.object(SimDatabase, "ended_runs", lambda self, job_ids, since: [])


@mutation
def records_stay_with_dead_nodes() -> Any:
    real = SimDatabase.record_runs

    def record_runs(self: SimDatabase, node: str, runs: Any) -> None:
        before = {key: document.node for key, document in self._db.runs.items()}
        real(self, node, runs)
        for key, owner in before.items():
            self._db.runs[key].node = owner

    return patch.object(SimDatabase, "record_runs", record_runs)


@mutation
def rescues_are_not_written_down() -> Any:
    real = SimDatabase.record_runs

    def record_runs(self: SimDatabase, node: str, runs: Any) -> None:
        real(self, node, [run for run in runs if run.attempt == 1])

    return patch.object(SimDatabase, "record_runs", record_runs)


@mutation
def late_instants_after_a_takeover_are_skipped() -> Any:
    real = JobRecord.first_after

    def first_after(record: Any, watermark: int) -> int | None:
        return real(record, watermark + 2000)

    return patch.object(JobRecord, "first_after", first_after)


@mutation
def nodes_rest_when_something_is_due() -> Any:
    def calm_seconds(self: LiveNode) -> float:
        return 0.0 if self.pending or self._hub.unread() else float("inf")

    return patch.object(LiveNode, "_calm_seconds", calm_seconds)


@mutation
def nodes_rest_when_jobs_change() -> Any:
    return patch.object(LiveNode, "_calm_seconds", _until_due)


@mutation
def nodes_rest_for_longer_than_the_ttl() -> Any:
    return patch.object(Intervals, "longest_silence", property(lambda self: 2 * self.ttl))


@mutation
def nodes_rest_before_all_has_ended() -> Any:
    def calm_seconds(self: LiveNode) -> float:
        return 0.0 if self.pending or self._hub.unread() else _until_due(self)

    return patch.object(LiveNode, "_calm_seconds", calm_seconds)


@mutation
def nodes_rest_among_others() -> Any:
    return patch.object(Beats, "is_alone", property(lambda self: True, lambda self, value: None), create=True)


@mutation
def stopping_does_not_wait_for_the_last_claim() -> Any:
    def stop(self: Ownership) -> None:
        self._desired.stopping = True
        self._wakeup.set()

    return patch.object(Ownership, "stop", stop)


@mutation
def leaving_says_that_all_has_ended() -> Any:
    real = SimDatabase.leave

    def leave(self: SimDatabase, node: str, acked: int) -> None:
        real(self, node, self._db.nodes[node].watermark)

    return patch.object(SimDatabase, "leave", leave)


@mutation
def stopping_waits_once_for_retries() -> Any:
    def join(self: Hub, runs_seconds: float | None, retries_seconds: float) -> bool:
        self.join_runs(runs_seconds)
        self.join_retries(retries_seconds)
        return self.join_runs(runs_seconds)

    return patch.object(Hub, "join", join)


# -- guards of what is counted --------------------------------------------------------------------------------------


@mutation
def acked_does_not_wait_for_counts() -> Any:
    return patch.object(process.SimStore, "awaited_counts", lambda self: [])


@mutation
def counts_on_their_way_are_not_looked_at() -> Any:
    return patch.object(process.SimStore, "tallies", lambda self, job_ids: {})


@mutation
def runs_on_dead_nodes_do_not_count() -> Any:
    return patch.object(Tallies, "begun_elsewhere", lambda self, job, span: False)


@mutation
def rescued_runs_begin_however_many_have_begun() -> Any:
    return patch.object(Tallies, "may_begin", lambda self, job, instant: True)


@mutation
def jobs_go_on_before_their_rescued_runs_count() -> Any:
    def come_first(self: Rescues) -> set[str]:
        return {rescue.record.job.id for rescue in self._waiting if rescue.record.job.recover}

    return patch.object(Rescues, "come_first", come_first)


@mutation
def releases_do_not_wait_for_counts() -> Any:
    return patch.object(Progress, "is_counted", lambda self: True)


@mutation
def counts_are_forgotten_when_jobs_leave() -> Any:
    return patch.object(Tallies, "leave", lambda self, job_id, is_shared: self.forget(job_id))


@mutation
def attempts_that_others_follow_do_not_count() -> Any:
    return patch.object(rescue_module, "_begun_before", lambda rescues, followed: ())


@mutation
def rescued_runs_count_in_any_order() -> Any:
    return patch.object(rescue_module, "_in_order", list)


@mutation
def instants_that_cannot_have_begun_are_rescued() -> Any:
    return patch.object(rescue_module, "_begun", lambda record, spans: spans)


@mutation
def late_counts_take_runs_away() -> Any:
    def note_tallies(self: SimDatabase, tallies: Any) -> None:
        def do() -> None:
            for job_id, tally in tallies.items():
                if (document := self._db.jobs.get(job_id)) is not None and document.tally is not None:
                    document.tally = tally

        if tallies:
            self.step(f"count {tallies}", do)

    return patch.object(SimDatabase, "note_tallies", note_tallies)


# -- how --------------------------------------------------------------------------------------------------------


def _until_due(node: LiveNode) -> float:
    """When a node has something to claim next, in seconds."""
    due = node._hub.next_due(node.holdings.watermark)
    return float("inf") if due is None else (due - node._time.now()) / 1000 - node._context.intervals.ahead


def _slots_change(method: str, before: Callable[[cluster.SlotDocument, str], None]) -> Any:
    """Change slots right before the operation looks at them."""
    real = getattr(SimDatabase, method)

    def changed(self: SimDatabase, node: str, numbers: Any, *args: Any) -> Any:
        for number in sorted(numbers):
            before(self._db.slots[number], node)
        return real(self, node, numbers, *args)

    return patch.object(SimDatabase, method, changed)


def _free(slot: cluster.SlotDocument) -> None:
    slot.owner = None


_bury = SimDatabase.bury


def _unfenced(unguarded: str) -> Any:
    real = SimDatabase._fence

    def fence(self: SimDatabase, node: str, operation: str) -> None:
        if operation != unguarded:
            real(self, node, operation)

    return patch.object(SimDatabase, "_fence", fence)
