"""Runs that wait in the database: which of them begin, and what becomes of attempts that failed."""

from __future__ import annotations

from typing import Any

import pytest
from simulation.cluster import JobDocument, RunDocument, run_key
from simulation.steps import LoneNode, Unwritten, lose_answers, session_of

from gsched.errors import StoreUnreachableError
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome, Reason, Result, Retried, RetryAt
from gsched.jobs.pause import PLAIN, Pause
from gsched.jobs.run import Run
from gsched.stores.claims.database import RunRecord, WaitingRun
from gsched.stores.claims.partition import slot_of
from gsched.stores.claims.waiting_runs import AHEAD_MS, AT_ONCE, PAUSED_MS, WaitingRuns
from gsched.stores.messages import NEVER, ExtraRun, SucceededByRetry
from gsched.triggers import IntervalTrigger

NOW = 1_800_000_000_000
JOB = Job(id="job", func=print, trigger=IntervalTrigger(seconds=10, start_date="2026-01-01"), next_run_ms=NOW)
SLOT = slot_of("job")
SCHEDULE = 4
FIRST = RunRecord("job", SLOT, NOW - 1000)
RETRY = FIRST._replace(attempt=2, tries=1, is_retry=True)
A_WHILE = Pause(until_ms=NOW + 60_000)
FAILED = Retried(Result(Outcome.FAILED, error=ValueError("no")), RetryAt(NOW + 5000, 1))


class Rig(LoneNode):
    """The step of a node that owns all slots."""

    def __init__(self) -> None:
        super().__init__(NOW)
        self.session = session_of(self.cluster, self.hub, self.holdings, Unwritten())
        self.recorded = self.session.recorded
        self.runnable = True
        self.looked_at: list[str] = []
        self.waiting = WaitingRuns(self.session, lambda record: self.runnable, self.looked_at.extend)
        self.put()

    def put(self, schedule: int = SCHEDULE, pause: Pause | None = None) -> None:
        self.database.jobs["job"] = JobDocument(JOB.evolve(pause=pause), admitted=True, schedule=schedule)

    def let_wait(self, run: RunRecord = RETRY, due: int = NOW, schedule: int | None = SCHEDULE) -> None:
        self.database.runs[run_key(run)] = RunDocument("", run, waits=True, due=due, schedule=schedule)

    def document(self, run: RunRecord = RETRY) -> RunDocument:
        return self.database.runs[run_key(run)]

    def work(self, now: int = NOW, is_paused: bool = False, looks: bool = True) -> list[Any]:
        """What the hub is told when the node looks at the job."""
        if looks:
            self.waiting.look_at(["job"])
        self.hub.told.clear()
        self.waiting.work(now, is_paused)
        return self.hub.told[:]

    def fail(self, retried: Retried = FAILED) -> Run:
        """An attempt fails, and another is to follow."""
        run = Run(JOB, FIRST.scheduled, None)  # type: ignore[arg-type]
        self.recorded.retrying[run] = retried
        return run


@pytest.fixture
def rig() -> Rig:
    return Rig()


# -- runs that are due ------------------------------------------------------------------------------------------------


def test_a_run_that_is_due_soon_is_in_progress_in_the_database_before_the_hub_has_it(rig):
    rig.let_wait(due=NOW + AHEAD_MS)
    (told,) = rig.work()
    assert told == ExtraRun(
        told.job, FIRST.scheduled, NOW + AHEAD_MS, 7, 2, None, 1, 0, True, reported_until=NOW
    )
    assert (rig.document().node, rig.document().is_running) == ("node", True)


def test_a_run_that_is_due_later_waits_and_the_node_looks_for_it_in_time(rig):
    rig.let_wait(due=NOW + 5000)
    assert rig.work() == [] and not rig.waiting.pending
    assert rig.waiting.next_due == NOW + 5000 - AHEAD_MS
    assert rig.work(NOW + 4000, looks=False) == []
    assert len(rig.work(NOW + 5000 - AHEAD_MS, looks=False)) == 1


def test_of_several_runs_of_a_job_each_begins_at_its_own_time(rig):
    for number in (1, 2, 3):
        rig.let_wait(RETRY._replace(scheduled=NOW - number), NOW + 1000 * number)
    begun = {now: len(rig.work(now, looks=now == NOW)) for now in range(NOW, NOW + 3001, 500)}
    assert [now - NOW for now, count in begun.items() if count] == [1000, 2000, 3000]


def test_a_run_beyond_the_horizon_is_not_looked_for_before_the_horizon_reaches_it(rig):
    rig.let_wait(due=NOW + 60_001)
    assert rig.work() == [] and rig.waiting.next_due is None


def test_a_job_with_more_waiting_runs_than_are_read_at_once_holds_back_no_other(rig):
    for number in range(AT_ONCE + 50):
        rig.let_wait(RETRY._replace(scheduled=NOW - number), NOW + 1000 + number)
    assert rig.work() == [] and not rig.waiting.pending
    assert rig.waiting.next_due == NOW + 1000 - AHEAD_MS


def test_a_run_of_another_nodes_slot_stays_where_it_is(rig):
    rig.let_wait()
    del rig.holdings.slots[SLOT]
    assert rig.work() == [] and rig.document().waits and not rig.waiting.pending


def test_a_run_of_a_job_that_cannot_be_run_here_waits_until_somebody_looks_at_the_job_again(rig):
    rig.let_wait()
    rig.runnable = False
    assert rig.work() == [] and rig.document().waits and not rig.waiting.pending
    assert rig.looked_at == ["job"]
    rig.runnable = True
    assert len(rig.work()) == 1


def test_a_run_that_was_taken_by_a_write_without_an_answer_is_handed_to_the_hub_once(rig):
    rig.let_wait()
    lose_answers(rig.cluster, "begin_waiting")
    with pytest.raises(StoreUnreachableError):
        rig.work()
    assert rig.waiting.unsettled
    rig.cluster.begin_waiting.side_effect = None
    assert len(rig.work(looks=False)) == 1
    assert rig.work() == [] and not rig.waiting.unsettled


VERDICTS = [
    ("paused", RETRY, {"pause": PLAIN}, Reason.REMOVED_OR_PAUSED),
    ("paused for a while", RETRY, {"pause": A_WHILE}, Reason.REMOVED_OR_PAUSED),
    ("with another schedule", RETRY, {"schedule": SCHEDULE + 1}, Reason.RESCHEDULED),
    ("as it was", RETRY, {}, None),
    ("paused, of a run on request", RETRY._replace(request="please"), {"pause": PLAIN}, None),
    ("with another schedule, of a run on request", RETRY._replace(request="please"), {"schedule": 9}, None),
]


@pytest.mark.parametrize(("run", "changes", "verdict"), [v[1:] for v in VERDICTS], ids=[v[0] for v in VERDICTS])
@pytest.mark.parametrize("due", [NOW, NOW + 30_000, NOW + 3_600_000])
def test_a_retry_of_a_job_that_is_not_due_any_more_as_it_was_ends_at_once(rig, run, changes, verdict, due):
    rig.let_wait(run, due, None if run.request else SCHEDULE)
    rig.put(**changes)
    told = rig.work()
    expected = [verdict] if verdict or due == NOW else []
    assert [message.verdict for message in told] == expected


def test_a_run_of_a_removed_job_ends_at_once(rig):
    rig.let_wait(due=NOW + 30_000)
    del rig.database.jobs["job"]
    (told,) = rig.work()
    assert (told.job.id, told.verdict, rig.document().node) == ("job", Reason.REMOVED_OR_PAUSED, "node")


def test_a_paused_scheduler_begins_no_retries_and_looks_again_soon(rig):
    rig.let_wait()
    assert rig.work(is_paused=True) == [] and rig.document().waits
    assert rig.waiting.next_due == NOW + PAUSED_MS - AHEAD_MS
    assert len(rig.work(NOW + PAUSED_MS, looks=False)) == 1


def test_a_paused_scheduler_does_not_read_many_due_retries_in_each_turn(rig):
    for number in range(AT_ONCE + 50):
        rig.let_wait(RETRY._replace(scheduled=NOW - number), NOW - number)
    assert rig.work(is_paused=True) == [] and not rig.waiting.pending
    assert len(rig.work(NOW + PAUSED_MS, looks=False)) == AT_ONCE


# -- attempts that failed ---------------------------------------------------------------------------------------------


def test_a_failed_attempt_counts_as_in_progress_until_the_hub_knows_that_another_waits(rig):
    run = rig.fail()
    assert rig.recorded.missing() == [run] and rig.waiting.pending and rig.waiting.unsettled
    assert rig.work(looks=False) == [SucceededByRetry(run, FAILED, None)]
    assert rig.recorded.missing() == [run] and not rig.waiting.unsettled
    (waiting,) = rig.cluster.waiting_of(["job"], 10)
    assert waiting == WaitingRun(RETRY, NOW + 5000, SCHEDULE)


def test_the_next_attempt_is_looked_for_when_it_is_due_without_asking_the_database(rig):
    rig.fail()
    rig.work(looks=False)
    assert rig.waiting.next_due == NOW + 5000 - AHEAD_MS


def test_an_attempt_is_followed_once_if_the_write_of_the_next_one_had_no_answer(rig):
    run = rig.fail()
    lose_answers(rig.cluster, "add_waiting")
    with pytest.raises(StoreUnreachableError):
        rig.work(looks=False)
    assert rig.recorded.missing() == [run] and rig.waiting.unsettled
    rig.cluster.add_waiting.side_effect = None
    assert rig.work(looks=False) == [SucceededByRetry(run, FAILED, None)]
    assert len(rig.database.runs) == 1


@pytest.mark.parametrize("changes", [None, {"pause": PLAIN}, {"pause": A_WHILE}])
def test_an_attempt_of_a_job_that_was_removed_or_paused_meanwhile_is_not_followed(rig, changes):
    run = rig.fail()
    del rig.database.jobs["job"]
    if changes is not None:
        rig.put(**changes)
    assert rig.work(looks=False) == [SucceededByRetry(run, FAILED, Reason.REMOVED_OR_PAUSED)]
    assert not rig.database.runs


def test_an_attempt_whose_follower_the_database_refuses_has_failed(rig):
    run = rig.fail()
    rig.cluster.add_waiting.side_effect = lambda node, runs, announce: []
    assert rig.work(looks=False) == [SucceededByRetry(run, FAILED, Reason.STORE_REFUSED)]


def test_the_owner_of_the_slot_is_told_of_a_retry_that_another_node_adds(rig):
    del rig.holdings.slots[SLOT]
    before = rig.database.jobs["job"].job.rev
    rig.fail()
    rig.work(looks=False)
    assert rig.database.jobs["job"].job.rev == before + 1
    assert rig.waiting.next_due is None
    assert rig.cluster.waiting_in([SLOT], NEVER, NOW + 5000) == {"job": NOW + 5000}
