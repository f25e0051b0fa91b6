"""Attempts that fail and are followed by others: when these begin, and what every store says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import gevent
import pytest
import waiting
from gevent.event import Event

from gsched import EVENT_JOB_ERROR, EVENT_JOB_RETRYING, GeventScheduler, GiveUp, Retry, current_run
from gsched.hub.hub import Hub
from gsched.jobs.run import Run
from gsched.stores import BaseJobStore
from gsched.testing import Driver, ManualClock

pytest_plugins = ["mongodb"]

wait_until = partial(waiting.wait_until, sleep=gevent.sleep)


# -- in memory, by a clock that stands at noon ------------------------------------------------------------------------


class Attempts:
    """A job's function that fails, or does what a test tells it.

    :ivar begun: the number of each attempt and when it began, in seconds from noon
    """

    def __init__(self, clock: ManualClock, *steps: Any) -> None:
        self._clock = clock
        self._noon = clock.now_ms()
        self._steps = list(steps)
        self.begun: list[tuple[int, float]] = []

    def __call__(self) -> None:
        self.begun.append((current_run().attempt, (self._clock.now_ms() - self._noon) / 1000))
        step = self._steps.pop(0) if self._steps else ValueError("no")
        if isinstance(step, BaseException):
            raise step

    @property
    def seconds(self) -> list[float]:
        return [second for _, second in self.begun]


def now(clock: ManualClock) -> datetime:
    return datetime.fromtimestamp(clock.now_ms() / 1000, UTC)


class Desk:
    """A scheduler with its jobs in memory."""

    def __init__(self) -> None:
        self.clock = ManualClock("2027-01-01 12:00")
        self.scheduler = GeventScheduler(clock=self.clock, timezone="UTC")
        self.driver = Driver(self.scheduler, self.clock)

    def add(self, *steps: Any, trigger: str = "date", **options: Any) -> Attempts:
        """Add a job that is due now, and whose retries have no jitter."""
        attempts = Attempts(self.clock, *steps)
        options = {"retry_jitter": 0, **options}
        self.scheduler.add_job(attempts, trigger, id="job", next_run_time=now(self.clock), **options)
        self.driver.settle()
        return attempts

    def history(self) -> list[tuple[int, str, str | None]]:
        """Attempt, outcome and reason of each record, the oldest first."""
        found = sorted(self.scheduler.get_runs(), key=lambda run: (run.scheduled_at, run.attempt))
        return [(run.attempt, run.outcome, run.reason) for run in found]


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    with made.driver:
        yield made


def test_attempts_follow_each_other_at_growing_distances_until_no_retry_is_left(desk):
    attempts = desk.add(retries=3, retry_delay=10)
    desk.driver.advance(hours=1)
    assert attempts.begun == [(1, 0), (2, 10), (3, 30), (4, 70)]
    assert desk.history() == [*((n, "retried", None) for n in (1, 2, 3)), (4, "failed", "retries_exhausted")]


def test_each_failed_attempt_is_told_with_the_time_of_the_next_and_the_last_one_as_a_failure(desk):
    desk.add(retries=1, retry_delay=10)
    desk.driver.advance(minutes=1)
    (retrying,) = [event for event in desk.driver.events if event.code == EVENT_JOB_RETRYING]
    (failed,) = [event for event in desk.driver.events if event.code == EVENT_JOB_ERROR]
    assert retrying.fields()["retry_at"] == "2027-01-01T12:00:10.000+00:00"
    assert (failed.run.attempt, failed.reason, str(failed.exception)) == (2, "retries_exhausted", "no")


def test_a_run_that_succeeds_in_a_later_attempt_is_no_failure(desk):
    attempts = desk.add(ValueError(), ValueError(), "fine", trigger="interval", hours=1, retries=5, retry_delay=1)
    desk.driver.advance(minutes=1)
    assert attempts.seconds == [0, 1, 3]
    counters = desk.scheduler.get_counters("job")
    assert (counters.runs, counters.failures) == (3, 0)
    assert [outcome.outcome for outcome in counters.recent] == ["succeeded"]


def test_a_job_with_one_date_is_removed_when_its_last_attempt_has_ended(desk):
    desk.add(retries=1, retry_delay=10)
    desk.driver.advance(seconds=9)
    assert desk.scheduler.get_job("job") is not None
    desk.driver.advance(seconds=2)
    assert desk.scheduler.get_job("job") is None


def test_a_job_knows_its_last_attempt(desk):
    known: list[bool] = []

    def fail() -> None:
        known.append(current_run().last_attempt)
        raise ValueError

    desk.scheduler.add_job(fail, "date", retries=2, retry_delay=1)
    desk.driver.advance(minutes=1)
    assert known == [False, False, True]


def test_a_job_decides_when_its_retry_begins_and_whether_it_counts(desk):
    steps = [Retry(30, count=False), Retry(7), Retry(5), GiveUp("enough")]
    attempts = desk.add(*steps, retries=2)
    desk.driver.advance(hours=1)
    assert attempts.seconds == [0, 30, 37, 42]
    assert desk.history()[-1] == (4, "failed", "gave_up")


ENDS: dict[str, tuple[Callable[[Desk], object], str]] = {
    "paused": (lambda desk: desk.scheduler.pause_job("job"), "removed_or_paused"),
    "removed": (lambda desk: desk.scheduler.remove_job("job"), "removed_or_paused"),
    "rescheduled": (lambda desk: desk.scheduler.reschedule_job("job", trigger="interval", hours=7), "rescheduled"),
}


@pytest.mark.parametrize(("end", "reason"), ENDS.values(), ids=ENDS)
def test_a_retry_that_waits_ends_with_its_job(desk, end, reason):
    attempts = desk.add(trigger="interval", hours=1, retries=3, retry_delay=60)
    desk.driver.advance(seconds=30)
    end(desk)
    desk.driver.advance(minutes=5)
    assert attempts.seconds == [0]
    assert desk.history() == [(1, "retried", None), (2, "failed", reason)]


def test_a_retry_that_waits_in_memory_ends_with_the_scheduler(desk):
    desk.add(trigger="interval", hours=1, retries=3, retry_delay=60)
    desk.driver.__exit__()
    assert desk.history() == [(1, "retried", None), (2, "failed", "shutdown")]


def test_a_retry_that_waits_survives_a_change_of_the_jobs_options_and_takes_them(desk):
    attempts = desk.add(trigger="interval", hours=1, retries=3, retry_delay=60)
    desk.scheduler.modify_job("job", retries=1)
    desk.driver.advance(minutes=10)
    assert attempts.seconds == [0, 60]
    assert desk.history()[-1] == (2, "failed", "retries_exhausted")


def test_a_retry_waits_for_a_free_instance_and_takes_its_turn(desk):
    clock, may_end = desk.clock, Event()
    begun: list[tuple[int, int]] = []

    def work() -> None:
        run = current_run()
        begun.append((run.scheduled_at.second, run.attempt))
        if begun == [(0, 1)]:
            raise ValueError
        may_end.wait()

    desk.scheduler.add_job(
        work, "interval", seconds=30, next_run_time=now(clock), coalesce=False, retries=2, retry_delay=45,
        retry_jitter=0,
    )  # fmt: skip
    desk.driver.advance(seconds=50)  # the retry is due at 45, while the run of 30 is in progress
    assert begun == [(0, 1), (30, 1)]
    may_end.set()
    desk.driver.settle()
    assert begun == [(0, 1), (30, 1), (0, 2)]


def test_a_retry_that_comes_later_than_the_grace_time_is_missed(desk):
    attempts = desk.add(trigger="interval", hours=1, retries=3, retry_delay=60, misfire_grace_time=5)
    desk.scheduler.pause()
    desk.driver.advance(seconds=80)
    desk.scheduler.resume()
    desk.driver.settle()
    assert attempts.seconds == [0]
    assert desk.history() == [(1, "retried", None), (2, "failed", "retry_missed")]


def test_a_retry_is_not_late_because_it_waits_longer_than_the_grace_time(desk):
    steps = ValueError(), "fine"
    attempts = desk.add(*steps, trigger="interval", hours=1, retries=3, retry_delay=60, misfire_grace_time=5)
    desk.driver.advance(seconds=61)
    assert attempts.seconds == [0, 60]


def test_a_paused_scheduler_begins_no_retry(desk):
    attempts = desk.add(trigger="interval", hours=1, retries=1, retry_delay=60)
    desk.scheduler.pause()
    desk.driver.advance(seconds=80)
    assert attempts.seconds == [0]
    desk.scheduler.resume()
    desk.driver.settle()
    assert attempts.seconds == [0, 80]


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_retry_goes_by_elapsed_time_though_the_clock_is_set(desk, hours):
    attempts = desk.add(trigger="interval", hours=24, retries=1, retry_delay=60)
    desk.clock.jump(hours * 3600)
    desk.driver.advance(seconds=59)
    assert len(attempts.begun) == 1
    desk.driver.advance(seconds=2)
    assert len(attempts.begun) == 2


def test_a_run_on_request_is_retried_though_its_job_is_paused(desk):
    attempts = desk.add("fine", trigger="interval", hours=24, retries=1, retry_delay=60)
    desk.scheduler.pause_job("job")
    desk.scheduler.run_job("job")
    desk.driver.advance(seconds=61)
    assert attempts.seconds == [0, 0, 60]
    assert desk.history()[-1] == (2, "failed", "retries_exhausted")


def test_a_run_that_fails_while_the_scheduler_stops_is_not_retried_in_memory(desk):
    may_end = Event()

    def fail() -> None:
        may_end.wait()
        raise ValueError

    desk.scheduler.add_job(fail, "date", retries=3)
    desk.driver.settle()
    stopping = gevent.spawn(desk.scheduler.shutdown)
    desk.driver.settle()
    may_end.set()
    stopping.get(timeout=20)
    assert desk.history() == [(1, "retried", None), (2, "failed", "shutdown")]


def test_a_shutdown_waits_for_a_run_that_begins_while_a_store_keeps_a_retry(desk, monkeypatch):
    join_retries, may_end = Hub.join_retries, Event()

    def begin_a_run(hub: Hub, seconds: float) -> None:
        monkeypatch.setattr(Hub, "join_retries", join_retries)
        lane = next(iter(hub._lanes.values()))
        entry = lane.entry(desk.scheduler.get_job("slow").definition)
        hub.dispatch._submit(entry, Run(entry.job, desk.clock.now_ms(), hub.dispatch, entry))

    monkeypatch.setattr(Hub, "join_retries", begin_a_run)
    desk.scheduler.add_job(may_end.wait, "interval", hours=1, id="slow")
    desk.driver.settle()
    stopping = gevent.spawn(desk.scheduler.shutdown)
    desk.driver.settle()
    assert not stopping.dead and desk.scheduler.get_running()
    may_end.set()
    assert stopping.get(timeout=20) == []


# -- in every store ---------------------------------------------------------------------------------------------------

CALLS: list[tuple[str, int]] = []


def fail_twice(name: str) -> None:
    """Fail in the first two attempts."""
    CALLS.append((name, current_run().attempt))
    if current_run().attempt < 3:
        raise ValueError("not yet")


def running(store: BaseJobStore) -> GeventScheduler:
    scheduler = GeventScheduler(jobstores={"default": store}, timezone="UTC", modules=[__name__])
    scheduler.start()
    return scheduler


@pytest.fixture
def scheduler(any_store: BaseJobStore) -> Iterator[GeventScheduler]:
    CALLS.clear()
    made = running(any_store)
    yield made
    made.shutdown(wait=False)


def test_every_store_runs_the_attempts_of_a_run_in_their_order_and_keeps_each(scheduler):
    scheduler.add_job(fail_twice, "interval", args=["a"], hours=1, id="a", retries=3, retry_delay=[0.05, 0.1])
    scheduler.run_job("a")
    wait_until(lambda: len(CALLS) == 3, lambda: str(CALLS))
    assert CALLS == [("a", 1), ("a", 2), ("a", 3)]
    wait_until(lambda: [run.outcome for run in scheduler.get_runs(job_id="a")].count("retried") == 2)
    wait_until(lambda: scheduler.get_counters("a").runs == 3)
    assert scheduler.get_counters("a").failures == 0


def test_a_job_with_one_date_stays_in_every_store_until_its_last_attempt_has_ended(scheduler):
    scheduler.add_job(fail_twice, "date", args=["b"], id="b", retries=3, retry_delay=0.3, retry_backoff=1)
    wait_until(lambda: len(CALLS) == 2, lambda: str(CALLS))
    assert scheduler.get_job("b") is not None
    wait_until(lambda: scheduler.get_job("b") is None)
    assert CALLS == [("b", 1), ("b", 2), ("b", 3)]


def test_explain_says_in_every_store_why_an_attempt_failed_and_when_the_next_one_is_due(scheduler):
    scheduler.add_job(
        fail_twice, "interval", args=["e"], days=365, id="e", retries=3, retry_delay="1h", next_run_time="now"
    )
    wait_until(lambda: [run.outcome for run in scheduler.get_runs(job_id="e")] == ["waiting", "retried"])
    waits, _ = scheduler.get_runs(job_id="e")
    said = scheduler.explain("e", waits.scheduled_at)
    assert (said.outcome, said.record) == ("waiting", waits)
    due = waits.due_at.isoformat(" ", "milliseconds" if waits.due_at.microsecond else "seconds")
    assert said.sentence == f"attempt 1 failed (ValueError: not yet); attempt 2 is due at {due}."


def test_explain_says_in_every_store_why_the_last_attempt_was_the_last(scheduler):
    scheduler.add_job(
        fail_twice, "interval", args=["f"], days=365, id="f", retries=1, retry_delay=0.01, next_run_time="now"
    )
    wait_until(lambda: len(scheduler.get_runs(job_id="f", outcome="failed")) == 1)
    wait_until(lambda: len(scheduler.get_runs(job_id="f", outcome="retried")) == 1)
    sentence = scheduler.explain("f", scheduler.get_runs(job_id="f")[0].scheduled_at).sentence
    last = "attempt 2 failed (retries_exhausted) with ValueError: not yet, started "
    assert sentence.startswith(f"attempt 1 failed (ValueError: not yet); {last}")


@pytest.mark.parametrize("change", ["pause_job", "remove_job"])
def test_in_every_store_a_retry_that_waits_ends_with_its_job(scheduler, change):
    scheduler.add_job(fail_twice, "interval", args=["c"], days=365, id="c", retries=3, retry_delay="1h")
    scheduler.modify_job("c", next_run_time="now")
    wait_until(lambda: "retried" in [run.outcome for run in scheduler.get_runs(job_id="c")])
    getattr(scheduler, change)("c")
    wait_until(lambda: len(scheduler.get_runs(job_id="c", outcome="failed")) == 1)
    (failed,) = scheduler.get_runs(job_id="c", outcome="failed")
    assert (failed.attempt, failed.reason) == (2, "removed_or_paused")


MAY_END = Event()


def fail_when_told(name: str) -> None:
    """Fail as soon as the test says so."""
    CALLS.append((name, current_run().attempt))
    MAY_END.wait()
    raise ValueError("told to")


def begin_to_fail(scheduler: GeventScheduler, job_id: str, **options: Any) -> None:
    MAY_END.clear()
    scheduler.add_job(fail_when_told, "date", args=[job_id], id=job_id, retries=3, **options)
    wait_until(lambda: [(job_id, 1)] == CALLS, lambda: str(CALLS))


def test_a_run_whose_job_was_removed_meanwhile_is_not_retried_in_any_store(scheduler):
    begin_to_fail(scheduler, "e", retry_delay=0.01)
    scheduler.remove_job("e")
    MAY_END.set()
    wait_until(lambda: len(scheduler.get_runs(job_id="e", outcome="failed")) == 1)
    (failed,) = scheduler.get_runs(job_id="e")
    assert (failed.attempt, failed.reason) == (1, "removed_or_paused")


def test_a_retry_that_waits_begins_in_the_process_that_runs_the_jobs_then(make_store):
    CALLS.clear()
    first = running(make_store())
    first.add_job(fail_twice, "date", args=["d"], id="d", retries=3, retry_delay=[0.8, 0.01])
    wait_until(lambda: "retried" in [run.outcome for run in first.get_runs(job_id="d")])
    first.shutdown()
    assert CALLS == [("d", 1)]
    store = make_store()
    store.intervals = replace(store.intervals, rescan=1.0)  # when it finds the job that has nothing left to run
    second = running(store)
    wait_until(lambda: len(CALLS) == 3, lambda: str(CALLS))
    wait_until(lambda: second.get_job("d") is None)
    second.shutdown()
    assert CALLS == [("d", 1), ("d", 2), ("d", 3)]


def test_a_run_that_fails_while_the_scheduler_stops_is_retried_by_the_next_one(make_store):
    CALLS.clear()
    first = running(make_store())
    begin_to_fail(first, "f", retry_delay=0.01)
    stopping = gevent.spawn(first.shutdown)
    gevent.sleep(0)
    MAY_END.set()
    stopping.get(timeout=30)
    assert CALLS == [("f", 1)]
    second = running(make_store())
    wait_until(lambda: len(CALLS) == 4, lambda: str(CALLS))
    wait_until(lambda: len(second.get_runs(job_id="f", outcome="failed")) == 1)
    history = sorted((run.attempt, run.outcome) for run in second.get_runs(job_id="f"))
    second.shutdown()
    assert history == [(1, "retried"), (2, "retried"), (3, "retried"), (4, "failed")]
