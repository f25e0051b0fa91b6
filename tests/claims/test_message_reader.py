"""What the hub makes of messages that come when its claim does not hold any more."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from gsched.events.bus import EventBus
from gsched.executors.collection import Executors
from gsched.hub.dispatch import Dispatch
from gsched.hub.lane import Lane
from gsched.hub.message_reader import MessageReader
from gsched.hub.reporter import Reporter
from gsched.hub.tallies import MOST_LEFT, Tallies
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome, Reason, Result, Span
from gsched.jobs.policy import Policy
from gsched.jobs.run import Run
from gsched.jobs.tally import Tally
from gsched.monitoring.counters import Counters
from gsched.policies.planning import Hold
from gsched.stores import MemoryJobStore
from gsched.stores.messages import Admitted, Claimed, Disowned, Dropped, ExtraRun, Lost, Message
from gsched.testing import ManualClock
from gsched.triggers import IntervalTrigger

JOB = Job(id="poll", name="poll", func=print, trigger=IntervalTrigger(seconds=1), coalesce=False)


class SharedStore(MemoryJobStore):
    """A store that other nodes use, too.

    :ivar settled: what it is told of instants
    :ivar ended: what it is told of runs
    """

    shared = True

    def __init__(self) -> None:
        super().__init__()
        self.settled: list[tuple[Job, Span]] = []
        self.ended: list[tuple[Run, Result]] = []

    def settle(self, run: Run, result: Result) -> None:
        self.ended.append((run, result))

    def settle_span(self, job: Job, span: Span) -> None:
        self.settled.append((job, span))


class Rig:
    """A lane whose claim has run out, with a backlog of the job that came back to this node meanwhile."""

    def __init__(self) -> None:
        self.clock = ManualClock("2027-03-01 12:00")
        self.now = self.clock.now_ms()
        self.store, bus, counters = SharedStore(), EventBus(), Counters()
        self.lane = Lane("default", self.store)
        report = Reporter(self.clock, bus, counters, None)
        dispatch = Dispatch(self.clock, bus, Executors(), counters, report, wake=lambda: None)
        self._reader = MessageReader(self.clock, dispatch, report)
        self.lane.claimed, self.lane.expires = self.now, self.clock.monotonic() - 1
        self.lane.hold(self.lane.admit(JOB, None, fence=1), self.now - 5000, Hold.INSTANCES)
        self.read(Admitted(JOB, self.now + 1000, 3, is_new=False))

    def read(self, message: Message) -> None:
        self._reader.read(self.lane, message)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_waiting_instants_of_a_job_that_came_back_are_settled_when_the_claim_holds_again(rig: Rig) -> None:
    assert rig.store.settled == []
    assert rig.lane.first_undecided(-1, {}) == rig.now - 5000
    for _ in range(2):
        rig.read(Claimed(rig.now, rig.now + 60_000, rig.clock.monotonic() + 10))
    span = Span(Outcome.SKIPPED, rig.now - 5000, rig.now + 1, Reason.MAX_INSTANCES)
    assert rig.store.settled == [(JOB, span)]
    assert rig.lane.first_undecided(-1, {}) == rig.now + 1000


def test_waiting_instants_of_a_job_that_another_node_took_over_are_not_settled_here(rig: Rig) -> None:
    rig.read(Disowned())
    rig.read(Claimed(rig.now, rig.now + 60_000, rig.clock.monotonic() + 10))
    assert rig.store.settled == []


class Exiting(IntervalTrigger):
    """A user's trigger that ends its program instead of answering."""

    def next_ms(self, after: int) -> int | None:
        raise SystemExit


def test_waiting_instants_of_a_job_whose_trigger_would_end_the_program_are_reported(rig: Rig) -> None:
    job = JOB.evolve(id="odd", trigger=Exiting(seconds=1))
    rig.lane.hold(rig.lane.admit(job, None, fence=1), rig.now - 9000, Hold.INSTANCES)
    assert rig.lane.first_undecided(rig.now - 8000, {}) == rig.now - 7999


# -- runs that had begun on a node that died --------------------------------------------------------------------------

COUNTED = JOB.evolve(id="counted", policy=Policy(max_runs=3), misfire_grace_ms=None)


class CountedRig:
    """A lane that takes over a job of which another node has counted two runs, the last at 3 s before now."""

    def __init__(self) -> None:
        self.clock = ManualClock("2027-03-01 12:00")
        self.now = self.clock.now_ms()
        self.store, bus, counters = SharedStore(), EventBus(), Counters()
        self.lane = Lane("default", self.store)
        self.tally = Tally(self.now - 60_000, runs=2, until=self.now - 3000)
        report = Reporter(self.clock, bus, counters, None)
        executors = Executors()
        executors["default"] = Mock()
        self.dispatch = Dispatch(self.clock, bus, executors, counters, report, wake=lambda: None)
        self._reader = MessageReader(self.clock, self.dispatch, report)

    def lost(self, first: int, end: int, outcome: Outcome = Outcome.LOST, tally: Tally | None = None) -> None:
        """Instants were in progress there, from so many ms before now to so many."""
        span = Span(outcome, self.now - first, self.now - end)
        self.read(Lost(COUNTED, span, tally or self.tally))

    def read(self, message: Message) -> None:
        self.lane.unread += 1
        self._reader.read(self.lane, message)

    @property
    def counted(self) -> tuple[int, int]:
        """How many runs have begun, and how many ms ago the last of them was due."""
        tally = self.lane.tallies[COUNTED.id]
        return tally.runs, self.now - tally.until


@pytest.fixture
def counted() -> CountedRig:
    return CountedRig()


def test_lost_runs_count_if_the_node_that_died_has_not_counted_them(counted: CountedRig) -> None:
    counted.lost(3000, 1999)
    assert counted.counted == (3, 2000)


def test_lost_runs_that_the_node_has_counted_do_not_count_again(counted: CountedRig) -> None:
    counted.lost(4000, 2999)
    assert counted.counted == (2, 3000)


def test_instants_that_were_coalesced_into_a_lost_run_do_not_count(counted: CountedRig) -> None:
    counted.lost(2000, 999, Outcome.COALESCED)
    assert COUNTED.id not in counted.lane.tallies


def test_runs_of_a_removed_job_with_the_same_id_do_not_count(counted: CountedRig) -> None:
    counted.lost(3000, 999, tally=Tally(counted.now - 500))
    assert counted.counted == (0, counted.now + 1)


def test_of_more_lost_instants_than_runs_are_left_only_so_many_count(counted: CountedRig) -> None:
    counted.lost(2000, -1)
    assert counted.counted == (3, 2000)
    counted.read(Admitted(COUNTED, counted.now, 1, is_new=False, tally=counted.tally))
    assert counted.lane.entries == {}, "a job that has had all its runs ends at once"


def test_instants_that_are_claimed_here_end_with_the_last_run_though_another_node_owns_the_job(
    counted: CountedRig,
) -> None:
    counted.read(Admitted(COUNTED, counted.now - 5000, 1, is_new=False, tally=counted.tally._replace(runs=3)))
    counted.lane.claimed, counted.lane.expires = counted.now, counted.clock.monotonic() + 1
    assert counted.lane.entries == {}
    another_life = counted.tally._replace(since=counted.now - 50_000)
    counted.read(Admitted(COUNTED, counted.now - 2000, 1, is_new=False, tally=another_life))
    counted.read(Dropped(COUNTED.id, until=counted.now))
    entry, due = counted.lane.timetable.pop(counted.now)  # type: ignore[misc]
    counted.dispatch.decide(entry, due, counted.now)
    (span,) = [span for _, span in counted.store.settled]
    assert (span.outcome, span.reason) == (Outcome.SKIPPED, Reason.MAX_RUNS)
    assert (span.first, span.end) == (counted.now - 1000, counted.now + 1)


def test_a_recovered_run_that_would_be_one_too_many_does_not_begin(counted: CountedRig) -> None:
    counted.lost(2000, 1999)
    run = ExtraRun(COUNTED, counted.now - 1000, None, 1, 2, recoveries=1, tally=counted.tally)
    counted.read(run)
    assert counted.store.settled[-1][1].reason is None  # the lost one
    assert [(run.scheduled_ms, result.reason) for run, result in counted.store.ended] == [
        (counted.now - 1000, Reason.MAX_RUNS)
    ]


def test_a_job_that_comes_again_goes_on_counting_though_the_store_has_read_its_tally_too_early(
    counted: CountedRig,
) -> None:
    counted.lane.tallies.take(COUNTED, counted.tally._replace(runs=3), begins_anew=False)
    counted.lane.tallies.leave(COUNTED.id, is_shared=True)
    counted.read(Admitted(COUNTED, counted.now - 2000, 1, is_new=False, tally=counted.tally))
    assert counted.lane.entries == {}, "a job that has had all its runs ends at once"


def test_of_jobs_that_have_left_only_so_many_tallies_are_remembered() -> None:
    tallies = Tallies()
    for number in range(MOST_LEFT + 1):
        tallies[f"job-{number}"] = Tally(5, runs=2)
        tallies.leave(f"job-{number}", is_shared=True)
    for job_id, runs in (("job-0", 1), ("job-1", 2)):
        tallies.take(COUNTED.evolve(id=job_id), Tally(5, runs=1), begins_anew=False)
        assert tallies[job_id].runs == runs


# -- deadlines of runs whose job moves --------------------------------------------------------------------------------

TIMED = JOB.evolve(id="timed", policy=Policy(finish_within_ms=1000, retries=1))


class TimedRig(Rig):
    """A lane with runs that are due at now, and are to succeed within a second.

    :ivar here: whether the job is this node's
    """

    def __init__(self) -> None:
        super().__init__()
        self.here = True
        self.store.has_here = lambda job_id: self.here  # type: ignore[method-assign]

    def begin(self, reported_until: int = -1) -> Run:
        """A retry begins to wait here."""
        self.read(ExtraRun(TIMED, self.now, None, 1, 2, is_retry=True, reported_until=reported_until))
        (run,) = self.lane.owed[self.lane.entries["timed"]]
        return run

    def is_slow(self) -> bool:
        """Whether the run is reported when its time is over."""
        return self.lane.deadlines.pop(self.now + 1000) is not None


@pytest.fixture
def timed() -> TimedRig:
    return TimedRig()


def test_a_run_is_reported_when_its_time_is_over_and_once_only(timed):
    timed.begin()
    assert timed.lane.deadlines.pop(timed.now + 999) is None
    assert timed.is_slow()
    assert not timed.is_slow()


@pytest.mark.parametrize(("reported_until", "is_slow"), [(999, True), (1000, False)])
def test_what_was_slow_while_the_job_was_another_nodes_is_that_nodes_to_report(timed, reported_until, is_slow):
    timed.begin(timed.now + reported_until)
    assert timed.is_slow() is is_slow


def test_a_next_attempt_is_not_reported_again(timed):
    run = timed.begin()
    assert timed.is_slow()
    timed.lane.deadlines.let_wait(run)
    timed.read(ExtraRun(TIMED, timed.now, None, 1, 3, is_retry=True))
    assert not timed.is_slow()


@pytest.mark.parametrize("here", [True, False])
def test_a_retry_that_waits_in_the_store_is_reported_by_the_node_that_has_its_job(timed, here):
    timed.lane.deadlines.let_wait(timed.begin())
    timed.here = here
    assert timed.is_slow() is here
    assert bool(timed.lane.deadlines.of_runs) is here


def test_a_job_that_moves_takes_its_waiting_retries_along_and_leaves_its_runs_in_progress(timed):
    run = timed.begin()
    timed.read(Dropped("timed", timed.now, None))
    assert timed.lane.deadlines.of_runs
    timed.lane.deadlines.let_wait(run)
    timed.read(Dropped("timed", timed.now, None))
    assert not timed.lane.deadlines.of_runs
    assert not timed.is_slow()


def test_nodes_that_have_taken_over_report_what_is_slow(timed):
    timed.begin()
    timed.read(Disowned())
    assert not timed.is_slow()


def test_the_time_of_a_run_goes_on_when_the_clock_is_set(timed):
    timed.begin()
    for _ in timed.lane.clock_was_set(-60_000):
        pass
    assert timed.lane.deadlines.pop(timed.now - 59_001) is None
    assert timed.lane.deadlines.pop(timed.now - 59_000) is not None
