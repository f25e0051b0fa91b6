"""Counting: which runs count, which pause follows failures, and what a limit of runs leaves of a plan."""

from __future__ import annotations

from typing import Any

import pytest

from gsched.history.records import Record
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome, Reason, Result, Span
from gsched.jobs.policy import Policy
from gsched.jobs.run import Run
from gsched.jobs.tally import Tally, newer
from gsched.policies.counting import counted, first_left_out, limited, pause_after
from gsched.policies.planning import Hold, Plan
from gsched.stores.durable.record_buffer import RecordBuffer
from gsched.stores.messages import ALWAYS
from gsched.triggers import IntervalTrigger

NOON = 1_800_000_000_000
JOB = Job(id="job", func=print, trigger=IntervalTrigger(seconds=1))
FAILED = Result(Outcome.FAILED, error=ConnectionError("vendor down"))
DAY_MS = 86_400_000


def run_of(attempt: int = 1, request: str | None = None, **said: Any) -> Run:
    run = Run(JOB, NOON, None, attempt=attempt, request=request)  # type: ignore[arg-type]
    for name, value in said.items():
        setattr(run, name, value)
    return run


# -- which runs count -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "outcome", "failing"),
    [
        (run_of(), Outcome.FAILED, 3),
        (run_of(), Outcome.TIMED_OUT, 3),
        (run_of(), Outcome.SUCCEEDED, 0),
        (run_of(), Outcome.CANCELLED, 2),
        (run_of(), Outcome.SKIPPED, 2),
        (run_of(), Outcome.RETRIED, 2),
        (run_of(3, is_retry=True), Outcome.FAILED, 3),
        (run_of(2, recoveries=1), Outcome.FAILED, 3),
        (run_of(2), Outcome.FAILED, 2),  # retry_runs
        (run_of(request="x"), Outcome.FAILED, 2),
        (run_of(request="x"), Outcome.SUCCEEDED, 0),
    ],
)
def test_failures_of_the_schedule_add_to_the_row_any_success_ends_it_and_nothing_else_counts(run, outcome, failing):
    assert counted(Tally(1, failing=2), run, outcome).failing == failing


def test_a_request_is_no_instant_of_the_job():
    assert counted(Tally(1, until=5, failing=2), run_of(request="x"), Outcome.SUCCEEDED).until == 5
    assert counted(Tally(1, until=5, failing=2), run_of(), Outcome.SUCCEEDED).until == NOON


# -- pauses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure_pause_ms", "failing", "ms"),
    [
        (600_000, 3, 600_000),
        (600_000, 4, 1_200_000),
        (600_000, 6, 4_800_000),
        (600_000, 500, DAY_MS),
        (3 * DAY_MS, 3, 3 * DAY_MS),
        (3 * DAY_MS, 9, 3 * DAY_MS),
        (None, 3, None),
    ],
)
def test_each_further_failure_doubles_the_pause_up_to_a_day_or_what_the_job_says(failure_pause_ms, failing, ms):
    policy = Policy(max_consecutive_failures=3, failure_pause_ms=failure_pause_ms)
    pause = pause_after(policy, failing, FAILED, NOON)
    assert pause is not None
    assert (pause.until_ms, pause.failures, pause.cause) == (None if ms is None else NOON + ms, failing, "failures")


@pytest.mark.parametrize("policy", [Policy(max_consecutive_failures=3), Policy(max_runs=3)])
def test_fewer_failures_pause_nothing(policy):
    assert pause_after(policy, 2, FAILED, NOON) is None


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (FAILED, "1 failure; last: ConnectionError: vendor down"),
        (Result(Outcome.FAILED, error=ValueError()), "1 failure; last: ValueError"),
        (Result(Outcome.FAILED, error=ValueError("two\nlines")), "1 failure; last: ValueError: two lines"),
        (Result(Outcome.FAILED, reason=Reason.RETRY_MISSED), "1 failure; last: retry_missed"),
        (Result(Outcome.TIMED_OUT), "1 failure; last: timed_out"),
    ],
)
def test_the_reason_of_a_pause_names_the_last_failure(result, reason):
    pause = pause_after(Policy(max_consecutive_failures=1), 1, result, NOON)
    assert pause is not None and pause.reason == reason


def test_the_reason_of_a_pause_is_no_longer_than_reasons_may_be():
    pause = pause_after(Policy(max_consecutive_failures=1), 1, Result(Outcome.FAILED, error=ValueError("x" * 999)), 0)
    assert pause is not None and pause.reason is not None and len(pause.reason) == 250


# -- plans ------------------------------------------------------------------------------------------------------------


def test_a_plan_with_fewer_runs_than_are_left_stays_as_it_is():
    plan = Plan((1, 2), (), 3, Hold.INSTANCES)
    assert limited(plan, 3) is plan


def test_with_its_last_run_a_job_has_no_further_instant():
    assert limited(Plan((1, 2), (), 3), 2) == Plan((1, 2), (), None)


def test_instants_beyond_the_last_run_are_not_due():
    spans = (Span(Outcome.MISSED, 1, 3), Span(Outcome.MISSED, 7, 8))
    assert limited(Plan((4, 5, 6), spans, 9, Hold.INSTANCES), 2) == Plan((4, 5), spans[:1], None)


@pytest.mark.parametrize(
    ("plan", "left", "first"),
    [
        (Plan((1, 2), (), 3), 2, 3),
        (Plan((1, 2), (), 3), 1, 2),
        (Plan((4,), (Span(Outcome.MISSED, 1, 3), Span(Outcome.MISSED, 7, 8)), 9), 1, 7),
        (Plan((4,), (Span(Outcome.MISSED, 1, 3),), 9), 0, 1),
        (Plan((4,), (), None), 1, None),
    ],
)
def test_the_first_instant_that_the_limit_leaves_out_is_known(plan, left, first):
    assert first_left_out(plan, left) == first


def test_a_job_without_runs_left_is_not_due():
    assert limited(Plan((), (Span(Outcome.SKIPPED, 1, 2),), 3), 0) == Plan((), (), None)


# -- tallies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "read", "latest"),
    [
        (None, None, None),
        (None, Tally(1, 2), Tally(1, 2)),
        (Tally(1, 3, 30), Tally(1, 2, 20), Tally(1, 3, 30)),
        (Tally(1, 2, 20), Tally(1, 3, 30), Tally(1, 3, 30)),
        (Tally(1, 3, 30), Tally(2), Tally(2)),  # of another job with this id
    ],
)
def test_of_two_tallies_of_one_job_the_one_with_later_instants_counts(known, read, latest):
    assert newer(known, read) == latest


class Database:
    """What a buffer writes into.

    :ivar written: the calls, in order
    """

    def __init__(self, buffer: RecordBuffer) -> None:
        self.buffer = buffer
        self.written: list[Any] = []
        self.fails = False
        self.meanwhile: Any = lambda: None

    def write(self) -> None:
        self.buffer.write(self._records, self._tallies)

    def _records(self, records: list[Record]) -> None:
        self.written += [record.scheduled_ms for record in records]

    def _tallies(self, tallies: Any) -> None:
        if self.fails:
            raise ConnectionError
        self.written.append(dict(tallies))
        self.meanwhile()


@pytest.fixture
def database() -> Database:
    return Database(RecordBuffer())


def test_a_tally_is_written_before_the_record_that_comes_with_it(database):
    database.buffer.note_tally("job", Tally(1, 1, 50), 50)
    database.buffer.add(Record(JOB, 50, "failed", None, 1, None), closes=False)
    database.write()
    assert database.written == [{"job": Tally(1, 1, 50)}, 50]
    assert database.buffer.first_unwritten() == ALWAYS


def test_an_instant_has_not_ended_before_it_is_counted_in_the_database(database):
    database.buffer.note_tally("job", Tally(1, 1, 50), 50)
    database.buffer.note_tally("job", Tally(1, 2, 60), 60)
    assert database.buffer.first_unwritten() == 50
    assert list(database.buffer.unwritten()) == [("job", 50)]
    database.fails = True
    with pytest.raises(ConnectionError):
        database.write()
    assert database.buffer.first_unwritten() == 50
    assert list(database.buffer.unwritten()) == [("job", 50)]
    assert database.buffer.tallies(["job", "other"]) == {"job": Tally(1, 2, 60)}
    database.fails = False
    database.write()
    assert (database.buffer.first_unwritten(), list(database.buffer.unwritten())) == (ALWAYS, [])
    assert database.buffer.tallies(["job"]) == {}


def test_a_count_that_changes_while_it_is_written_is_written_once_more(database):
    database.buffer.note_tally("job", Tally(1, 1, 50), 50)
    database.meanwhile = lambda: database.buffer.note_tally("job", Tally(1, 2, 60), 60)
    database.write()
    assert database.buffer.first_unwritten() == 60
    database.meanwhile = lambda: None
    database.write()
    assert database.written == [{"job": Tally(1, 1, 50)}, {"job": Tally(1, 2, 60)}]
