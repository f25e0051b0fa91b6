"""Policies that do not do what they seem to: warnings when jobs are added, and findings of the doctor, on every store.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from gevent.event import Event
from store_bench import StoreBench

from gsched import CronTrigger, StoreUnreachableError, current_run
from gsched.stores import BaseJobStore
from gsched.stores.policy_findings import policy_findings

pytest_plugins = ["mongodb"]

COMES_FIRST = "its next run comes first: a retry waits 40 s or longer, and the next run comes within 30 s"

begun: list[int] = []
may_end = Event()


def work() -> None:
    begun.append(current_run().scheduled_ms)
    may_end.wait()


@pytest.fixture
def bench(any_store: BaseJobStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreBench]:
    begun.clear()
    may_end.clear()
    made = StoreBench(any_store, monkeypatch)
    yield made
    may_end.set()
    made.close()


def finding(bench: StoreBench, check: str) -> Any:
    (found,) = [each for each in bench.scheduler.admin.diagnose_stores() if each.check == check]
    return found


# -- retries that never begin ---------------------------------------------------------------------------------------


def test_a_job_that_is_never_retried_is_warned_of_when_it_is_added(bench):
    bench.add("job", "interval", seconds=30, retries=3, retry_delay=45)
    bench.add("fine", "interval", seconds=30, retries=3, retry_delay=5)
    bench.start()
    bench.until(lambda: bench.named("scheduler.started"))  # events are delivered in their order
    (warning,) = bench.named("job.warned")
    assert (warning.job_id, warning.reason) == ("job", f"never retried: {COMES_FIRST}")
    assert warning.remedy == "shorten retry_delay, or set coalesce=False"


def test_a_job_that_is_never_retried_is_warned_of_when_it_is_changed(bench):
    bench.start().add("job", "interval", seconds=30, retries=3, retry_delay=5)
    bench.until(lambda: bench.named("job.added"))
    for change in ({"retry_delay": 45}, {"name": "other"}, {"coalesce": False}):
        bench.scheduler.modify_job("job", **change)
    bench.scheduler.modify_job("job", coalesce=True, retry_delay=5)
    bench.scheduler.reschedule_job("job", trigger="interval", seconds=1)
    bench.scheduler.pause_job("job")
    bench.settle()
    assert [event.job.name for event in bench.named("job.warned")] == ["play", "other", "other"]


def test_the_doctor_names_the_jobs_that_are_never_retried(bench):
    bench.start()
    bench.add("plain", "interval", seconds=30)
    bench.add("fine", "interval", seconds=30, retries=3, retry_delay=45, coalesce=False)
    assert finding(bench, "retries").verdict == "ok"
    bench.add("job", "interval", seconds=30, retries=3, retry_delay=45)
    found = finding(bench, "retries")
    assert (found.verdict, found.found) == ("warning", f"never retried: job: {COMES_FIRST}")
    assert found.remedy == "shorten retry_delay, or set coalesce=False"


def test_the_doctor_names_five_of_many_jobs(bench):
    bench.start()
    for number in range(6):
        bench.add(f"job{number}", "interval", seconds=30, retries=3, retry_delay=45)
    found = finding(bench, "retries").found
    assert found.count("its next run") == 5 and found.endswith(" ...")


def test_a_job_with_a_time_that_the_trigger_leaves_free_may_be_retried(bench):
    bench.start()
    bench.add("office", CronTrigger.from_crontab("*/5 9-17 * * *", "UTC"), retries=3, retry_delay=600)
    bench.add("once", "date", run_date="2030-01-01", retries=3, retry_delay=600)
    assert finding(bench, "retries").verdict == "ok" and not bench.named("job.warned")


# -- runs that never end --------------------------------------------------------------------------------------------


def test_the_doctor_names_jobs_of_which_the_last_ten_runs_were_replaced(bench):
    bench.start()
    bench.scheduler._engine.allow_modules([__name__])
    bench.scheduler.add_job(work, "interval", seconds=1, id="job", overlap="cancel")
    bench.until(lambda: len(begun) >= 5)
    assert len(begun) < 10 and finding(bench, "overlap").verdict == "ok"
    bench.until(lambda: finding(bench, "overlap").verdict != "ok")
    found = finding(bench, "overlap")
    assert found.verdict == "warning"
    assert found.found == "the last 10 runs were all stopped in favour of the next one: job"
    assert found.remedy == 'let them be due less often than a run takes, or set overlap="queue"'
    bench.until(lambda: len(begun) > 10)
    may_end.set()
    bench.until(lambda: finding(bench, "overlap").verdict == "ok")
    bench.scheduler.remove_job("job")
    assert finding(bench, "overlap").verdict == "ok"


def test_runs_that_somebody_cancels_are_not_replaced(bench):
    bench.start()
    bench.scheduler._engine.allow_modules([__name__])
    bench.scheduler.add_job(work, "interval", seconds=1, id="job")
    for number in range(11):
        bench.until(lambda: len(begun) > number)  # noqa: B023 - it is called here
        bench.scheduler.cancel_runs("job")
    bench.until(lambda: len(bench.scheduler.get_counters("job").recent) >= 10)
    bench.until(lambda: len(bench.scheduler.get_runs("job", outcome="cancelled")) >= 10)
    assert finding(bench, "overlap").verdict == "ok"


def test_a_store_that_fails_is_a_problem_of_each_check():
    away = Mock(side_effect=StoreUnreachableError())
    store = Mock(find=away, runs=away, overdue=away, limits=away, nodes=away, outbox=away)
    found = list(policy_findings(store))
    assert [(each.check, each.verdict) for each in found] == [
        ("overdue jobs", "problem"), ("retries", "problem"), ("overlap", "problem"),
        ("group rates", "problem"), ("group sizes", "problem"), ("notifiers", "problem"),
    ]  # fmt: skip
