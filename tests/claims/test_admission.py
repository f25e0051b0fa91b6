"""What the hub is told of jobs that changed in MongoDB, from what the database says of them."""

from __future__ import annotations

from typing import Any
from unittest.mock import DEFAULT

import pytest
from simulation.cluster import (
    SPOILT_FOR,
    SPOILT_FOR_NOBODY,
    FormerDocument,
    JobDocument,
    RunDocument,
    run_key,
)
from simulation.steps import LoneNode, Unwritten, lose_answers, session_of

from gsched.errors import StoreUnreachableError
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome, Reason, Span
from gsched.jobs.pause import PLAIN
from gsched.jobs.policy import Policy
from gsched.jobs.tally import Tally
from gsched.stores.claims.admission import Admission
from gsched.stores.claims.database import JobRecord, RefusedError, RunRecord, SlotRecord
from gsched.stores.claims.partition import slot_of
from gsched.stores.claims.rescue import JobInSlot, Rescue, Rescues
from gsched.stores.claims.succession import Succession
from gsched.stores.messages import Admitted, Changed, Dropped, Lost, RunRequested
from gsched.triggers import IntervalTrigger

NOW = 1_800_000_000_000
DAY = 86_400_000
NEXT = NOW + DAY - NOW % DAY  # when JOB is due next
JOB = Job(
    id="daily", name="daily", func=print, trigger=IntervalTrigger(days=1, start_date="2026-01-01"), next_run_ms=NOW
)
SLOT = slot_of(JOB.id)
BROKEN = "no such function"  # the reason for which a job is parked that is spoilt


class Rig(LoneNode):
    """The admission of a node that owns all slots."""

    def __init__(self) -> None:
        super().__init__(NOW)
        self.outcomes = Unwritten()
        self.session = session_of(self.cluster, self.hub, self.holdings, self.outcomes, self.beat)
        self.admission = Admission(self.session, Succession(self.session))

    def beat(self) -> None:
        self.cluster.advance("node", self.holdings.watermark, NOW, draining=False)

    def ask_for(self, *runs: RunRecord) -> None:
        """These runs wait."""
        for run in runs:
            self.database.runs[run_key(run)] = RunDocument("", run, waits=True, due=run.scheduled)

    def put(self, job: Job, was_parked: str | None = None, **fields: Any) -> None:
        """Store a job.

        :param was_parked: the reason that is stored; `job.parked` is the one that this process finds
        """
        spoilt = SPOILT_FOR_NOBODY if job.parked is None else SPOILT_FOR[0]
        stored = job.evolve(parked=was_parked)
        self.database.jobs[job.id] = JobDocument(stored, **{"admitted": True, "spoilt": spoilt, **fields})

    def stored(self, job_id: str = JOB.id) -> JobDocument:
        return self.database.jobs[job_id]

    def find(self, job: Job | None, **known: Any) -> list[Any]:
        """What the hub is told when this is found; None: the job is gone."""
        if job is None:
            self.database.jobs.pop(JOB.id, None)
        else:
            self.put(job, **known)
        return self.look_at([JOB.id])

    def look_at(self, job_ids: list[str]) -> list[Any]:
        """What the hub is told when these may have changed."""
        self.admission.look_at(job_ids)
        self.hub.told.clear()
        self.admission.work(NOW, is_paused=False)
        return self.hub.told[:]

    def reasons(self) -> list[str | None]:
        """Why jobs were parked, of which events have told."""
        return [event.reason for event in self.hub.events]


@pytest.fixture
def rig() -> Rig:
    return Rig()


ASKED = RunRecord(JOB.id, SLOT, NOW, 1, "asked")


@pytest.mark.parametrize("job", [JOB.evolve(next_run_ms=NOW + DAY), JOB.evolve(pause=PLAIN)])
def test_a_run_on_request_of_a_job_that_the_hub_does_not_have_carries_the_fence_of_its_slot(rig: Rig, job: Job) -> None:
    rig.ask_for(ASKED)
    told = rig.find(job)
    assert [message for message in told if isinstance(message, RunRequested)] == [RunRequested(job, "asked", NOW, 7)]


def test_a_run_on_request_that_was_taken_by_a_write_without_an_answer_carries_the_fence_of_its_slot(rig: Rig) -> None:
    rig.ask_for(ASKED)
    lose_answers(rig.cluster, "begin_waiting")
    with pytest.raises(StoreUnreachableError, match="broke"):
        rig.find(JOB)
    assert rig.admission.unsettled
    rig.cluster.begin_waiting.side_effect = None
    assert RunRequested(JOB, "asked", NOW, 7) in rig.find(JOB) and not rig.admission.unsettled


def test_a_job_comes_with_the_latest_count_also_if_that_is_not_written_yet(rig: Rig) -> None:
    counted = JOB.evolve(next_run_ms=NOW, policy=Policy(max_runs=9))
    rig.outcomes.counted[JOB.id] = Tally(5, runs=3, until=NOW)
    (told,) = rig.find(counted, admitted=False, tally=Tally(5, runs=2, until=NOW - DAY))
    assert isinstance(told, Admitted) and told.tally == Tally(5, runs=3, until=NOW)
    (told,) = rig.find(counted.evolve(rev=2), tally=Tally(5, runs=2, until=NOW - DAY))
    assert isinstance(told, Changed) and told.tally == Tally(5, runs=3, until=NOW)


def test_one_of_a_job_that_was_removed_is_in_progress_here_until_the_hub_has_given_it_up(rig: Rig) -> None:
    rig.ask_for(ASKED)
    (told,) = rig.find(None)
    assert (told.job.id, told.request, told.verdict) == (JOB.id, "asked", Reason.REMOVED_OR_PAUSED)
    (document,) = rig.database.runs.values()
    assert (document.node, document.is_running) == ("node", True)


def test_one_of_a_parked_job_waits(rig: Rig) -> None:
    rig.ask_for(ASKED)
    rig.find(JOB.evolve(parked=BROKEN))
    (document,) = rig.database.runs.values()
    assert document.waits


def test_many_waiting_runs_are_taken_a_part_in_each_turn_after_other_jobs(rig: Rig) -> None:
    rig.ask_for(*(ASKED._replace(request=str(number)) for number in range(250)))
    counts = [sum(isinstance(told, RunRequested) for told in rig.find(JOB)) for _ in range(4)]
    assert counts == [100, 100, 50, 0] and not rig.admission.pending
    asked = [call[0] for call in rig.cluster.method_calls]
    assert asked.index("read_jobs") < asked.index("waiting_of")


def test_one_that_the_database_refuses_is_not_tried_again_and_again(rig: Rig) -> None:
    rig.ask_for(*(ASKED._replace(request=str(number)) for number in range(100)))
    rig.cluster.begin_waiting.side_effect = lambda node, runs: []
    rig.find(JOB)
    assert not rig.admission.pending


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        (None, Reason.REMOVED_OR_PAUSED),
        (JOB.evolve(rev=2, pause=PLAIN), Reason.REMOVED_OR_PAUSED),
        (JOB.evolve(rev=2, next_run_ms=NOW + 10), Reason.RESCHEDULED),
        (JOB.evolve(rev=2, next_run_ms=NOW + DAY), Reason.RESCHEDULED),
    ],
    ids=["removed", "paused", "rescheduled", "beyond the horizon"],
)
def test_waiting_instants_are_given_up_for_the_reason_for_which_the_job_was_dropped(
    rig: Rig, job: Job | None, reason: Reason
) -> None:
    assert any(isinstance(message, Admitted) for message in rig.find(JOB, admitted=False))
    assert rig.find(job, admitted=False)[0] == Dropped(JOB.id, reason=reason)


def test_a_parked_job_is_due_anew_from_when_it_was_due_next_for_whoever_heals_it(rig: Rig) -> None:
    rig.find(JOB, admitted=False)
    rig.hub.dues = {JOB.id: NOW + DAY}
    rig.find(JOB.evolve(rev=2, parked=BROKEN))
    stored = rig.stored()
    assert (stored.admitted, stored.job.next_run_ms, stored.job.parked) == (False, NOW + DAY, BROKEN)
    rig.cluster.park.assert_not_called()  # the reason is stored with it
    assert rig.reasons() == [BROKEN]
    assert rig.holdings.dormant == rig.holdings.awaited == {}


def test_the_watermark_waits_for_a_parked_job_and_its_slot_is_kept_until_that_is_stored(rig: Rig) -> None:
    rig.find(JOB, admitted=False)
    rig.hub.dues = {JOB.id: NOW}
    rig.cluster.set_down.side_effect = StoreUnreachableError("the connection broke")
    with pytest.raises(StoreUnreachableError, match="broke"):
        rig.find(JOB.evolve(rev=2, parked=BROKEN))
    assert rig.holdings.awaits_claimed and rig.admission.unsettled
    rig.cluster.set_down.side_effect = None
    rig.find(JOB.evolve(rev=2))  # it is mended, but the first attempt may still arrive
    assert not rig.stored().admitted and rig.stored().job.parked == BROKEN
    assert not rig.holdings.awaits_claimed and not rig.admission.unsettled


def test_a_job_that_the_hub_parks_is_set_down_in_its_document(rig: Rig) -> None:
    rig.find(JOB, admitted=False)
    rig.hub.dues = {JOB.id: NOW}
    rig.admission.hub_parks(JOB, "its trigger raised ValueError()")
    assert rig.holdings.awaits_claimed
    assert rig.find(JOB) == [Dropped(JOB.id, reason=None)]
    assert rig.stored().job == JOB.evolve(rev=JOB.rev + 1, parked="its trigger raised ValueError()")
    assert rig.look_at([JOB.id]) == [] and rig.stored().job.parked
    rig.find(JOB.evolve(rev=JOB.rev + 2), admitted=False, was_parked="its trigger raised ValueError()")
    assert rig.stored().job.parked is None  # somebody has changed it


def test_a_job_whose_executor_is_missing_here_is_parked_before_it_is_due_and_healed_when_it_is_there(rig: Rig) -> None:
    rig.hub.obstacles = {JOB.id: "unknown executor 'nowhere'"}
    assert rig.find(JOB, admitted=False) == []
    assert rig.stored().job.parked == "unknown executor 'nowhere'"
    assert rig.holdings.parked == {JOB.id}
    rig.cluster.park.reset_mock()
    assert rig.look_at([JOB.id]) == []
    rig.cluster.park.assert_not_called()
    rig.hub.obstacles = {}
    rig.look_at([JOB.id])
    assert rig.stored().job.parked is None
    assert rig.look_at([JOB.id]) == [Admitted(JOB, NOW, 7, is_new=True)]
    assert rig.holdings.parked == set()


def test_one_that_was_never_run_here_is_due_anew_from_when_its_slot_was_taken(rig: Rig) -> None:
    rig.find(JOB.evolve(parked=BROKEN))
    assert rig.stored().job.next_run_ms == NEXT


def test_the_progress_of_a_parked_job_is_stored_only_when_the_hub_has_read_its_messages(rig: Rig) -> None:
    rig.find(JOB, admitted=False)
    rig.hub.is_behind = True
    rig.find(JOB.evolve(rev=2, parked=BROKEN))
    assert rig.stored().admitted and rig.stored().job.parked is None


def test_a_parked_job_that_somebody_changes_as_it_is_set_down_is_looked_at_again(rig: Rig) -> None:
    def change(*asked: Any) -> Any:
        rig.cluster.set_down.side_effect = None
        rig.put(JOB.evolve(rev=2, parked=BROKEN))
        return DEFAULT

    rig.cluster.set_down.side_effect = change
    rig.find(JOB.evolve(parked=BROKEN))
    assert rig.stored().admitted
    rig.admission.work(NOW, is_paused=False)
    assert not rig.stored().admitted


@pytest.mark.parametrize("is_refused", [False, True], ids=["changed", "refused"])
def test_a_job_that_cannot_be_set_down_does_not_keep_the_others_from_it(rig: Rig, is_refused: bool) -> None:
    def change_or_refuse(node: str, jobs: list[Job]) -> Any:
        if is_refused and jobs[-1].id == "z":
            raise RefusedError("it breaks a rule")
        rig.put(JOB.evolve(id="z", rev=2))
        return DEFAULT

    for name in "xyz":
        rig.put(JOB.evolve(id=name, parked=BROKEN))
    rig.cluster.set_down.side_effect = change_or_refuse
    rig.look_at(["x", "y", "z"])
    assert [[job.id for job in call.args[1]] for call in rig.cluster.set_down.call_args_list] == [
        ["x", "y", "z"], ["x"], ["y"], ["z"],
    ]  # fmt: skip
    assert [event.job_id for event in rig.hub.events][:2] == ["x", "y"]
    assert [rig.stored(name).admitted for name in "xyz"] == [False, False, True]
    assert not rig.admission.unsettled


def test_jobs_that_were_set_down_before_the_connection_broke_are_looked_at_again(rig: Rig) -> None:
    for name in "xy":
        rig.put(JOB.evolve(id=name, parked=BROKEN))
    refused, broken = RefusedError("it breaks a rule"), StoreUnreachableError("the connection broke")
    rig.cluster.set_down.side_effect = [refused, DEFAULT, broken]
    with pytest.raises(StoreUnreachableError, match="broke"):
        rig.look_at(["x", "y"])
    assert [rig.stored(name).admitted for name in "xy"] == [False, True]
    rig.cluster.set_down.side_effect = None
    rig.cluster.read_jobs.reset_mock()
    rig.admission.work(NOW, is_paused=False)
    rig.cluster.read_jobs.assert_called_once_with(["x"])
    assert not rig.stored("y").admitted and rig.stored("y").job.next_run_ms == NEXT
    assert not rig.admission.unsettled


def test_a_late_parked_job_stays_noted_until_its_document_has_the_end_of_the_late_instants(
    rig: Rig
) -> None:
    rig.cluster.set_down.side_effect = RefusedError("it breaks a rule")
    rig.find(JOB, admitted=False)
    assert rig.holdings.late == {JOB.id: NOW}
    rig.hub.dues = {JOB.id: NOW + DAY}
    rig.find(JOB.evolve(rev=2, parked=BROKEN), late_until=NOW)
    assert rig.holdings.late == {JOB.id: NOW}


def test_late_instants_that_have_not_begun_when_their_job_is_parked_are_late_when_the_job_goes_on(rig: Rig) -> None:
    rig.cluster.set_down.side_effect = RefusedError("it breaks a rule")
    rig.find(JOB, admitted=False)
    rig.hub.dues = {JOB.id: NOW}
    rig.find(JOB.evolve(rev=2, parked=BROKEN), late_until=NOW)
    assert rig.holdings.late == {}
    assert rig.find(JOB.evolve(rev=3), late_until=NOW) == [Admitted(JOB.evolve(rev=3), NOW, 7, is_new=False)]
    assert rig.holdings.late == {JOB.id: NOW}


def test_the_reason_for_parking_is_stored_and_reported_though_the_database_does_not_answer_at_first(rig: Rig) -> None:
    rig.cluster.admit.side_effect = RefusedError("it breaks a rule")
    rig.cluster.park.side_effect = StoreUnreachableError("the connection broke")
    with pytest.raises(StoreUnreachableError, match="broke"):
        rig.find(JOB, admitted=False)
    rig.cluster.park.side_effect = None
    rig.find(JOB, admitted=False)
    assert rig.stored().job.parked == "it breaks a rule"
    assert rig.reasons() == ["it breaks a rule"]


def test_the_watermark_and_other_jobs_go_on_while_reasons_for_parking_are_stored(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gsched.stores.claims.parking.AT_ONCE", 2)
    names = [f"broken-{number}" for number in range(3)]
    for name in names:
        rig.put(JOB.evolve(id=name, parked=BROKEN), admitted=False)
    rig.put(JOB, admitted=False)
    rig.look_at([*names, JOB.id])
    asked = [call[0] for call in rig.cluster.method_calls if call[0] in ("admit", "advance", "park")]
    assert asked == ["admit", "advance", "park"]
    assert [rig.stored(name).job.parked for name in names] == [BROKEN, BROKEN, None] and rig.admission.pending
    rig.admission.work(NOW, is_paused=False)
    assert rig.stored(names[2]).job.parked == BROKEN and not rig.admission.pending


class Exiting(IntervalTrigger):
    """A user's trigger that ends its program instead of answering."""

    def next_ms(self, after: int) -> int | None:
        raise SystemExit

    def last_ms(self, first: int, until: int) -> int:
        raise SystemExit


def test_a_trigger_that_would_end_the_program_parks_its_job(rig: Rig) -> None:
    rig.find(JOB.evolve(trigger=Exiting(days=1)))
    assert "its trigger raised SystemExit" in str(rig.stored().job.parked)


def test_a_trigger_that_would_end_the_program_keeps_no_slot_from_being_taken(rig: Rig) -> None:
    record = JobRecord(JOB.evolve(trigger=Exiting(days=1), policy=Policy(recoveries=None)), SLOT, admitted=True)
    slot = SlotRecord(SLOT, fence=1, watermark=NOW + 2000, acked=NOW + 1000)
    rescues = Rescues(rig.session)
    assert rescues.uncertain([JobInSlot(record, slot)], ()) == []
    span = Span(Outcome.LOST, NOW + 1000, NOW + 2000)
    rescues.take([Rescue(record, span)])
    rescues.settle()
    assert rig.hub.told == [Lost(record.job, span)]


def test_of_a_run_in_progress_on_a_dead_node_that_attempt_is_lost_which_was_in_progress(rig: Rig) -> None:
    rig.put(JOB)
    rescues = Rescues(rig.session)
    rescues.take(rescues.recorded([RunRecord(JOB.id, SLOT, NOW, 3, tries=2, is_retry=True)]))
    rescues.settle()
    assert [told.span for told in rig.hub.told] == [Span(Outcome.LOST, NOW, NOW + 1, attempt=3)]


def test_rescued_runs_of_a_job_with_max_runs_come_in_the_order_of_their_instants(rig: Rig) -> None:
    rig.put(JOB.evolve(policy=Policy(max_runs=9)))
    rescues = Rescues(rig.session)
    recorded = rescues.recorded([RunRecord(JOB.id, SLOT, NOW + 1000, 2)])
    spans = [Span(Outcome.LOST, NOW + ms, NOW + ms + 1) for ms in (0, 2000)]
    uncertain = [Rescue(recorded[0].record, span) for span in spans]
    rescues.take([*uncertain, *recorded])
    rescues.settle()
    assert [told.span.first - NOW for told in rig.hub.told] == [0, 1000, 2000]


def test_a_job_that_was_parked_before_the_hub_has_it_is_noted_as_healed(rig: Rig) -> None:
    rig.find(JOB, was_parked="unknown executor 'nowhere'")
    assert rig.stored().job.parked is None


def test_nobody_waits_for_a_job_that_the_hub_gave_back_too_early_and_that_is_paused_by_now(rig: Rig) -> None:
    rig.find(JOB, admitted=False)
    rig.holdings.give_back(JOB.id, JOB.rev, NOW)
    assert rig.holdings.awaits_claimed
    rig.find(JOB.evolve(rev=2, pause=PLAIN))
    assert not rig.holdings.awaits_claimed and rig.holdings.dormant[JOB.id].due == NOW


def test_instants_that_a_former_schedule_has_decided_are_stored_as_not_due_before_the_job_is_admitted(rig):
    rig.find(JOB, admitted=False)
    rig.database.formers["daily@0"] = FormerDocument(JOB, 0, NOW, -1)
    rig.holdings.watermark, rig.holdings.horizon, rig.hub.dues = NEXT, NEXT + DAY, {JOB.id: NEXT + DAY}
    rig.cluster.reset_mock()
    told = rig.find(JOB.evolve(rev=2, next_run_ms=NEXT), admitted=False, schedule=1)
    assert [message.due for message in told if isinstance(message, Admitted)] == [NEXT + DAY]
    assert rig.stored().begins == rig.stored().job.next_run_ms == NEXT + DAY
    written = [call[0] for call in rig.cluster.method_calls]
    assert written.index("begin_later") < written.index("admit")


def test_a_job_that_changed_is_looked_at_again_when_the_hub_knows_how_far_it_is(rig):
    rig.find(JOB, admitted=False)
    rig.hub.is_behind = True
    changed = JOB.evolve(rev=2)
    assert rig.find(changed, admitted=False) == [] and rig.admission.pending
    rig.hub.is_behind = False
    assert [type(each) for each in rig.find(changed, admitted=False)] == [Dropped, Admitted]


def test_a_changed_job_is_noted_with_the_first_instant_that_the_hub_has_not_decided(rig):
    rig.find(JOB, admitted=False)
    rig.database.formers["daily@0"] = FormerDocument(JOB, 0, NOW, -1)
    rig.holdings.watermark, rig.hub.dues = NEXT + DAY, {JOB.id: NEXT}
    rig.find(JOB.evolve(rev=2), admitted=False, schedule=1)
    assert rig.database.formers["daily@0"].until == NEXT - 1
