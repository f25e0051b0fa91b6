"""Runs that ended without success and run again because somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gevent
import pytest
import waiting
from gevent.event import Event

from gsched import (
    ConfigurationError,
    GeventScheduler,
    MemoryJobStore,
    RunNotFoundError,
    SchedulerNotRunningError,
    current_run,
)
from gsched.history import reruns
from gsched.stores import BaseJobStore
from gsched.testing import Driver, ManualClock

pytest_plugins = ["mongodb"]

wait_until = partial(waiting.wait_until, sleep=gevent.sleep)

BEGUN: list[tuple[str, int]] = []  # the ids of runs, with the attempt
FAILING: set[int] = set()  # the attempts that fail
MAY_END = Event()


def work() -> None:
    run = current_run()
    BEGUN.append((run.id, run.attempt))
    if run.attempt in FAILING:
        raise ValueError("no")


def block() -> None:
    BEGUN.append((current_run().id, current_run().attempt))
    if len(BEGUN) > 1:
        MAY_END.wait()
    raise ValueError("no")


@pytest.fixture(autouse=True)
def nothing_begun() -> None:
    BEGUN.clear()
    FAILING.clear()
    FAILING.add(1)
    MAY_END.clear()


def scheduler_with(store: BaseJobStore) -> GeventScheduler:
    return GeventScheduler(jobstores={"default": store}, timezone="UTC", modules=[__name__])


@pytest.fixture
def scheduler(any_store: BaseJobStore) -> Iterator[GeventScheduler]:
    made = scheduler_with(any_store)
    made.start()
    yield made
    MAY_END.set()
    made.shutdown(wait=False)


def add(scheduler: GeventScheduler, func: Callable[[], None] = work, id: str = "job", **options: Any) -> None:
    """Add a job that is due now, and then in a year."""
    scheduler.add_job(func, "interval", days=365, id=id, next_run_time="now", **options)


def outcomes(scheduler: GeventScheduler, job_id: str = "job") -> list[tuple[int, str]]:
    return [(run.attempt, run.outcome) for run in reversed(scheduler.get_runs(job_id))]


def failed(scheduler: GeventScheduler, count: int = 1, **which: Any) -> list[str]:
    """The ids of the failed runs, as soon as so many are on record."""
    wait_until(lambda: len(scheduler.get_runs(outcome="failed", **which)) == count)
    return [run.run_id for run in scheduler.get_runs(outcome="failed", **which)]


def test_a_failed_run_runs_again_with_its_own_id_and_scheduled_time_and_the_next_attempt_number(scheduler):
    add(scheduler)
    (run_id,) = failed(scheduler)
    (first,) = scheduler.get_runs()
    (retried,) = scheduler.retry_runs(outcome="failed", since="1h")
    assert (retried.run_id, retried.attempt, retried.left_out) == (run_id, 2, None)
    assert (retried.scheduled_at, retried.outcome) == (first.scheduled_at, "failed")
    wait_until(lambda: outcomes(scheduler) == [(1, "failed"), (2, "succeeded")], lambda: str(outcomes(scheduler)))
    assert [(run_id, 1), (run_id, 2)] == BEGUN
    assert scheduler.get_runs(outcome="succeeded")[0].scheduled_at == first.scheduled_at


def test_runs_that_ran_again_are_chosen_by_their_last_attempt(scheduler):
    add(scheduler)
    failed(scheduler)
    FAILING.add(2)
    scheduler.retry_runs(job_id="job")
    failed(scheduler, 2)
    assert [run.attempt for run in scheduler.retry_runs(job_id="job")] == [3]
    wait_until(lambda: outcomes(scheduler)[-1] == (3, "succeeded"))
    assert scheduler.retry_runs(job_id="job") == []


def test_a_call_that_is_repeated_while_the_attempt_waits_adds_nothing(scheduler):
    add(scheduler, block)
    (run_id,) = failed(scheduler)
    scheduler.run_job("job")  # the only instance
    wait_until(lambda: len(BEGUN) == 2)
    assert [run.attempt for run in scheduler.retry_runs([run_id])] == [2]
    wait_until(lambda: len(scheduler.get_runs(run_id=run_id)) == 2)
    for again in (scheduler.retry_runs([run_id]), scheduler.retry_runs(outcome="failed")):
        (left_out,) = again
        assert left_out.attempt is None
        assert left_out.left_out in ("attempt 2 waits already", "attempt 2 is in progress")
    MAY_END.set()
    failed(scheduler, 2, run_id=run_id)
    assert [attempt for begun, attempt in BEGUN if begun == run_id] == [1, 2]


def test_a_dry_run_says_what_would_run_again_and_changes_nothing(scheduler):
    add(scheduler)
    failed(scheduler)
    (would,) = scheduler.retry_runs(outcome="failed", dry_run=True)
    assert (would.attempt, would.left_out) == (2, None)
    assert scheduler.retry_runs(outcome="failed") == [would]


def test_a_run_of_a_paused_job_runs_again(scheduler):
    add(scheduler)
    failed(scheduler)
    scheduler.pause_job("job")
    scheduler.retry_runs(job_id="job")
    wait_until(lambda: outcomes(scheduler)[-1] == (2, "succeeded"), lambda: str(outcomes(scheduler)))


def test_the_retries_of_the_job_count_anew(scheduler):
    FAILING.update((2, 3))
    add(scheduler, retries=1, retry_delay=0.01)
    wait_until(lambda: outcomes(scheduler) == [(1, "retried"), (2, "failed")], lambda: str(outcomes(scheduler)))
    scheduler.retry_runs(outcome="failed")
    wait_until(lambda: outcomes(scheduler)[2:] == [(3, "retried"), (4, "succeeded")], lambda: str(outcomes(scheduler)))


def test_a_run_on_request_runs_again_as_the_same_run(scheduler):
    add(scheduler, max_instances=9)
    failed(scheduler)
    asked = scheduler.run_job("job")
    failed(scheduler, 2)
    scheduler.retry_runs([asked])
    wait_until(lambda: (asked, 2) in BEGUN, lambda: str(BEGUN))


def test_a_run_that_succeeded_runs_again_only_if_it_is_named(scheduler):
    FAILING.clear()
    add(scheduler, max_instances=9)
    asked = scheduler.run_job("job")
    wait_until(lambda: len(scheduler.get_runs(outcome="succeeded", run_id=asked)) == 1)
    assert scheduler.retry_runs(job_id="job") == []
    with pytest.raises(ConfigurationError, match="only if they are named"):
        scheduler.retry_runs(outcome="succeeded")
    assert [run.attempt for run in scheduler.retry_runs([asked])] == [2]


def test_a_run_of_a_removed_job_is_left_out(scheduler):
    add(scheduler)
    (run_id,) = failed(scheduler)
    scheduler.remove_job("job")
    (left_out,) = scheduler.retry_runs([run_id])
    assert (left_out.attempt, left_out.left_out) == (None, "the job was removed")


def test_runs_beyond_those_that_may_wait_are_left_out(scheduler, monkeypatch):
    monkeypatch.setattr(reruns, "MOST_WAITING", 0)
    add(scheduler)
    failed(scheduler)
    (left_out,) = scheduler.retry_runs(job_id="job")
    assert (left_out.attempt, left_out.left_out) == (None, "10,000 runs of the job wait already")


def test_the_newest_runs_run_again_up_to_the_limit_and_a_repeated_call_goes_on_with_older_ones(scheduler, monkeypatch):
    monkeypatch.setattr("gsched.schedulers.verbs.retry._PAGE", 2)
    add(scheduler, max_instances=9)
    failed(scheduler)
    for count in range(2, 8):
        scheduler.run_job("job")
        failed(scheduler, count)
    runs = [run.run_id for run in scheduler.get_runs(outcome="failed")]
    assert [run.run_id for run in scheduler.retry_runs(job_id="job", limit=3)] == runs[:3]
    wait_until(lambda: len(scheduler.get_runs(outcome="succeeded")) == 3)
    assert [run.run_id for run in scheduler.retry_runs(job_id="job", limit=3)] == runs[3:6]
    wait_until(lambda: len(scheduler.get_runs(outcome="succeeded")) == 6)
    assert [run.run_id for run in scheduler.retry_runs(job_id="job", limit=3)] == runs[6:]


def test_runs_are_chosen_by_the_tags_of_their_jobs(scheduler):
    add(scheduler, tags=["nightly"])
    add(scheduler, id="other")
    failed(scheduler, 2)
    assert [run.job_id for run in scheduler.retry_runs(tag="nightly")] == ["job"]


def test_explain_tells_of_an_attempt_that_failed_and_of_the_one_that_is_in_progress_or_has_ended(scheduler):
    add(scheduler, block)
    (run_id,) = failed(scheduler)
    (first,) = scheduler.get_runs()
    BEGUN.append(("another", 1))  # so that the next attempt waits until it may end
    scheduler.retry_runs([run_id])
    wait_until(lambda: (run_id, 2) in BEGUN)
    said = scheduler.explain("job", first.scheduled_at)
    assert (said.outcome, said.recorded) == ("running", True)
    assert said.sentence.startswith("attempt 1 failed (ValueError: no); attempt 2 is in progress")
    MAY_END.set()
    failed(scheduler, 2)
    said = scheduler.explain("job", first.scheduled_at)
    assert (said.outcome, said.recorded) == ("failed", True)
    assert said.sentence.startswith("attempt 1 failed (ValueError: no); attempt 2 failed with ValueError: no, started ")


def test_a_handle_runs_the_runs_of_its_job_again(scheduler):
    add(scheduler)
    add(scheduler, id="other")
    failed(scheduler, 2)
    assert [run.job_id for run in scheduler.get_job("job").retry_runs()] == ["job"]


def test_a_run_without_a_record_is_an_error_and_no_other_named_run_runs_again(scheduler):
    add(scheduler)
    (run_id,) = failed(scheduler)
    with pytest.raises(RunNotFoundError, match="the history has no run 'job@never'"):
        scheduler.retry_runs([run_id, "job@never"])
    assert len(scheduler.retry_runs([run_id], dry_run=True)) == 1
    assert [(run_id, 1)] == BEGUN


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({}, "choose runs"),
        ({"run_ids": "job@1"}, "expected a list of ids"),
        ({"run_ids": ["a"], "tag": "x"}, "name the runs, or choose them"),
        ({"run_ids": ["a", "b"], "limit": 1}, "more than the limit"),
        ({"outcome": "faild"}, "did you mean 'failed'"),
        ({"outcome": "coalesced"}, "'coalesced' cannot run again"),
        ({"outcome": "failed", "limit": 0}, "limit"),
        ({"since": "yesterday"}, "since"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(choice, said):
    with pytest.raises(ConfigurationError, match=said):
        GeventScheduler().retry_runs(**choice)


# -- instants that ended without a run, by a clock that stands at noon ------------------------------------------------


@pytest.fixture
def desk() -> Iterator[tuple[GeventScheduler, Driver]]:
    clock = ManualClock("2027-01-01 12:00")
    made = GeventScheduler(clock=clock, timezone="UTC")
    driver = Driver(made, clock)
    with driver:
        yield made, driver


@pytest.mark.parametrize(("away", "attempts"), [(90, [2]), (150, [None])])
def test_one_missed_instant_runs_as_the_second_attempt_and_several_in_one_record_are_left_out(desk, away, attempts):
    scheduler, driver = desk
    FAILING.clear()
    scheduler.add_job(work, "interval", minutes=1, id="job", misfire_grace_time=10)
    scheduler.pause()
    driver.advance(seconds=away)
    scheduler.resume()
    driver.settle()
    (missed,) = scheduler.get_runs(outcome="missed")
    retried = scheduler.retry_runs(outcome="missed")
    assert [run.attempt for run in retried] == attempts
    driver.settle()
    if attempts == [2]:
        assert [(missed.run_id, 2)] == BEGUN
    else:
        assert retried[0].left_out == "the record is about several instants" and BEGUN == []


def test_each_of_many_runs_of_one_instant_runs_again_once(desk, monkeypatch):
    monkeypatch.setattr("gsched.schedulers.verbs.retry._PAGE", 2)
    scheduler, driver = desk
    for number in range(5):
        add(scheduler, id=f"job-{number}")
    driver.settle()
    retried = scheduler.retry_runs(outcome="failed")
    assert sorted(run.job_id for run in retried) == [f"job-{number}" for number in range(5)]
    driver.settle()
    assert len(BEGUN) == len(set(BEGUN)) == 10


def test_runs_in_memory_run_again_only_while_the_scheduler_runs():
    with pytest.raises(SchedulerNotRunningError):
        scheduler_with(MemoryJobStore()).retry_runs(outcome="failed")


def test_a_retry_that_waits_in_memory_is_listed_with_the_time_when_it_is_due(desk):
    scheduler, driver = desk
    add(scheduler, retries=3, retry_delay=60, retry_jitter=0)
    driver.settle()
    waits, retried = scheduler.get_runs()
    assert (waits.outcome, waits.attempt, retried.outcome) == ("waiting", 2, "retried")
    assert (waits.due_at - waits.scheduled_at).total_seconds() == 60
    driver.advance(seconds=61)
    assert scheduler.get_runs(outcome="waiting") == []


# -- another process --------------------------------------------------------------------------------------------------


def test_a_scheduler_that_does_not_run_adds_attempts_which_the_next_one_that_runs_begins(make_store):
    first = scheduler_with(make_store())
    first.start()
    add(first)
    (run_id,) = failed(first)
    first.shutdown()
    controlling = scheduler_with(make_store())
    assert [run.attempt for run in controlling.retry_runs([run_id])] == [2]
    assert [run.left_out for run in controlling.retry_runs([run_id])] == ["attempt 2 waits already"]
    assert outcomes(controlling) == [(1, "failed"), (2, "waiting")]
    assert [(run_id, 1)] == BEGUN
    second = scheduler_with(make_store())
    second.start()
    wait_until(lambda: [(run_id, 1), (run_id, 2)] == BEGUN, lambda: str(BEGUN))
    second.shutdown()


def test_another_process_that_runs_the_jobs_begins_the_attempts_at_once(make_store):
    first, controlling = scheduler_with(make_store()), scheduler_with(make_store())
    first.start()
    add(first)
    (run_id,) = failed(first)
    assert [run.attempt for run in controlling.retry_runs(outcome="failed")] == [2]
    wait_until(lambda: [(run_id, 1), (run_id, 2)] == BEGUN, lambda: str(BEGUN))
    first.shutdown()
