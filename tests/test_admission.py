"""What the hub is told of jobs that changed in MongoDB, from what the database says of them."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest

from gsched.errors import StoreUnreachableError
from gsched.job import Job
from gsched.planning import Span
from gsched.run import Outcome, Reason
from gsched.stores.base import Admitted, Dropped, Lost, RunRequested
from gsched.stores.mongodb.admission import Admission
from gsched.stores.mongodb.cluster import JobRecord, RefusedError, RunRecord, SlotRecord
from gsched.stores.mongodb.rescue import Rescue, Rescues
from gsched.stores.mongodb.tenure import Held, Tenure
from gsched.stores.mongodb.uncertain import JobInSlot
from gsched.triggers import IntervalTrigger

NOW = 1_800_000_000_000
NEXT = NOW + 86_400_000 - NOW % 86_400_000  # when JOB is due next
SLOT = 3
JOB = Job(
    id="daily", name="daily", func=print, trigger=IntervalTrigger(days=1, start_date="2026-01-01"), next_run_ms=NOW
)


class Rig:
    """An admission that finds in the database what it is told to, in a slot of ours whose fence is 7."""

    def __init__(self) -> None:
        self.hub = Mock(unread=lambda: False, obstacle=lambda job: None)
        self.keep_alive = Mock()
        self.cluster = Mock()
        self.cluster.admit.return_value = True
        self.cluster.waiting_of.return_value = ()
        self.cluster.set_down.return_value = True
        self.cluster.park.return_value = {}
        self.tenure = Tenure("node", NOW, NOW + 60_000)
        self.tenure.hold(SLOT, Held(fence=7, taken_at=NOW))
        beside = {"written": Mock(), "keep_alive": self.keep_alive, "succession": Mock()}
        self.admission = Admission(self.cluster, self.tenure, self.hub, **beside)

    def ask_for(self, run: RunRecord) -> None:
        """The run waits."""
        self.cluster.waiting_of.side_effect = [[run], []]
        self.cluster.begin_waiting.side_effect = lambda node, runs: runs

    def find(self, job: Job | None, **known: Any) -> list[Any]:
        """What the hub is told when this is found; None: the job is gone."""
        record = None if job is None else JobRecord(job, SLOT, **{"admitted": True, **known})
        self.cluster.read_jobs.return_value = {} if record is None else {JOB.id: record}
        return self.look_at([JOB.id])

    def look_at(self, job_ids: list[str]) -> list[Any]:
        """What the hub is told when these may have changed."""
        self.admission.look_at(job_ids)
        self.hub.post.reset_mock()
        self.admission.work()
        return [call.args[0] for call in self.hub.post.call_args_list]


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    for module in ("tenure", "admission"):
        monkeypatch.setattr(f"gsched.stores.mongodb.{module}.slot_of", lambda job_id: SLOT)
    return Rig()


ASKED = RunRecord(JOB.id, SLOT, NOW, 1, "asked")


@pytest.mark.parametrize("job", [JOB.evolve(next_run_ms=NOW + 86_400_000), JOB.evolve(paused=True)])
def test_a_run_on_request_of_a_job_that_the_hub_does_not_have_carries_the_fence_of_its_slot(rig: Rig, job: Job) -> None:
    rig.ask_for(ASKED)
    told = rig.find(job)
    assert [message for message in told if isinstance(message, RunRequested)] == [RunRequested(job, "asked", NOW, 7)]


def test_so_does_one_that_was_taken_by_a_write_whose_answer_was_lost(rig: Rig) -> None:
    rig.ask_for(ASKED)
    rig.cluster.begin_waiting.side_effect = StoreUnreachableError("the connection broke")
    with pytest.raises(StoreUnreachableError, match="broke"):
        rig.find(JOB)
    assert rig.admission.unsettled
    rig.ask_for(ASKED)
    assert RunRequested(JOB, "asked", NOW, 7) in rig.find(JOB) and not rig.admission.unsettled


def test_one_of_a_job_that_was_removed_is_skipped_and_not_in_progress_for_ever(rig: Rig) -> None:
    rig.ask_for(ASKED)
    assert rig.find(None) == []
    rig.cluster.skip_waiting.assert_called_once_with("node", [ASKED])
    (told,) = [call.args[0] for call in rig.hub.emit.call_args_list]
    assert (told.job.id, told.span) == (JOB.id, Span(Outcome.SKIPPED, NOW, NOW + 1, Reason.REMOVED_OR_PAUSED, "asked"))


def test_one_of_a_parked_job_waits(rig: Rig) -> None:
    rig.ask_for(ASKED)
    rig.find(JOB.evolve(parked="no such function"))
    rig.cluster.begin_waiting.assert_not_called()


def test_of_many_some_are_taken_in_each_turn_and_other_jobs_come_first(rig: Rig) -> None:
    many = [ASKED._replace(request=str(number)) for number in range(250)]

    def begin(node: str, runs: Any) -> Any:
        del many[: len(runs)]
        return runs

    rig.cluster.waiting_of.side_effect = lambda ids, most: many[:most]
    rig.cluster.begin_waiting.side_effect = begin
    counts = [sum(isinstance(told, RunRequested) for told in rig.find(JOB)) for _ in range(4)]
    assert counts == [100, 100, 50, 0] and not rig.admission.pending
    asked = [call[0] for call in rig.cluster.method_calls]
    assert asked.index("read_jobs") < asked.index("waiting_of")


def test_one_that_the_database_refuses_is_not_tried_again_and_again(rig: Rig) -> None:
    rig.cluster.waiting_of.side_effect = lambda ids, most: [ASKED._replace(request=str(n)) for n in range(most)]
    rig.cluster.begin_waiting.side_effect = lambda node, runs: []
    rig.find(JOB)
    assert not rig.admission.pending


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        (None, Reason.REMOVED_OR_PAUSED),
        (JOB.evolve(rev=2, paused=True), Reason.REMOVED_OR_PAUSED),
        (JOB.evolve(rev=2, next_run_ms=NOW + 10), Reason.RESCHEDULED),
        (JOB.evolve(rev=2, next_run_ms=NOW + 86_400_000), Reason.RESCHEDULED),
    ],
    ids=["removed", "paused", "rescheduled", "beyond the horizon"],
)
def test_what_waits_of_a_job_is_given_up_for_what_was_done_to_the_job(
    rig: Rig, job: Job | None, reason: Reason
) -> None:
    assert any(isinstance(message, Admitted) for message in rig.find(JOB, admitted=False))
    assert rig.find(job, admitted=False)[0] == Dropped(JOB.id, reason=reason)


def test_a_parked_job_is_due_anew_from_when_it_was_due_next_for_whoever_heals_it(rig: Rig) -> None:
    rig.find(JOB, admitted=False)
    rig.hub.due.return_value = NOW + 86_400_000
    parked = JOB.evolve(rev=2, parked="no such function")
    rig.find(parked)
    rig.cluster.set_down.assert_called_once_with("node", [parked.evolve(next_run_ms=NOW + 86_400_000)])
    rig.cluster.park.assert_not_called()  # the reason is stored with it
    assert [call.args[0].reason for call in rig.hub.emit.call_args_list] == ["no such function"]
    assert rig.tenure.dormant == rig.tenure.awaited == {}


def test_the_watermark_waits_for_a_parked_job_and_its_slot_is_kept_until_that_is_stored(rig: Rig) -> None:
    rig.find(JOB, admitted=False)
    rig.hub.due.return_value = NOW
    rig.cluster.set_down.side_effect = StoreUnreachableError("the connection broke")
    parked = JOB.evolve(rev=2, parked="no such function")
    with pytest.raises(StoreUnreachableError, match="broke"):
        rig.find(parked)
    assert rig.tenure.awaits_claimed and rig.admission.unsettled
    rig.cluster.set_down.side_effect = None
    rig.find(JOB.evolve(rev=2))  # it is mended, but the first attempt may still arrive
    assert rig.cluster.set_down.call_args.args == ("node", [parked])
    assert not rig.tenure.awaits_claimed and not rig.admission.unsettled


def test_what_the_hub_parks_waits_in_its_document_too(rig: Rig) -> None:
    rig.find(JOB, admitted=False)
    rig.hub.due.return_value = NOW
    rig.admission.hub_parks(JOB, "its trigger raised ValueError()")
    assert rig.tenure.awaits_claimed
    assert rig.find(JOB) == [Dropped(JOB.id, reason=None)]
    rig.cluster.set_down.assert_called_once_with("node", [JOB.evolve(parked="its trigger raised ValueError()")])
    assert rig.find(JOB.evolve(rev=JOB.rev + 1), admitted=False, was_parked="its trigger raised ValueError()") == []
    rig.find(JOB.evolve(rev=JOB.rev + 2), admitted=False, was_parked="its trigger raised ValueError()")
    assert rig.cluster.park.call_args.args == ([JOB.evolve(rev=JOB.rev + 2)],)  # somebody has changed it


def test_a_job_whose_executor_is_missing_here_is_parked_before_it_is_due_and_healed_when_it_is_there(rig: Rig) -> None:
    rig.hub.obstacle = lambda job: "unknown executor 'nowhere'"
    assert rig.find(JOB, admitted=False) == []
    assert rig.cluster.park.call_args.args == ([JOB.evolve(parked="unknown executor 'nowhere'")],)
    assert rig.tenure.parked == {JOB.id}
    rig.cluster.park.reset_mock()
    assert rig.find(JOB, admitted=False, was_parked="unknown executor 'nowhere'") == []
    rig.cluster.park.assert_not_called()
    rig.hub.obstacle = lambda job: None
    rig.find(JOB, admitted=False, was_parked="unknown executor 'nowhere'")
    assert rig.cluster.park.call_args.args == ([JOB],)
    assert rig.find(JOB, admitted=False) == [Admitted(JOB, NOW, 7, is_new=True)]
    assert rig.tenure.parked == set()


def test_one_that_was_never_run_here_is_due_anew_from_when_its_slot_was_taken(rig: Rig) -> None:
    parked = JOB.evolve(parked="no such function")
    rig.find(parked)
    rig.cluster.set_down.assert_called_once_with("node", [parked.evolve(next_run_ms=NEXT)])


def test_how_far_a_parked_job_is_is_not_stored_before_the_hub_has_read_what_it_was_told(rig: Rig) -> None:
    rig.find(JOB, admitted=False)
    rig.hub.unread = lambda: True
    rig.find(JOB.evolve(rev=2, parked="no such function"))
    rig.cluster.set_down.assert_not_called()
    rig.cluster.park.assert_not_called()


def test_a_parked_job_that_somebody_changes_as_it_is_set_down_is_looked_at_again(rig: Rig) -> None:
    rig.cluster.set_down.side_effect = [False, True]
    for _ in range(2):
        rig.find(JOB.evolve(parked="no such function"))
    assert rig.cluster.set_down.call_count == 2


@pytest.mark.parametrize("problem", [[False], RefusedError("it breaks a rule")], ids=["changed", "refused"])
def test_of_jobs_that_are_set_down_together_one_that_cannot_be_does_not_keep_the_others(rig: Rig, problem: Any) -> None:
    def set_down(node: str, jobs: list[Job]) -> bool:
        if isinstance(problem, Exception) and jobs[-1].id == "z":
            raise problem
        return jobs[-1].id != "z"

    parked = {name: JOB.evolve(id=name, parked="no such function") for name in "xyz"}
    rig.cluster.read_jobs.return_value = {name: JobRecord(job, SLOT, admitted=True) for name, job in parked.items()}
    rig.cluster.set_down.side_effect = set_down
    rig.look_at([*parked])
    assert [[job.id for job in call.args[1]] for call in rig.cluster.set_down.call_args_list] == [
        ["x", "y", "z"], ["x"], ["y"], ["z"],
    ]  # fmt: skip
    assert [call.args[0].job_id for call in rig.hub.emit.call_args_list][:2] == ["x", "y"]
    assert not rig.admission.unsettled


def test_jobs_that_were_set_down_before_the_connection_broke_are_looked_at_again(rig: Rig) -> None:
    parked = {name: JOB.evolve(id=name, parked="no such function") for name in "xy"}
    rig.cluster.read_jobs.return_value = {name: JobRecord(job, SLOT, admitted=True) for name, job in parked.items()}
    rig.cluster.set_down.side_effect = [False, True, StoreUnreachableError("the connection broke")]
    with pytest.raises(StoreUnreachableError, match="broke"):
        rig.look_at([*parked])
    rig.cluster.set_down.side_effect = [True]
    x = parked["x"].evolve(rev=JOB.rev + 1, next_run_ms=NEXT)
    rig.cluster.read_jobs.return_value = {"x": JobRecord(x, SLOT, admitted=False, was_parked=x.parked)}
    rig.cluster.read_jobs.reset_mock()
    rig.admission.work()
    rig.cluster.read_jobs.assert_called_once_with(["x"])
    assert rig.cluster.set_down.call_args.args == ("node", [parked["y"].evolve(next_run_ms=NEXT)])
    assert not rig.admission.unsettled


def test_that_what_was_late_has_ended_is_noted_of_a_job_that_is_parked_meanwhile(rig: Rig) -> None:
    rig.cluster.set_down.side_effect = RefusedError("it breaks a rule")
    rig.find(JOB, admitted=False)
    assert rig.tenure.late == {JOB.id: NOW}
    rig.hub.due.return_value = NOW + 86_400_000
    rig.find(JOB.evolve(rev=2, parked="no such function"), late_until=NOW)
    assert rig.tenure.late == {JOB.id: NOW}


def test_what_was_late_and_has_not_begun_when_the_job_is_parked_is_late_when_it_goes_on(rig: Rig) -> None:
    rig.cluster.set_down.side_effect = RefusedError("it breaks a rule")
    rig.find(JOB, admitted=False)
    rig.hub.due.return_value = NOW
    rig.find(JOB.evolve(rev=2, parked="no such function"), late_until=NOW)
    assert rig.tenure.late == {}
    assert rig.find(JOB.evolve(rev=3), late_until=NOW) == [Admitted(JOB.evolve(rev=3), NOW, 7, is_new=False)]
    assert rig.tenure.late == {JOB.id: NOW}


def test_what_parks_a_job_is_stored_and_said_though_the_database_does_not_answer_at_first(rig: Rig) -> None:
    rig.cluster.admit.side_effect = RefusedError("it breaks a rule")
    rig.cluster.park.side_effect = StoreUnreachableError("the connection broke")
    with pytest.raises(StoreUnreachableError, match="broke"):
        rig.find(JOB, admitted=False)
    rig.cluster.park.side_effect = None
    rig.find(JOB, admitted=False)
    rig.cluster.park.assert_called_with([JOB.evolve(parked="it breaks a rule")])
    assert [call.args[0].reason for call in rig.hub.emit.call_args_list] == ["it breaks a rule"]


def test_the_watermark_and_other_jobs_do_not_wait_while_it_is_stored_what_parks_many(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gsched.stores.mongodb.parking.AT_ONCE", 2)
    parked = [JOB.evolve(id=f"broken-{number}", parked="no such function") for number in range(3)]
    rig.cluster.read_jobs.return_value = {job.id: JobRecord(job, SLOT, admitted=False) for job in [*parked, JOB]}
    order = Mock()
    order.attach_mock(rig.cluster.admit, "admit")
    order.attach_mock(rig.cluster.park, "park")
    order.attach_mock(rig.keep_alive, "keep_alive")
    rig.look_at([*(job.id for job in parked), JOB.id])
    assert [call[0] for call in order.mock_calls] == ["admit", "keep_alive", "park"]
    assert rig.cluster.park.call_args.args == (parked[:2],) and rig.admission.pending
    rig.admission.work()
    assert rig.cluster.park.call_args.args == (parked[2:],) and not rig.admission.pending


class Exiting(IntervalTrigger):
    """A user's trigger that ends its program instead of answering."""

    def next_ms(self, after: int) -> int | None:
        raise SystemExit

    def last_ms(self, first: int, until: int) -> int:
        raise SystemExit


def test_a_trigger_that_would_end_the_program_parks_its_job(rig: Rig) -> None:
    rig.find(JOB.evolve(trigger=Exiting(days=1)))
    ((parked,),) = rig.cluster.park.call_args.args
    assert "its trigger raised SystemExit" in parked.parked


def test_it_keeps_no_slot_from_being_taken() -> None:
    record = JobRecord(JOB.evolve(trigger=Exiting(days=1), recover=True), SLOT, admitted=True)
    slot = SlotRecord(SLOT, fence=1, watermark=NOW + 2000, acked=NOW + 1000)
    node, hub = Tenure("node", NOW, NOW), Mock()
    rescues = Rescues(Mock(ended_runs=lambda *asked: []), node, hub, keep_alive=Mock())
    assert rescues.uncertain([JobInSlot(record, slot)], ()) == []
    span = Span(Outcome.LOST, NOW + 1000, NOW + 2000)
    rescues.take([Rescue(record, span)])
    rescues.settle()
    assert [call.args[0] for call in hub.post.call_args_list] == [Lost(record.job, span)]


def test_a_job_that_was_parked_before_the_hub_has_it_is_noted_as_healed(rig: Rig) -> None:
    rig.find(JOB, was_parked="unknown executor 'nowhere'")
    assert rig.cluster.park.call_args.args == ([JOB],)


def test_nobody_waits_for_a_job_that_the_hub_gave_back_too_early_and_that_is_paused_by_now(rig: Rig) -> None:
    rig.find(JOB, admitted=False)
    rig.tenure.give_back(JOB.id, JOB.rev, NOW)
    assert rig.tenure.awaits_claimed
    rig.find(JOB.evolve(rev=2, paused=True))
    assert not rig.tenure.awaits_claimed and rig.tenure.dormant[JOB.id].due == NOW
